//! Pushes and answers in every order that a bus may bring them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use neutron::object::{Network, NetworkSegment, Object, ResourceType};
use neutron::rpc::EventType;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::{Binding, Cache, Query, Question};
use crate::fixture::{HOST, NETWORK, group, id, port, rule};

fn one(cache: &mut Cache, query: Query) -> Question {
    cache.ask(&BTreeSet::from([query])).remove(0)
}

fn rules_of(n: u32) -> Query {
    Query::Rules(id(n).parse().unwrap())
}

fn member_count(cache: &Cache, n: u32) -> usize {
    cache.members().groups.get(&id(n).parse().unwrap()).map_or(0, |members| members.len())
}

fn rule_count(cache: &Cache, n: u32) -> usize {
    cache.security_groups().get(&id(n).parse().unwrap()).map_or(0, |group| group.rules.len())
}

fn push(cache: &mut Cache, object: Object) -> bool {
    cache.push(EventType::Updated, vec![object])
}

fn delete(cache: &mut Cache, resource: ResourceType, n: u32) -> bool {
    cache.push(EventType::Deleted, vec![Object::deleted(resource, id(n))])
}

#[test]
fn a_question_is_asked_once() {
    let mut cache = Cache::new(HOST);
    let wanted = BTreeSet::from([rules_of(1), rules_of(2), Query::Group(id(1).parse().unwrap())]);
    let questions = cache.ask(&wanted);
    assert_eq!(questions.len(), 2, "one for each kind");
    assert!(cache.ask(&wanted).is_empty());
    for question in &questions {
        cache.answer(question, Vec::new());
    }
    assert!(cache.ask(&wanted).is_empty());
    cache.distrust();
    assert_eq!(cache.ask(&wanted).len(), 2);
    assert!(cache.is_known(rules_of(1)), "what was confirmed stands until the new answer");
}

#[test]
fn an_unanswered_question_is_asked_again() {
    let mut cache = Cache::new(HOST);
    let question = one(&mut cache, rules_of(1));
    cache.unanswered(&question);
    assert!(!cache.is_known(rules_of(1)));
    assert_eq!(cache.ask(&BTreeSet::from([rules_of(1)])), [question]);
}

#[test]
fn an_answer_from_before_something_was_missed_is_not_the_last_word() {
    let mut cache = Cache::new(HOST);
    let question = one(&mut cache, rules_of(1));
    cache.distrust();
    let wanted = BTreeSet::from([rules_of(1)]);
    assert!(cache.ask(&wanted).is_empty(), "one question at a time");
    cache.answer(&question, vec![Object::SecurityGroupRule(rule(7, 1, None))]);
    let again = one(&mut cache, rules_of(1));
    cache.answer(&again, Vec::new());
    assert_eq!(rule_count(&cache, 1), 0, "its deletion was what was missed");
    assert!(cache.ask(&wanted).is_empty());
}

#[test]
fn an_older_revision_changes_nothing() {
    let mut cache = Cache::new(HOST);
    let question = one(&mut cache, Query::Port(id(1).parse().unwrap()));
    let mut newer = port(1, &[]);
    newer.revision_number = 5;
    newer.admin_state_up = false;
    cache.answer(&question, vec![Object::Port(newer)]);
    assert!(!push(&mut cache, Object::Port(port(1, &[]))));
    let known = cache.port(id(1).parse().unwrap()).unwrap().as_ref().unwrap();
    assert!(!known.port.admin_up);
    assert!(matches!(known.binding, Binding::Here(_)));
}

/// The network of the fixture's ports, carried by this VLAN.
fn network(vlan: u32) -> Object {
    let segment = NetworkSegment {
        segmentation_id: Some(vlan),
        ..port(1, &[]).binding_levels[0].segment.clone().unwrap()
    };
    let segments = vec![segment];
    Object::Network(Network { id: NETWORK.to_owned(), segments, ..Network::default() })
}

/// Port 1 of the fixture, whose network is carried by this VLAN.
fn port_on(vlan: u32) -> Vec<Object> {
    let mut port = port(1, &[]);
    port.binding_levels[0].segment.as_mut().unwrap().segmentation_id = Some(vlan);
    vec![Object::Port(port)]
}

