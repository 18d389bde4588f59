//! Zones stay with their ports.

use super::*;
use crate::hybrid::{Installed, Listing, zones};

fn zone(number: u16) -> CtZone {
    CtZone::new(number)
}

fn installed(raw: &str) -> Installed {
    let text = format!("*raw\n:neutron-openvswi-PREROUTING - [0:0]\n{raw}COMMIT\n");
    Installed::parse(Listing { ipv4: &text, ..Listing::default() })
}

fn ports(numbers: impl IntoIterator<Item = u8>) -> BTreeSet<PortId> {
    numbers.into_iter().map(port_id).collect()
}

#[test]
fn installed_rules_say_the_zone_whoever_wrote_them() {
    let found = installed(
        "-A neutron-openvswi-PREROUTING -m physdev --physdev-in qvb01000000-00 -m comment \
         --comment \"Set zone for 01000000-0000-4000-0000-000000000000\" -j CT --zone 4100\n\
         -A neutron-openvswi-PREROUTING -i qvb01000000-00 -m comment --comment \"Set zone for \
         01000000-0000-4000-0000-000000000000\" -j CT --zone 4100\n\
         -A neutron-openvswi-PREROUTING -m physdev --physdev-in tap02000000-00 -j CT --zone 4097\n\
         -A neutron-openvswi-PREROUTING -m physdev --physdev-in tap03000000-00 -j CT --notrack\n",
    );
    let given = zones(&ports([1, 2, 3]), &BTreeMap::new(), &found);
    let expected = [(port_id(1), zone(4100)), (port_id(2), zone(4097)), (port_id(3), zone(4098))];
    assert_eq!(given, BTreeMap::from(expected));
}

#[test]
fn what_is_desired_is_found_again() {
    let node = node((1..=9).map(|n| port(n, &[])), []);
    let text = desired(&node).netfilter.ipv4.to_string();
    let found = Installed::parse(Listing { ipv4: &text, ..Listing::default() });
    let given = zones(&ports(1..=9), &BTreeMap::new(), &found);
    assert!(given.iter().all(|(id, zone)| node.ports[id].zone == Some(*zone)));
    assert_eq!(given.len(), 9);
}

#[test]
fn what_is_known_counts_more_and_a_zone_has_one_port() {
    let rule = |device: &str, zone: u16| {
        format!(
            "-A neutron-openvswi-PREROUTING -m physdev --physdev-in {device} -j CT --zone {zone}\n"
        )
    };
    let found = installed(&[rule("tap01000000-00", 4097), rule("tap02000000-00", 4097)].concat());
    let known = BTreeMap::from([(port_id(2), zone(5000)), (port_id(3), zone(5000))]);
    let given = zones(&ports([1, 2, 3]), &known, &found);
    let expected = [(port_id(1), zone(4097)), (port_id(2), zone(5000)), (port_id(3), zone(4098))];
    assert_eq!(given, BTreeMap::from(expected));
    // A zone of a network is nobody's, though it is found.
    let found = installed(&rule("tap01000000-00", 7));
    assert_eq!(zones(&ports([1]), &BTreeMap::new(), &found), one(port_id(1), zone(4097)));
}

#[test]
fn zones_of_ports_that_are_gone_are_given_last() {
    let gone = |zone| {
        format!(
            "-A neutron-openvswi-PREROUTING -m physdev --physdev-in tapgone{zone} -j CT --zone {zone}\n"
        )
    };
    let found = installed(&gone(4097));
    assert_eq!(zones(&ports([1]), &BTreeMap::new(), &found), one(port_id(1), zone(4098)));
    let all: String = (4097..=u16::MAX).map(gone).collect();
    let found = installed(&all);
    assert_eq!(zones(&ports([1]), &BTreeMap::new(), &found), one(port_id(1), zone(4097)));
}

#[test]
fn the_last_port_gets_none_where_all_are_taken() {
    let id = |number: u32| PortId::new(Uuid::from_u128(u128::from(number) << 96));
    let many: BTreeSet<PortId> = (0..61_440).map(id).collect();
    let given = zones(&many, &BTreeMap::new(), &Installed::default());
    assert_eq!(given.len(), 61_439);
    assert_eq!(given.values().collect::<BTreeSet<_>>().len(), 61_439);
    assert!(!given.contains_key(&id(61_439)));
    assert_eq!(given.get(&id(61_438)), Some(&zone(u16::MAX)));
}
