//! Against a real Open vSwitch: what is sent comes back equal, in our eyes and in ovs-ofctl's.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use openflow::{
    BundleError, Client, Command, ConnectError, Cookie, Flow, FlowMod, FlowMonitor, Match,
    Priority, RequestError, TableId, Target, Told,
};
use std::{sync::Arc, time::Duration};
use testkit::Switch;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    time::timeout,
};

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
    let stats = client.dump_flows().await.unwrap().into_iter();
    let mut flows: Vec<_> = stats.map(|stats| Arc::unwrap_or_clone(stats.flow)).collect();
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

#[tokio::test]
async fn a_refused_change_leaves_everything_as_it_was() {
    let (_switch, target) = switch();
    let client = Client::connect(&target).await.unwrap();
    let first: Flow = "table=1, priority=5,reg5=0x1 actions=output:1".parse().unwrap();
    client.bundle(vec![FlowMod::add(first.clone())]).await.unwrap();

    // Refused as it is added: TCP ports without TCP, and behind it one that is fine.
    let bad = Flow { matches: Match::new().tp_dst(6, 80, 0xffff), ..first.clone() };
    let good = Flow { priority: Priority(6), ..first.clone() };
    let mods = vec![FlowMod::add(good.clone()), FlowMod::add(bad.clone()), FlowMod::add(good)];
    let error = client.bundle(mods.clone()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the switch refused change 1, 'add table=1, priority=5,tcp_dst=80 actions=output:1': \
         OFPBMC_BAD_PREREQ"
    );
    assert!(matches!(error, BundleError::Refused { index: 1, .. }), "{error:?}");
    assert_eq!(dump(&client).await, std::slice::from_ref(&first));

    // The same alone, where nothing is waited for between the change and the commit.
    for refused in [bad.clone(), "table=1, priority=7 actions=group:9".parse().unwrap()] {
        let error = client.bundle(vec![FlowMod::add(refused)]).await.unwrap_err();
        assert!(matches!(error, BundleError::Refused { index: 0, .. }), "{error:?}");
        assert_eq!(dump(&client).await, std::slice::from_ref(&first));
    }

    // Refused as it is carried out: a group that is not there.
    let no_group: Flow = "table=1, priority=7 actions=group:9".parse().unwrap();
    let mods = vec![
        FlowMod::delete_strict(first.key()),
        FlowMod::add(Flow { table: TableId(2), ..first.clone() }),
        FlowMod::add(no_group),
    ];
    let error = client.bundle(mods).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the switch refused change 2, 'add table=1, priority=7 actions=group:9': \
         OFPBAC_BAD_OUT_GROUP"
    );
    assert_eq!(dump(&client).await, std::slice::from_ref(&first));

    // What cannot be said in one message never goes out.
    let long =
        Flow { actions: [openflow::Action::Note(vec![0; 0x1_0000])].into(), ..first.clone() };
    let error = client.bundle(vec![FlowMod::add(long)]).await.unwrap_err();
    assert!(matches!(error, BundleError::TooLong { index: 0, .. }), "{error:?}");
    assert_eq!(dump(&client).await, std::slice::from_ref(&first));

    // The session goes on, and an empty bundle is fine.
    client.bundle(Vec::new()).await.unwrap();
    client.barrier().await.unwrap();
}

