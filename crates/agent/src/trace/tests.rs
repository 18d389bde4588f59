use std::collections::BTreeSet;
use std::sync::Arc;

use dataplane::{Filter, LocalNetwork, PortQos, bridge, hybrid};
use model::{
    AddressPair, CtZone, NetworkId, NetworkType, OfPort, Port, PortRange, PortSecurity, Remote,
    SecurityGroup, SecurityGroupId, SecurityGroupRule, SecurityGroupRuleId, Segment, VlanTag,
};

use super::*;

const ONE: &str = "10000000-0000-4000-8000-000000000001";
const TWO: &str = "20000000-0000-4000-8000-000000000002";
const GROUP: &str = "00000000-0000-4000-8000-0000000000aa";
const EGRESS: &str = "00000000-0000-4000-8000-0000000000e1";
const INGRESS: &str = "00000000-0000-4000-8000-0000000000e2";

fn port(id: &str, n: u8) -> LocalPort {
    let mac = MacAddr::new([0xfa, 0x16, 0x3e, 0, 0, n]);
    let prefix = Prefix::host(IpAddr::from([10, 0, 0, n]));
    LocalPort {
        ofport: OfPort::new(n.into()).unwrap(),
        port: Arc::new(Port {
            id: id.parse().unwrap(),
            network: NetworkId::new(uuid::Uuid::nil()),
            mac,
            pairs: BTreeSet::from([AddressPair { mac, prefix }]),
            security: PortSecurity::Enabled,
            groups: BTreeSet::from([GROUP.parse().unwrap()]),
            admin_up: true,
        }),
        standby: false,
        filter: Filter::Flows,
        qos: PortQos::default(),
    }
}

/// Ports 1 and 2, which may send everything and receive TCP to port 80.
fn node() -> Snapshot {
    let rule = |id: &str, direction, transport| {
        let id: SecurityGroupRuleId = id.parse().unwrap();
        let ethertype = EtherType::Ipv4;
        SecurityGroupRule::new(id, direction, ethertype, transport, Remote::Any).unwrap()
    };
    let http = model::Transport::Ports {
        protocol: IpProtocol::TCP,
        range: PortRange::new(80, 80).unwrap(),
    };
    let id: SecurityGroupId = GROUP.parse().unwrap();
    let rules = BTreeSet::from([
        rule(EGRESS, Direction::Egress, model::Transport::Any),
        rule(INGRESS, Direction::Ingress, http),
    ]);
    let mut snapshot = Snapshot::default();
    snapshot.groups.insert(id, Arc::new(SecurityGroup { id, rules, stateful: true }));
    for local in [port(ONE, 1), port(TWO, 2)] {
        snapshot.ports.insert(local.port.id, local);
    }
    let segment =
        Segment { network_type: NetworkType::Local, physical_network: None, segmentation_id: None };
    let network = LocalNetwork { vlan: VlanTag::MIN, segment };
    snapshot.networks.insert(NetworkId::new(uuid::Uuid::nil()), network);
    snapshot
}

fn names() -> Names {
    let groups = [(GROUP.parse().unwrap(), "web".to_owned())].into();
    Names { groups, ..Names::default() }
}

fn ask(way: Way, transport: Transport, state: State) -> Trace {
    let snapshot = node();
    trace_in(&snapshot, None, way, transport, state)
}

/// Through the flows that there should be, and this in netfilter.
fn trace_in(
    snapshot: &Snapshot,
    netfilter: Option<Result<Netfilter, String>>,
    way: Way,
    transport: Transport,
    state: State,
) -> Trace {
    let installed = Installed { flows: bridge::desired(snapshot).flows, netfilter };
    let question = Question { port: ONE.to_owned(), way, transport, state };
    trace(snapshot, &names(), &installed, &question).unwrap()
}

fn rules(trace: &Trace) -> Vec<(&str, &str, &str)> {
    trace.rules.iter().map(|it| (it.port.as_str(), it.rule.as_str(), it.group.as_str())).collect()
}

#[test]
fn a_packet_to_a_neighbour_needs_a_rule_of_each() {
    let answer = ask(Way::To([10, 0, 0, 2].into()), Transport::Tcp(80), State::New);
    assert!(answer.accepted, "{answer:?}");
    assert_eq!(answer.outputs, ["port 2"]);
    assert_eq!(rules(&answer), [(ONE, EGRESS, GROUP), (TWO, INGRESS, GROUP)]);
    let received = &answer.rules[1];
    assert_eq!(received.group_name.as_deref(), Some("web"));
    assert_eq!(received.says, "ingress IPv4 tcp port 80 from anybody");
    assert_eq!(answer.reason, None);
    let tables: Vec<&str> = answer.steps.iter().map(|step| step.table.as_str()).collect();
    assert_eq!(
        tables,
        [
            "0 ENTRY",
            "100 LOCAL_SWITCHING",
            "158 PACKET_RATE_LIMIT",
            "159 BANDWIDTH_RATE_LIMIT",
            "160 TRANSIENT",
            "171 BASE_EGRESS",
            "175 TRACK_EGRESS",
            "174 REMOTE_EGRESS",
            "172 RULES_EGRESS",
            "173 ACCEPT_OR_INGRESS",
            "181 BASE_INGRESS",
            "184 REMOTE_INGRESS",
            "182 RULES_INGRESS",
            "185 DELIVER",
            "192 ACCEPTED_INGRESS",
        ]
    );
    let transient = &answer.steps[4];
    assert!(transient.registers.contains(&"PORT=0x1".to_owned()), "{transient:?}");
    assert!(!transient.tracked && answer.steps[7].tracked);
}

