//! Neutron's own agent on hosts of the kit: it shows that the tests' Neutron is a real one, and
//! what its agent does with their switches.

use serde_json::json;
use testkit::{Outcome, eventually};

use crate::cloud::{Cloud, WAIT};

#[test]
fn neutrons_own_agents_wire_ports_and_filter() {
    let mut cloud = Cloud::start(2);
    for host in 0..2 {
        cloud.start_neutron_agent(host);
    }
    cloud.wait_alive();
    let openstack = &cloud.openstack;
    let port = |host: u8, name: &str| {
        format!(
            "port create --network red --host host{host} --device-owner compute:nova \
             --security-group ping {name}"
        )
    };
    let [_, _, _, rule, one, two, three] = openstack.all([
        "network create red",
        "subnet create red4 --network red --subnet-range 10.0.0.0/24",
        "security group create ping",
        "security group rule create --protocol icmp ping",
        &port(1, "one"),
        &port(1, "two"),
        &port(2, "three"),
    ]);
    let machines = [&one, &two, &three].map(|port| cloud.plug(port));
    let [one, two, three] = &machines;
    cloud.wait_active(&[one, two, three]);
    for [from, to] in [[one, two], [two, one], [one, three], [three, one]] {
        eventually(WAIT, || from.pings(to)).unwrap();
        let outcome = from.vm.connect_tcp(to.served(), testkit::PATIENCE);
        assert_eq!(outcome, Outcome::Filtered);
    }

    let agents = openstack.one("network agent list");
    for agent in agents.as_array().unwrap() {
        let told = ["Agent Type", "Binary", "Alive"].map(|column| &agent[column]);
        assert_eq!(
            told,
            [&json!("Open vSwitch agent"), &json!("neutron-openvswitch-agent"), &json!(true)]
        );
    }
    assert_eq!(agents.as_array().unwrap().len(), 2);

    let rule = rule["id"].as_str().unwrap();
    openstack.quiet(&[&format!("security group rule delete {rule}")]);
    for to in [two, three] {
        eventually(WAIT, || !one.pings(to)).unwrap();
    }
}
