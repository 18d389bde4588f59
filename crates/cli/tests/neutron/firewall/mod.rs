//! The firewall of `weir agent` on two hosts that a real Neutron describes.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`scene`] | the machines of the truth table, spread over the hosts |
//! | [`live`] | what changes while machines talk |

mod live;
mod scene;

use crate::cases::{run::Driver, table};
use scene::Scene;

/// All rows but those with the option `strict_equivalence`, which Neutron's files cannot say.
#[test]
fn every_case_of_the_truth_table_holds() {
    let scene = Scene::start(Driver::Flows);
    scene.check_status();
    holds(&scene);
}

#[test]
fn every_case_of_the_truth_table_holds_where_netfilter_filters() {
    holds(&Scene::start(Driver::Netfilter));
}

fn holds(scene: &Scene) {
    let wrong: Vec<String> = table::acts().iter().flat_map(|act| scene.run(act)).collect();
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
