//! The truth table of the firewall: what every class of packet gets, with real packets between
//! machines on a real switch.
//!
//! [`cases::table`] is the one table. It is run here, row by row, with a server that answers from a
//! list, and in `crates/cli/tests/neutron` with a real one; and it is printed as
//! `docs/firewall.md`. `UPDATE_EXPECT=1` rewrites the page.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`cases`] | the machines, their packets and the rows |
//! | [`scene`] | a node with the machines, which flows or netfilter filter |
//! | [`page`] | the page |
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]
#![allow(clippy::indexing_slicing, clippy::print_stdout, reason = "a test may")]

mod cases;
#[path = "../node/mod.rs"]
mod node;
mod page;
mod scene;

use crate::cases::row::Act;
use crate::cases::run::Driver;
use crate::cases::table;
use crate::scene::Scene;

#[test]
fn every_class_of_packet_gets_what_the_table_says() {
    let scene = Scene::start(Driver::Flows);
    scene.check_status();
    holds(&scene, &table::acts());
}

#[test]
fn where_netfilter_filters_every_class_of_packet_gets_what_the_table_says() {
    holds(&Scene::start(Driver::Netfilter), &table::acts());
}

#[test]
fn with_strict_equivalence_rules_filter_group_frames() {
    holds(&Scene::start_strict(Driver::Flows), &table::strict());
}

#[test]
fn with_strict_equivalence_netfilter_gives_every_packet_what_flows_give() {
    holds(&Scene::start_strict(Driver::Netfilter), &table::strict());
}

fn holds(scene: &Scene, acts: &[Act]) {
    let wrong: Vec<String> = acts.iter().flat_map(|act| scene.run(act)).collect();
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_page_is_printed_from_the_table() {
    let acts: Vec<_> = table::acts().into_iter().chain(table::strict()).collect();
    page::check(&acts);
}
