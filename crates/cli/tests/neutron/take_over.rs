//! Weir's agent takes the place of Neutron's on hosts where machines talk.

use std::time::Instant;

use testkit::{Pace, eventually};

use crate::cloud::{Cloud, Machine, WAIT};

#[test]
fn weir_takes_over_and_nothing_is_lost() {
    let mut cloud = Cloud::start(2);
    for host in 0..2 {
        cloud.start_neutron_agent(host);
    }
    cloud.wait_alive();
    cloud.openstack.all([
        "security group create echo",
        "security group rule create --protocol tcp --dst-port 7 echo",
        "security group rule create --protocol udp --dst-port 7 echo",
    ]);
    let machines: Vec<[Machine; 3]> = ["vlan", "vxlan"]
        .into_iter()
        .map(|kind| {
            let network = format!("network create {kind} --provider-network-type {kind}");
            let subnet =
                format!("subnet create {kind} --network {kind} --subnet-range 10.0.0.0/24");
            let port = |host: u8, name: &str| {
                format!(
                    "port create --network {kind} --host host{host} --device-owner compute:nova \
                     --security-group echo {kind}-{name}"
                )
            };
            let ports = [port(1, "one"), port(1, "beside"), port(2, "beyond")];
            let [one, beside, beyond] = ports.each_ref().map(String::as_str);
            let [.., one, beside, beyond] =
                cloud.openstack.all([&network, &subnet, one, beside, beyond]);
            [one, beside, beyond].map(|port| cloud.plug(&port))
        })
        .collect();
    cloud.wait_active(&machines.iter().flatten().collect::<Vec<_>>());

    let steady: Vec<_> = machines
        .iter()
        .flat_map(|[one, beside, beyond]| [(one, beside), (one, beyond), (beyond, one)])
        .flat_map(|(from, to)| {
            eventually(WAIT, || from.vm.ask_udp(to.served(), testkit::PATIENCE).passed()).unwrap();
            let pace = Pace::HUNDRED_PER_SECOND;
            [from.vm.steady_udp(to.served(), pace), from.vm.steady_tcp(to.served(), pace)]
        })
        .map(Result::unwrap)
        .collect();
    let change = |cloud: &mut Cloud, start: fn(&mut Cloud, usize)| {
        let begin = Instant::now();
        for host in 0..2 {
            cloud.stop_agent(host);
            start(cloud, host);
        }
        cloud.wait_ready();
        begin..=Instant::now()
    };
    let window = change(&mut cloud, Cloud::start_weir_agent);
    let mut lost = 0;
    for steady in steady {
        let delivery = steady.stop();
        eprintln!("{delivery}");
        lost += delivery.lost - delivery.lost_outside(std::slice::from_ref(&window));
    }
    assert_eq!(lost, 0);

    // Nothing that Neutron's agent had installed admits anybody any more.
    for host in &cloud.hosts {
        for bridge in ["br-int", "br-phys", "br-tun"] {
            let flows = || host.switch.ofctl(&["--no-stats", "dump-flows", bridge]).unwrap();
            let theirs = || {
                let flows = flows();
                let theirs = flows.lines().filter(|line| line.contains("cookie=0x"));
                theirs.filter(|line| !line.contains("cookie=0x3e17")).count()
            };
            eventually(WAIT, || theirs() == 0).unwrap_or_else(|_| panic!("{bridge}: {}", flows()));
        }
    }
}
