//! Stateful and stateless ports of one node, who share a conntrack zone; fragments at both.

use openflow::interpreter::{Effect, Fragment};
use policy::L4;

use super::*;
use crate::probe::port_no;

/// What should become of a packet between two ports, and what is written to its connection.
fn between(
    snapshot: &Snapshot,
    [sender, receiver]: [&LocalPort; 2],
    packet: &Packet,
    tracking: Tracking,
) -> (bool, Option<Option<u32>>) {
    let side = |local: &LocalPort, direction, remote| {
        let groups: Vec<SecurityGroup> =
            local.port.groups.iter().map(|id| SecurityGroup::clone(&snapshot.groups[id])).collect();
        let own = end_of(local, packet.ethertype());
        let packet = Packet { remote, ..*packet };
        let ruling = Ruling::of(|| &groups, &snapshot.members, direction, &packet);
        let expected = expected(&local.port, ruling, direction, own, &packet, tracking);
        (!policy::are_stateless(&groups), expected.is_accepted())
    };
    let [from, to] = [sender, receiver].map(|local| end_of(local, packet.ethertype()).address);
    let sides = [side(sender, Direction::Egress, to), side(receiver, Direction::Ingress, from)];
    let tracked = sides.iter().any(|(is_tracked, _)| *is_tracked);
    let refused_by = sides.iter().find(|(_, accepted)| !accepted);
    let commit = match (tracking.state, refused_by) {
        (State::New, None) if tracked => Some(None),
        (State::Established, None) if tracked && tracking.revoked => Some(Some(0)),
        (State::Established, Some((true, _))) => Some(Some(1)),
        _ => None,
    };
    (refused_by.is_none(), commit)
}

pub(super) fn compare(
    snapshot: &Snapshot,
    bridge: &Bridge,
    sender: &LocalPort,
    receiver: &LocalPort,
) {
    let (from, to) = (end_of(sender, EtherType::Ipv4), end_of(receiver, EtherType::Ipv4));
    let (protocol, l4) = (IpProtocol::TCP, L4::Ports { dst: 80 });
    let packet = Packet { remote: to.address, remote_mac: None, protocol, l4 };
    let frame = carrying(from_port(sender.ofport), from, to, protocol, l4);
    for tracking in Tracking::ALL {
        let run = bridge.run(frame.clone(), tracking);
        let accepted = run.ports().collect::<Vec<_>>() == [port_no(receiver.ofport)];
        let mark = |effect: &Effect| match effect {
            Effect::Commit { mark, .. } => Some(*mark),
            _ => None,
        };
        let commits: Vec<Option<u32>> = run.effects.iter().filter_map(mark).collect();
        let (expected, commit) = between(snapshot, [sender, receiver], &packet, tracking);
        let (one, other) = (sender.ofport, receiver.ofport);
        assert_eq!(accepted, expected, "{one} to {other}, {tracking}");
        assert_eq!(commits, Vec::from_iter(commit), "{one} to {other}, {tracking}");
    }
}

#[test]
fn each_end_of_a_packet_has_its_own_way() {
    let ingress = (Direction::Ingress, EtherType::Ipv4, tcp(80, 80), Remote::Any);
    let egress = (Direction::Egress, EtherType::Ipv4, tcp(80, 80), Remote::Any);
    let nothing = (Direction::Ingress, EtherType::Ipv6, Transport::Any, Remote::Any);
    for rules in [[ingress, egress], [egress, ingress], [ingress, nothing], [egress, nothing]] {
        for stateful in [[true, true], [true, false], [false, true], [false, false]] {
            // By turns: the first rule is of group 0, the second of group 1.
            let mut snapshot = node(&rules, &[], false);
            for (group, stateful) in snapshot.groups.values_mut().zip(stateful) {
                Arc::make_mut(group).stateful = stateful;
            }
            snapshot.ports = [port(1, &[0]), port(2, &[1]), port(3, &[0, 1]), port(4, &[0])]
                .map(|local| (local.port.id, local))
                .into();
            let bridge = Bridge::new(&bridge::desired(&snapshot).flows);
            for sender in snapshot.ports.values() {
                let others = snapshot.ports.values().filter(|other| *other != sender);
                others.for_each(|receiver| compare(&snapshot, &bridge, sender, receiver));
            }
        }
    }
}

/// What becomes of TCP or ICMP to port 1 under one ingress rule: whole, and as each fragment.
fn in_fragments(rule: Transport, protocol: IpProtocol, stateful: bool) -> [bool; 3] {
    let shape = (Direction::Ingress, EtherType::Ipv4, rule, Remote::Any);
    let mut snapshot = node(&[shape], &[], true);
    let group = snapshot.groups.get_mut(&group_id(0)).unwrap();
    Arc::make_mut(group).stateful = stateful;
    let new = Tracking { state: State::New, revoked: false };
    arriving(&snapshot, protocol, new)
}

fn arriving(snapshot: &Snapshot, protocol: IpProtocol, tracking: Tracking) -> [bool; 3] {
    let local = port(1, &[0]);
    let bridge = Bridge::new(&bridge::desired(snapshot).flows);
    let remote = End { mac: STRANGER, address: IpAddr::from([192, 0, 2, 7]) };
    let l4 = match protocol {
        IpProtocol::TCP => L4::Ports { dst: 80 },
        _ => L4::Icmp { kind: 0, code: 0 },
    };
    let own = end_of(&local, EtherType::Ipv4);
    let frame = carrying(from_elsewhere(snapshot, &local), remote, own, protocol, l4);
    let [first, later] = [Fragment::First, Fragment::Later].map(|it| frame.clone().fragment(it));
    [frame, first, later].map(|frame| {
        let run = bridge.run(frame, tracking);
        Verdict::of(&run, Direction::Ingress, &local) == Verdict::Accepted
    })
}

/// A fragment has no ports and no type, so only rules pass it that ask for neither.
#[test]
fn fragments_need_a_rule_without_ports() {
    let icmp = |code| Transport::Icmp { kind: 0, code };
    let whole = Transport::Protocol(IpProtocol::TCP);
    for stateful in [true, false] {
        for (rule, protocol, passes) in [
            (tcp(0, 100), IpProtocol::TCP, false),
            (tcp(1, 65535), IpProtocol::TCP, false),
            (icmp(None), IpProtocol::ICMP, false),
            (icmp(Some(0)), IpProtocol::ICMP, false),
            (whole, IpProtocol::TCP, true),
            (Transport::Any, IpProtocol::ICMP, true),
        ] {
            let verdicts = in_fragments(rule, protocol, stateful);
            assert_eq!(verdicts, [true, passes, passes], "{rule:?}, stateful: {stateful}");
        }
    }
}

/// Conntrack of the userspace datapath leaves fragments as they are, and says whose they are.
#[test]
fn fragments_of_a_tracked_connection_go_with_it() {
    let arriving = |stateful, state, revoked| {
        let shape = (Direction::Ingress, EtherType::Ipv4, tcp(22, 22), Remote::Any);
        let mut snapshot = node(&[shape], &[], true);
        Arc::make_mut(snapshot.groups.get_mut(&group_id(0)).unwrap()).stateful = stateful;
        arriving(&snapshot, IpProtocol::TCP, Tracking { state, revoked })
    };
    assert_eq!(arriving(true, State::Established, false), [false, true, true]);
    for (stateful, state, revoked) in [
        (true, State::Established, true),
        (true, State::New, false),
        (true, State::Invalid, false),
        (true, State::Reply, true),
        (false, State::Established, false),
    ] {
        assert_eq!(arriving(stateful, state, revoked), [false; 3], "{stateful} {state} {revoked}");
    }
}