/// The VLAN by which port 1 is carried.
fn carried_by(cache: &Cache) -> Option<u32> {
    let known = cache.port(id(1).parse().unwrap())?.as_ref().unwrap();
    let Binding::Here(segment) = &known.binding else { return None };
    segment.segmentation_id.map(|it| it.get())
}

#[test]
fn ports_of_a_network_with_another_segment_are_asked_about_again() {
    let query = Query::Port(id(1).parse().unwrap());
    let wanted = BTreeSet::from([query]);
    let mut cache = Cache::new(HOST);
    let question = one(&mut cache, query);
    cache.answer(&question, port_on(117));
    assert!(!push(&mut cache, network(117)));
    assert!(cache.ask(&wanted).is_empty(), "the network is where it was");

    assert!(push(&mut cache, network(118)));
    assert_eq!(carried_by(&cache), Some(117), "what was confirmed stands until the new answer");
    let question = one(&mut cache, query);
    // The port has changed as little as its revision.
    cache.answer(&question, port_on(118));
    assert_eq!(carried_by(&cache), Some(118));
    assert!(cache.ask(&wanted).is_empty());
    assert!(!push(&mut cache, network(118)));
}

#[test]
fn an_answer_from_before_a_network_changed_its_segment_is_not_the_last_word() {
    let query = Query::Port(id(1).parse().unwrap());
    let wanted = BTreeSet::from([query]);
    let mut cache = Cache::new(HOST);
    let question = one(&mut cache, query);
    push(&mut cache, network(118));
    cache.answer(&question, port_on(117));
    let again = one(&mut cache, query);
    // A server that knows no better is believed: it is not asked for ever.
    cache.answer(&again, port_on(117));
    assert!(cache.ask(&wanted).is_empty());
}

#[test]
fn an_answer_about_members_from_before_a_network_changed_its_segment_is_not_the_last_word() {
    let query = Query::Port(id(1).parse().unwrap());
    let mut cache = Cache::new(HOST);
    let question = one(&mut cache, query);
    cache.answer(&question, port_on(117));
    let members = one(&mut cache, Query::Members(id(2).parse().unwrap()));
    push(&mut cache, network(118));
    let question = one(&mut cache, query);
    cache.answer(&question, port_on(118));
    cache.answer(&members, vec![Object::Port(port(1, &[2]))]);
    let again = one(&mut cache, query);
    cache.answer(&again, port_on(118));
    assert_eq!(carried_by(&cache), Some(118));
}

#[test]
fn a_binding_that_carries_nothing_any_more_is_none() {
    let mut cache = Cache::new(HOST);
    let mut left = port(1, &[]);
    let mut now = left.bindings[0].clone();
    now.host = "node2".to_owned();
    left.bindings[0].status = Some("INACTIVE".to_owned());
    left.bindings[0].vif_type = "unbound".to_owned();
    left.bindings.push(now);
    left.binding_levels[0].host = "node2".to_owned();
    let question = one(&mut cache, Query::Port(id(1).parse().unwrap()));
    cache.answer(&question, vec![Object::Port(left)]);
    let known = cache.port(id(1).parse().unwrap()).unwrap().as_ref().unwrap();
    assert_eq!(known.binding, Binding::Elsewhere);
}

#[test]
fn a_port_that_is_bound_anew_goes_on_meanwhile() {
    let bound = port(1, &[2]);
    let mut unbound = port(1, &[3]);
    unbound.bindings[0].vif_type = "unbound".to_owned();
    unbound.binding_levels.clear();
    let mut gone = unbound.clone();
    gone.bindings[0].host = "node2".to_owned();
    let query = Query::Port(id(1).parse().unwrap());
    let binding = |pushed: &[&neutron::object::Port]| {
        let mut cache = Cache::new(HOST);
        let question = one(&mut cache, query);
        cache.answer(&question, vec![Object::Port(pushed[0].clone())]);
        for &port in &pushed[1..] {
            push(&mut cache, Object::Port(port.clone()));
        }
        let known = cache.port(id(1).parse().unwrap()).unwrap().as_ref().unwrap();
        (known.binding.clone(), known.port.groups.clone())
    };
    let group = |number| BTreeSet::from([id(number).parse().unwrap()]);
    let (here, groups) = binding(&[&bound]);
    assert!(matches!(here, Binding::Here(_)) && groups == group(2));
    // All else is as it is told.
    assert_eq!(binding(&[&bound, &unbound]), (here, group(3)));
    assert_eq!(binding(&[&unbound]), (Binding::Elsewhere, group(3)));
    assert_eq!(binding(&[&bound, &gone]), (Binding::Elsewhere, group(3)));
    assert_eq!(binding(&[&bound, &gone, &unbound]), (Binding::Elsewhere, group(3)));
}

