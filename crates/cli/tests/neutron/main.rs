//! A real Neutron, driven with the real `openstack` client: what its own agent does on hosts of the
//! kit, and `weir agent` in its place.
//!
//! `make test-neutron` runs it. Every test has a server, a broker and hosts of its own.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, also in what its tests share, and tells what it has measured"
)]

mod bench;
#[path = "../../../agent/tests/truth_table/cases/mod.rs"]
mod cases;
mod cloud;
mod database;
mod drop_in;
mod firewall;
mod hybrid;
mod migration;
mod netfilter;
mod older;
mod openstack;
mod population;
mod qos;
mod restart;
mod stock;
mod take_over;
mod trunk;
mod weir_server;
