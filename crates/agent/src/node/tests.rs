use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use neutron::bus::local::LocalBus;
use neutron::rpc::Request;

use super::*;
use crate::config::{Extensions, Forwarding};
use crate::firewall::Firewall;
use crate::identity::Identity;

/// A node without a database, a switch or a server.
fn config() -> Config {
    let nowhere = PathBuf::from("/nowhere");
    Config {
        host: "node1".to_owned(),
        ovsdb: ovsdb::Remote::Unix(nowhere.join("db.sock")),
        ovs_run_dir: nowhere.clone(),
        vswitchd_socket: None,
        integration_bridge: "br-int".to_owned(),
        datapath_type: "netdev".to_owned(),
        bridge_mappings: BTreeMap::new(),
        tunnel: None,
        permitted_ethertypes: BTreeSet::new(),
        firewall: Firewall::OpenVswitch,
        enable_ipset: true,
        strict_equivalence: false,
        extensions: Extensions::ALL,
        forwarding: Forwarding::default(),
        drop_flows_on_start: false,
        gather: Duration::from_millis(2),
        report_interval: Duration::from_secs(60),
        identity: Identity::weir(),
        admin_socket: nowhere.join("agent.sock"),
    }
}

#[tokio::test]
async fn the_server_hears_how_ports_must_be_plugged() {
    for (firewall, is_hybrid) in
        [(Firewall::OpenVswitch, false), (Firewall::Noop, false), (Firewall::IptablesHybrid, true)]
    {
        let config = Arc::new(Config { firewall, ..config() });
        let (events, _queue) = mpsc::channel(8);
        let (database, _changes) =
            ovsdb::Client::start(config.ovsdb.clone(), ovsdb::Options::default());
        let (bus, mut server) = LocalBus::new();
        let (caller, _casts) = bus.join(&config.host).split();
        let node = Node::new(config, events, database, caller);
        node.send_heartbeat();
        let Some(Request::ReportState(report, _)) = server.next_request().await else {
            panic!("no report");
        };
        assert_eq!(report.agent_state.configurations.ovs_hybrid_plug, is_hybrid, "{firewall}");
    }
}

#[tokio::test]
async fn what_is_queued_does_not_hold_up_the_end() {
    let config = Arc::new(config());
    let (events, queue) = mpsc::channel(8);
    let (database, _changes) =
        ovsdb::Client::start(config.ovsdb.clone(), ovsdb::Options::default());
    let (bus, _server) = LocalBus::new();
    let (caller, _casts) = bus.join(&config.host).split();
    let node = Node::new(config, events.clone(), database, caller);
    let (reply, answer) = oneshot::channel();
    events.send(Event::Status(reply)).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    stop.send(()).unwrap();
    node.run(queue, stopped).await;
    assert!(answer.await.is_err(), "it has answered first");
}