#[test]
fn a_rule_deleted_while_the_answer_is_under_way_stays_deleted() {
    let mut cache = Cache::new(HOST);
    let question = one(&mut cache, rules_of(1));
    delete(&mut cache, ResourceType::SecurityGroupRule, 7);
    cache.answer(&question, vec![Object::SecurityGroupRule(rule(7, 1, None))]);
    assert_eq!(rule_count(&cache, 1), 0);
}

#[test]
fn a_rule_pushed_while_an_older_answer_is_under_way_stays() {
    let mut cache = Cache::new(HOST);
    let question = one(&mut cache, rules_of(1));
    assert!(push(&mut cache, Object::SecurityGroupRule(rule(7, 1, None))));
    cache.answer(&question, Vec::new());
    assert_eq!(rule_count(&cache, 1), 1);
}

#[test]
fn a_rule_that_a_new_answer_leaves_out_is_gone() {
    let mut cache = Cache::new(HOST);
    let question = one(&mut cache, rules_of(1));
    let both = [7, 8].map(|n| Object::SecurityGroupRule(rule(n, 1, None)));
    cache.answer(&question, both.to_vec());
    assert_eq!(rule_count(&cache, 1), 2);
    cache.distrust();
    let question = one(&mut cache, rules_of(1));
    assert_eq!(rule_count(&cache, 1), 2);
    cache.answer(&question, vec![Object::SecurityGroupRule(rule(8, 1, None))]);
    assert_eq!(rule_count(&cache, 1), 1);
}

#[test]
fn pushes_that_nobody_asked_about_are_not_kept() {
    let mut cache = Cache::new(HOST);
    assert!(!push(&mut cache, Object::Port(port(1, &[1]))));
    assert!(!push(&mut cache, Object::SecurityGroupRule(rule(7, 1, None))));
    assert!(!push(&mut cache, group(1)));
    assert!(cache.port(id(1).parse().unwrap()).is_none());
}

#[test]
fn members_come_and_go_with_their_ports() {
    let mut cache = Cache::new(HOST);
    let question = one(&mut cache, Query::Members(id(1).parse().unwrap()));
    cache.answer(&question, vec![Object::Port(port(1, &[1]))]);
    assert_eq!(member_count(&cache, 1), 1);
    assert!(push(&mut cache, Object::Port(port(2, &[1]))));
    assert_eq!(member_count(&cache, 1), 2);
    let mut left = port(2, &[]);
    left.revision_number = 2;
    assert!(push(&mut cache, Object::Port(left)), "a known port that leaves the group");
    assert_eq!(member_count(&cache, 1), 1);
    assert!(delete(&mut cache, ResourceType::Port, 1));
    assert_eq!(member_count(&cache, 1), 0);
}

#[test]
fn what_does_not_convert_is_kept_as_a_fault() {
    let mut cache = Cache::new(HOST);
    let question = one(&mut cache, Query::Port(id(1).parse().unwrap()));
    let mut broken = port(1, &[]);
    broken.mac_address = "fa:16".to_owned();
    cache.answer(&question, vec![Object::Port(broken)]);
    assert!(cache.port(id(1).parse().unwrap()).unwrap().is_err());

    let question = one(&mut cache, rules_of(1));
    let mut broken = rule(7, 1, None);
    broken.protocol = Some("none such".to_owned());
    cache.answer(&question, vec![Object::SecurityGroupRule(broken)]);
    assert_eq!(rule_count(&cache, 1), 0);
    assert_eq!(cache.broken_rules(id(1).parse().unwrap()).count(), 1);
}

#[test]
fn keep_only_forgets_the_rest() {
    let mut cache = Cache::new(HOST);
    let question = one(&mut cache, rules_of(1));
    cache.answer(&question, vec![Object::SecurityGroupRule(rule(7, 1, None))]);
    cache.keep_only(&BTreeSet::new());
    assert!(!cache.is_known(rules_of(1)));
    assert_eq!(cache.rules.len(), 0);
}

