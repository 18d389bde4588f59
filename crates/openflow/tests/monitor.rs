//! Against a real Open vSwitch: what it tells of changes to its flow tables, and when.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use openflow::{
    Client, Cookie, Flow, FlowKey, FlowMod, FlowMonitor, FlowStats, FlowUpdate, RemovedReason,
    RequestError, TableId, Target, Told,
};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use testkit::Switch;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    time::timeout,
};

fn switch() -> (Switch, Target) {
    let switch = Switch::start().unwrap();
    switch.add_bridge("br0").unwrap();
    let target = Target::Unix(switch.mgmt_socket("br0"));
    (switch, target)
}

fn adds(flows: &[Flow]) -> Vec<FlowMod> {
    flows.iter().cloned().map(FlowMod::add).collect()
}

/// A monitor of these tables, and what else it tells is not forgotten.
struct Monitored {
    monitor: FlowMonitor,
    waiting: VecDeque<FlowUpdate>,
}

impl Monitored {
    async fn of(client: &Client, tables: &[u8]) -> Self {
        let tables = tables.iter().copied().map(TableId).collect();
        let monitor = client.monitor_flows(tables).await.unwrap();
        Self { monitor, waiting: VecDeque::new() }
    }

    async fn told(&mut self) -> Told {
        timeout(Duration::from_secs(20), self.monitor.next()).await.unwrap().unwrap()
    }

    /// The next update.
    async fn update(&mut self) -> FlowUpdate {
        loop {
            if let Some(update) = self.waiting.pop_front() {
                return update;
            }
            match self.told().await {
                Told::Updates(updates) => self.waiting.extend(updates),
                told => panic!("{told:?}"),
            }
        }
    }

    /// The updates before the answer to a bundle.
    async fn bundle(&mut self, mods: Vec<FlowMod>) -> Vec<FlowUpdate> {
        self.monitor.requests().bundle(mods).await;
        let mut before: Vec<_> = self.waiting.drain(..).collect();
        loop {
            match self.told().await {
                Told::Updates(updates) => before.extend(updates),
                Told::Bundle(result) => {
                    result.unwrap();
                    return before;
                }
                told @ (Told::Part(_) | Told::Flows(_)) => panic!("{told:?}"),
            }
        }
    }
}

fn added(text: &str) -> FlowUpdate {
    FlowUpdate::Added { flow: Arc::new(text.parse().unwrap()), idle_timeout: 0, hard_timeout: 0 }
}

#[tokio::test]
async fn what_others_change_is_told() {
    let (switch, target) = switch();
    let client = Client::connect(&target).await.unwrap();
    let mut monitored = Monitored::of(&client, &[0, 1, 60, 254]).await;
    let flow = "cookie=0x7, table=1, priority=5,tcp,reg5=0x3,tp_dst=80 actions=output:1";
    switch.ofctl(&["add-flow", "br0", flow]).unwrap();
    assert_eq!(monitored.update().await, added(flow));

    // In place of one that is there: the new one is told, and nothing of the old one.
    let other = "cookie=0x8, table=1, priority=5,tcp,reg5=0x3,tp_dst=80 actions=output:2";
    switch.ofctl(&["add-flow", "br0", &format!("idle_timeout=60,{other}")]).unwrap();
    let FlowUpdate::Added { flow: told, idle_timeout: 60, hard_timeout: 0 } =
        monitored.update().await
    else {
        panic!("another update");
    };
    assert_eq!(*told, other.parse().unwrap());

    switch.ofctl(&["mod-flows", "br0", "table=1,actions=resubmit(,60)"]).unwrap();
    let modified: Flow = other.replace("output:2", "resubmit(,60)").parse().unwrap();
    assert_eq!(
        monitored.update().await,
        FlowUpdate::Modified { flow: Arc::new(modified), idle_timeout: 60, hard_timeout: 0 }
    );
    // What changes nothing is not told, nor is what happens in a table that nobody asked about.
    switch.ofctl(&["mod-flows", "br0", "table=1,actions=resubmit(,60)"]).unwrap();
    switch.ofctl(&["add-flow", "br0", "table=2,actions=drop"]).unwrap();

    switch.ofctl(&["del-flows", "br0", "table=1"]).unwrap();
    let FlowUpdate::Removed { flow: told, reason } = monitored.update().await else {
        panic!("another update");
    };
    assert_eq!((told.key(), told.cookie), (other.parse::<Flow>().unwrap().key(), Cookie(8)));
    assert_eq!(reason, RemovedReason::DELETE);

    switch.ofctl(&["add-flow", "br0", "hard_timeout=1,table=60,actions=drop"]).unwrap();
    assert!(matches!(monitored.update().await, FlowUpdate::Added { hard_timeout: 1, .. }));
    let FlowUpdate::Removed { reason, .. } = monitored.update().await else {
        panic!("another update");
    };
    assert_eq!(reason, RemovedReason::HARD_TIMEOUT);
}

