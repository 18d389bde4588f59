//! Switches whose process dies, and bridges that somebody removes or empties.

use std::time::{Duration, Instant};

use agent::status::ForeignStatus;
use testkit::eventually;

use crate::{
    cloud::{Host, PHYSICAL_BRIDGE, TRUNK, WAIT},
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

/// Flows deleted by hand: each time they are back within a second, and the agent tells of it.
fn deleted_flows_come_back(kind: Kind, deletions: &[[&str; 2]]) {
    let mut talk = Talk::start(kind);
    talk.begin(&[]);
    let mut windows = Vec::new();
    for [bridge, flows] in deletions {
        let host = &talk.cloud.hosts[0];
        let (before, told) = (dump(host, bridge), foreign(host, bridge).removed);
        let deleted = Instant::now();
        host.switch.ofctl(&["del-flows", bridge, flows]).unwrap();
        windows.push(deleted..=Instant::now() + GRACE);
        let is_mended = || {
            let foreign = foreign(host, bridge);
            foreign.removed > told && foreign.damaged == 0 && dump(host, bridge) == before
        };
        eventually(WAIT, is_mended)
            .unwrap_or_else(|_| panic!("{bridge} {flows}: {:#?}", host.status()));
        talk.go_on(GRACE);
    }
    talk.end(&windows);
}

/// A physical bridge removed and added by somebody: what is lost is lost while it is gone and a
/// second more.
fn a_physical_bridge_may_go_and_come() {
    let mut talk = Talk::start(Kind::Vlan);
    talk.begin(&[]);
    talk.remember();
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

/// The flows of a bridge, without what the switch has learned.
fn dump(host: &Host, bridge: &str) -> Vec<String> {
    let dump = host.switch.ofctl(&["--no-stats", "dump-flows", bridge]).unwrap();
    let kept = dump.lines().filter(|line| !line.trim().starts_with("cookie=0x3e1706"));
    let mut flows: Vec<String> = kept.map(str::to_owned).collect();
    flows.sort();
    flows
}

/// What somebody else has done to the flows of a bridge, as the agent tells it.
fn foreign(host: &Host, bridge: &str) -> ForeignStatus {
    let status = host.status();
    if status.bridge.name == bridge {
        return status.bridge.foreign;
    }
    let underlay = status.underlays.into_iter().find(|underlay| underlay.bridge == bridge);
    underlay.unwrap_or_default().foreign
}

mod vlan {
    use super::{Kind::Vlan, PHYSICAL_BRIDGE};

    #[test]
    fn deleted_flows_come_back() {
        let deletions = [
            ["br-int", "table=160"],
            ["br-int", "table=0"],
            ["br-int", "ip"],
            ["br-int", ""],
            [PHYSICAL_BRIDGE, ""],
        ];
        super::deleted_flows_come_back(Vlan, &deletions);
    }

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
    fn deleted_flows_come_back() {
        let deletions = [["br-int", "table=173"], ["br-tun", "table=4"], ["br-tun", ""]];
        super::deleted_flows_come_back(Vxlan, &deletions);
    }

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

mod vxlan_over_6 {
    use super::Kind::VxlanOver6;

    #[test]
    fn a_killed_switch_comes_back_as_it_was() {
        super::a_killed_switch_comes_back_as_it_was(VxlanOver6);
    }

    #[test]
    fn deleted_flows_come_back() {
        let deletions = [["br-int", "table=173"], ["br-tun", ""]];
        super::deleted_flows_come_back(VxlanOver6, &deletions);
    }
}

mod geneve_over_6 {
    use super::Kind::GeneveOver6;

    #[test]
    fn a_killed_switch_comes_back_as_it_was() {
        super::a_killed_switch_comes_back_as_it_was(GeneveOver6);
    }

    #[test]
    fn deleted_flows_come_back() {
        let deletions = [["br-int", "table=173"], ["br-tun", ""]];
        super::deleted_flows_come_back(GeneveOver6, &deletions);
    }
}
