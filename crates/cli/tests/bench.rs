//! `weir bench` as a user runs it, on a small scale. What it measures decides nothing here.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use testkit::{eventually, made_by};

const WAIT: Duration = Duration::from_secs(60);

fn bench(more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["bench", "scale", "--json"])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn figures_come_out_and_a_restart_changes_nothing() {
    let bench = bench(&["--ports", "3", "--rules", "10", "--runs", "3"]);
    let pid = bench.id();
    let output = bench.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&figures["ports"], &figures["rules"]), (&json!(3), &json!(10)));
    assert_eq!(figures["restart_flow_mods"], json!(0), "{figures}");
    assert_eq!(figures["runs"].as_array().unwrap().len(), 3);
    for run in figures["runs"].as_array().unwrap() {
        assert_eq!(run["flows"], figures["flows"], "every start ends in the same flows");
    }
    assert!(figures["flows"].as_u64().unwrap() > 0);
    assert!(figures["peak_rss_bytes"].as_u64().unwrap() > 1_000_000);
    assert_eq!(made_by(pid), Vec::<String>::new());
}

#[test]
fn an_interrupt_leaves_nothing() {
    let bench = bench(&["--ports", "3", "--rules", "60000"]);
    let pid = bench.id();
    eventually(WAIT, || {
        made_by(pid).iter().any(|name| fs::exists(format!("/tmp/{name}/weir/up.json")).unwrap())
    })
    .unwrap();
    let kill = Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap();
    assert!(kill.success());
    let output = bench.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(made_by(pid), Vec::<String>::new());
}
