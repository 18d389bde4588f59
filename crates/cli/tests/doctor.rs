//! `weir doctor` says what will differ before anything is changed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use serde_json::Value;
use testkit::Switch;

/// What `weir doctor` says of files with these texts on the node of a switch, and its exit status.
fn doctor(switch: &Switch, files: &[&str]) -> (Value, Option<i32>) {
    let mut weir = Command::new("nsenter");
    weir.arg(format!("--net={}", switch.namespace().path().display()));
    weir.args([env!("CARGO_BIN_EXE_weir"), "doctor", "--json"]);
    weir.args(["--ovs-run-dir", switch.run_dir().to_str().unwrap()]);
    for (number, text) in files.iter().enumerate() {
        let path = switch.run_dir().join(format!("{number}.ini"));
        std::fs::write(&path, text).unwrap();
        weir.arg("--config-file").arg(path);
    }
    let output = weir.output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (report, output.status.code())
}

const NEUTRON: &str = "\
[DEFAULT]
host = node-1
transport_url = rabbit://user:secret@192.0.2.1//
core_plugin = ml2
[oslo_concurrency]
lock_path = $state_path/lock
";

const AGENT: &str = "\
[ovs]
datapath_type = netdev
bridge_mappings = physnet1:br-phys
[securitygroup]
firewall_driver = openvswitch
";

#[test]
fn a_node_on_which_nothing_will_differ() {
    let switch = Switch::start().unwrap();
    switch.add_bridge("br-phys").unwrap();
    let (report, status) = doctor(&switch, &[NEUTRON, AGENT]);
    assert_eq!((&report["outlook"], status), (&Value::from("fine"), Some(0)), "{report:#}");
    assert_eq!(report["host"], "node-1");
    let options = report["options"].as_array().unwrap();
    let lock = options.iter().find(|it| it["name"] == "lock_path").unwrap();
    assert_eq!(
        (&lock["value"], &lock["verdict"]),
        (&"/var/lib/neutron/lock".into(), &"not needed".into())
    );
    assert!(lock["place"].as_str().unwrap().ends_with("0.ini:6"), "{lock}");
    assert!(!report.to_string().contains("secret"), "{report:#}");
    let bridge = &report["checks"][1];
    assert_eq!((&bridge["what"], &bridge["outlook"]), (&"bridge br-int".into(), &"fine".into()));
    // Nothing was made.
    assert_eq!(switch.vsctl(&["list-br"]).unwrap().trim(), "br-phys");
}

#[test]
fn a_node_with_ports_behind_linux_bridges() {
    let switch = Switch::start().unwrap();
    switch.add_bridge("br-phys").unwrap();
    switch.add_bridge("br-int").unwrap();
    for name in ["qvo1", "qvo2", "tap3"] {
        let port = ["add-port", "br-int", name, "--", "set", "interface", name];
        let kind = ["type=internal", &format!("external_ids:iface-id={name}")];
        switch.vsctl(&[&port[..], &kind[..]].concat()).unwrap();
    }
    let found = |driver: &str, expected: i32| {
        let text = format!("[securitygroup]\nfirewall_driver = {driver}\n");
        let (report, status) = doctor(&switch, &[NEUTRON, AGENT, &text]);
        assert_eq!(status, Some(expected), "{report:#}");
        let checks = report["checks"].as_array().unwrap().iter();
        let mut checks = checks.filter(|it| it["what"].as_str().unwrap().starts_with("firewall "));
        checks.next().unwrap()["says"].as_str().unwrap().to_owned()
    };
    assert!(found("openvswitch", 0).starts_with("2 ports have a Linux bridge of their own"));
    assert!(found("noop", 0).starts_with("security groups are not applied"));
    assert!(found("iptables_hybrid", 1).starts_with("1 ports have no Linux bridge of their own"));
    assert!(found("iptables", 1).starts_with("Neutron's agent filters nothing with it"));
}

#[test]
fn a_node_on_which_something_will() {
    let switch = Switch::start().unwrap();
    let files = [NEUTRON, AGENT, "[DEFAULT]\nuse_json = true\nhots = a\n"];
    let (report, status) = doctor(&switch, &files);
    assert_eq!((&report["outlook"], status), (&Value::from("differs"), Some(1)), "{report:#}");
    let stray = report["strays"][0].as_str().unwrap();
    assert!(stray.ends_with("2.ini:3: [DEFAULT] hots is no option that anybody knows"), "{stray}");
    let differ = report["checks"].as_array().unwrap().iter();
    let differ: Vec<_> = differ.filter(|it| it["outlook"] == "differs").collect();
    let of = |what: &str| differ.iter().any(|it| it["what"] == what);
    assert!(of("bridge br-phys"), "{differ:?}");
}

#[test]
fn a_node_on_which_the_agent_would_not_start() {
    let switch = Switch::start().unwrap();
    for (text, expected) in [
        ("[securitygroup]\nfirewall_driver = nftables\n", None),
        ("[agent]\nextensions = log\n", None),
        (
            "[agent]\npolling_interval = often\n",
            Some("2.ini:2: [agent] polling_interval: 'often' is not an integer"),
        ),
        (
            "[ovs]\nlocal_ip = 192.0.2.77\n[agent]\ntunnel_types = vxlan\n",
            Some("2.ini:2: [ovs] local_ip: no interface of this host has the address 192.0.2.77"),
        ),
        ("[ovs\n", Some("2.ini:1: a group's line must end with ']': '[ovs'")),
    ] {
        let (report, status) = doctor(&switch, &[NEUTRON, AGENT, text]);
        let outlook = Value::from("would_not_start");
        assert_eq!((&report["outlook"], status), (&outlook, Some(2)), "{report:#}");
        match expected {
            Some(expected) => {
                let error = report["errors"][0].as_str().unwrap();
                assert!(error.ends_with(expected), "{error}");
            }
            None => {
                let options = report["options"].as_array().unwrap();
                let refused: Vec<_> =
                    options.iter().filter(|it| it["verdict"] == "refused").collect();
                assert_eq!(refused.len(), 1, "{refused:?}");
                assert!(refused[0]["place"].as_str().unwrap().ends_with("2.ini:2"), "{refused:?}");
            }
        }
    }
    let (report, status) =
        doctor(&switch, &[NEUTRON, AGENT, "[securitygroup]\nfirewall_driver =\n"]);
    let last = report["checks"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["what"], status), (&Value::from("firewall"), Some(2)), "{report:#}");
    assert_eq!(last["outlook"], "would_not_start");
    switch.stop_ovsdb().unwrap();
    let (report, status) = doctor(&switch, &[NEUTRON, AGENT]);
    assert_eq!(status, Some(2), "{report:#}");
}
