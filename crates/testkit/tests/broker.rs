//! A private broker: several beside each other, with lives of their own.
#![expect(clippy::unwrap_used, reason = "a test may panic, also in what its tests share")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use testkit::{Broker, BrokerOptions};

#[test]
fn brokers_run_beside_each_other_and_come_back_where_they_were() {
    let first = Broker::start().unwrap();
    let second = Broker::prepare(&BrokerOptions::default()).unwrap();
    assert!(TcpStream::connect(second.address()).is_err(), "it does not run yet");
    second.run().unwrap();
    assert_ne!(first.address(), second.address());

    let vhosts = first.ctl(&["list_vhosts"]).unwrap();
    let mut vhosts: Vec<_> = vhosts.lines().skip(1).collect();
    vhosts.sort_unstable();
    assert_eq!(vhosts, ["/", "weir"]);

    // A connection ends with the broker, and another is taken when it is back.
    let mut connection = TcpStream::connect(first.address()).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    first.kill();
    assert_eq!(connection.read(&mut [0]).unwrap_or(0), 0, "closed or reset");
    assert!(TcpStream::connect(first.address()).is_err());
    first.run().unwrap();
    TcpStream::connect(first.address()).unwrap().write_all(b"AMQP").unwrap();
    first.stop().unwrap();
    assert!(TcpStream::connect(first.address()).is_err());

    TcpStream::connect(second.address()).unwrap();
    let run_dir = second.run_dir().to_owned();
    drop(second);
    assert!(!run_dir.exists());
}

#[test]
fn a_broker_that_cannot_start_says_why() {
    let broker = Broker::prepare(&BrokerOptions::default()).unwrap();
    fs::write(broker.run_dir().join("rabbitmq.config"), "nonsense").unwrap();
    let error = broker.run().unwrap_err().to_string();
    assert!(error.contains("rabbitmq-server ended by itself"), "{error}");
    assert!(error.contains("configuration_file"), "{error}");
}

/// From time to time a broker sees to it that a port mapper runs, and starts one that stays.
#[test]
fn a_broker_starts_nothing_that_outlives_it() {
    let broker = Broker::start().unwrap();
    broker.ctl(&["eval", "rabbit_nodes_common:ensure_epmd()."]).unwrap();
    let run_dir = broker.run_dir().display().to_string();
    broker.stop().unwrap();
    testkit::eventually(Duration::from_secs(10), || started_in(&run_dir).is_empty()).unwrap();
}

/// The names of processes that have that directory as their home.
fn started_in(directory: &str) -> Vec<String> {
    let home = format!("HOME={directory}");
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        let environment = fs::read(path.join("environ")).ok()?;
        let has_home = environment.split(|byte| *byte == 0).any(|item| item == home.as_bytes());
        has_home.then(|| fs::read_to_string(path.join("comm")).unwrap_or_default())
    });
    processes.collect()
}
