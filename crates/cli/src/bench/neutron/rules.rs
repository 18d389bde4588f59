//! Rules that are created one after the other: from the server's message to the flow in the
//! switch, as the switch itself tells it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use openflow::{Client, Field, FlowUpdate, TableId, Target, Told};
use tokio::{task::JoinHandle, time::sleep};

use super::{
    super::progress::Step,
    host::{Host, INTEGRATION_BRIDGE, Kind},
    scene::Scene,
};

/// The tables in which Neutron's agent and Weir's have what a port may receive.
const RULES_INGRESS: [TableId; 2] = [TableId(82), TableId(182)];
/// The port number of the first rule, and how far they are apart: no two can be merged.
const FIRST: u16 = 20_000;
const APART: u16 = 2;
/// How many rules there are numbers for.
pub(super) const MOST: u16 = 20_000;
/// How often it is looked whether the flows are there.
const POLL: Duration = Duration::from_millis(5);
/// How long the rules of an agent may take in all: Neutron's takes minutes for each on a large
/// node.
const PATIENCE: Duration = Duration::from_secs(300);

/// A rule that was created.
#[derive(Debug, Clone)]
pub(super) struct Created {
    pub(super) id: String,
    /// From the server's message until all its flows were in the switch; nothing, where time was
    /// up before.
    pub(super) milliseconds: Option<f64>,
}

/// What the switch has said.
type Seen = Arc<Mutex<BTreeMap<u16, Flows>>>;

/// The flows of one port number.
#[derive(Debug, Clone, Copy)]
struct Flows {
    count: usize,
    last: Instant,
}

/// Creates rules, each when the one before is in the switch, until time is up.
///
/// # Errors
/// When the API refuses, or the switch tells nothing.
pub(super) async fn create(
    scene: &Scene,
    host: &mut Host,
    kind: Kind,
    count: u16,
) -> anyhow::Result<Vec<Created>> {
    // Neutron's agent writes each rule twice for each port.
    let flows = match kind {
        Kind::Weir => 1,
        Kind::Neutron => 2 * scene.interfaces.len(),
    };
    let seen = Seen::default();
    let watching = watch(host, Arc::clone(&seen)).await?;
    let step = Step::begin("creating rules one by one", count.into());
    let begin = Instant::now();
    let mut api = scene.api()?;
    let mut created = Vec::new();
    for number in (FIRST..).step_by(APART.into()).take(count.into()) {
        let rule = scene.add_rule(&mut api, number).await?;
        let there = loop {
            let found = seen.lock().unwrap_or_else(PoisonError::into_inner).get(&number).copied();
            if let Some(found) = found.filter(|found| found.count >= flows) {
                break Some(found.last);
            }
            if watching.is_finished() {
                bail!("the switch does not tell of changes any more");
            }
            if begin.elapsed() > PATIENCE {
                break None;
            }
            sleep(POLL).await;
        };
        created.push((rule, there));
        step.reached(created.len());
        if there.is_none() {
            break;
        }
    }
    watching.abort();
    host.follow();
    let took = |(id, there): (String, Option<Instant>)| {
        let told = host.timeline.told_of(&id).context("the server has not told of a rule")?;
        let took = |there: Instant| there.saturating_duration_since(told).as_secs_f64() * 1e3;
        Ok(Created { id, milliseconds: there.map(took) })
    };
    created.into_iter().map(took).collect()
}

/// Has the switch tell of flows that come.
async fn watch(host: &Host, seen: Seen) -> anyhow::Result<JoinHandle<()>> {
    let client =
        Client::connect(&Target::Unix(host.switch.mgmt_socket(INTEGRATION_BRIDGE))).await?;
    let mut monitor = client.monitor_flows(RULES_INGRESS.into()).await?;
    if let Some(refusal) = monitor.refusal() {
        bail!("Open vSwitch 3.0 or later is needed, which tells of changes: {refusal}");
    }
    Ok(tokio::spawn(async move {
        while let Some(told) = monitor.next().await {
            let now = Instant::now();
            let Told::Updates(updates) = told else { continue };
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            for update in updates {
                let FlowUpdate::Added { flow, .. } = update else { continue };
                let number = flow.matches.exact(Field::TCP_DST);
                if let Some(number) = number.and_then(|number| u16::try_from(number).ok()) {
                    let flows = seen.entry(number).or_insert(Flows { count: 0, last: now });
                    *flows = Flows { count: flows.count + 1, last: now };
                }
            }
        }
    }))
}
