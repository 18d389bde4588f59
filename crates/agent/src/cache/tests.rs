//! Pushes and answers in every order that a bus may bring them.

use std::collections::BTreeSet;

use neutron::object::{Object, ResourceType};
use neutron::rpc::EventType;

use super::{Binding, Cache, Query, Question};
use crate::fixture::{HOST, group, id, port, rule};

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
