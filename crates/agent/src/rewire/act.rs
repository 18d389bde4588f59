//! What moves do to interfaces, to the database, and to connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::HybridDevices;
use ovsdb::{Client, Interface, Replica, Transaction};
use peer::chain;
use tokio::time::{Instant, timeout};

use super::swap::{self, Committed, SwapError, Swapped};
use super::{Suspect, Swap, Way};
use crate::conntrack::{self, Carry, CutError, Datapath, Rules};
use crate::control::{self, Control};
use crate::device::{DeviceError, exists, ip};
use crate::linux_bridge::{LinuxBridge, LinuxBridgeError};

/// How long the database may take to show what was written, and the datapath to let go of a device.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a port is as it was.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub(crate) enum RewireError {
    /// An interface could not be looked at.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The Linux bridge could not be made or changed.
    #[error(transparent)]
    LinuxBridge(#[from] LinuxBridgeError),
    /// Open vSwitch did not change the interfaces.
    #[error("Open vSwitch did not change the interfaces")]
    Swap(#[from] SwapError),
    /// The notes of an interface could not be written.
    #[error("the driver of the port could not be noted")]
    Note(#[from] ovsdb::TransactError),
    /// Connections could not be carried over.
    #[error("connections could not be carried over")]
    Carry(#[from] CutError),
    /// Something else has the name of one of the devices.
    #[error(
        "there is an interface {0} already; 'ip link delete dev {0}' removes it, if nobody uses it"
    )]
    Taken(String),
    /// The device of the machine is not where it should be.
    #[error(
        "{device} is not a port of the Linux bridge {bridge}; is the machine running, and in this \
         network namespace?"
    )]
    NotThere {
        /// The device.
        device: String,
        /// The Linux bridge.
        bridge: String,
    },
    /// An interface is not in the database any more.
    #[error("the interface {0} is not in the database any more")]
    Gone(String),
    /// The kernel does not say how long its packets may be.
    #[error("the MTU of {0} is not known")]
    NoMtu(String),
    /// It could not be undone, either.
    #[error("{left}; it happened while undoing a move that failed. The machine may be cut off")]
    Left {
        /// Why.
        left: String,
        /// Why it was to be undone.
        #[source]
        source: Box<Self>,
    },
    /// A task ended.
    #[error("a part of the move ended early")]
    Ended(#[from] tokio::task::JoinError),
}

impl RewireError {
    /// Whether all is as it was.
    fn is_undone(&self) -> bool {
        !matches!(self, Self::Left { .. })
    }
}

/// Whom moves need.
#[derive(Debug)]
pub(crate) struct Tools {
    /// The database.
    pub(crate) database: Client,
    /// The integration bridge.
    pub(crate) bridge: String,
    /// Its datapath.
    pub(crate) datapath: Datapath,
    /// Where ovs-vswitchd is asked.
    pub(crate) control: Control,
    /// What decides which connections go on.
    pub(crate) rules: Rules,
}

/// Prepares the devices of a port. Nothing that is in use changes.
pub(crate) async fn prepare(devices: HybridDevices, way: Way) -> Result<(), RewireError> {
    match way {
        Way::Bridge => {
            let mtu = mtu(&devices.tap).await?;
            LinuxBridge::make(devices, mtu).await.map_err(|error| match error {
                LinuxBridgeError::Taken { name } => RewireError::Taken(name),
                error => error.into(),
            })?;
        }
        Way::Unbridge => {
            let HybridDevices { tap, qbr, .. } = devices.clone();
            let is_there = match LinuxBridge::find(devices).await? {
                Some(bridge) if exists(&tap).await? => bridge.holds(&tap).await?,
                _ => false,
            };
            if !is_there {
                return Err(RewireError::NotThere { device: tap, bridge: qbr });
            }
        }
        Way::Stay => {}
    }
    Ok(())
}

/// Has the zone of the other firewall know a port's connections before that filters it.
pub(crate) async fn hand_over(tools: Tools, carries: Vec<Carry>) -> Result<(), RewireError> {
    conntrack::hand_over(tools.datapath, carries, tools.rules).await?;
    Ok(())
}

