//! Moves, step by step, as the plan sees them.

use std::time::Duration;

use dataplane::Filter;
use model::OfPort;
use ovsdb::Interface;

use super::*;
use crate::fixture::{node, row};
use crate::path::Sight;
use crate::plan::plan;
use crate::plan::tests::{answer, apply_flows, apply_tags, changes, one_port, port_id, state};

fn devices() -> HybridDevices {
    HybridDevices::of(port_id(1))
}

/// Changes the one interface.
fn change(inventory: &mut Inventory, change: impl FnOnce(&mut Interface)) {
    let mut replica = inventory.replica.as_deref().unwrap().clone();
    change(replica.interfaces.get_mut(&row(0x3001)).unwrap());
    inventory.replica = Some(Arc::new(replica));
}

/// The interface is another one now.
fn rename(inventory: &mut Inventory, name: &str) {
    change(inventory, |interface| name.clone_into(&mut interface.name));
}

/// A node whose one port is up, plugged in with this interface.
fn up(firewall: Firewall, interface: &str) -> Inventory {
    let mut inventory = node(&[1]);
    inventory.firewall = firewall;
    rename(&mut inventory, interface);
    let devices = devices();
    inventory.devices = Sight::of(&devices, &[&devices.qvb, &devices.tap]);
    answer(&mut inventory, &one_port());
    apply_tags(&mut inventory);
    plan(&mut inventory);
    inventory.netfilter.pretend();
    apply_flows(&mut inventory);
    assert!(is_up(&plan(&mut inventory), port_id(1)));
    inventory.moves.start = Start::Clean;
    inventory
}

fn filter(plan: &Plan) -> Filter {
    plan.snapshot.ports[&port_id(1)].filter
}

fn swapping(plan: &Plan) -> Option<&Swap> {
    plan.rewiring.iter().find_map(|next| match next {
        Rewiring::Settle(swap) | Rewiring::Swap(swap) => Some(&**swap),
        _ => None,
    })
}

fn record(inventory: &mut Inventory, driver: &str) {
    let mut replica = inventory.replica.as_deref().unwrap().clone();
    let bridge = replica.bridges.get_mut(&row(0x1001)).unwrap();
    bridge.external_ids.insert(DRIVER.to_owned(), driver.to_owned());
    inventory.replica = Some(Arc::new(replica));
}

fn queued(plan: &Plan) -> Vec<PortId> {
    let mut queued = plan.rewiring.iter().filter_map(|next| match next {
        Rewiring::Queue(ports) => Some(ports.clone()),
        _ => None,
    });
    queued.next().unwrap_or_default()
}

