//! Machines that run move between a Linux bridge of their own and none, on a real switch, under traffic.

mod node;

use agent::Firewall;

use crate::node::moving::moves;
use crate::node::scene::Wiring;

#[test]
fn running_machines_go_behind_linux_bridges_and_come_back() {
    moves(Wiring::Direct, &[Firewall::IptablesHybrid, Firewall::OpenVswitch]);
}
