//! `weir migrate-driver`: machines that run move from one firewall driver to the other, by command.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod machine;

use std::time::Duration;

use machine::{Machine, WAIT, text};
use serde_json::{Value, json};
use testkit::{Outcome, PATIENCE, Vm, eventually};

/// How long nothing is waited for.
const NEVER: Duration = Duration::from_millis(300);

const HYBRID: [&str; 3] = ["migrate-driver", "--to", "iptables_hybrid"];
const NATIVE: [&str; 3] = ["migrate-driver", "--to", "openvswitch"];

/// A machine with a server that a client reaches, and a stranger does not.
struct Scene {
    machine: Machine,
    ports: [Value; 3],
    server: Vm,
    client: Vm,
    stranger: Vm,
}

impl Scene {
    fn start() -> Self {
        let machine = Machine::new();
        let network = machine.network();
        let others = machine.create("security_group", json!({ "name": "others" }));
        let mut ports = [(); 3].map(|()| machine.port(&network, json!({})));
        ports[2] = machine.port(&network, json!({ "security_groups": [others["id"]] }));
        let [server, client, stranger] = ports.each_ref().map(|port| machine.vm(port));
        server.listen_tcp(80).unwrap();
        Self { machine, ports, server, client, stranger }
    }

    fn is_filtered(&self) -> bool {
        let to = self.server.v4(80).unwrap();
        self.client.connect_tcp(to, PATIENCE) == Outcome::Reached
            && self.stranger.connect_tcp(to, NEVER) == Outcome::Filtered
    }

    /// What the status says of the server's port.
    fn status(&self) -> Value {
        self.machine.port_status(&self.ports[0]).unwrap()
    }

    /// The devices of the server's port.
    fn devices(&self) -> Vec<String> {
        let mut names = self.machine.switch.namespace().interfaces().unwrap();
        let suffix = format!("{:.11}", text(&self.ports[0], "id"));
        names.retain(|name| name.ends_with(&suffix));
        names.sort();
        names.iter().map(|name| name[..3].to_owned()).collect()
    }
}

#[test]
fn a_machine_moves_there_and_back() {
    let scene = Scene::start();
    let id = text(&scene.ports[0], "id");
    let had = scene.status();
    assert_eq!((&had["filtered_by"], scene.devices()), (&json!("flows"), vec!["tap".to_owned()]));
    for (command, interface, by, devices) in [
        (HYBRID, "qvo", "netfilter", &["qbr", "qvb", "qvo", "tap"][..]),
        (NATIVE, "tap", "flows", &["tap"]),
    ] {
        let moved = scene.machine.json(&[&command[..], &[id]].concat());
        let [moved] = moved.as_array().unwrap().as_slice() else { panic!("{moved}") };
        assert_eq!((&moved["port"], &moved["is_undone"]), (&json!(id), &json!(false)), "{moved}");
        let interface = format!("{interface}{id:.11}");
        assert_eq!((text(moved, "interface"), text(moved, "to")), (&*interface, command[2]));
        eventually(WAIT, || scene.status()["filtered_by"] == by).unwrap();
        assert_eq!(
            (&scene.status()["ofport"], scene.devices()),
            (&had["ofport"], devices.iter().map(ToString::to_string).collect())
        );
        assert!(scene.is_filtered());
        assert_eq!(scene.machine.json(&["verify"])["differ"], json!(0));
    }
    let again = scene.machine.weir(&[&NATIVE[..], &[id]].concat());
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(again.status.success() && said.contains("done"), "{again:?}");
    assert!(scene.machine.is_ready());

    // All that can be moved.
    let moved = scene.machine.json(&HYBRID);
    assert_eq!(moved.as_array().map(Vec::len), Some(3), "{moved}");
    assert!(scene.machine.plugged().iter().all(|name| name.starts_with("qvo")));
    assert!(scene.is_filtered());
    scene.machine.json(&["unplug", id]);
    assert_eq!((scene.machine.plugged().len(), scene.devices()), (2, Vec::new()));
}