#[test]
fn a_linux_bridge_is_put_before_a_port_that_both_filter() {
    for firewall in [Firewall::OpenVswitch, Firewall::IptablesHybrid] {
        let (mut inventory, id) = (up(firewall, &devices().tap), port_id(1));
        inventory.moves.queue(id, Firewall::IptablesHybrid, true);
        let first = plan(&mut inventory);
        assert!(
            matches!(first.rewiring[..], [.., Rewiring::Prepare(port, Way::Bridge, _)] if port == id)
        );
        inventory.moves.advance(id, Step::Preparing);
        assert!(!inventory.netfilter.filters(id));

        // Netfilter is to have it; flows are as they were.
        inventory.moves.advance(id, Step::Doubling);
        let doubled = plan(&mut inventory);
        assert!(swapping(&doubled).is_none() && changes(&doubled).is_empty(), "{firewall}");
        inventory.netfilter.pretend();
        assert!(inventory.netfilter.filters(id));
        let settled = plan(&mut inventory);
        let swap = swapping(&settled).unwrap();
        assert_eq!((swap.way, swap.ofport.get()), (Way::Bridge, 1));
        let is_own = firewall == Firewall::IptablesHybrid;
        let driver = if is_own { "" } else { "iptables_hybrid" };
        assert_eq!((&*swap.notes[DRIVER], &*swap.notes[MOVED]), (driver, "true"));
        assert_eq!((&*swap.before[DRIVER], &*swap.before[MOVED]), ("", ""));

        // Until the swap is over nothing changes, whatever the database says meanwhile.
        let (notes, ofport) = (swap.notes.clone(), swap.ofport);
        inventory.moves.advance(id, Step::Swapping(ofport));
        change(&mut inventory, |interface| {
            interface.name = devices().qvo;
            interface.ofport = None;
            interface.external_ids.extend(notes.into_iter().filter(|(_, it)| !it.is_empty()));
        });
        let swapped = plan(&mut inventory);
        assert!(changes(&swapped).is_empty() && filter(&swapped) == Filter::Flows);
        assert!(is_up(&swapped, id) && swapped.down.is_empty() && swapped.tags.is_empty());

        // Then netfilter alone filters it.
        change(&mut inventory, |interface| interface.ofport = Some(1));
        inventory.moves.advance(id, Step::Done(Duration::ZERO));
        let done = plan(&mut inventory);
        assert!(filter(&done) == Filter::Netfilter && !changes(&done).is_empty(), "{firewall}");
        assert!(inventory.netfilter.filters(id));
        apply_flows(&mut inventory);
        assert_eq!(state(&plan(&mut inventory), 1).to_string(), State::Wired.to_string());
    }
}

#[test]
fn a_linux_bridge_is_taken_away_from_a_port_that_both_filter() {
    let (mut inventory, id) = (up(Firewall::IptablesHybrid, &devices().qvo), port_id(1));
    assert!(inventory.netfilter.filters(id));
    inventory.moves.queue(id, Firewall::OpenVswitch, true);
    let first = plan(&mut inventory);
    let [.., Rewiring::Prepare(_, Way::Unbridge, carries)] = &first.rewiring[..] else {
        panic!("{:?}", first.rewiring)
    };
    // Flows know its connections before they filter it.
    let carries: Vec<_> = carries.iter().map(|it| (it.from.get(), it.to.get())).collect();
    assert_eq!(carries, [(4097, 1)]);
    inventory.moves.advance(id, Step::Doubling);
    let doubled = plan(&mut inventory);
    assert!(filter(&doubled) == Filter::Flows && swapping(&doubled).is_none());
    apply_flows(&mut inventory);
    let settled = plan(&mut inventory);
    assert_eq!(swapping(&settled).unwrap().way, Way::Unbridge);
    assert!(settled.netfilter.is_none() && inventory.netfilter.filters(id), "it goes on");

    inventory.moves.advance(id, Step::Ready);
    let ofport = swapping(&plan(&mut inventory)).unwrap().ofport;
    inventory.moves.advance(id, Step::Swapping(ofport));
    rename(&mut inventory, &devices().tap);
    let swapped = plan(&mut inventory);
    assert!(changes(&swapped).is_empty() && swapped.netfilter.is_none());
    inventory.moves.advance(id, Step::Done(Duration::ZERO));
    change(&mut inventory, |interface| {
        interface.external_ids.insert(DRIVER.to_owned(), "openvswitch".to_owned());
    });
    let done = plan(&mut inventory);
    assert!(changes(&done).is_empty() && filter(&done) == Filter::Flows);
    assert_eq!(done.ports[&id].warnings, [""; 0]);
    inventory.netfilter.pretend();
    assert!(!inventory.netfilter.filters(id), "and is forgotten");
}

