//! The crates and which of them may depend on which. ARCHITECTURE.md says why.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// Each crate, and the crates of Weir that it may depend on. Tests of any may use `testkit`
/// besides; the binary depends on it because the demonstration and the benchmarks are commands.
const ARROWS: [(&str, &[&str]); 13] = [
    ("model", &[]),
    ("config", &[]),
    ("openflow", &[]),
    ("peer", &[]),
    ("ovsdb", &["peer"]),
    ("amqp", &["peer"]),
    ("testkit", &[]),
    ("policy", &["model"]),
    ("dataplane", &["model", "policy", "openflow"]),
    ("neutron", &["model", "peer", "amqp"]),
    ("agent", &["model", "policy", "dataplane", "openflow", "peer", "ovsdb", "neutron"]),
    ("server", &["model", "neutron"]),
    (
        "cli",
        &[
            "model",
            "policy",
            "amqp",
            "openflow",
            "ovsdb",
            "dataplane",
            "neutron",
            "config",
            "agent",
            "server",
            "testkit",
        ],
    ),
];

#[test]
fn crates_depend_only_along_the_arrows() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();

    let found: BTreeSet<_> = packages.iter().map(|package| short(&package["name"])).collect();
    let listed: BTreeSet<_> = ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(found, listed, "the crates of the workspace and the table of arrows");

    let mut astray = Vec::new();
    for (name, allowed) in ARROWS {
        let package = packages.iter().find(|package| short(&package["name"]) == name).unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            // Only crates of the workspace have a path.
            if dependency["path"].is_null() {
                continue;
            }
            let target = short(&dependency["name"]);
            let for_tests = dependency["kind"] == "dev" && target == "testkit";
            if !allowed.contains(&target) && !for_tests {
                astray.push(format!("{name} -> {target}"));
            }
        }
    }
    assert!(astray.is_empty(), "these arrows are not allowed: {}", astray.join(", "));
}

/// `model` of `weir-model`.
fn short(name: &Value) -> &str {
    let name = name.as_str().unwrap();
    name.strip_prefix("weir-").unwrap_or(name)
}
