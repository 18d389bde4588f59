//! What was told, what may go, and what not.

use neutron::rpc::{ChangedEntries, NetworkFdb};

use super::*;

const HERE: &str = "192.0.2.1";
const SECOND: &str = "192.0.2.2";
const THIRD: &str = "192.0.2.3";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn mac(n: u8) -> MacAddr {
    MacAddr::new([0xfa, 0x16, 0x3e, 0, 0, n])
}

fn carried(n: u32) -> Tunnelled {
    Tunnelled {
        network: NetworkId::new(uuid::Uuid::from_u128(n.into())),
        network_type: NetworkType::Vxlan,
        segmentation_id: SegmentationId::new(n),
    }
}

fn overlay(l2_population: bool) -> Overlay {
    let mut overlay = Overlay::new(ip(HERE), [NetworkType::Vxlan], l2_population);
    overlay.carry(&BTreeSet::from([carried(1)]));
    overlay
}

fn tunnel(end: &str) -> TunnelAddress {
    TunnelAddress { tunnel_ip: end.to_owned(), tunnel_type: "vxlan".to_owned() }
}

fn port(n: u8) -> PortInfo {
    PortInfo::new(mac(n).to_string(), format!("10.0.0.{n}"))
}

fn entries(network: u32, ports: &[(&str, &[PortInfo])]) -> FdbEntries {
    let ports = ports.iter().map(|(end, ports)| ((*end).to_owned(), ports.to_vec())).collect();
    let fdb = NetworkFdb { segment_id: Some(network), network_type: "vxlan".to_owned(), ports };
    FdbEntries { fdb_entries: [(carried(network).network.to_string(), fdb)].into() }
}

fn all(ends: &[&str]) -> BTreeSet<IpAddr> {
    ends.iter().map(|end| ip(end)).collect()
}

fn wanted(overlay: &Overlay) -> BTreeSet<IpAddr> {
    overlay.wanted().into_iter().map(|(_, end)| end).collect()
}

#[test]
fn ends_that_come_while_the_server_is_asked_are_not_lost() {
    let mut overlay = overlay(false);
    assert!(!overlay.may_remove(NetworkType::Vxlan));
    assert_eq!(overlay.ask(), [NetworkType::Vxlan]);
    assert_eq!(overlay.ask(), []);
    assert!(overlay.take(Cast::TunnelUpdate(tunnel(THIRD))));
    assert!(overlay.take(Cast::TunnelDelete(tunnel("192.0.2.9"))));
    overlay.answer(NetworkType::Vxlan, Some(all(&[HERE, SECOND, "192.0.2.9"])));
    assert_eq!(wanted(&overlay), all(&[SECOND, THIRD]));
    assert!(overlay.may_remove(NetworkType::Vxlan));
    assert!(overlay.take(Cast::TunnelDelete(tunnel(SECOND))));
    assert_eq!(wanted(&overlay), all(&[THIRD]));
}

#[test]
fn a_question_without_an_answer_is_asked_again_and_takes_nothing_away() {
    let mut overlay = overlay(false);
    overlay.ask();
    overlay.answer(NetworkType::Vxlan, Some(all(&[SECOND])));
    overlay.distrust();
    assert!(!overlay.may_remove(NetworkType::Vxlan));
    assert_eq!(overlay.ask(), [NetworkType::Vxlan]);
    overlay.answer(NetworkType::Vxlan, None);
    assert_eq!(wanted(&overlay), all(&[SECOND]));
    assert_eq!(overlay.ask(), [NetworkType::Vxlan]);
    overlay.answer(NetworkType::Vxlan, Some(all(&[THIRD])));
    assert_eq!(wanted(&overlay), all(&[THIRD]));
}

#[test]
fn an_answer_to_a_question_that_was_withdrawn_counts_for_nothing() {
    let mut overlay = overlay(false);
    overlay.ask();
    overlay.distrust();
    overlay.answer(NetworkType::Vxlan, Some(all(&[SECOND])));
    assert_eq!(wanted(&overlay), all(&[]));
    assert_eq!(overlay.ask(), [NetworkType::Vxlan]);
}

#[test]
fn only_ends_that_can_be_reached_are_wanted() {
    let mut overlay = overlay(false);
    assert!(!overlay.take(Cast::TunnelUpdate(tunnel(HERE))));
    assert!(!overlay.take(Cast::TunnelUpdate(tunnel("2001:db8::1"))));
    assert!(!overlay.take(Cast::TunnelUpdate(tunnel("nowhere"))));
    let gre = TunnelAddress { tunnel_type: "gre".to_owned(), ..tunnel(SECOND) };
    assert!(!overlay.take(Cast::TunnelUpdate(gre)), "not a type of this node");
    assert_eq!(wanted(&overlay), all(&[]));
}

