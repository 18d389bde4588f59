//! Agents that stop, that start again, and that cannot reach the server.

use std::time::Duration;

use serde_json::json;
use testkit::eventually;

use crate::{cloud::WAIT, outage, scene::Kind, talk::Talk};

/// Agents gone for a while: nothing may be lost.
fn stopped_agents_are_not_missed(kind: Kind) {
    let mut talk = Talk::start(kind);
    talk.begin(&[]);
    talk.cloud.stop_agents();
    talk.go_on(outage());
    talk.cloud.start_agents();
    talk.cloud.wait_ready();
    talk.end(&[]);
}

/// How long machines talk after each of many restarts.
const PAUSE: Duration = Duration::from_millis(250);

/// Twenty restarts of all agents at once, every second one in the middle of the one before:
/// nothing may be lost.
fn restarted_agents_are_not_noticed(kind: Kind) {
    let mut talk = Talk::start(kind);
    talk.begin(&[]);
    for round in 0..20 {
        talk.cloud.stop_agents();
        talk.cloud.start_agents();
        if round % 2 == 0 {
            talk.cloud.wait_ready();
            talk.go_on(PAUSE);
        }
    }
    talk.cloud.wait_ready();
    talk.end(&[]);
}

/// The server gone for a while, and a port plugged in meanwhile: nothing may be lost; what the new
/// port needs is asked for when there is a server again, and what is changed then is followed.
fn a_server_that_is_gone_is_not_missed(kind: Kind) {
    let mut talk = Talk::start(kind);
    let group = talk.cloud.create("security_group", json!({ "name": "closed" }));
    let rule = json!({ "security_group_id": group["id"], "direction": "ingress" });
    let more = json!({ "security_groups": [group["id"]] });
    let machine = talk.cloud.cabled(&talk.networks[0], 1, more);
    machine.vm.listen_udp(7).unwrap();
    let machines = [machine];
    talk.begin(&machines);
    let [machine] = &machines;
    talk.cloud.stop_server();
    talk.cloud.plug(&[machine]);
    talk.go_on(outage());
    assert!(!machine.is_reached_from(&talk.machines[0]));
    talk.cloud.start_server();
    talk.cloud.wait_active(&[machine]);
    assert!(!machine.is_reached_from(&talk.machines[0]), "no rule admits anybody");
    talk.cloud.create("security_group_rule", rule);
    eventually(WAIT, || machine.is_reached_from(&talk.machines[0])).unwrap();
    talk.go_on(PAUSE);
    talk.end(&[]);
}

/// The bus gone for a while, and rules changed meanwhile: nothing may be lost, and the changes
/// are made when it is back.
fn changes_wait_for_a_bus_that_is_gone(kind: Kind) {
    let mut talk = Talk::start(kind);
    let cloud = &talk.cloud;
    // One group admits nobody and then everybody, the other the other way round.
    let groups = ["opened", "closed"].map(|name| {
        let group = cloud.create("security_group", json!({ "name": name }));
        group["id"].as_str().unwrap().to_owned()
    });
    let rule = |group: &str| {
        let rule = cloud.create(
            "security_group_rule",
            json!({ "security_group_id": group, "direction": "ingress", "protocol": "udp" }),
        );
        rule["id"].as_str().unwrap().to_owned()
    };
    let to_go = rule(&groups[1]);
    let [opened, closed] = groups.each_ref().map(|group| {
        let more = json!({ "security_groups": [group] });
        let machine = cloud.cabled(&talk.networks[0], 1, more);
        machine.vm.listen_udp(7).unwrap();
        cloud.plug(&[&machine]);
        machine
    });
    cloud.wait_active(&[&opened, &closed]);
    let machines = [opened, closed];
    talk.begin(&machines);
    let ([opened, closed], asking) = (&machines, &talk.machines[0]);
    eventually(WAIT, || closed.is_reached_from(asking)).unwrap();
    assert!(!opened.is_reached_from(asking));

    let cloud = &talk.cloud;
    let cuts: Vec<_> = cloud.hosts.iter().map(|host| cloud.bus.cut(&host.name)).collect();
    cloud.create(
        "security_group_rule",
        json!({ "security_group_id": groups[0], "direction": "ingress", "protocol": "udp" }),
    );
    cloud.delete(&format!("/v2.0/security-group-rules/{to_go}"));
    talk.go_on(outage());
    assert!(!opened.is_reached_from(asking) && closed.is_reached_from(asking));

    drop(cuts);
    eventually(WAIT, || opened.is_reached_from(asking)).unwrap();
    eventually(WAIT, || !closed.is_reached_from(asking)).unwrap();
    talk.end(&[]);
}

mod vlan {
    use super::Kind::Vlan;

    #[test]
    fn stopped_agents_are_not_missed() {
        super::stopped_agents_are_not_missed(Vlan);
    }

    #[test]
    fn restarted_agents_are_not_noticed() {
        super::restarted_agents_are_not_noticed(Vlan);
    }

    #[test]
    fn a_server_that_is_gone_is_not_missed() {
        super::a_server_that_is_gone_is_not_missed(Vlan);
    }

    #[test]
    fn changes_wait_for_a_bus_that_is_gone() {
        super::changes_wait_for_a_bus_that_is_gone(Vlan);
    }
}

mod vxlan {
    use super::Kind::Vxlan;

    #[test]
    fn stopped_agents_are_not_missed() {
        super::stopped_agents_are_not_missed(Vxlan);
    }

    #[test]
    fn restarted_agents_are_not_noticed() {
        super::restarted_agents_are_not_noticed(Vxlan);
    }

    #[test]
    fn a_server_that_is_gone_is_not_missed() {
        super::a_server_that_is_gone_is_not_missed(Vxlan);
    }

    #[test]
    fn changes_wait_for_a_bus_that_is_gone() {
        super::changes_wait_for_a_bus_that_is_gone(Vxlan);
    }
}

mod gre {
    use super::Kind::Gre;

    #[test]
    fn stopped_agents_are_not_missed() {
        super::stopped_agents_are_not_missed(Gre);
    }
}

mod geneve {
    use super::Kind::Geneve;

    #[test]
    fn stopped_agents_are_not_missed() {
        super::stopped_agents_are_not_missed(Geneve);
    }

    #[test]
    fn restarted_agents_are_not_noticed() {
        super::restarted_agents_are_not_noticed(Geneve);
    }

    #[test]
    fn a_server_that_is_gone_is_not_missed() {
        super::a_server_that_is_gone_is_not_missed(Geneve);
    }

    #[test]
    fn changes_wait_for_a_bus_that_is_gone() {
        super::changes_wait_for_a_bus_that_is_gone(Geneve);
    }
}

mod vxlan_over_6 {
    use super::Kind::VxlanOver6;

    #[test]
    fn restarted_agents_are_not_noticed() {
        super::restarted_agents_are_not_noticed(VxlanOver6);
    }

    #[test]
    fn a_server_that_is_gone_is_not_missed() {
        super::a_server_that_is_gone_is_not_missed(VxlanOver6);
    }
}

mod geneve_over_6 {
    use super::Kind::GeneveOver6;

    #[test]
    fn restarted_agents_are_not_noticed() {
        super::restarted_agents_are_not_noticed(GeneveOver6);
    }

    #[test]
    fn a_server_that_is_gone_is_not_missed() {
        super::a_server_that_is_gone_is_not_missed(GeneveOver6);
    }
}