#[test]
fn a_refusal_has_a_reason() {
    let answer = ask(Way::To([10, 0, 0, 2].into()), Transport::Tcp(81), State::New);
    assert!(!answer.accepted);
    assert_eq!(answer.reason.as_deref(), Some("no ingress rule allows it"));
    assert_eq!(rules(&answer), [(ONE, EGRESS, GROUP)]);

    let answer = ask(Way::From([192, 0, 2, 7].into()), Transport::Udp(53), State::New);
    assert_eq!(answer.reason.as_deref(), Some("no ingress rule allows it"));
    assert_eq!(answer.steps[0].table, "173 ACCEPT_OR_INGRESS");
    let answer = ask(Way::From([192, 0, 2, 7].into()), Transport::Tcp(80), State::Invalid);
    assert!(answer.reason.unwrap().starts_with("conntrack cannot"));
}

#[test]
fn replies_need_no_rule() {
    let answer = ask(Way::From([192, 0, 2, 7].into()), Transport::Tcp(40_001), State::Reply);
    assert!(answer.accepted && answer.rules.is_empty());
    assert_eq!(answer.outputs, ["port 1"]);
    assert!(answer.reason.unwrap().contains("need no rule"));
}

#[test]
fn where_replies_need_a_rule_it_is_said() {
    let mut snapshot = node();
    let group = snapshot.groups.get_mut(&GROUP.parse().unwrap()).unwrap();
    Arc::make_mut(group).stateful = false;
    let ask = |way, transport| trace_in(&snapshot, None, way, transport, State::Reply);
    let from = Way::From([192, 0, 2, 7].into());
    let refused = ask(from, Transport::Tcp(40_001));
    assert_eq!(
        refused.reason.as_deref(),
        Some(
            "no ingress rule allows it; the port's security groups are stateless, so replies need \
             a rule too"
        )
    );
    let admitted = ask(from, Transport::Tcp(80));
    assert_eq!(rules(&admitted), [(ONE, INGRESS, GROUP)]);
    assert!(admitted.steps.iter().all(|step| !step.tracked));
}

/// Both ports, or the second alone, behind Linux bridges.
fn behind_bridges(ports: &[&str]) -> Snapshot {
    let mut snapshot = node();
    for id in ports {
        snapshot.ports.get_mut(&id.parse().unwrap()).unwrap().filter = Filter::Netfilter;
    }
    snapshot
}

/// What netfilter should hold for them.
fn filtered(snapshot: &Snapshot) -> Netfilter {
    let behind = snapshot.ports.values().filter(|local| local.filter == Filter::Netfilter);
    let port = |(local, zone): (&LocalPort, u16)| {
        let zone = Some(CtZone::new(zone));
        (local.port.id, hybrid::Port { port: Arc::clone(&local.port), zone })
    };
    let node = hybrid::Node {
        ports: behind.zip(4097..).map(port).collect(),
        groups: snapshot.groups.clone(),
        members: snapshot.members.clone(),
        strict_equivalence: false,
        ipset: true,
    };
    hybrid::desired(&node).netfilter
}

fn last(filtering: Option<&Filtering>) -> &str {
    &filtering.unwrap().rules.iter().rev().nth(1).unwrap().rule
}

#[test]
fn netfilter_at_both_ends() {
    let snapshot = behind_bridges(&[ONE, TWO]);
    let ask = |transport, state| {
        let netfilter = Some(Ok(filtered(&snapshot)));
        trace_in(&snapshot, netfilter, Way::To([10, 0, 0, 2].into()), transport, state)
    };
    let answer = ask(Transport::Tcp(80), State::New);
    assert_eq!(rules(&answer), [(ONE, EGRESS, GROUP), (TWO, INGRESS, GROUP)]);
    assert!(answer.accepted, "{answer:?}");
    assert_eq!((answer.outputs.as_slice(), &answer.reason), (&["port 2".to_owned()][..], &None));
    assert_eq!(last(answer.sent.as_ref()), "-j RETURN");
    let received = answer.received.as_ref();
    assert_eq!(last(received), "-p tcp -m multiport --dports 80 -j RETURN");
    assert_eq!(received.unwrap().tracking, "zone 4098");
    assert_eq!(received.unwrap().verdict, "accepted");

    let answer = ask(Transport::Tcp(81), State::New);
    assert!(!answer.accepted && answer.sent.is_some() && !answer.steps.is_empty());
    assert_eq!(answer.reason.as_deref(), Some("no ingress rule allows it"));
    assert_eq!(rules(&answer), [(ONE, EGRESS, GROUP)]);
    assert_eq!(answer.received.unwrap().verdict, "dropped");

    let answer = ask(Transport::Tcp(81), State::Reply);
    assert!(answer.accepted && answer.rules.is_empty(), "{answer:?}");
    assert!(answer.reason.unwrap().contains("need no rule"));
}

