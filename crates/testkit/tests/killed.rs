//! A killed owner: its daemons die with it, and the next run removes the rest.
#![expect(clippy::unwrap_used, reason = "a test may panic, also in what its tests share")]

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// One test, because a second one would remove what this one leaves behind.
#[test]
fn daemons_die_with_their_owner_and_the_rest_can_be_removed() {
    let broker = kill_owner_of("private_broker", "export HOME=", 1);
    let switch = kill_owner_of("private_switch", "export OVS_RUNDIR=", 2);
    assert!(!Path::new(&broker).exists(), "the second owner removes what the first left");

    let name = Path::new(&switch).file_name().unwrap().to_str().unwrap();
    let namespace = Path::new("/run/netns").join(name);
    assert!(Path::new(&switch).exists() && namespace.exists());
    testkit::remove_leftovers().unwrap();
    assert!(!Path::new(&switch).exists() && !namespace.exists());
}

/// Starts the example, kills it, waits until its daemons, so many, are gone, and returns its run
/// directory, which it prints after `mark`.
fn kill_owner_of(example: &str, mark: &str, daemons: usize) -> String {
    let program = env::current_exe().unwrap();
    let program = program.ancestors().nth(2).unwrap().join("examples").join(example);
    let mut owner =
        Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let run_dir =
        lines.find_map(|line| line.unwrap().strip_prefix(mark).map(str::to_owned)).unwrap();
    assert_eq!(processes_about(&run_dir), daemons, "{example}");

    owner.kill().unwrap();
    owner.wait().unwrap();
    testkit::eventually(Duration::from_secs(10), || processes_about(&run_dir) == 0).unwrap();
    run_dir
}

/// Processes with that text on their command line.
fn processes_about(text: &str) -> usize {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).contains(text))
        .count()
}
