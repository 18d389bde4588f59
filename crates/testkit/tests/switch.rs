//! The switch of the kit: private, restartable, gone afterwards.

use std::{fs, path::PathBuf, time::Duration};

use testkit::{Switch, eventually};

const WAIT: Duration = Duration::from_secs(10);

#[test]
fn two_switches_have_the_same_bridge_name_and_nothing_else() {
    let (one, two) = (Switch::start().unwrap(), Switch::start().unwrap());
    for switch in [&one, &two] {
        switch.add_bridge("br-int").unwrap();
        assert!(switch.mgmt_socket("br-int").exists());
    }
    one.ofctl(&["add-flow", "br-int", "table=3,actions=drop"]).unwrap();
    assert!(one.ofctl(&["dump-flows", "br-int"]).unwrap().contains("table=3"));
    assert!(!two.ofctl(&["dump-flows", "br-int"]).unwrap().contains("table=3"));
    assert!(two.appctl(&["ofproto/trace", "br-int", "tcp"]).unwrap().contains("drop"));
    assert_ne!(one.unique(), two.unique());
    assert!(one.unique().len() <= 10);
}

#[test]
fn nothing_is_left_after_drop() {
    let switch = Switch::start().unwrap();
    switch.add_bridge("br0").unwrap();
    let pid = switch.vswitchd_pid().unwrap();
    let traces =
        [switch.run_dir().to_owned(), switch.namespace().path(), format!("/proc/{pid}").into()];
    assert!(traces.iter().all(|path| path.exists()), "{traces:?}");
    drop(switch);
    let left: Vec<&PathBuf> = traces.iter().filter(|path| path.exists()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn nothing_is_left_after_a_panic() {
    let (tell, told) = std::sync::mpsc::channel();
    let test = std::thread::spawn(move || {
        let switch = Switch::start().unwrap();
        tell.send((switch.run_dir().to_owned(), switch.namespace().path())).unwrap();
        assert!(!switch.run_dir().exists(), "this panic is meant to happen");
    });
    let (run_dir, namespace) = told.recv().unwrap();
    assert!(test.join().is_err());
    assert!(!run_dir.exists() && !namespace.exists());
}

#[test]
fn a_killed_switch_comes_back_with_its_bridges_and_without_flows() {
    let switch = Switch::start().unwrap();
    switch.add_bridge("br0").unwrap();
    switch.ofctl(&["add-flow", "br0", "table=3,actions=drop"]).unwrap();
    let before = switch.vswitchd_pid().unwrap();

    switch.kill_vswitchd();
    assert_eq!(switch.vswitchd_pid(), None);
    assert!(switch.ofctl(&["dump-flows", "br0"]).is_err());
    assert_eq!(switch.vsctl_no_wait(&["list-br"]).unwrap(), "br0\n");

    switch.start_vswitchd().unwrap();
    assert_ne!(switch.vswitchd_pid().unwrap(), before);
    assert!(!switch.ofctl(&["dump-flows", "br0"]).unwrap().contains("table=3"));
}

#[test]
fn both_daemons_stop_and_start_in_any_order() {
    let switch = Switch::start().unwrap();
    switch.add_bridge("br0").unwrap();
    switch.ofctl(&["add-flow", "br0", "table=3,actions=drop"]).unwrap();

    switch.stop_ovsdb().unwrap();
    assert!(switch.vsctl_no_wait(&["list-br"]).is_err());
    switch.start_ovsdb().unwrap();
    eventually(WAIT, || {
        switch
            .vsctl(&["add-port", "br0", "p0", "--", "set", "interface", "p0", "type=internal"])
            .is_ok()
    })
    .unwrap();

    assert!(switch.ofctl(&["dump-flows", "br0"]).unwrap().contains("table=3"));

    switch.stop_vswitchd().unwrap();
    switch.start_vswitchd().unwrap();
    assert_eq!(switch.vsctl(&["list-ports", "br0"]).unwrap(), "p0\n");
}

#[test]
fn a_refusal_is_told_in_the_programs_words() {
    let switch = Switch::start().unwrap();
    let refusal = switch.vsctl(&["add-port", "nowhere", "p0"]).unwrap_err().to_string();
    assert!(refusal.contains("no bridge named nowhere"), "{refusal}");
    let log = fs::read_to_string(switch.run_dir().join("ovs-vswitchd.log")).unwrap();
    assert!(!log.contains("EMER"), "{log}");
}
