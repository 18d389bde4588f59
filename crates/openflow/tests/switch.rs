//! Against a real Open vSwitch: what is sent comes back equal, in our eyes and in ovs-ofctl's.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use openflow::{
    BundleError, Client, Command, ConnectError, Cookie, Flow, FlowMod, Match, Priority, TableId,
    Target,
};
use testkit::Switch;

/// One flow of each kind that a switch can hold, as ovs-ofctl prints them.
const FLOWS: &str = include_str!("flows.txt");

fn flows() -> Vec<Flow> {
    let lines = FLOWS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.parse().unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

fn switch() -> (Switch, Target) {
    let switch = Switch::start().unwrap();
    switch.add_bridge("br0").unwrap();
    let target = Target::Unix(switch.run_dir().join("br0.mgmt"));
    (switch, target)
}

fn adds(flows: &[Flow]) -> Vec<FlowMod> {
    flows.iter().cloned().map(FlowMod::add).collect()
}

async fn dump(client: &Client) -> Vec<Flow> {
    let mut flows: Vec<_> =
        client.dump_flows().await.unwrap().into_iter().map(|stats| stats.flow).collect();
    flows.sort();
    flows
}

#[tokio::test]
async fn what_is_sent_comes_back() {
    let (switch, target) = switch();
    let client = Client::connect(&target).await.unwrap();
    assert_eq!(client.features().n_tables, 254);
    assert_ne!(client.features().datapath_id, 0);

    let mut sent = flows();
    // Each alone first: a bundle names the flow that is refused, but only one.
    client.bundle(adds(&sent)).await.unwrap_or_else(|error| panic!("{error}"));
    client.barrier().await.unwrap();
    sent.sort();
    let installed = dump(&client).await;
    for (sent, installed) in sent.iter().zip(&installed) {
        assert_eq!(sent, installed, "\n{sent}\n{installed}");
    }
    assert_eq!(sent.len(), installed.len());

    // ovs-ofctl says the same, and what it says is read as the same.
    let text = switch.ofctl(&["--no-stats", "--no-names", "dump-flows", "br0"]).unwrap();
    let mut theirs: Vec<&str> = text.lines().map(str::trim).collect();
    let mut ours: Vec<String> = sent.iter().map(Flow::to_string).collect();
    theirs.sort();
    ours.sort();
    assert_eq!(ours, theirs);
    let mut read: Vec<Flow> = theirs.iter().map(|line| line.parse().unwrap()).collect();
    read.sort();
    assert_eq!(read, sent);

    // Also with counters around it.
    let text = switch.ofctl(&["--no-names", "dump-flows", "br0"]).unwrap();
    let lines = text.lines().filter(|line| line.contains("actions="));
    let mut read: Vec<Flow> = lines.map(|line| line.parse().unwrap()).collect();
    read.sort();
    assert_eq!(read, sent);

    // Installing it again changes nothing, and strict deletes find every one.
    client.bundle(adds(&sent)).await.unwrap();
    assert_eq!(dump(&client).await, sent);
    let deletes = sent.iter().map(|flow| FlowMod::delete_strict(flow.key())).collect();
    client.bundle(deletes).await.unwrap();
    assert_eq!(dump(&client).await, []);
}