/// Flows and netfilter filter a port: does what is left before it is plugged in anew. Where that fails,
/// its devices are as they were.
pub(crate) async fn settle(tools: Tools, swap: Swap) -> Result<(), RewireError> {
    match swap.way {
        Way::Bridge => {
            let carried = carry(&tools, &swap, Direction::ToNetfilter).await;
            if carried.is_err() {
                clean(HybridDevices::of(swap.port.id)).await;
            }
            carried
        }
        Way::Unbridge => {
            // That of ovs-vswitchd takes connections from nobody: it takes them up in the middle.
            if let Datapath::Kernel = tools.datapath {
                carry(&tools, &swap, Direction::ToFlows).await?;
            }
            // A verdict that is cached may let everything through, and a port that is new may get the
            // number in the datapath that it is about.
            control::wait_revalidated(tools.control).await;
            Ok(())
        }
        Way::Stay => Ok(()),
    }
}

/// Plugs a port in anew. Where that fails, it is as it was. Tells how long that took, which is how long
/// its machine was cut off at most.
pub(crate) async fn swap(tools: Tools, swap: Swap) -> Result<Duration, RewireError> {
    let devices = HybridDevices::of(swap.port.id);
    match swap.way {
        Way::Bridge => {
            let result = bridge(tools, swap, &devices).await;
            if result.as_ref().is_err_and(RewireError::is_undone) {
                clean(devices).await;
            }
            result
        }
        Way::Unbridge => unbridge(tools, swap, &devices).await,
        Way::Stay => note(&tools, &swap).await.map(|()| Duration::ZERO),
    }
}

/// The Linux bridge of a port that is not joined to anything goes.
pub(crate) async fn clean(devices: HybridDevices) {
    let name = devices.qbr.clone();
    let deleted = async {
        match LinuxBridge::find(devices).await? {
            Some(bridge) => bridge.delete().await.map(drop),
            None => Ok(()),
        }
    };
    if let Err(error) = deleted.await {
        tracing::warn!(bridge = name, error = chain(&error), "a Linux bridge cannot be deleted");
    }
}

/// The port is plugged in by its tap, and its Linux bridge is ready.
///
/// The tap goes into the Linux bridge as soon as that is possible: with the kernel's datapath, when that
/// has let go of it; with that of ovs-vswitchd, at once. It hears of it twice then until it has followed,
/// and nobody hears what passes the Linux bridge.
async fn bridge(
    tools: Tools,
    swap: Swap,
    devices: &HybridDevices,
) -> Result<Duration, RewireError> {
    let HybridDevices { tap, qvo, .. } = devices;
    let bridge = find(devices).await?;
    tools.calm().await;
    let begin = Instant::now();
    let moved = async {
        let committed = tools.commit(qvo, tap, &swap.notes).await?;
        let attach = bridge.attach_when_free(tap, PATIENCE);
        let (opened, attached) = tokio::join!(committed.opened(&tools.database), attach);
        let opened = opened?;
        attached?;
        Ok(opened)
    };
    let back = async {
        bridge.detach(tap).await?;
        tools.put_back(tap, qvo, &swap).await
    };
    let swapped = or_back(moved, back).await?;
    let cut_off = begin.elapsed();
    // Those that began since the first time.
    if let Err(error) = carry(&tools, &swap, Direction::ToNetfilter).await {
        tracing::warn!(port = %swap.port.id, error = chain(&error), "the newest connections");
    }
    tools.settle(swapped, &swap).await;
    Ok(cut_off)
}