#[tokio::test]
async fn of_independent_changes_the_others_are_made() {
    let (_switch, target) = switch();
    let client = Client::connect(&target).await.unwrap();
    let mut monitor = client.monitor_flows([TableId::ALL].into()).await.unwrap();
    let flow = |text: &str| text.parse::<Flow>().unwrap();
    let first = flow("table=1, priority=5,reg5=0x1 actions=output:1");
    let second = flow("table=1, priority=6,reg5=0x1 actions=output:2");
    let bad = Flow { matches: Match::new().tp_dst(6, 80, 0xffff), ..first.clone() };
    let bundled = async |monitor: &mut FlowMonitor, mods: Vec<FlowMod>| {
        monitor.requests().independent(mods).await;
        loop {
            if let Told::Bundle(result) = monitor.next().await.unwrap() {
                return result;
            }
        }
    };

    let mods = adds(&[bad.clone(), first.clone(), bad.clone(), second.clone()]);
    let Err(BundleError::Partly { refused }) = bundled(&mut monitor, mods).await else {
        panic!("two are refused");
    };
    assert_eq!(refused.iter().map(|it| it.index).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(refused[0].error.name(), Some("OFPBMC_BAD_PREREQ"));
    assert_eq!(dump(&client).await, [first.clone(), second.clone()]);

    // Likewise what takes away.
    let deletes = [&bad, &second].map(|flow| FlowMod::delete_strict(flow.key())).into();
    let result = bundled(&mut monitor, deletes).await;
    assert!(matches!(&result, Err(BundleError::Partly { refused }) if refused.len() == 1));
    assert_eq!(dump(&client).await, std::slice::from_ref(&first));

    // What is refused as it is carried out takes the others back.
    let mods = adds(&[second.clone(), flow("table=1, priority=7 actions=group:9")]);
    let result = bundled(&mut monitor, mods).await;
    assert!(matches!(result, Err(BundleError::Refused { index: 1, .. })), "{result:?}");
    assert_eq!(dump(&client).await, std::slice::from_ref(&first));

    // Nothing of it can be made.
    let result = bundled(&mut monitor, adds(&[bad.clone(), bad])).await;
    assert!(matches!(result, Err(BundleError::Refused { index: 0, .. })), "{result:?}");
    assert_eq!(bundled(&mut monitor, adds(std::slice::from_ref(&second))).await, Ok(()));
    assert_eq!(dump(&client).await, [first, second]);
}

#[tokio::test]
async fn every_command_does_what_it_says() {
    let (_switch, target) = switch();
    let client = Client::connect(&target).await.unwrap();
    let flow = |text: &str| text.parse::<Flow>().unwrap();
    let strict = flow("cookie=0x5, table=1, priority=5,reg5=0x1 actions=output:1");
    let other = flow("cookie=0x15, table=1, priority=6,reg5=0x2 actions=output:1");
    client.bundle(adds(&[strict.clone(), other.clone()])).await.unwrap();

    let changed = Flow { actions: flow("actions=output:2").actions, ..strict.clone() };
    client.bundle(vec![FlowMod::new(Command::ModifyStrict, changed.clone())]).await.unwrap();
    assert_eq!(dump(&client).await, [changed.clone(), other.clone()]);

    let all = Flow { table: TableId(1), ..flow("actions=output:3") };
    client.bundle(vec![FlowMod::new(Command::Modify, all.clone())]).await.unwrap();
    let expected = [strict, other].map(|flow| Flow { actions: all.actions.clone(), ..flow });
    assert_eq!(dump(&client).await, expected);

    // Only what has the cookie: the fifth bit.
    let by_cookie = FlowMod {
        cookie_mask: 0x10,
        ..FlowMod::new(Command::Delete, Flow { cookie: Cookie(0x10), ..all })
    };
    client.bundle(vec![by_cookie]).await.unwrap();
    assert_eq!(dump(&client).await, expected[..1]);

    client.bundle(vec![FlowMod::delete_all()]).await.unwrap();
    assert_eq!(dump(&client).await, []);
}

#[tokio::test]
async fn flows_of_others_survive_as_bytes() {
    let (switch, target) = switch();
    let client = Client::connect(&target).await.unwrap();
    let foreign = "table=3,tun_gbp_flags=0x1,tun_flags=+oam,mpls,mpls_label=5,\
                   actions=clone(output:1),multipath(symmetric_l4,1024,modulo_n,4,0,NXM_NX_REG0[]),exit";
    switch.ofctl(&["add-flow", "br0", foreign]).unwrap();
    let before = dump(&client).await;
    assert_eq!(before.len(), 1);
    assert!(!before[0].matches.foreign().is_empty());
    let text = before[0].to_string();
    assert_eq!(text.parse::<Flow>().unwrap(), before[0], "{text}");

    client.bundle(vec![FlowMod::delete_strict(before[0].key())]).await.unwrap();
    assert_eq!(dump(&client).await, []);
    client.bundle(adds(&before)).await.unwrap();
    assert_eq!(dump(&client).await, before);
    let text = switch.ofctl(&["--no-stats", "--no-names", "dump-flows", "br0"]).unwrap();
    assert!(text.contains("mpls_label=5") && text.contains("clone(output:1)"), "{text}");
}

#[tokio::test]
async fn a_large_table_goes_in_and_comes_out() {
    let (_switch, target) = switch();
    let client = Client::connect(&target).await.unwrap();
    let count = 20_000;
    let template: Flow =
        "table=72, priority=70,tcp,reg7=0x1,tp_dst=80 actions=resubmit(,73)".parse().unwrap();
    let flows: Vec<Flow> = (0..count)
        .map(|n| Flow { matches: template.matches.clone().reg(7, n), ..template.clone() })
        .collect();
    client.bundle(adds(&flows)).await.unwrap();
    assert_eq!(dump(&client).await, flows);
    // Two at once on one connection, and other requests in between.
    let half = flows.len() / 2;
    let delete = |flows: &[Flow]| flows.iter().map(|f| FlowMod::delete_strict(f.key())).collect();
    let (one, two, barrier) = tokio::join!(
        client.bundle(delete(&flows[..half])),
        client.bundle(delete(&flows[half..])),
        client.barrier(),
    );
    one.unwrap();
    two.unwrap();
    barrier.unwrap();
    assert_eq!(dump(&client).await, []);
}

#[tokio::test]
async fn by_tcp() {
    let (_switch, Target::Unix(path)) = switch() else { panic!("the socket is a local one") };
    // The switch has a namespace, and so a loopback, of its own: a relay leads into it.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::Tcp(listener.local_addr().unwrap());
    let relay = tokio::spawn(async move {
        let (mut outside, _) = listener.accept().await.unwrap();
        let mut inside = UnixStream::connect(path).await.unwrap();
        tokio::io::copy_bidirectional(&mut outside, &mut inside).await
    });
    let client = Client::connect(&target).await.unwrap();
    let flow: Flow = "table=5,reg1=1,actions=drop".parse().unwrap();
    client.bundle(vec![FlowMod::add(flow.clone())]).await.unwrap();
    assert_eq!(dump(&client).await, [flow]);
    // With the last handle the connection ends.
    let other = client.clone();
    drop(client);
    other.barrier().await.unwrap();
    drop(other);
    relay.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_switch_that_goes_away_is_noticed() {
    let (switch, target) = switch();
    let client = Client::connect(&target).await.unwrap();
    assert!(!client.is_closed());
    switch.kill_vswitchd();
    timeout(Duration::from_secs(10), client.closed()).await.unwrap();
    assert!(client.is_closed());
    assert_eq!(client.barrier().await, Err(RequestError::Closed));
    assert_eq!(client.bundle(Vec::new()).await, Err(BundleError::Closed));
    let again = Client::connect(&target).await;
    assert!(matches!(again, Err(ConnectError::Io { .. })), "{again:?}");
}

#[tokio::test]
async fn what_is_no_switch_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::Tcp(listener.local_addr().unwrap());
    let peer = tokio::spawn(async move {
        // One that hangs up, one that speaks OpenFlow 1.3, one that speaks something else.
        for answer in [&b""[..], &[4, 0, 0, 8, 0, 0, 0, 1], b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = [0; 16];
            stream.read_exact(&mut hello).await.unwrap();
            stream.write_all(answer).await.unwrap();
        }
    });
    let error = Client::connect(&target).await.unwrap_err();
    assert!(matches!(error, ConnectError::Closed { .. }), "{error:?}");
    let error = Client::connect(&target).await.unwrap_err();
    let ConnectError::Handshake { source, .. } = error else { panic!("{error:?}") };
    assert_eq!(source.to_string(), "the switch offers OpenFlow version 0x04, not 0x05 (1.4)");
    let error = Client::connect(&target).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Handshake { .. } | ConnectError::Closed { .. }),
        "{error:?}"
    );
    peer.await.unwrap();
}