#[test]
fn many_queries_are_asked_a_few_at_a_time() {
    let ports = |n: u32| Query::Port(id(n).parse().unwrap());
    for (query, most, at_once) in [
        (&rules_of as &dyn Fn(u32) -> Query, super::GROUPS, 2),
        (&ports, super::OBJECTS, super::QUESTIONS),
    ] {
        let mut cache = Cache::new(HOST);
        let wanted: BTreeSet<Query> = (0..1000).map(query).collect();
        let (mut asked, mut tries) = (0, 0);
        let mut questions = cache.ask(&wanted);
        assert_eq!(questions.len(), at_once);
        while let Some(question) = questions.pop() {
            assert!(question.queries.len() <= most);
            tries += 1;
            if tries % 3 == 0 {
                cache.unanswered(&question);
            } else {
                asked += question.queries.len();
                cache.answer(&question, Vec::new());
            }
            questions.extend(cache.ask(&wanted));
            assert!(questions.len() <= at_once);
        }
        assert_eq!(asked, wanted.len(), "each once");
    }
}

#[test]
fn who_a_remote_is_need_not_wait_for_the_rules_of_other_groups() {
    let mut cache = Cache::new(HOST);
    let remote = Query::Members(id(1).parse().unwrap());
    let wanted: BTreeSet<Query> = (0..1000).map(rules_of).chain([remote]).collect();
    let questions = cache.ask(&wanted);
    assert_eq!(questions[0].queries, BTreeSet::from([remote]));
    assert!(questions[1].queries.contains(&rules_of(0)));
}

#[test]
fn an_older_version_in_an_answer_was_seen_all_the_same() {
    let mut cache = Cache::new(HOST);
    let question = one(&mut cache, rules_of(1));
    let mut newer = rule(7, 1, None);
    newer.revision_number = 5;
    cache.answer(&question, vec![Object::SecurityGroupRule(newer)]);
    cache.distrust();
    let question = one(&mut cache, rules_of(1));
    cache.answer(&question, vec![Object::SecurityGroupRule(rule(7, 1, None))]);
    assert_eq!(rule_count(&cache, 1), 1);
}

#[test]
fn what_did_not_change_stays_the_same_object() {
    let mut cache = Cache::new(HOST);
    for query in every_query() {
        let question = one(&mut cache, query);
        cache.answer(&question, Vec::new());
    }
    push(&mut cache, Object::SecurityGroupRule(rule(11, 1, None)));
    push(&mut cache, Object::SecurityGroupRule(rule(12, 2, None)));
    push(&mut cache, Object::Port(port(1, &[1])));
    let (groups, members) = (cache.security_groups(), cache.members());
    push(&mut cache, Object::SecurityGroupRule(rule(13, 2, None)));
    push(&mut cache, Object::Port(port(2, &[2])));
    let mut renamed = port(1, &[1]);
    renamed.name = Some("news, but not of its addresses".to_owned());
    push(&mut cache, Object::Port(renamed));
    let (groups_now, members_now) = (cache.security_groups(), cache.members());
    let [first, second] = [1, 2].map(|n| id(n).parse().unwrap());
    assert!(Arc::ptr_eq(&groups[&first], &groups_now[&first]));
    assert!(!Arc::ptr_eq(&groups[&second], &groups_now[&second]));
    assert!(members.groups[&first].is_same(&members_now.groups[&first]));
    assert!(!members.groups[&second].is_same(&members_now.groups[&second]));
}

/// Something that the server tells. Numbers are few, so that they meet.
#[derive(Debug, Clone)]
enum News {
    Port {
        n: u32,
        groups: BTreeSet<u32>,
        addresses: BTreeSet<u32>,
    },
    PortGone(u32),
    Rule {
        n: u32,
        group: u32,
        remote: Option<u32>,
        broken: bool,
    },
    RuleGone(u32),
    Group {
        n: u32,
        stateful: bool,
    },
    GroupGone(u32),
    /// Something was missed, and everything is asked again.
    Missed,
}

fn news() -> impl Strategy<Value = News> {
    let group = || 1..4_u32;
    prop_oneof![
        6 => (20..25_u32, btree_set(group(), 0..3), btree_set(1..4_u32, 0..3))
            .prop_map(|(n, groups, addresses)| News::Port { n, groups, addresses }),
        2 => (20..25_u32).prop_map(News::PortGone),
        6 => (10..16_u32, group(), proptest::option::of(group()), prop::bool::weighted(0.2))
            .prop_map(|(n, group, remote, broken)| News::Rule { n, group, remote, broken }),
        2 => (10..16_u32).prop_map(News::RuleGone),
        1 => (group(), any::<bool>()).prop_map(|(n, stateful)| News::Group { n, stateful }),
        1 => group().prop_map(News::GroupGone),
        1 => Just(News::Missed),
    ]
}

