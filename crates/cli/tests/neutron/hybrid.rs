//! Hosts with different firewalls in one cloud, and `weir agent` in the place of Neutron's agent where
//! netfilter filters.

use testkit::{Outcome, Pace, eventually};

use crate::cloud::{Cloud, Machine, WAIT};

/// What is added to the files of a host whose firewall is netfilter.
const NETFILTER: &str = "[securitygroup]\nfirewall_driver = iptables_hybrid\n";

/// The rules of table `filter` that are Weir's or those of Neutron's agent.
fn rules(cloud: &Cloud, host: usize) -> Vec<String> {
    let output = cloud.hosts[host].switch.namespace().command("iptables-save").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| line.contains("neutron-openvswi-")).map(str::to_owned).collect()
}

#[test]
fn hosts_have_different_firewalls_and_either_agent_goes_on_with_the_other_s() {
    let mut cloud = Cloud::start(2);
    // Neutron's server tells nobody a firewall, so an agent without one does not start.
    cloud.configure(0, "[securitygroup]\nfirewall_driver =\n");
    cloud.start_weir_agent(0);
    eventually(WAIT, || cloud.log_of(0).contains("this server does not tell its own"))
        .unwrap_or_else(|_| panic!("{}", cloud.log_of(0)));
    cloud.kill_agent(0);
    cloud.configure(0, "firewall_driver = openvswitch\n");
    cloud.configure(1, NETFILTER);
    cloud.start_weir_agent(0);
    cloud.start_neutron_agent(1);
    cloud.wait_alive();
    let port = |host: u8, name: &str| {
        format!(
            "port create --network red --host host{host} --device-owner compute:nova \
             --security-group ping {name}"
        )
    };
    let [_, _, _, _, one, two, three] = cloud.openstack.all([
        "network create red",
        "subnet create red4 --network red --subnet-range 10.0.0.0/24",
        "security group create ping",
        "security group rule create --protocol icmp ping",
        &port(1, "one"),
        &port(2, "two"),
        &port(2, "three"),
    ]);
    for (port, is_hybrid) in [(&one, false), (&two, true), (&three, true)] {
        assert_eq!(port["binding_vif_details"]["ovs_hybrid_plug"], is_hybrid, "{port:#}");
    }
    let machines = [&one, &two, &three].map(|port| cloud.plug(port));
    let [one, two, three] = &machines;
    cloud.wait_active(&[one, two, three]);
    let filtered = |cloud: &Cloud| {
        for [from, to] in [[one, two], [two, one], [two, three], [three, two]] {
            eventually(WAIT, || from.pings(to)).unwrap_or_else(|_| panic!("{}", cloud.log_of(1)));
            let outcome = from.vm.connect_tcp(to.served(), testkit::PATIENCE);
            assert_eq!(outcome, Outcome::Filtered, "{} to {}", from.port, to.port);
        }
    };
    filtered(&cloud);

    // Weir's agent takes over while they talk.
    let steady = |from: &Machine, to: &Machine| {
        from.vm.steady_ping(to.served().ip(), Pace::HUNDRED_PER_SECOND).unwrap()
    };
    let talks = [steady(one, two), steady(two, three), steady(three, one)];
    let before = rules(&cloud, 1);
    cloud.stop_agent(1);
    cloud.start_weir_agent(1);
    cloud.hosts[1].wait_ready();
    eventually(WAIT, || rules(&cloud, 1) != before).unwrap();
    filtered(&cloud);
    let rule = cloud.openstack.one("security group rule create --protocol tcp ping");
    let connects = |from: &Machine, to: &Machine| {
        from.vm.connect_tcp(to.served(), testkit::PATIENCE) == Outcome::Reached
    };
    for [from, to] in [[one, two], [two, one], [two, three]] {
        eventually(WAIT, || connects(from, to)).unwrap_or_else(|_| panic!("{}", cloud.log_of(1)));
    }
    cloud.verify();

    // And hands back.
    cloud.stop_agent(1);
    cloud.start_neutron_agent(1);
    cloud.hosts[1].wait_ready();
    let rule = rule["id"].as_str().unwrap();
    cloud.openstack.quiet(&[&format!("security group rule delete {rule}")]);
    for [from, to] in [[one, two], [two, one], [two, three]] {
        eventually(WAIT, || !connects(from, to)).unwrap_or_else(|_| panic!("{}", cloud.log_of(1)));
    }
    filtered(&cloud);
    for talk in talks {
        let delivery = talk.stop();
        assert_eq!(delivery.lost, 0, "{delivery:?}");
    }
}