#[test]
fn a_population_is_what_was_told_last() {
    let mut overlay = overlay(true);
    let told = entries(1, &[(SECOND, &[PortInfo::flood(), port(2), port(4)]), (HERE, &[port(1)])]);
    assert!(overlay.take(Cast::AddFdbEntries(told)));
    assert!(!overlay.take(Cast::AddFdbEntries(entries(2, &[(SECOND, &[port(2)])]))), "elsewhere");
    let expected = Population {
        flood: all(&[SECOND]),
        unicast: [(mac(2), ip(SECOND)), (mac(4), ip(SECOND))].into(),
        neighbours: [(ip("10.0.0.2"), mac(2)), (ip("10.0.0.4"), mac(4))].into(),
    };
    assert_eq!(*overlay.population(&carried(1)).unwrap(), expected);
    assert_eq!(wanted(&overlay), all(&[SECOND]));

    // Told at its new place before it is taken back at the old one.
    overlay.take(Cast::AddFdbEntries(entries(1, &[(THIRD, &[port(2)])])));
    assert_eq!(overlay.population(&carried(1)).unwrap().unicast[&mac(2)], ip(THIRD));
    overlay.take(Cast::RemoveFdbEntries(entries(1, &[(SECOND, &[port(2)])])));
    assert_eq!(overlay.population(&carried(1)).unwrap().unicast[&mac(2)], ip(THIRD));
    assert_eq!(wanted(&overlay), all(&[SECOND, THIRD]));

    let before = vec![port(4)];
    let after = vec![PortInfo::new(mac(4).to_string(), "10.0.0.5")];
    let of_end = [(SECOND.to_owned(), ChangedEntries { before, after })].into();
    let chg_ip = [(carried(1).network.to_string(), of_end)].into();
    assert!(overlay.take(Cast::UpdateFdbEntries(FdbUpdate { chg_ip })));
    let population = overlay.population(&carried(1)).unwrap();
    assert_eq!(population.unicast[&mac(4)], ip(SECOND));
    assert_eq!(
        population.neighbours.keys().copied().collect::<BTreeSet<_>>(),
        all(&["10.0.0.2", "10.0.0.5"])
    );
}

#[test]
fn what_is_not_told_again_goes_when_the_server_has_answered() {
    let mut overlay = overlay(true);
    let network = BTreeSet::from([carried(1)]);
    overlay.ask();
    overlay.answer(NetworkType::Vxlan, Some(all(&[])));
    assert!(overlay.wants_refresh(&carried(1)));
    overlay.take(Cast::AddFdbEntries(entries(1, &[(SECOND, &[PortInfo::flood(), port(2)])])));
    overlay.refreshing(&network);
    assert!(!overlay.wants_refresh(&carried(1)));
    let told = overlay.refreshed(&network, true);
    assert!(!overlay.is_settled(&carried(1)));
    assert!(!overlay.may_remove(NetworkType::Vxlan));
    // A cast that the answer has overtaken.
    overlay.take(Cast::AddFdbEntries(entries(1, &[(THIRD, &[PortInfo::flood(), port(3)])])));
    overlay.settle(&told);
    assert!(overlay.is_settled(&carried(1)));
    assert!(overlay.may_remove(NetworkType::Vxlan));
    assert_eq!(wanted(&overlay), all(&[SECOND, THIRD]));

    overlay.distrust();
    overlay.ask();
    overlay.answer(NetworkType::Vxlan, Some(all(&[])));
    assert_eq!(wanted(&overlay), all(&[SECOND, THIRD]), "nothing is taken away yet");
    overlay.settle(&told);
    assert!(!overlay.is_settled(&carried(1)), "that was before");
    overlay.refreshing(&network);
    assert!(overlay.refreshed(&network, false).networks.is_empty());
    assert!(overlay.wants_refresh(&carried(1)), "it is asked again");
    overlay.refreshing(&network);
    overlay.take(Cast::AddFdbEntries(entries(1, &[(THIRD, &[PortInfo::flood(), port(3)])])));
    let told = overlay.refreshed(&network, true);
    overlay.settle(&told);
    assert_eq!(wanted(&overlay), all(&[THIRD]));
    assert_eq!(overlay.population(&carried(1)).unwrap().unicast, [(mac(3), ip(THIRD))].into());
}

#[test]
fn of_networks_that_are_not_here_nothing_is_kept() {
    let mut overlay = overlay(true);
    overlay.take(Cast::AddFdbEntries(entries(1, &[(SECOND, &[port(2)])])));
    overlay.carry(&BTreeSet::new());
    assert_eq!(wanted(&overlay), all(&[]));
    overlay.carry(&BTreeSet::from([carried(1)]));
    assert_eq!(wanted(&overlay), all(&[]));
    assert!(overlay.wants_refresh(&carried(1)));
}
