//! Many networks that come at once.

use serde_json::json;

use crate::{cloud::Machine, scene::Kind, talk::Talk};

/// How many networks come.
const NETWORKS: u16 = 50;

/// Networks whose ports are plugged in all at once, on both hosts: nothing that others say may be
/// lost, and each network reaches its own other end.
fn a_crowd_disturbs_nobody(kind: Kind) {
    let mut talk = Talk::start(kind);
    let cloud = &talk.cloud;
    let numbers = 10..10 + NETWORKS;
    let networks: Vec<_> = numbers.map(|number| cloud.network(number)).collect();
    let machines: Vec<Machine> = [0, 1]
        .into_iter()
        .flat_map(|host| networks.iter().map(move |network| (network, host)))
        .map(|(network, host)| cloud.cabled(network, host, json!({})))
        .collect();
    let (here, there) = machines.split_at(networks.len());
    for machine in there {
        machine.vm.listen_udp(7).unwrap();
    }

    talk.begin(&machines);
    for half in [here, there] {
        talk.cloud.plug(&half.iter().collect::<Vec<_>>());
    }
    talk.cloud.wait_active(&machines.iter().collect::<Vec<_>>());
    for (asking, answering) in here.iter().zip(there) {
        assert!(answering.is_reached_from(asking), "network {}", asking.network.number);
    }
    talk.end(&[]);
}

mod vlan {
    #[test]
    fn a_crowd_disturbs_nobody() {
        super::a_crowd_disturbs_nobody(super::Kind::Vlan);
    }
}

mod vxlan {
    #[test]
    fn a_crowd_disturbs_nobody() {
        super::a_crowd_disturbs_nobody(super::Kind::Vxlan);
    }
}

mod gre {
    #[test]
    fn a_crowd_disturbs_nobody() {
        super::a_crowd_disturbs_nobody(super::Kind::Gre);
    }
}

mod geneve {
    #[test]
    fn a_crowd_disturbs_nobody() {
        super::a_crowd_disturbs_nobody(super::Kind::Geneve);
    }
}

mod vxlan_over_6 {
    #[test]
    fn a_crowd_disturbs_nobody() {
        super::a_crowd_disturbs_nobody(super::Kind::VxlanOver6);
    }
}