/// The port is plugged in by its Linux bridge, and flows and netfilter filter it.
///
/// The kernel's datapath takes no device that is a port of a Linux bridge. That of ovs-vswitchd does, and
/// so the machine is cut off for less.
async fn unbridge(
    tools: Tools,
    swap: Swap,
    devices: &HybridDevices,
) -> Result<Duration, RewireError> {
    let HybridDevices { tap, qvo, .. } = devices;
    let bridge = find(devices).await?;
    let is_exclusive = matches!(tools.datapath, Datapath::Kernel);
    tools.calm().await;
    let begin = Instant::now();
    let moved = async {
        if is_exclusive {
            bridge.detach(tap).await?;
        }
        let opened = tools.put(tap, qvo, &swap.notes).await?;
        bridge.detach(tap).await?;
        Ok(opened)
    };
    let back = async {
        tools.put_back(qvo, tap, &swap).await?;
        bridge.attach(tap).await?;
        Ok(())
    };
    let swapped = or_back(moved, back).await?;
    let cut_off = begin.elapsed();
    tokio::join!(tools.settle(swapped, &swap), clean(devices.clone()));
    Ok(cut_off)
}

/// The Linux bridge of a port.
async fn find(devices: &HybridDevices) -> Result<LinuxBridge, RewireError> {
    let HybridDevices { tap, qbr, .. } = devices;
    let not_there = || RewireError::NotThere { device: tap.clone(), bridge: qbr.clone() };
    LinuxBridge::find(devices.clone()).await?.ok_or_else(not_there)
}

/// The port is plugged in as it should be.
async fn note(tools: &Tools, swap: &Swap) -> Result<(), RewireError> {
    let replica = tools.database.replica();
    let gone = || RewireError::Gone(swap.interface.to_string());
    let (row, _) = replica.interface(&swap.interface).ok_or_else(gone)?;
    let (set, remove): (BTreeMap<_, _>, BTreeMap<_, _>) =
        swap.notes.clone().into_iter().partition(|(_, value)| !value.is_empty());
    let column = "external_ids";
    let transaction = Transaction::new()
        .comment("weir: the driver of a port")
        .remove_keys::<Interface>(row, column, remove.into_keys().collect())
        .set_keys::<Interface>(row, column, &set);
    tools.database.transact(transaction).await?;
    let is_noted = |replica: &Replica| {
        let (_, interface) = replica.interface(&swap.interface)?;
        let stands = |key| interface.external_ids.get(key).map_or("", String::as_str);
        swap.notes.iter().all(|(key, value)| stands(key) == value).then_some(())
    };
    let gone = |_| RewireError::Gone(swap.interface.to_string());
    timeout(PATIENCE, tools.database.find(is_noted)).await.map_err(gone)
}

impl Tools {
    /// Waits until ovs-vswitchd has nothing else to do; not for ever.
    ///
    /// The thread that changes ports is also the one that forwards packets in the userspace datapath,
    /// and what comes meanwhile waits at the devices. What waits at one that is taken away is lost: as
    /// little as possible is to wait there.
    async fn calm(&self) {
        let is_done = |replica: &Replica| {
            let (_, switch) = replica.switch()?;
            (switch.cur_cfg >= switch.next_cfg).then_some(())
        };
        let calm = async {
            self.database.find(is_done).await;
            control::wait_calm(self.control.clone()).await;
        };
        if timeout(PATIENCE, calm).await.is_err() {
            tracing::debug!("ovs-vswitchd does not come to an end with what it does");
        }
    }

    /// Has the database plug `device` in in the place of another.
    async fn commit(
        &self,
        device: &str,
        other: &str,
        notes: &BTreeMap<String, String>,
    ) -> Result<Committed, RewireError> {
        Ok(swap::commit(&self.database, &self.bridge, other, device, notes).await?)
    }

    /// Plugs `device` in in the place of another.
    async fn put(
        &self,
        device: &str,
        other: &str,
        notes: &BTreeMap<String, String>,
    ) -> Result<Swapped, RewireError> {
        Ok(swap::swap(&self.database, &self.bridge, other, device, notes).await?)
    }

    /// Does what can wait until packets pass again.
    async fn settle(&self, swapped: Swapped, swap: &Swap) {
        let (before, now) = (swap.ofport, swapped.number());
        if now != before {
            tracing::warn!(port = %swap.port.id, %before, %now, "another port took its number");
        }
        swapped.settle(&self.database).await;
    }

