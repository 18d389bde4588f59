//! `weir bench neutron` as a user runs it, on a small scale. What it measures decides nothing here.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::made_by;

use crate::cloud::programs;

#[test]
fn both_agents_are_measured_and_nothing_stays() {
    let bench = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["bench", "neutron", "--ports", "3", "--rules", "5", "--created", "2"])
        .args(["--peer", "--json", "--neutron"])
        .arg(programs("neutron"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = bench.id();
    let output = bench.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&figures["ports"], &figures["rules"]), (&json!(3), &json!(5)));
    for agent in ["weir", "neutron"] {
        let measured = &figures[agent];
        let [start, rules] = [&measured["start"], &measured["rules"]];
        let seconds = |what: &str| start[what].as_f64().unwrap();
        assert!(measured["fetch"]["calls"].as_u64().unwrap() > 0, "{figures:#}");
        assert!(measured["fetch"]["seconds"].as_f64().unwrap() > 0.0, "{figures:#}");
        assert!(seconds("waiting_seconds") > 0.0 && seconds("own_seconds") > 0.0, "{figures:#}");
        assert!(seconds("seconds") > seconds("waiting_seconds"), "{figures:#}");
        assert!(start["peak_rss_bytes"].as_u64().unwrap() > 1_000_000, "{figures:#}");
        assert_eq!(rules["created"], json!(2), "{figures:#}");
        assert!(rules["median_ms"].as_f64().unwrap() > 0.0, "{figures:#}");
    }
    assert_eq!(made_by(pid), Vec::<String>::new());
}

#[test]
fn without_neutron_it_says_what_installs_it() {
    let bench = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["bench", "neutron", "--neutron", "/nowhere"])
        .output()
        .unwrap();
    assert!(!bench.status.success());
    let said = String::from_utf8_lossy(&bench.stderr);
    assert!(said.contains("no Neutron in /nowhere") && said.contains("scripts/neutron"), "{said}");
}
