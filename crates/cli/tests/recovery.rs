//! What Weir does when something around it fails, is not there yet, or refuses; and that its own
//! restart is felt by nobody.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod machine;

use std::time::{Duration, Instant};

use machine::{Machine, WAIT, text};
use serde_json::{Value, json};
use testkit::{Outcome, PATIENCE, Pace, eventually};

/// Two machines of a network, the second of which serves port 80.
fn pair(machine: &Machine) -> (testkit::Vm, testkit::Vm, [Value; 2]) {
    let network = machine.network();
    let ports = [machine.port(&network, json!({})), machine.port(&network, json!({}))];
    let [one, two] = ports.each_ref().map(|port| machine.vm(port));
    two.listen_tcp(80).unwrap();
    assert_eq!(one.connect_tcp(two.v4(80).unwrap(), PATIENCE), Outcome::Reached);
    (one, two, ports)
}

#[test]
fn flows_come_back_when_the_switch_does() {
    let machine = Machine::new();
    let (one, two, _) = pair(&machine);
    let before = machine.flows();
    assert!(!before.is_empty());

    machine.switch.kill_vswitchd();
    eventually(WAIT, || !machine.is_ready()).unwrap();
    machine.switch.start_vswitchd().unwrap();
    let back = Instant::now();
    eventually(WAIT, || machine.flows() == before).unwrap();
    eprintln!("all flows were back {:?} after the switch", back.elapsed());

    eventually(WAIT, || machine.is_ready()).unwrap();
    eventually(WAIT, || one.connect_tcp(two.v4(80).unwrap(), PATIENCE) == Outcome::Reached)
        .unwrap();
}

#[test]
fn a_restart_is_felt_by_nobody() {
    let mut machine = Machine::new();
    let (one, two, ports) = pair(&machine);
    two.listen_udp(53).unwrap();
    let before = machine.flows();

    let pace =
        Pace { messages: 100_000, every: Duration::from_millis(1), grace: Duration::from_secs(2) };
    let stream = one.steady_tcp(two.v4(80).unwrap(), pace).unwrap();
    machine.stop_weir();
    assert_eq!(machine.flows(), before, "stopping leaves the flows alone");
    machine.start_weir();
    eventually(WAIT, || {
        machine.is_ready() && ports.iter().all(|port| machine.port_status(port).is_some())
    })
    .unwrap();
    let delivery = stream.stop();

    assert!(delivery.sent > 0);
    assert_eq!(delivery.lost, 0, "{delivery:?}");
    eprintln!("the slowest of {} echoes took {:?}", delivery.sent, delivery.slowest);
    assert_eq!(machine.status()["bridge"]["flow_mods"], json!(0), "{}", machine.log());
    assert_eq!(machine.flows(), before);
}

#[test]
fn a_bridge_that_somebody_else_made_is_closed_when_the_switch_starts_alone() {
    let mut machine = Machine::without_weir();
    // As `ovs-vsctl add-br` makes it: where it has no flows it forwards everything.
    let made = ["add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev"];
    machine.switch.vsctl(&made).unwrap();
    machine.start_weir();
    eventually(WAIT, || machine.is_ready()).unwrap();
    let (one, two, _) = pair(&machine);

    machine.stop_weir();
    machine.switch.stop_vswitchd().unwrap();
    machine.switch.start_vswitchd().unwrap();
    assert_eq!(machine.flows(), Vec::<String>::new());
    assert_ne!(one.connect_tcp(two.v4(80).unwrap(), PATIENCE), Outcome::Reached);
}

#[test]
fn a_database_that_is_not_there_is_waited_for() {
    let mut machine = Machine::without_weir();
    machine.switch.stop_vswitchd().unwrap();
    machine.switch.stop_ovsdb().unwrap();
    machine.start_weir();
    let status = machine.status();
    let ovsdb = text(&status["connections"], "ovsdb");
    assert_ne!(ovsdb, "ok");
    assert_eq!(machine.weir(&["status"]).status.code(), Some(3));

    machine.switch.start_ovsdb().unwrap();
    eventually(WAIT, || machine.status()["connections"]["ovsdb"] == "ok").unwrap();
    assert_ne!(machine.status()["connections"]["switch"], "ok");
    machine.switch.start_vswitchd().unwrap();
    eventually(WAIT, || machine.is_ready()).unwrap();

    // And when it goes away for a while.
    let (one, two, _) = pair(&machine);
    machine.switch.stop_ovsdb().unwrap();
    eventually(WAIT, || machine.status()["connections"]["ovsdb"] != "ok").unwrap();
    machine.switch.start_ovsdb().unwrap();
    eventually(WAIT, || machine.is_ready()).unwrap();
    // ovs-vswitchd 3.1 admits no connection while its database is away.
    eventually(WAIT, || one.connect_tcp(two.v4(80).unwrap(), PATIENCE) == Outcome::Reached)
        .unwrap();
}

#[test]
fn a_refused_flow_is_told_and_holds_up_nobody_else() {
    let machine = Machine::new();
    let (one, two, _) = pair(&machine);

    // The table of the ingress rules takes no more flows than it has.
    let flows = machine.flows();
    let full = flows.iter().filter(|flow| flow.contains("table=182,")).count();
    machine
        .switch
        .vsctl(&[
            "--",
            "--id=@full",
            "create",
            "Flow_Table",
            &format!("flow_limit={full}"),
            "overflow_policy=refuse",
            "--",
            "set",
            "Bridge",
            "br-int",
            "flow_tables:182=@full",
        ])
        .unwrap();
    let network = machine.network();
    let group = machine.create("security_group", json!({ "name": "web" }));
    for port in [80, 443] {
        machine.create(
            "security_group_rule",
            json!({
                "security_group_id": group["id"],
                "direction": "ingress",
                "protocol": "tcp",
                "port_range_min": port,
                "port_range_max": port,
            }),
        );
    }
    let refused = machine.port(&network, json!({ "security_groups": [group["id"]] }));
    let output = machine.weir(&["plug", text(&refused, "id"), "--no-wait"]);
    assert!(output.status.success(), "{output:?}");
    let refusals = || machine.status()["refused"].as_array().cloned().unwrap();
    eventually(WAIT, || !refusals().is_empty()).unwrap_or_else(|_| panic!("{}", machine.log()));
    assert!(text(&refusals()[0], "message").contains("table=182"), "{:?}", refusals());
    let shown = machine.port_status(&refused).unwrap();
    assert_eq!(shown["up"], json!(false), "{shown}");
    assert!(text(&shown, "state").contains("refused"), "{shown}");
    assert_eq!(machine.weir(&["status"]).status.code(), Some(3));

    // The others go on, a new one too.
    assert_eq!(one.connect_tcp(two.v4(80).unwrap(), PATIENCE), Outcome::Reached);
    let another = machine.port(&network, json!({ "security_groups": [] }));
    machine.json(&["plug", text(&another, "id")]);

    // And so does the refused one, once there is room.
    machine.switch.vsctl(&["clear", "Bridge", "br-int", "flow_tables"]).unwrap();
    eventually(WAIT, || machine.is_ready()).unwrap_or_else(|_| panic!("{}", machine.log()));
}