#[test]
fn what_netfilter_does_not_take_is_not_moved() {
    let (mut inventory, id) = (up(Firewall::OpenVswitch, &devices().tap), port_id(1));
    inventory.moves.queue(id, Firewall::IptablesHybrid, true);
    inventory.moves.begin(id, Way::Bridge);
    inventory.moves.advance(id, Step::Doubling);
    let has_spare = |inventory: &Inventory| inventory.moves.has_spare_bridge(port_id(1));
    assert!(plan(&mut inventory).rewiring.iter().all(|it| matches!(it, Rewiring::Look(_))));
    assert!(has_spare(&inventory));
    inventory.netfilter.trouble = Some("no xt_set".to_owned());
    let refused = plan(&mut inventory).rewiring.pop();
    assert!(
        matches!(&refused, Some(Rewiring::Refuse(_, why)) if why == "no xt_set"),
        "{refused:?}"
    );
    inventory.moves.advance(id, Step::Undone("no xt_set".to_owned()));
    assert!(!has_spare(&inventory));
    // One that has its Linux bridge keeps it.
    inventory.moves.queue(id, Firewall::IptablesHybrid, true);
    inventory.moves.begin(id, Way::Stay);
    inventory.moves.advance(id, Step::Doubling);
    assert!(!has_spare(&inventory));
}

#[test]
fn nothing_is_moved_before_what_was_left_half_done_is_ended() {
    let (mut inventory, id) = (up(Firewall::OpenVswitch, &devices().tap), port_id(1));
    inventory.moves.queue(id, Firewall::IptablesHybrid, true);
    for start in [Start::Unknown, Start::Looking] {
        inventory.moves.start = start;
        let rewiring = plan(&mut inventory).rewiring;
        assert!(rewiring.iter().all(|it| matches!(it, Rewiring::Look(_))), "{rewiring:?}");
    }
    inventory.moves.start = Start::Clean;
    assert!(matches!(plan(&mut inventory).rewiring[..], [.., Rewiring::Prepare(..)]));
}

#[test]
fn one_is_plugged_in_anew_at_a_time() {
    let mut inventory = up(Firewall::IptablesHybrid, &devices().qvo);
    let (id, other) = (port_id(1), port_id(2));
    for (port, step) in [(id, Step::Ready), (other, Step::Swapping(OfPort::new(2).unwrap()))] {
        inventory.moves.queue(port, Firewall::OpenVswitch, true);
        inventory.moves.advance(port, step);
    }
    apply_flows(&mut inventory);
    assert!(swapping(&plan(&mut inventory)).is_none());
    inventory.moves.forget(other);
    assert!(swapping(&plan(&mut inventory)).is_some());
}

#[test]
fn what_cannot_be_moved_says_why() {
    let (mut inventory, id) = (up(Firewall::OpenVswitch, "vhu1"), port_id(1));
    inventory.moves.queue(id, Firewall::IptablesHybrid, true);
    let refused = plan(&mut inventory).rewiring.pop();
    let Some(Rewiring::Refuse(_, reason)) = refused else { panic!("{refused:?}") };
    assert!(
        reason.starts_with("its interface is vhu1; only one that is called tap0000"),
        "{reason}"
    );
    inventory.moves.advance(id, Step::Undone(reason));
    let warnings = plan(&mut inventory).ports.remove(&id).unwrap().warnings;
    assert!(
        warnings[0].starts_with("it could not be moved to iptables_hybrid: its "),
        "{warnings:?}"
    );
    assert!(plan(&mut inventory).rewiring.iter().all(|it| matches!(it, Rewiring::Look(_))));
}