    /// The same to undo it, if it has come that far.
    async fn put_back(&self, device: &str, other: &str, swap: &Swap) -> Result<(), RewireError> {
        if self.database.replica().interface(device).is_none() {
            self.settle(self.put(device, other, &swap.before).await?, swap).await;
        }
        Ok(())
    }
}

/// What comes of the first; where it fails, it is undone by the second, which is not begun otherwise.
async fn or_back<T>(
    moved: impl Future<Output = Result<T, RewireError>>,
    back: impl Future<Output = Result<(), RewireError>>,
) -> Result<T, RewireError> {
    match moved.await {
        Ok(moved) => Ok(moved),
        Err(error) => match back.await {
            Ok(()) => Err(error),
            Err(left) => Err(RewireError::Left { left: chain(&left), source: Box::new(error) }),
        },
    }
}

/// Which firewall connections are carried to.
#[derive(Debug, Clone, Copy)]
enum Direction {
    ToNetfilter,
    ToFlows,
}

/// Has the zone of the other firewall know the port's connections, too.
async fn carry(tools: &Tools, swap: &Swap, to: Direction) -> Result<(), RewireError> {
    // One that has no zone of its own cannot be filtered by netfilter.
    let Some(in_netfilter) = swap.in_netfilter else { return Ok(()) };
    let (from, to) = match to {
        Direction::ToNetfilter => (swap.in_flows, in_netfilter),
        Direction::ToFlows => (in_netfilter, swap.in_flows),
    };
    let carry = Carry { port: Arc::clone(&swap.port), from, to };
    let (datapath, rules) = (tools.datapath.clone(), tools.rules.clone());
    let carried = conntrack::hand_over(datapath, vec![carry], rules).await?;
    tracing::debug!(port = %swap.port.id, carried, "carried connections over");
    Ok(())
}

/// How long the packets of an interface may be.
async fn mtu(device: &str) -> Result<u32, RewireError> {
    let shown = ip(&["-oneline", "link", "show", "dev", device]).await?;
    let mut words = shown.split_whitespace();
    let mtu = words.find(|word| *word == "mtu").and_then(|_| words.next()?.parse().ok());
    mtu.ok_or_else(|| RewireError::NoMtu(device.to_owned()))
}

/// Ends what an agent has left that ended in the middle of a move: a tap that is joined to nothing goes
/// back into its Linux bridge, and a Linux bridge that nothing is joined to goes.
pub(crate) async fn finish_halves(suspects: Vec<Suspect>) {
    for Suspect { port, is_bridged } in suspects {
        let devices = HybridDevices::of(port);
        let name = devices.tap.clone();
        let finished = if is_bridged { rejoin(&devices).await } else { sweep(devices).await };
        if let Err(error) = finished {
            let error = chain(&error);
            tracing::warn!(interface = name, error, "a move that was cut off cannot be ended");
        }
    }
}

/// The port is plugged in by its Linux bridge; its machine may be joined to nothing.
async fn rejoin(devices: &HybridDevices) -> Result<(), RewireError> {
    if !exists(&devices.tap).await? || !exists(&devices.qbr).await? {
        return Ok(());
    }
    let shown = ip(&["-oneline", "link", "show", "dev", &devices.tap]).await?;
    if shown.split_whitespace().any(|word| word == "master") {
        return Ok(());
    }
    tracing::warn!(interface = devices.tap, "ending a move that was cut off");
    find(devices).await?.attach(&devices.tap).await?;
    Ok(())
}

/// The port is plugged in by its tap; there may be a Linux bridge that is joined to nothing.
async fn sweep(devices: HybridDevices) -> Result<(), RewireError> {
    if LinuxBridge::find(devices.clone()).await?.is_none() {
        return Ok(());
    }
    let others = if exists(&devices.qbr).await? {
        let shown = ip(&["-oneline", "link", "show", "master", &devices.qbr]).await?;
        shown.lines().filter(|line| !line.contains(&devices.qvb)).count()
    } else {
        0
    };
    if others == 0 {
        tracing::warn!(bridge = devices.qbr, "removing what a move has left that was cut off");
        clean(devices).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