#[test]
fn netfilter_at_one_end_and_flows_at_the_other() {
    let snapshot = behind_bridges(&[TWO]);
    let ask = |port, way, transport| {
        let installed = Installed {
            flows: bridge::desired(&snapshot).flows,
            netfilter: Some(Ok(filtered(&snapshot))),
        };
        let question = Question { port, way, transport, state: State::New };
        trace(&snapshot, &names(), &installed, &question).unwrap()
    };
    let to_two = Way::To([10, 0, 0, 2].into());
    let answer = ask(ONE.to_owned(), to_two, Transport::Tcp(80));
    assert_eq!(rules(&answer), [(ONE, EGRESS, GROUP), (TWO, INGRESS, GROUP)]);
    assert!(answer.sent.is_none() && answer.received.is_some());
    // A rule of flows refuses it, before it comes to netfilter or behind.
    let answer = ask(TWO.to_owned(), Way::To([10, 0, 0, 1].into()), Transport::Tcp(81));
    assert_eq!(answer.reason.as_deref(), Some("no ingress rule allows it"));
    assert!(answer.sent.is_some() && answer.received.is_none());
}

#[test]
fn what_netfilter_drops_does_not_come_to_the_integration_bridge() {
    let mut snapshot = behind_bridges(&[ONE]);
    let group = snapshot.groups.get_mut(&GROUP.parse().unwrap()).unwrap();
    Arc::make_mut(group).rules.retain(|rule| rule.direction() == Direction::Ingress);
    let netfilter = Some(Ok(filtered(&snapshot)));
    let way = Way::To([10, 0, 0, 2].into());
    let answer = trace_in(&snapshot, netfilter, way, Transport::Tcp(80), State::New);
    assert!(!answer.accepted && answer.steps.is_empty() && answer.outputs.is_empty());
    assert_eq!(answer.reason.as_deref(), Some("no egress rule allows it"));

    Arc::make_mut(snapshot.groups.get_mut(&GROUP.parse().unwrap()).unwrap()).stateful = false;
    let netfilter = Some(Ok(filtered(&snapshot)));
    let answer = trace_in(&snapshot, netfilter, way, Transport::Tcp(80), State::Reply);
    assert_eq!(answer.sent.as_ref().unwrap().tracking, "untracked");
    assert!(answer.reason.unwrap().ends_with("stateless, so replies need a rule too"));
}

#[test]
fn what_is_not_known_of_netfilter_is_said() {
    let snapshot = behind_bridges(&[TWO]);
    let ask = |netfilter| {
        let way = Way::To([10, 0, 0, 2].into());
        let answer = trace_in(&snapshot, netfilter, way, Transport::Tcp(81), State::New);
        assert!(answer.accepted);
        (answer.received.unwrap().verdict, answer.reason.unwrap())
    };
    let (verdict, reason) = ask(Some(Err("blind".to_owned())));
    assert_eq!(
        (verdict.as_str(), reason.as_str()),
        ("unknown", "what netfilter does is not known: blind")
    );
    assert_eq!(ask(None).1, "netfilter was not asked");
    // Nor does what nobody should be let through by.
    let (verdict, reason) = ask(Some(Ok(Netfilter::default())));
    assert!(verdict == "undecided" && reason.contains("others may let it pass"), "{reason}");
}

#[test]
fn what_netfilter_admits_without_a_rule_of_the_groups_is_said() {
    let mut snapshot = behind_bridges(&[TWO]);
    let netfilter = filtered(&snapshot);
    let group = snapshot.groups.get_mut(&GROUP.parse().unwrap()).unwrap();
    Arc::make_mut(group).rules.retain(|rule| rule.direction() == Direction::Egress);
    let way = Way::To([10, 0, 0, 2].into());
    let answer = trace_in(&snapshot, Some(Ok(netfilter)), way, Transport::Tcp(80), State::New);
    assert!(answer.accepted);
    assert!(answer.reason.unwrap().ends_with("says so; see 'weir verify'"));
}

#[test]
fn only_ports_of_this_node_are_traced() {
    let ask = |port: &str| {
        let way = Way::To([10, 0, 0, 2].into());
        let port = port.to_owned();
        let question = Question { port, way, transport: Transport::Echo, state: State::New };
        trace(&node(), &names(), &Installed { flows: FlowSet::new(), netfilter: None }, &question)
    };
    assert_eq!(ask("x"), Err(TraceError::Id { text: "x".to_owned() }));
    assert!(matches!(ask(GROUP), Err(TraceError::NoPort { .. })));
    let lost = ask(ONE).unwrap();
    assert!(lost.reason.unwrap().contains("no flow of table 0 ENTRY"));
}
