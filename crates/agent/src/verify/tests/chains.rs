//! The chains of random policies, verified as flows are: nothing is wrong with what the compiler makes.

use dataplane::hybrid;
use model::CtZone;

use super::*;
use crate::verify::filtering;

/// The same ports, behind Linux bridges.
fn behind_bridges(snapshot: &Snapshot, [strict_equivalence, ipset]: [bool; 2]) -> hybrid::Node {
    let port = |(local, number): (&LocalPort, u16)| {
        // Devices are named with the front of an id.
        let id = uuid::Uuid::from_u128(u128::from(number) << 96 | local.port.id.uuid().as_u128());
        let port = Port { id: PortId::new(id), ..Port::clone(&local.port) };
        (port.id, hybrid::Port { port: Arc::new(port), zone: Some(CtZone::new(number)) })
    };
    hybrid::Node {
        ports: snapshot.ports.values().zip(4097..).map(port).collect(),
        groups: snapshot.groups.clone(),
        members: snapshot.members.clone(),
        strict_equivalence,
        ipset,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chains_say_what_the_rules_say(
        shapes in vec(shape(2), 0..10),
        members in vec(btree_set(prefix(), 0..4), 2),
        options in any::<[bool; 2]>(),
        stateful in any::<bool>(),
    ) {
        let mut snapshot = node(&shapes, &members, false);
        for group in snapshot.groups.values_mut() {
            Arc::make_mut(group).stateful = stateful;
        }
        let node = behind_bridges(&snapshot, options);
        let installed = hybrid::desired(&node).netfilter;
        let time = Duration::from_secs(1);
        let report = filtering::verify(&node, &installed, time, || Duration::ZERO);
        prop_assert_eq!(report.differences, []);
        prop_assert_eq!((report.checked, report.ports_checked), (report.of, 3));
    }
}
