//! A machine that moves to another host, step by step as Nova has it moved.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Nic, Outcome, PATIENCE, Vm, eventually};

use crate::cloud::{Cloud, Machine, WAIT};
use crate::{scene::Kind, talk::Streams};

/// How long others talk to it between one step and the next.
const PAUSE: Duration = Duration::from_millis(500);

/// It is reached where it runs: on its old host while the new one is wired, and on the new one from
/// its first word there. The port is active before and after. Of what machines of both hosts say to
/// it nothing is lost but while it runs nowhere.
fn a_machine_is_reached_where_it_runs(kind: Kind) {
    let cloud = Cloud::start(kind, 2);
    let network = cloud.network(0);
    let [near, far] = [0, 1].map(|host| cloud.machine(&network, host));
    let moving = cloud.cabled(&network, 0, json!({ "device_owner": "compute:nova" }));
    moving.vm.listen_udp(7).unwrap();
    cloud.plug(&[&moving]);
    cloud.wait_active(&[&near, &far, &moving]);
    let reached = |what: &str| {
        for other in [&near, &far] {
            eventually(WAIT, || moving.is_reached_from(other)).unwrap_or_else(|_| panic!("{what}"));
        }
    };
    reached("at first");
    // A link that comes while they talk would cost the switch its routes for a moment.
    let vm = Vm::cabled(&cloud.hosts[1].switch, &moving.device, &Nic::default()).unwrap();
    let streams = Streams::start([[&near, &moving], [&far, &moving]].into_iter());
    streams.go_on(PAUSE);

    // The new host is wired before the machine comes. Until then nobody with its address is there.
    let bindings = format!("/v2.0/ports/{}/bindings", moving.port);
    let target = json!({ "binding": { "host": cloud.hosts[1].name } });
    assert_eq!(cloud.request("POST", &bindings, &target).0, 201);
    let arrived = Machine {
        vm,
        port: moving.port.clone(),
        device: moving.device.clone(),
        mac: moving.mac,
        network,
        host: 1,
    };
    cloud.plug(&[&arrived]);
    cloud.hosts[1].wait("the port on standby", |status| {
        status.ports.iter().any(|port| port.id == moving.port && port.up)
    });
    reached("while the new host waits for it");
    streams.go_on(PAUSE);

    // It stops here, and goes on there.
    let stopped = Instant::now();
    moving.vm.namespace().ip("link set dev eth0 down\n").unwrap();
    let activate = format!("{bindings}/{}/activate", cloud.hosts[1].name);
    assert_eq!(cloud.request("PUT", &activate, &Value::Null).0, 200);
    cloud.hosts[0].switch.vsctl(&["del-port", &moving.device]).unwrap();
    cloud.wait_active(&[&arrived]);

    let mac = moving.mac.map(|byte| format!("{byte:02x}")).join(":");
    let mut come = format!("link set dev eth0 address {mac}\n");
    for address in moving.vm.addresses() {
        let (length, nodad) = if address.is_ipv4() { (24, "") } else { (64, " nodad") };
        come += &format!("address add {address}/{length} dev eth0{nodad}\n");
    }
    arrived.vm.listen_udp(7).unwrap();
    arrived.vm.namespace().ip(&come).unwrap();
    let to = near.vm.addresses().next().unwrap();
    eventually(WAIT, || arrived.vm.ping(to, PATIENCE) == Outcome::Reached).unwrap();
    let arrival = Instant::now();
    reached("on its new host");
    streams.go_on(PAUSE);

    cloud.delete(&format!("{bindings}/{}", cloud.hosts[0].name));
    cloud.wait_active(&[&arrived]);
    cloud.hosts[0].wait("nothing of it on the old host", |status| {
        status.ports.iter().all(|port| port.id != moving.port)
    });
    reached("once the old host has forgotten it");
    streams.go_on(PAUSE);
    eprintln!("it ran nowhere for {:?}", arrival - stopped);
    streams.end(&[stopped..=arrival]);
}

mod vlan {
    #[test]
    fn a_machine_is_reached_where_it_runs() {
        super::a_machine_is_reached_where_it_runs(super::Kind::Vlan);
    }
}

mod vxlan {
    #[test]
    fn a_machine_is_reached_where_it_runs() {
        super::a_machine_is_reached_where_it_runs(super::Kind::Vxlan);
    }
}

mod geneve {
    #[test]
    fn a_machine_is_reached_where_it_runs() {
        super::a_machine_is_reached_where_it_runs(super::Kind::Geneve);
    }
}