#[test]
fn another_driver_than_that_of_the_agent_before_moves_ports() {
    let own = Firewall::OpenVswitch;
    let started = |recorded: Option<&str>, pinned: Option<&str>| {
        let mut inventory = up(own, &devices().qvo);
        if let Some(driver) = recorded {
            record(&mut inventory, driver);
        }
        change(&mut inventory, |interface| {
            let pinned = pinned.map(|driver| (DRIVER.to_owned(), driver.to_owned()));
            interface.external_ids.extend(pinned);
        });
        // Before anything else, what was left half done is ended.
        inventory.moves.start = Start::Unknown;
        inventory.devices = Sight::of(&devices(), &[&devices().qvb]);
        let look = plan(&mut inventory);
        let is_look = |it: &Rewiring| matches!(it, Rewiring::Look(all) if all.len() == 1);
        assert!(pinned.is_some() || look.rewiring.iter().any(is_look), "{:?}", look.rewiring);
        assert!(queued(&look).is_empty());
        inventory.moves.start = Start::Clean;
        inventory
    };
    let is_noted = |plan: &Plan| {
        let mut notes = plan.wiring.iter();
        notes.any(|it| matches!(it, Wiring::NoteBridge { external_ids, .. } if external_ids[DRIVER] == "openvswitch"))
    };
    let first = plan(&mut started(Some("iptables_hybrid"), None));
    assert_eq!((queued(&first), is_noted(&first)), (vec![port_id(1)], false));
    // After Neutron's agent, or the same driver, or where somebody wants it so, none does.
    let first = plan(&mut started(None, None));
    assert_eq!((queued(&first), is_noted(&first)), (vec![], true));
    let first = plan(&mut started(Some("openvswitch"), None));
    assert_eq!((queued(&first), is_noted(&first)), (vec![], false));
    let first = plan(&mut started(Some("iptables_hybrid"), Some("iptables_hybrid")));
    assert_eq!(queued(&first), []);

    // It is noted when all have moved, so that an agent which is cut off goes on.
    let mut inventory = started(Some("iptables_hybrid"), None);
    inventory.moves.start = Start::Moving;
    inventory.moves.queue(port_id(1), own, false);
    assert!(!is_noted(&plan(&mut inventory)));
    inventory.moves.advance(port_id(1), Step::Done(Duration::ZERO));
    let last = plan(&mut inventory);
    assert!(is_noted(&last) && queued(&last).is_empty());
}

#[test]
fn what_a_move_has_put_there_goes_when_its_machine_has() {
    // It is started anew, and plugged in by its tap.
    let mut inventory = up(Firewall::IptablesHybrid, &devices().qvo);
    change(&mut inventory, |interface| {
        interface.external_ids.insert(MOVED.to_owned(), "true".to_owned());
    });
    let removed = |plan: &Plan| {
        let is_removal =
            |it: &&Wiring| matches!(it, Wiring::Remove { port, .. } if *port == row(0x2001));
        let is_cleaning = |it: &&Rewiring| matches!(it, Rewiring::Clean(_));
        let cleaned = plan.rewiring.iter().filter(is_cleaning).count();
        (plan.wiring.iter().filter(is_removal).count(), cleaned)
    };
    assert_eq!(removed(&plan(&mut inventory)), (0, 0));
    let before = inventory.replica.clone();
    let mut replica = before.as_deref().unwrap().clone();
    let mut interface = replica.interfaces[&row(0x3001)].clone();
    interface.name = devices().tap;
    interface.ofport = Some(9);
    interface.external_ids.remove(MOVED);
    replica.interfaces.insert(row(0x3009), interface);
    let interfaces = std::collections::BTreeSet::from([row(0x3009)]);
    let port = ovsdb::Port { name: devices().tap, interfaces, ..ovsdb::Port::default() };
    replica.ports.insert(row(0x2009), port);
    replica.bridges.get_mut(&row(0x1001)).unwrap().ports.insert(row(0x2009));
    inventory.replica = Some(Arc::new(replica));
    let again = plan(&mut inventory);
    assert_eq!(removed(&again), (1, 1));
    assert_eq!(*again.ports[&port_id(1)].interface, *devices().tap);

    // Its device has gone.
    inventory.replica = before;
    change(&mut inventory, |interface| {
        interface.ofport = Some(-1);
        interface.error = Some("No such device".to_owned());
    });
    assert_eq!(removed(&plan(&mut inventory)), (1, 1));
    // While it is moved that is no wonder.
    inventory.moves.queue(port_id(1), Firewall::OpenVswitch, true);
    inventory.moves.advance(port_id(1), Step::Swapping(OfPort::new(1).unwrap()));
    assert_eq!(removed(&plan(&mut inventory)), (0, 0));
}