#[tokio::test]
async fn what_this_connection_changes_is_told_as_its_own() {
    let (switch, target) = switch();
    let client = Client::connect(&target).await.unwrap();
    let mut monitored = Monitored::of(&client, &[1]).await;
    let ours: Vec<Flow> = (0..100)
        .map(|n| format!("table=1, priority={n},reg5=0x1 actions=output:1").parse().unwrap())
        .collect();
    // All of a bundle is one abbreviation, and it comes before the answer.
    let updates = monitored.bundle(adds(&ours)).await;
    assert!(matches!(updates[..], [FlowUpdate::Own { .. }]), "{updates:?}");
    // What changes nothing there is answered all the same.
    assert_eq!(monitored.bundle(vec![FlowMod::delete_strict(FlowKey::default())]).await, []);

    // By another connection the same changes are somebody else's.
    let other = Client::connect(&target).await.unwrap();
    other.bundle(vec![FlowMod::delete_strict(ours[7].key())]).await.unwrap();
    let updates = monitored.bundle(adds(&ours[7..8])).await;
    let [FlowUpdate::Removed { flow, .. }, FlowUpdate::Own { .. }] = &updates[..] else {
        panic!("{updates:?}");
    };
    assert_eq!(flow.key(), ours[7].key());

    // Between what was told and what will be told a dump has its place.
    switch.ofctl(&["add-flow", "br0", "table=1,actions=drop"]).unwrap();
    monitored.monitor.requests().dump_flows().await;
    assert_eq!(monitored.told().await, Told::Updates(vec![added("table=1,actions=drop")]));
    let Told::Flows(Ok(flows)) = monitored.told().await else { panic!("no dump") };
    assert_eq!(flows.len(), 101);

    // A connection has one monitor of a table, and it ends with the connection.
    let again = client.monitor_flows([TableId(2)].into()).await;
    assert_eq!(again.unwrap_err(), RequestError::Monitored);
    switch.kill_vswitchd();
    let end = timeout(Duration::from_secs(10), monitored.monitor.next()).await.unwrap();
    assert_eq!(end, None);
}

#[tokio::test]
async fn a_whole_table_that_goes_at_once_is_told() {
    let (switch, target) = switch();
    let client = Client::connect(&target).await.unwrap();
    let count = 10_000;
    let flows: Vec<Flow> = (0..count)
        .map(|n| format!("table=72, priority=70,tcp,reg7={n},tp_dst=80 actions=resubmit(,73)"))
        .map(|text| text.parse().unwrap())
        .collect();
    client.bundle(adds(&flows)).await.unwrap();
    let mut monitored = Monitored::of(&client, &[72]).await;
    // So many come in parts, for somebody to take one by one; who waits for the whole gets that.
    monitored.monitor.requests().dump_flows().await;
    let (mut dumped, mut parts) = (Vec::new(), 0);
    loop {
        match monitored.told().await {
            Told::Part(flows) => dumped.extend(flows),
            Told::Flows(last) => {
                dumped.extend(last.unwrap());
                break;
            }
            told => panic!("{told:?}"),
        }
        parts += 1;
    }
    assert!(parts > 1);
    let keys = |flows: &[FlowStats]| flows.iter().map(|it| it.flow.key()).collect::<BTreeSet<_>>();
    assert_eq!((dumped.len(), keys(&dumped).len()), (count, count));
    assert_eq!(keys(&client.dump_flows().await.unwrap()), keys(&dumped));
    switch.ofctl(&["del-flows", "br0", "table=72"]).unwrap();
    let mut gone = BTreeSet::new();
    let mut paused = false;
    // More than the switch keeps for us: it pauses, goes on, and we are told to read again.
    loop {
        match monitored.update().await {
            FlowUpdate::Removed { flow, .. } => assert!(gone.insert(flow.key())),
            FlowUpdate::Paused => paused = true,
            FlowUpdate::Missed => break,
            update => panic!("{update:?}"),
        }
    }
    assert!(paused);
    assert_eq!(gone.len(), count);
    monitored.monitor.requests().dump_flows().await;
    assert_eq!(monitored.told().await, Told::Flows(Ok(Vec::new())));
    // It goes on as before.
    switch.ofctl(&["add-flow", "br0", "table=72,actions=drop"]).unwrap();
    assert_eq!(monitored.update().await, added("table=72,actions=drop"));
}

