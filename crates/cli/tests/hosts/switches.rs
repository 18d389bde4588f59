//! Switches whose process dies, and bridges that somebody removes.

use std::time::{Duration, Instant};

use crate::{
    cloud::{PHYSICAL_BRIDGE, TRUNK},
    outage,
    scene::Kind,
    talk::Talk,
};

/// What a host may need beyond the time that the switch or the bridge is away.
const GRACE: Duration = Duration::from_secs(1);

/// ovs-vswitchd killed: what is lost is lost until its return and a second more.
fn a_killed_switch_comes_back_as_it_was(kind: Kind) {
    let mut talk = Talk::start(kind);
    talk.begin(&[]);
    let killed = Instant::now();
    let switch = &talk.cloud.hosts[1].switch;
    switch.kill_vswitchd();
    switch.start_vswitchd().unwrap();
    let back = Instant::now();
    talk.cloud.wait_ready();
    talk.go_on(GRACE + outage());
    let deliveries = talk.end(&[killed..=back + GRACE]);
    assert!(deliveries.iter().all(|delivery| delivery.lost > 0), "the switch was not away");
}

/// A physical bridge removed and added by somebody: what is lost is lost while it is gone and a
/// second more.
fn a_physical_bridge_may_go_and_come() {
    let mut talk = Talk::start(Kind::Vlan);
    talk.begin(&[]);
    let switch = &talk.cloud.hosts[0].switch;
    let gone = Instant::now();
    switch.vsctl(&["del-br", PHYSICAL_BRIDGE]).unwrap();
    talk.go_on(outage());
    // As somebody does it by hand: a bridge without flows forwards everything.
    let datapath_type = format!("datapath_type={}", switch.datapath_type());
    let add = ["add-br", PHYSICAL_BRIDGE, "--", "set", "bridge", PHYSICAL_BRIDGE, &datapath_type];
    let wire = ["--", "add-port", PHYSICAL_BRIDGE, TRUNK];
    switch.vsctl(&[&add[..], &wire].concat()).unwrap();
    let back = Instant::now();
    talk.cloud.wait_ready();
    talk.go_on(GRACE + outage());
    let deliveries = talk.end(&[gone..=back + GRACE]);
    assert!(deliveries.iter().all(|delivery| delivery.lost > 0), "the bridge was not away");
}

mod vlan {
    use super::Kind::Vlan;

    #[test]
    fn a_killed_switch_comes_back_as_it_was() {
        super::a_killed_switch_comes_back_as_it_was(Vlan);
    }

    #[test]
    fn a_physical_bridge_may_go_and_come() {
        super::a_physical_bridge_may_go_and_come();
    }
}

mod vxlan {
    use super::Kind::Vxlan;

    #[test]
    fn a_killed_switch_comes_back_as_it_was() {
        super::a_killed_switch_comes_back_as_it_was(Vxlan);
    }
}

mod geneve {
    use super::Kind::Geneve;

    #[test]
    fn a_killed_switch_comes_back_as_it_was() {
        super::a_killed_switch_comes_back_as_it_was(Geneve);
    }
}
