use std::collections::BTreeSet;
use std::sync::Arc;

use dataplane::{Filter, LocalNetwork, PortQos, bridge};
use model::{
    AddressPair, NetworkId, NetworkType, OfPort, Port, PortRange, PortSecurity, Remote,
    SecurityGroup, SecurityGroupId, SecurityGroupRule, SecurityGroupRuleId, Segment, VlanTag,
};

use super::*;

const ONE: &str = "00000000-0000-4000-8000-000000000001";
const TWO: &str = "00000000-0000-4000-8000-000000000002";
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
    let flows = bridge::desired(&snapshot).flows;
    let question = Question { port: ONE.to_owned(), way, transport, state };
    trace(&snapshot, &names(), &flows, &question).unwrap()
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
    let flows = bridge::desired(&snapshot).flows;
    let ask = |way, transport| {
        let question = Question { port: ONE.to_owned(), way, transport, state: State::Reply };
        trace(&snapshot, &names(), &flows, &question).unwrap()
    };
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

#[test]
fn where_netfilter_has_a_say_it_is_said() {
    let mut snapshot = node();
    snapshot.ports.get_mut(&TWO.parse().unwrap()).unwrap().filter = Filter::Netfilter;
    let flows = bridge::desired(&snapshot).flows;
    let way = Way::To([10, 0, 0, 2].into());
    let transport = Transport::Tcp(81);
    let question = Question { port: ONE.to_owned(), way, transport, state: State::New };
    let answer = trace(&snapshot, &names(), &flows, &question).unwrap();
    assert_eq!(rules(&answer), [(ONE, EGRESS, GROUP)]);
    assert_eq!(answer.outputs, ["port 2"]);
    let netfilter = "the rules are applied by netfilter, on the Linux bridge: those of port ";
    assert_eq!(answer.reason, Some(netfilter.to_owned() + TWO));
}

#[test]
fn only_ports_of_this_node_are_traced() {
    let ask = |port: &str| {
        let way = Way::To([10, 0, 0, 2].into());
        let port = port.to_owned();
        let question = Question { port, way, transport: Transport::Echo, state: State::New };
        trace(&node(), &names(), &FlowSet::new(), &question)
    };
    assert_eq!(ask("x"), Err(TraceError::Id { text: "x".to_owned() }));
    assert!(matches!(ask(GROUP), Err(TraceError::NoPort { .. })));
    let lost = ask(ONE).unwrap();
    assert!(lost.reason.unwrap().contains("no flow of table 0 ENTRY"));
}