#[test]
fn what_cannot_be_moved_is_said() {
    let scene = Scene::start();
    let unknown = scene.machine.weir(&[&HYBRID[..], &["nobody"]].concat());
    assert_eq!(unknown.status.code(), Some(1));
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(said.contains("no port here has the id or the interface 'nobody'"), "{said}");

    // Somebody has a device of that name, and it is in use.
    let id = text(&scene.ports[0], "id");
    let namespace = scene.machine.switch.namespace();
    namespace.ip(&format!("link add name qbr{id:.11} type bridge")).unwrap();
    let refused = scene.machine.weir(&[&HYBRID[..], &[id]].concat());
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(
        said.contains(&format!("as it was: there is an interface qbr{id:.11} already")),
        "{said}"
    );
    let status = scene.status();
    assert_eq!((&status["up"], &status["filtered_by"]), (&json!(true), &json!("flows")));
    let warning = status["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("it could not be moved to iptables_hybrid: "), "{warning}");
    assert!(scene.is_filtered());
    namespace.ip(&format!("link delete dev qbr{id:.11}")).unwrap();
    scene.machine.json(&[&HYBRID[..], &[id]].concat());
    assert_eq!(scene.status()["warnings"], json!([]));
}

/// Whoever made the machine knows nothing of its Linux bridge, and does with it as before.
#[test]
fn what_a_move_has_put_there_goes_with_its_machine() {
    let scene = Scene::start();
    let [id, mac] = ["id", "mac_address"].map(|it| text(&scene.ports[0], it).to_owned());
    let (tap, switch) = (format!("tap{id:.11}"), &scene.machine.switch);
    scene.machine.json(&[&HYBRID[..], &[&*id]].concat());

    // It is started anew, and plugged in by its tap.
    let namespace = switch.namespace();
    namespace.ip(&format!("link delete dev {tap}")).unwrap();
    let far = scene.server.namespace().name();
    let pair = format!("link add name {tap} type veth peer name eth0 netns {far} address {mac}");
    namespace.ip(&pair).unwrap();
    namespace.ip(&format!("link set dev {tap} up")).unwrap();
    namespace.command("ethtool").args(["-K", &tap, "tx", "off"]).output().unwrap();
    let set = format!("external_ids:iface-id={id}");
    switch.vsctl(&["add-port", "br-int", &tap, "--", "set", "Interface", &tap, &set]).unwrap();
    eventually(WAIT, || scene.devices() == ["tap"] && scene.machine.is_ready()).unwrap();
    assert_eq!(scene.status()["filtered_by"], "flows");
    assert_eq!(scene.machine.plugged().len(), 3);

    // It is removed, its port too, and nobody takes the Linux bridge away.
    scene.machine.json(&[&HYBRID[..], &[&*id]].concat());
    namespace.ip(&format!("link delete dev {tap}")).unwrap();
    scene.machine.delete("port", &id);
    eventually(WAIT, || scene.devices().is_empty() && scene.machine.plugged().len() == 2).unwrap();
}

/// `weir up` ends at some moment of a move.
fn cut_off(scene: &mut Scene, command: [&str; 3], end: fn(&mut Machine)) {
    let mut moving = scene.machine.begin(&command);
    eventually(WAIT, || {
        let is_moving = |port: &Value| port["warnings"].to_string().contains("being moved");
        let status = scene.machine.status();
        let is_over = moving.try_wait().unwrap().is_some();
        is_over || status["ports"].as_array().unwrap().iter().any(is_moving)
    })
    .unwrap();
    end(&mut scene.machine);
    moving.wait().unwrap();
}

#[test]
fn however_weir_ends_in_the_middle_no_machine_is_lost() {
    let mut scene = Scene::start();
    for command in [HYBRID, NATIVE, HYBRID, NATIVE] {
        // One that is told to end leaves no machine without a wire.
        cut_off(&mut scene, command, Machine::stop_weir);
        assert!(scene.is_filtered(), "{}", scene.machine.log());
        scene.machine.start_weir();
        eventually(WAIT, || scene.machine.is_ready()).unwrap();
        cut_off(&mut scene, command, Machine::kill_weir);
        scene.machine.start_weir();
        eventually(WAIT, || scene.machine.is_ready() && scene.is_filtered()).unwrap();
        scene.machine.json(&command);
        assert!(scene.is_filtered());
        let devices: &[&str] =
            if command == HYBRID { &["qbr", "qvb", "qvo", "tap"] } else { &["tap"] };
        assert_eq!(scene.devices(), devices);
    }
}
