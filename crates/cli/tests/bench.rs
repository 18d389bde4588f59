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

fn bench(what: &str, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["bench", what, "--json"])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn figures_come_out_and_a_restart_changes_nothing() {
    let bench = bench("scale", &["--ports", "3", "--rules", "10", "--runs", "3"]);
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
fn rules_that_cannot_be_merged_are_a_flow_each() {
    let flows = |shape: &str, rules: &str| {
        let bench = bench("scale", &["--shape", shape, "--ports", "2", "--rules", rules]);
        let output = bench.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(figures["restart_flow_mods"], json!(0), "{figures}");
        assert!(figures["load_seconds"].as_f64().unwrap() > 0.0, "{figures}");
        figures["flows"].as_u64().unwrap()
    };
    for (shape, more) in [("merged", 0), ("distinct", 6), ("unshared", 2 * 6)] {
        assert_eq!(flows(shape, "16") - flows(shape, "10"), more, "{shape}");
    }
}

#[test]
fn ports_are_plugged_one_by_one_and_at_once() {
    let bench = bench("wire", &["--single", "3", "--ports", "5", "--rules", "10"]);
    let pid = bench.id();
    let output = bench.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&figures["single"], &figures["ports"]), (&json!(3), &json!(5)));
    for figure in ["single_median_ms", "single_p99_ms", "single_interface_ms", "all_ms"] {
        assert!(figures[figure].as_f64().unwrap() > 0.0, "{figure}: {figures}");
    }
    assert_eq!(made_by(pid), Vec::<String>::new());
}

#[test]
fn drivers_are_compared_and_drawn() {
    let svg = std::env::temp_dir().join(format!("weir-drivers-{}.svg", std::process::id()));
    let size = ["--ports", "2,3", "--rules", "5", "--changes", "2", "--seconds", "1"];
    let bench = bench("drivers", &[&size[..], &["--svg", svg.to_str().unwrap()]].concat());
    let pid = bench.id();
    let output = bench.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    let measured = figures["measured"].as_array().unwrap();
    let of = |way: &str| measured.iter().filter(|it| it["way"] == way).collect::<Vec<_>>();
    for way in ["plain", "native", "hybrid"] {
        assert_eq!(of(way).len(), 2, "{way}: {figures}");
    }
    for one in measured {
        let has_agent = one["way"] != "plain";
        for (figure, expected) in [
            ("/ready_seconds", has_agent),
            ("/change_ms/median", has_agent),
            ("/bits_per_second", true),
            ("/latency_us/median", true),
            ("/connections_per_second", true),
        ] {
            let found = one.pointer(figure).and_then(Value::as_f64);
            assert_eq!(found.is_some_and(|it| it > 0.0), expected, "{figure}: {one}");
        }
        // All machines but the client are pinged, which nobody may ping.
        let pinged = one.pointer("/moved/pings").and_then(Value::as_array);
        let ports = one["ports"].as_u64().unwrap();
        assert_eq!(pinged.is_some_and(|it| it.len() as u64 == ports - 1), has_agent, "{one}");
        for machine in pinged.into_iter().flatten() {
            let [sent, lost] = ["sent", "lost"].map(|figure| machine[figure].as_u64().unwrap());
            assert!(sent > 0 && lost < sent, "{one}");
            assert!(machine["longest_gap_ms"].as_f64().unwrap() > 0.0, "{one}");
        }
    }
    let drawn = fs::read_to_string(&svg).unwrap();
    fs::remove_file(&svg).unwrap();
    assert!(drawn.starts_with("<svg ") && drawn.trim_end().ends_with("</svg>"), "{drawn}");
    assert_eq!(made_by(pid), Vec::<String>::new());
}

#[test]
fn a_change_costs_what_it_changes() {
    let size = ["--ports", "3", "--rules", "5", "--members", "4", "--repeat", "2"];
    let more = ["--burst", "6", "--bursts", "1", "--switches", "4"];
    let bench = bench("churn", &[&size[..], &more].concat());
    let pid = bench.id();
    let output = bench.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    let changes = figures["changes"].as_array().unwrap();
    let costs = |change: &Value| {
        assert!(change["median_ms"].as_f64().unwrap() > 0.0, "{change}");
        assert!(change["bundles"].as_u64().unwrap() >= 1, "{change}");
        let [name, description] = ["name", "description"].map(|key| change[key].as_str().unwrap());
        assert!(!description.is_empty());
        (name.to_owned(), change["repetitions"].clone(), change["most_flow_mods"].clone())
    };
    let cost =
        |name: &str, times: u64, flow_mods: u64| (name.to_owned(), json!(times), json!(flow_mods));
    assert_eq!(
        changes.iter().map(costs).collect::<Vec<_>>(),
        [
            cost("rule_added", 2, 1),
            cost("rule_removed", 2, 1),
            // One flow for each direction.
            cost("member_joins", 2, 2),
            cost("member_leaves", 2, 2),
            // Two flows of a port carry the number of its policy.
            cost("port_moves", 5, 2),
            // What is allowed anyway is not written: of 5 rules and 1, one is covered.
            cost("policy_comes", 1, 2 + 5),
            cost("policy_goes", 1, 5),
            cost("burst_joins", 1, 12),
            cost("burst_leaves", 1, 12),
        ]
    );
    for during in ["during_nothing", "during_bursts", "during_switches"] {
        let count = |what: &str| figures[during][what].as_u64().unwrap();
        assert_eq!(count("admitted"), 0, "{figures}");
        // A connection that was cut stays silent.
        assert!(count("sent") > 10 * count("lost") && count("tried") > 0, "{figures}");
    }
    assert_eq!(made_by(pid), Vec::<String>::new());
}

#[test]
fn every_port_and_policy_is_verified() {
    let size = ["--shape", "unshared", "--ports", "3", "--rules", "20", "--runs", "1"];
    let output = bench("verify", &size).wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["differ"], json!(0), "{figures}");
    let report = &figures["runs"][0]["report"];
    assert_eq!((&report["ports_checked"], &report["ports"]), (&json!(3), &json!(3)));
    assert_eq!((&report["policies_checked"], &report["policies"]), (&json!(6), &json!(6)));
    assert!(figures["traced"].as_u64().unwrap() > 30, "{figures}");
}

#[test]
fn an_interrupt_leaves_nothing() {
    let bench = bench("scale", &["--ports", "3", "--rules", "60000"]);
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
