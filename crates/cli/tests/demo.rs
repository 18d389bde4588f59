//! `weir demo` as a user runs it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, also in what its tests share"
)]

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use testkit::{eventually, made_by};

const WAIT: Duration = Duration::from_secs(60);

fn demo(hosts: usize, carrier: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["demo", "--json", "--hosts", &hosts.to_string(), "--type", carrier])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn assert_nothing_left(pid: u32, output: &Output) {
    let left = made_by(pid);
    assert!(left.is_empty(), "{left:?} {output:?}");
}

/// The machines take turns on the hosts, and where they are makes no difference.
fn every_probe_agrees_with_the_rules_and_nothing_is_left(hosts: usize, carrier: &str) {
    let demo = demo(hosts, carrier);
    let pid = demo.id();
    let output = demo.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["agrees"], true);
    assert_eq!(report["network"]["type"], carrier);
    let machines = report["machines"].as_array().unwrap();
    let used: BTreeSet<_> = machines.iter().map(|machine| machine["host"].as_str()).collect();
    assert_eq!(used.len(), hosts, "{machines:?}");
    // 4 machines, 3 others each, 3 services; how many are reached is counted from the rules.
    for (cells, admitted) in [(&report["cells"], 9), (&report["change"]["cells"], 8)] {
        let cells = cells.as_array().unwrap();
        let reached = cells.iter().filter(|cell| cell["outcome"] == "reached").count();
        assert_eq!((cells.len(), reached), (36, admitted), "{cells:?}");
    }
    assert_nothing_left(pid, &output);
}

#[test]
fn one_host() {
    every_probe_agrees_with_the_rules_and_nothing_is_left(1, "vlan");
}

#[test]
fn two_hosts_with_vlans() {
    every_probe_agrees_with_the_rules_and_nothing_is_left(2, "vlan");
}

#[test]
fn three_hosts_with_vxlan() {
    every_probe_agrees_with_the_rules_and_nothing_is_left(3, "vxlan");
}

#[test]
fn an_interrupt_leaves_nothing() {
    let demo = demo(1, "vlan");
    let pid = demo.id();
    // Its first machine is there: a switch and Weir run.
    eventually(WAIT, || made_by(pid).iter().any(|name| name.ends_with("-web1"))).unwrap();
    let kill = Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap();
    assert!(kill.success());
    let output = demo.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert_nothing_left(pid, &output);
}
