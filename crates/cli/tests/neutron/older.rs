//! `weir agent` with the server of the oldest release that it speaks with: OpenStack 2024.1, whose
//! objects have older versions.

use testkit::{Outcome, PATIENCE, eventually};

use crate::cloud::{Cloud, Machine, Told, WAIT};

#[test]
fn ports_of_a_server_of_2024_1_are_wired_and_follow_their_groups() {
    let mut cloud = Cloud::start_told(2, &Told { release: "neutron-2024.1", ..Told::NOTHING });
    for host in 0..2 {
        cloud.start_weir_agent(host);
    }
    cloud.wait_alive();
    let openstack = &cloud.openstack;
    // `door` admits those of `guest` to one port, besides pings.
    let [.., ping] = openstack.all([
        "security group create guest",
        "security group create door",
        "security group rule create --protocol tcp --dst-port 7 --remote-group guest door",
        "security group rule create --protocol icmp door",
    ]);
    let machines: Vec<[Machine; 2]> = ["vlan", "vxlan"]
        .into_iter()
        .map(|kind| {
            let network = format!("network create {kind} --provider-network-type {kind}");
            let subnet =
                format!("subnet create {kind} --network {kind} --subnet-range 10.0.0.0/24");
            let port = |host: u8, group: &str| {
                format!(
                    "port create --network {kind} --host host{host} --device-owner compute:nova \
                     --security-group {group} {kind}-{group}"
                )
            };
            let commands = [network, subnet, port(1, "guest"), port(2, "door")];
            let [.., guest, door] = openstack.all(commands.each_ref().map(String::as_str));
            [cloud.plug(&guest), cloud.plug(&door)]
        })
        .collect();
    cloud.wait_active(&machines.iter().flatten().collect::<Vec<_>>());
    for [guest, door] in &machines {
        eventually(WAIT, || guest.pings(door)).unwrap();
        assert_eq!(guest.vm.connect_tcp(door.served(), PATIENCE), Outcome::Reached);
        assert_eq!(guest.vm.ask_udp(door.served(), PATIENCE), Outcome::Filtered);
        assert_eq!(door.vm.connect_tcp(guest.served(), PATIENCE), Outcome::Filtered);
    }

    // What changes is told, of rules and of members.
    openstack.all(["security group rule create --protocol udp --dst-port 7 door"]);
    let ping = ping["id"].as_str().unwrap();
    openstack.quiet(&[&format!("security group rule delete {ping}")]);
    for [guest, door] in &machines {
        eventually(WAIT, || guest.vm.ask_udp(door.served(), PATIENCE).passed()).unwrap();
        eventually(WAIT, || !guest.pings(door)).unwrap();
    }
    openstack.quiet(&["port set --no-security-group vlan-guest"]);
    let [[guest, door], [other, beyond]] = &machines[..] else { panic!("two networks") };
    let connects = |guest: &Machine, door: &Machine| {
        guest.vm.connect_tcp(door.served(), PATIENCE) == Outcome::Reached
    };
    eventually(WAIT, || !connects(guest, door)).unwrap();
    assert!(connects(other, beyond), "it is a member still");

    let agents = openstack.one("network agent list");
    let alive = agents.as_array().unwrap().iter().filter(|agent| agent["Alive"] == true);
    assert_eq!(alive.count(), 2);
}
