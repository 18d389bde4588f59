//! A killed owner: its daemons die with it, and the next run removes the rest.
#![expect(clippy::unwrap_used, reason = "a test may panic, also in what its tests share")]

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

#[test]
fn daemons_die_with_their_owner_and_the_rest_can_be_removed() {
    let program = env::current_exe().unwrap();
    let program = program.ancestors().nth(2).unwrap().join("examples/private_switch");
    let mut owner =
        Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let run_dir = lines
        .find_map(|line| line.unwrap().strip_prefix("export OVS_RUNDIR=").map(str::to_owned))
        .unwrap();
    assert_eq!(processes_about(&run_dir), 2, "ovsdb-server and ovs-vswitchd");

    owner.kill().unwrap();
    owner.wait().unwrap();
    testkit::eventually(Duration::from_secs(10), || processes_about(&run_dir) == 0).unwrap();

    let name = Path::new(&run_dir).file_name().unwrap().to_str().unwrap();
    let namespace = Path::new("/run/netns").join(name);
    assert!(Path::new(&run_dir).exists() && namespace.exists());
    testkit::remove_leftovers().unwrap();
    assert!(!Path::new(&run_dir).exists() && !namespace.exists());
}

/// Processes with that text on their command line.
fn processes_about(text: &str) -> usize {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).contains(text))
        .count()
}
