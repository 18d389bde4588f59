//! `weir agent` in the place of Neutron's agent, on two hosts.

use serde_json::json;
use testkit::{Outcome, eventually};

use crate::cloud::{Cloud, Machine, WAIT};

/// How the networks are carried, with what the client says for it.
const NETWORKS: [(&str, &str); 5] = [
    ("vlan", "--provider-physical-network physnet1"),
    ("vxlan", ""),
    ("gre", ""),
    ("geneve", ""),
    ("flat", "--provider-physical-network physnet1"),
];

#[test]
fn ports_of_every_type_are_wired_and_follow_their_groups() {
    let mut cloud = Cloud::start(2);
    for host in 0..2 {
        cloud.start_weir_agent(host);
    }
    cloud.wait_alive();
    let openstack = &cloud.openstack;
    let [_, ping] = openstack
        .all(["security group create web", "security group rule create --protocol icmp web"]);
    let machines: Vec<[Machine; 2]> = NETWORKS
        .into_iter()
        .map(|(kind, more)| {
            let network = format!("network create {kind} --provider-network-type {kind} {more}");
            let subnet =
                format!("subnet create {kind} --network {kind} --subnet-range 10.0.0.0/24");
            let port = |host: u8| {
                format!(
                    "port create --network {kind} --host host{host} --device-owner compute:nova \
                     --security-group web {kind}{host}"
                )
            };
            let [.., one, two] =
                openstack.all([&network, &subnet, &port(1), &port(2)].map(String::as_str));
            [cloud.plug(&one), cloud.plug(&two)]
        })
        .collect();
    cloud.wait_active(&machines.iter().flatten().collect::<Vec<_>>());
    for [one, two] in &machines {
        for [from, to] in [[one, two], [two, one]] {
            eventually(WAIT, || from.pings(to)).unwrap();
            assert_eq!(from.vm.connect_tcp(to.served(), testkit::PATIENCE), Outcome::Filtered);
        }
    }

    let ping = ping["id"].as_str().unwrap();
    openstack.quiet(&[&format!("security group rule delete {ping}")]);
    openstack.one("security group rule create --protocol tcp --dst-port 7 web");
    for [one, two] in &machines {
        for [from, to] in [[one, two], [two, one]] {
            let connects = || from.vm.connect_tcp(to.served(), testkit::PATIENCE);
            eventually(WAIT, || connects() == Outcome::Reached).unwrap();
            eventually(WAIT, || !from.pings(to)).unwrap();
        }
    }

    let agents = openstack.one("network agent list");
    let told = |agent: &serde_json::Value| {
        ["Agent Type", "Binary", "Alive"].map(|column| agent[column].clone())
    };
    let expected = [json!("Open vSwitch agent"), json!("neutron-openvswitch-agent"), json!(true)];
    let agents: Vec<_> = agents.as_array().unwrap().iter().map(told).collect();
    assert_eq!(agents, [expected.clone(), expected]);
}
