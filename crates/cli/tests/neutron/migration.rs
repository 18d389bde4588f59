//! A machine moves to another host, step by step as Nova has it moved, with several bindings of its
//! port on a real server. It is reached where it runs, through the firewall, and nothing of what
//! others say to it is lost but while it runs nowhere.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Nic, Outcome, PATIENCE, Pace, Steady, eventually};

use crate::cloud::{Cloud, Machine, WAIT, addresses};

/// How long others talk to it between one step and the next.
const PAUSE: Duration = Duration::from_millis(500);
/// For so long after a port was plugged in or out a packet of a tunnel may be lost: ovs-vswitchd does
/// that in the userspace datapath, also where no agent runs.
const DISTURBANCE: Duration = Duration::from_millis(50);

#[test]
fn a_machine_is_reached_where_it_runs() {
    let mut cloud = Cloud::start(2);
    for host in 0..2 {
        cloud.start_weir_agent(host);
    }
    cloud.wait_alive();
    cloud.openstack.all([
        "security group create echo",
        "security group rule create --protocol icmp echo",
        "security group rule create --protocol udp --dst-port 7 echo",
    ]);
    for network in ["vlan", "vxlan"] {
        moves(&cloud, network);
    }
}

/// It moves from the first host to the second.
fn moves(cloud: &Cloud, network: &str) {
    let port = |host: u8, name: &str| {
        format!(
            "port create --network {network} --host host{host} --device-owner compute:nova \
             --security-group echo {network}-{name}"
        )
    };
    let ports = [port(1, "near"), port(2, "far"), port(1, "moving")];
    let [near, far, moving] = ports.each_ref().map(String::as_str);
    let [.., near, far, told] = cloud.openstack.all([
        &format!("network create {network} --provider-network-type {network}"),
        &format!("subnet create {network} --network {network} --subnet-range 10.0.0.0/24"),
        near,
        far,
        moving,
    ]);
    let [near, far, moving] = [&near, &far, &told].map(|port| cloud.plug(port));
    cloud.wait_active(&[&near, &far, &moving]);
    cloud.wait_ready();
    let to = moving.served();
    let reached = |what: &str| {
        for other in [&near, &far] {
            eventually(WAIT, || other.vm.ask_udp(to, PATIENCE).passed())
                .unwrap_or_else(|_| panic!("{network}: {what}"));
            assert_eq!(other.vm.connect_tcp(to, PATIENCE), Outcome::Filtered, "{what}");
        }
    };
    reached("at first");
    let steady = [&near, &far].map(|it| it.vm.steady_udp(to, Pace::HUNDRED_PER_SECOND).unwrap());
    go_on(&steady);
    let mut disturbed = Vec::new();

    // The new host is wired before the machine comes. Until then nobody with its address is there.
    let path = format!("/v2.0/ports/{}", moving.port);
    let bindings = format!("{path}/bindings");
    let profile = |profile: Value| {
        cloud.ask("PUT", &path, &json!({ "port": { "binding:profile": profile } }));
    };
    cloud.ask("POST", &bindings, &json!({ "binding": { "host": "host2", "project_id": "" } }));
    profile(json!({ "migrating_to": "host2" }));
    let begin = Instant::now();
    let arrived = cloud.plug_on(1, &told, &Nic::default());
    disturbed.push(begin..=Instant::now() + DISTURBANCE);
    let state = |host: usize| {
        let status = cloud.hosts[host].status();
        status.ports.into_iter().find(|port| port.id == moving.port)
    };
    let is_wired = || state(1).is_some_and(|port| port.up);
    eventually(WAIT, is_wired).unwrap_or_else(|_| panic!("{}", cloud.hosts[1].log()));
    assert_eq!(binding(cloud, &moving, "host2"), "INACTIVE", "{network}");
    // Neutron takes the port for down until its profile is another: it wants to tell Nova that it is
    // up, fails because there is none to tell, and leaves it so.
    reached("while the new host waits for it");
    go_on(&steady);

    // It stops here, and goes on there.
    let stopped = Instant::now();
    moving.vm.namespace().ip("link set dev eth0 down\n").unwrap();
    cloud.ask("PUT", &format!("{bindings}/host2/activate"), &Value::Null);
    assert_eq!(binding(cloud, &moving, "host2"), "ACTIVE", "{network}");
    assert_eq!(binding(cloud, &moving, "host1"), "INACTIVE", "{network}");
    cloud.unplug(&moving);
    let mut come = format!("link set dev eth0 address {}\n", told["mac_address"].as_str().unwrap());
    for address in addresses(&told) {
        come += &format!("address add {address} dev eth0\n");
    }
    arrived.vm.namespace().ip(&come).unwrap();
    for other in [&near, &far] {
        eventually(WAIT, || arrived.vm.ping(other.served().ip(), PATIENCE) == Outcome::Reached)
            .unwrap_or_else(|_| panic!("{network}\n{}", cloud.hosts[1].log()));
    }
    let arrival = Instant::now();
    reached("on its new host");
    go_on(&steady);

    // Nova forgets the old host, and says that it is through.
    cloud.ask("DELETE", &format!("{bindings}/host1"), &Value::Null);
    profile(json!({}));
    cloud.wait_active(&[&arrived]);
    assert_eq!(cloud.port(&arrived)["binding:host_id"], "host2", "{network}");
    let is_gone = || state(0).is_none();
    eventually(WAIT, is_gone).unwrap_or_else(|_| panic!("{}", cloud.hosts[0].log()));
    reached("once the old host has forgotten it");
    go_on(&steady);

    eprintln!("{network}: it ran nowhere for {:?}", arrival - stopped);
    for steady in steady {
        let delivery = steady.stop();
        eprintln!("{network}: {delivery}");
        // What was under way when it stopped was not answered.
        disturbed.push(stopped - delivery.slowest..=arrival);
        assert_eq!(delivery.lost_outside(&disturbed), 0, "{network}: {:#?}", delivery.gaps);
        disturbed.pop();
    }
}

/// Lets them talk for a while.
fn go_on(steady: &[Steady]) {
    let messages = PAUSE.div_duration_f64(Pace::HUNDRED_PER_SECOND.every).ceil() as usize;
    let goals: Vec<_> = steady.iter().map(|it| it.sent() + messages).collect();
    let said = || steady.iter().zip(&goals).all(|(it, goal)| it.sent() >= *goal);
    eventually(WAIT, said).unwrap();
}

/// The state of the port's binding to the host.
fn binding(cloud: &Cloud, machine: &Machine, host: &str) -> String {
    let path = format!("/v2.0/ports/{}/bindings", machine.port);
    let bindings = cloud.get(&path);
    let mut bindings = bindings["bindings"].as_array().unwrap().iter();
    let found = bindings.find(|it| it["host"] == host);
    found.unwrap()["status"].as_str().unwrap().to_owned()
}
