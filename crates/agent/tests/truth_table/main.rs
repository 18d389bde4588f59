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
//! | [`scene`] | a node with the machines |
//! | [`page`] | the page |
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]
#![allow(clippy::indexing_slicing, clippy::print_stdout, reason = "a test may")]

mod cases;
#[path = "../node/mod.rs"]
mod node;
mod page;
mod scene;

use crate::cases::table;
use crate::scene::Scene;

#[test]
fn every_class_of_packet_gets_what_the_table_says() {
    let scene = Scene::start();
    scene.check_status();
    let wrong: Vec<String> = table::acts().iter().flat_map(|act| scene.run(act)).collect();
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn with_strict_equivalence_rules_filter_group_frames() {
    let scene = Scene::start_strict();
    let wrong: Vec<String> = table::strict().iter().flat_map(|act| scene.run(act)).collect();
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_page_is_printed_from_the_table() {
    let acts: Vec<_> = table::acts().into_iter().chain(table::strict()).collect();
    page::check(&acts);
}