#[tokio::test]
async fn what_the_switch_learns_is_told_where_it_is_asked_for_alone() {
    let (switch, target) = switch();
    let client = Client::connect(&target).await.unwrap();
    let mut deaf = Monitored::of(&client, &[0]).await;
    let second = Client::connect(&target).await.unwrap();
    let mut all = Monitored::of(&second, &[TableId::ALL.0]).await;
    let learn = "table=0,actions=learn(table=10,hard_timeout=300,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],\
                 load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15])";
    switch.ofctl(&["add-flow", "br0", learn]).unwrap();
    assert_eq!(deaf.update().await, added(learn));
    assert_eq!(all.update().await, added(learn));
    for n in 1..=3 {
        let frame = format!("in_port=LOCAL,dl_src=02:00:00:00:00:0{n},dl_dst=02:00:00:00:00:0f");
        switch.appctl(&["ofproto/trace", "br0", &frame, "-generate"]).unwrap();
        let FlowUpdate::Added { flow, hard_timeout: 300, .. } = all.update().await else {
            panic!("another update");
        };
        assert_eq!(flow.table, TableId(10));
    }
    switch.ofctl(&["add-flow", "br0", "table=0,priority=1,actions=drop"]).unwrap();
    assert_eq!(deaf.update().await, added("table=0,priority=1,actions=drop"));
}

/// Passes everything on, but refuses monitors as Open vSwitch before 3.0 does.
async fn old_switch(listener: UnixListener, switch: std::path::PathBuf) -> std::io::Result<()> {
    const MULTIPART_REQUEST: u8 = 18;
    const FLOW_MONITOR: [u8; 2] = [0, 16];
    const BAD_MULTIPART: [u8; 4] = [0, 1, 0, 2];
    let (mut client, mut to_client) = listener.accept().await?.0.into_split();
    let (mut answers, mut to_switch) = UnixStream::connect(switch).await?.into_split();
    let requests = async {
        loop {
            let mut header = [0; 8];
            client.read_exact(&mut header).await?;
            let [version, kind, high, low, xid @ ..] = header;
            let mut body = vec![0; usize::from(u16::from_be_bytes([high, low])) - header.len()];
            client.read_exact(&mut body).await?;
            if kind == MULTIPART_REQUEST && body.starts_with(&FLOW_MONITOR) {
                return Ok([&[version, 1, 0, 12], &xid[..], &BAD_MULTIPART].concat());
            }
            to_switch.write_all(&[&header[..], &body].concat()).await?;
        }
    };
    // Up to the request nothing is under way, so that the refusal falls between two answers.
    let refusal: std::io::Result<Vec<u8>> = tokio::select! {
        refusal = requests => refusal,
        end = tokio::io::copy(&mut answers, &mut to_client) => Err(end.unwrap_err()),
    };
    to_client.write_all(&refusal?).await?;
    let answers = tokio::io::copy(&mut answers, &mut to_client);
    let requests = tokio::io::copy(&mut client, &mut to_switch);
    tokio::try_join!(answers, requests).map(drop)
}

#[tokio::test]
async fn a_switch_without_monitors_answers_in_order_all_the_same() {
    let (switch, Target::Unix(socket)) = switch() else { panic!("the socket is a local one") };
    let stand_in = switch.run_dir().join("old.mgmt");
    let old = old_switch(UnixListener::bind(&stand_in).unwrap(), socket);
    let relay = tokio::spawn(old);
    let client = Client::connect(&Target::Unix(stand_in)).await.unwrap();
    let mut monitored = Monitored::of(&client, &[1]).await;
    let refusal = monitored.monitor.refusal().unwrap();
    assert_eq!(refusal.name(), Some("OFPBRC_BAD_STAT"));
    let flow: Flow = "table=1,actions=drop".parse().unwrap();
    assert_eq!(monitored.bundle(vec![FlowMod::add(flow.clone())]).await, []);
    monitored.monitor.requests().dump_flows().await;
    let Told::Flows(Ok(flows)) = monitored.told().await else { panic!("no dump") };
    assert_eq!(*flows[0].flow, flow);
    relay.abort();
}
