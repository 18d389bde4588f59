//! With `strict_equivalence`, rules decide who hears multicast and broadcast.

use openflow::PortNo;
use openflow::interpreter::Effect;
use policy::L4;

use super::sets::node_with_bits;
use super::*;
use crate::probe::port_no;

const UNMANAGED: u8 = 4;
const UPLINK: PortNo = PortNo(1000);

/// Who hears a packet to a group: a managed port where a rule admits it, or needs none.
fn hearers(
    snapshot: &Snapshot,
    subjects: &[Subject<'_>],
    sender: PortNo,
    packet: &Packet,
) -> BTreeSet<PortNo> {
    let mut hearers = BTreeSet::from([port_no(OfPort::new(UNMANAGED.into()).unwrap())]);
    hearers.extend(snapshot.uplinks.values().copied().map(port_no));
    for subject in subjects.iter().filter(|it| it.direction == Direction::Ingress) {
        let ruling = subject.ruling(&snapshot.members, packet);
        for local in &subject.ports {
            // Stateless or not, and whatever connection tracking says, it is judged as a new one.
            let expected = expected(
                &local.port,
                ruling,
                Direction::Ingress,
                end_of(local, packet.ethertype()),
                packet,
                Tracking { state: State::New, revoked: false },
            );
            if expected.is_accepted() {
                hearers.insert(port_no(local.ofport));
            }
        }
    }
    hearers.remove(&sender);
    hearers
}

#[test]
fn who_should_not_hear_group_frames_is_named() {
    let mut snapshot = small();
    snapshot.strict_equivalence = true;
    let flows = desired(&snapshot);
    let report = found(&snapshot, flows.clone());
    assert_eq!(report.differences, []);
    assert_eq!(report.checked, report.of);

    let everybody = "table=194, priority=200,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 \
                     actions=NORMAL";
    let mut flooding = flows.clone();
    flooding.push(Arc::new(everybody.parse().unwrap()));
    let report = found(&snapshot, flooding);
    assert!(report.differ > 0);
    assert!(report.differences[0].flow.as_ref().unwrap().contains("NORMAL"));

    let mut missing = flows;
    let deliver = |flow: &Flow| flow.table == layout::DELIVER && flow.priority == Priority(120);
    missing.retain(|flow| !deliver(flow));
    let report = found(&snapshot, missing);
    assert!(report.differ > 0);
    assert!(report.differences[0].table.starts_with("185"), "{:?}", report.differences[0]);
}

/// What the group address belongs to on the way out says nothing of the sender on the way in.
#[test]
fn bits_of_the_group_address_are_forgotten() {
    let to = group_of(EtherType::Ipv4);
    let mut snapshot = node_with_bits(to.address);
    snapshot.strict_equivalence = true;
    let bridge = Bridge::new(&bridge::desired(&snapshot).flows);
    let sender = &snapshot.ports[&port(1, &[]).port.id];
    let from = end_of(sender, EtherType::Ipv4);
    let l4 = L4::Ports { dst: 80 };
    let frame = carrying(from_port(sender.ofport), from, to, IpProtocol::TCP, l4);
    let run = bridge.run(frame, Tracking { state: State::New, revoked: false });
    assert!(run.steps.iter().any(|step| step.table == layout::RULES_INGRESS), "it was sent");
    assert_eq!(run.ports().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    /// For random policies and a packet of every atom, from an unmanaged port and from elsewhere.
    #[test]
    fn rules_filter_group_frames(
        shapes in vec(shape(2), 0..10),
        members in vec(btree_set(prefix(), 0..4), 2),
        uplink in any::<bool>(),
        stateful in any::<[bool; 2]>(),
    ) {
        let mut snapshot = node(&shapes, &members, uplink);
        snapshot.strict_equivalence = true;
        for (group, stateful) in snapshot.groups.values_mut().zip(stateful) {
            Arc::make_mut(group).stateful = stateful;
        }
        let mut unmanaged = port(UNMANAGED, &[]);
        Arc::make_mut(&mut unmanaged.port).security = PortSecurity::Disabled;
        let elsewhere = from_elsewhere(&snapshot, &unmanaged);
        let from = if uplink { UPLINK } else { elsewhere.in_port() };
        let sources = [(from, elsewhere), (port_no(unmanaged.ofport), from_port(unmanaged.ofport))];
        snapshot.ports.insert(unmanaged.port.id, unmanaged);

        let as_desired = bridge::desired(&snapshot);
        let bridge = Bridge::new(&bridge::desired(&snapshot).flows);
        let landmarks = witness::landmarks([].iter());
        let managed: Vec<_> =
            as_desired.policies.keys().map(|id| &snapshot.ports[id]).collect();
        let (faults, nobody) = (&as_desired.faults, BTreeSet::new());
        let managed = managed.into_iter();
        let subjects = subject::subjects(&snapshot, faults, managed, &nobody, &landmarks);
        let packets: BTreeSet<Packet> = subjects
            .iter()
            .filter(|subject| subject.direction == Direction::Ingress)
            .flat_map(|subject| (0..).map_while(|n| subject.packets.get(n)))
            .collect();
        for packet in &packets {
            let remote = End { mac: packet.remote_mac.unwrap_or(STRANGER), address: packet.remote };
            let to = group_of(packet.ethertype());
            for (sender, source) in &sources {
                let frame = carrying(source.clone(), remote, to, packet.protocol, packet.l4);
                let new = Tracking { state: State::New, revoked: false };
                let run = bridge.run(frame, new);
                let mut heard: BTreeSet<PortNo> = run.ports().collect();
                if run.effects.iter().any(|effect| matches!(effect, Effect::Normal { .. })) {
                    heard.extend((1..=UNMANAGED).map(|n| PortNo(n.into())));
                    heard.extend(uplink.then_some(UPLINK));
                    heard.remove(sender);
                }
                prop_assert_eq!(heard, hearers(&snapshot, &subjects, *sender, packet), "{}", packet);
            }
        }
    }
}