fn every_query() -> Vec<Query> {
    let of_group = |n: u32| {
        let group = id(n).parse().unwrap();
        [Query::Group(group), Query::Rules(group), Query::Members(group)]
    };
    (1..4).flat_map(of_group).collect()
}

/// Asks everything and answers with what there is.
fn pull(cache: &mut Cache, server: &BTreeMap<String, Object>) {
    let wanted: BTreeSet<Query> = every_query().into_iter().collect();
    loop {
        let questions = cache.ask(&wanted);
        if questions.is_empty() {
            return;
        }
        for question in questions {
            let answers = server.values().filter(|object| answers(&question, object));
            cache.answer(&question, answers.cloned().collect());
        }
    }
}

fn answers(question: &Question, object: &Object) -> bool {
    let asked = |query: Query| question.queries.contains(&query);
    match object {
        Object::Port(port) => {
            let mut groups = port.security_group_ids.iter();
            groups.any(|group| asked(Query::Members(group.parse().unwrap())))
        }
        Object::SecurityGroupRule(rule) => asked(Query::Rules(rule.group().unwrap())),
        Object::SecurityGroup(group) => asked(Query::Group(group.id.parse().unwrap())),
        _ => false,
    }
}

proptest! {
    /// However the cache came to what it knows, it tells the same.
    #[test]
    fn news_lead_to_what_a_pull_leads_to(all in vec(news(), 1..40)) {
        let mut server = BTreeMap::new();
        let mut cache = Cache::new(HOST);
        pull(&mut cache, &server);
        for (revision, one) in (2..).zip(all) {
            match one {
                News::Port { n, groups, addresses } => {
                    let mut told = port(n, &groups.into_iter().collect::<Vec<_>>());
                    let fixed = told.fixed_ips.remove(0);
                    told.fixed_ips.extend(addresses.into_iter().map(|low| {
                        let mut address = fixed.clone();
                        address.ip_address = format!("10.0.0.{low}");
                        address
                    }));
                    told.revision_number = revision;
                    server.insert(id(n), Object::Port(told.clone()));
                    push(&mut cache, Object::Port(told));
                }
                News::Rule { n, group, remote, broken } => {
                    let mut told = rule(n, group, remote);
                    told.protocol = broken.then(|| "none such".to_owned());
                    told.revision_number = revision;
                    server.insert(id(n), Object::SecurityGroupRule(told.clone()));
                    push(&mut cache, Object::SecurityGroupRule(told));
                }
                News::Group { n, stateful } => {
                    let Object::SecurityGroup(mut told) = group(n) else { unreachable!() };
                    told.stateful = stateful;
                    told.revision_number = revision;
                    server.insert(id(n), Object::SecurityGroup(told.clone()));
                    push(&mut cache, Object::SecurityGroup(told));
                }
                News::PortGone(n) => {
                    server.remove(&id(n));
                    delete(&mut cache, ResourceType::Port, n);
                }
                News::RuleGone(n) => {
                    server.remove(&id(n));
                    delete(&mut cache, ResourceType::SecurityGroupRule, n);
                }
                News::GroupGone(n) => {
                    server.remove(&id(n));
                    delete(&mut cache, ResourceType::SecurityGroup, n);
                }
                News::Missed => {
                    cache.distrust();
                    pull(&mut cache, &server);
                }
            }
            let mut anew = Cache::new(HOST);
            pull(&mut anew, &server);
            prop_assert_eq!(cache.security_groups(), anew.security_groups());
            prop_assert_eq!(cache.members(), anew.members());
            for n in 1..4 {
                let group = id(n).parse().unwrap();
                let sets = |cache: &Cache| cache.remote_sets(group).collect::<Vec<_>>();
                prop_assert_eq!(sets(&cache), sets(&anew));
                let broken = |cache: &Cache| cache.broken_rules(group).count();
                prop_assert_eq!(broken(&cache), broken(&anew));
            }
        }
    }
}
