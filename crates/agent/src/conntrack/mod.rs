//! Cuts connections that no rule admits any more, in both directions.
//!
//! The flows alone cut a connection at its next packet in the original direction; the replies of
//! one that only receives would go on. So once a bundle has taken something away, the agent looks
//! at the connections of the zones that it touched: [`affected`] says which zones these are,
//! [`decide`] which of the connections nobody admits; [`userspace`] and [`kernel`] list them, and
//! have conntrack forget them. This module alone does both, in a task of its own.
//!
//! What was cut by mistake comes back with its next packet in the original direction: flows
//! decide, this only hurries.

mod affected;
mod carry;
mod decide;
mod kernel;
#[cfg(test)]
mod sample;
mod userspace;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use dataplane::Snapshot;
use model::CtZone;
use openflow::{CtTuple, RequestError};

pub(crate) use affected::{Affected, removed};
pub(crate) use carry::{Carry, carry};
use dataplane::bridge::layout::MARK_REVOKED;
use decide::Sentence;
pub(crate) use decide::{Rules, Zones};

use crate::control::{Control, ControlError};

/// How many connections are forgotten in one request.
const BATCH: usize = 256;

/// A connection of one zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its original direction.
    pub(crate) original: CtTuple,
    /// Its `ct_mark`.
    pub(crate) mark: u32,
    /// The kernel's number for it, as netlink has it.
    pub(crate) id: Option<[u8; 4]>,
}

/// A connection with all that another zone needs to go on with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    /// What finds it.
    pub(crate) entry: Entry,
    /// Its other direction, where that is known.
    pub(crate) reply: Option<CtTuple>,
    /// Whether both sides have been heard.
    pub(crate) replied: bool,
    /// Of TCP, the kernel's number for its state, where that is known.
    pub(crate) tcp: Option<u8>,
    /// After how many seconds of silence it is forgotten.
    pub(crate) timeout: u32,
}

/// Connections by zone; a zone is the local VLAN of its network.
pub(crate) type Entries = BTreeMap<CtZone, Vec<Entry>>;

/// The same with all that is known of them.
pub(crate) type Connections = BTreeMap<CtZone, Vec<Connection>>;

/// Which conntrack the integration bridge has.
#[derive(Debug, Clone)]
pub(crate) enum Datapath {
    /// That of ovs-vswitchd itself.
    Userspace {
        /// Its control socket, or the directory where it is found.
        control: Control,
    },
    /// The kernel's, in the network namespace of the agent.
    Kernel,
}

/// Why connections could not be cut.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub(crate) enum CutError {
    /// ovs-vswitchd did not list them.
    #[error("cannot list connections at {socket}")]
    List {
        /// Its control socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: ControlError,
    },
    /// The switch did not forget them.
    #[error("the switch did not forget connections (Open vSwitch can from 3.1 on)")]
    Forget(#[source] RequestError),
    /// The kernel did not list or forget them.
    #[error("cannot {action} connections of the kernel")]
    Kernel {
        /// What was asked of it.
        action: &'static str,
        /// Why not.
        #[source]
        source: kernel::NetlinkError,
    },
    /// The task that looked for them ended.
    #[error("the search for connections ended early")]
    Ended(#[from] tokio::task::JoinError),
}

impl Datapath {
    /// The conntrack of a bridge of this datapath type.
    pub(crate) fn of(datapath_type: &str, control: Control) -> Self {
        match datapath_type {
            "netdev" => Self::Userspace { control },
            _ => Self::Kernel,
        }
    }
}

impl Datapath {
    fn connections(&self, zones: &BTreeSet<CtZone>) -> Result<Connections, CutError> {
        let zones = zones.iter().copied();
        match self {
            Self::Userspace { control } => {
                let socket = control.socket();
                userspace::connections(&socket, zones)
                    .map_err(|source| CutError::List { socket, source })
            }
            Self::Kernel => kernel::connections(zones)
                .map_err(|source| CutError::Kernel { action: "list", source }),
        }
    }

    fn list(&self, zones: &BTreeSet<CtZone>) -> Result<Entries, CutError> {
        let zones = zones.iter().copied();
        match self {
            Self::Userspace { control } => {
                let socket = control.socket();
                userspace::list(&socket, zones).map_err(|source| CutError::List { socket, source })
            }
            Self::Kernel => {
                kernel::list(zones).map_err(|source| CutError::Kernel { action: "list", source })
            }
        }
    }
}

/// Has everything in these zones forgotten, which nobody uses any more.
pub(crate) async fn clear(
    datapath: Datapath,
    switch: openflow::Client,
    zones: BTreeSet<CtZone>,
) -> Result<(), CutError> {
    match datapath {
        Datapath::Userspace { .. } => {
            let zones = zones.into_iter().map(CtZone::get).collect();
            switch.flush_conntrack_zones(zones).await.map_err(CutError::Forget)
        }
        Datapath::Kernel => tokio::task::spawn_blocking(move || forget(&zones)).await?,
    }
}

fn delete(entries: &Entries) -> Result<(), CutError> {
    entries.iter().try_for_each(|(zone, entries)| {
        let deleted = kernel::delete(*zone, entries);
        deleted.map_err(|source| CutError::Kernel { action: "delete", source })
    })
}

/// What came of judging connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// How many were forgotten or marked, or had their mark taken away.
    pub(crate) sentenced: usize,
    /// Whether there are any with a mark now.
    pub(crate) any_revoked: bool,
}

/// Does to the connections of ports that netfilter filters what [`decide::sentences`] says. Blocks.
pub(crate) fn judge(zones: &Zones) -> Result<Judged, CutError> {
    let entries = Datapath::Kernel.list(&zones.ports.keys().copied().collect())?;
    let mut judged = Judged::default();
    for (zone, sentence) in decide::sentences(zones, entries) {
        let Sentence { forget, revoke, reinstate, revoked } = &sentence;
        let mark = |entries: &[Entry], value| kernel::mark(zone, entries, value, MARK_REVOKED);
        let marked = mark(revoke, MARK_REVOKED).and_then(|()| mark(reinstate, 0));
        marked.map_err(|source| CutError::Kernel { action: "mark", source })?;
        delete(&Entries::from([(zone, forget.clone())]))?;
        judged.sentenced += forget.len() + revoke.len() + reinstate.len();
        judged.any_revoked |= *revoked || !revoke.is_empty();
    }
    Ok(judged)
}

/// As [`carry`], without blocking.
pub(crate) async fn hand_over(
    datapath: Datapath,
    carries: Vec<Carry>,
    rules: Rules,
) -> Result<usize, CutError> {
    tokio::task::spawn_blocking(move || carry(&datapath, &carries, &rules)).await?
}

/// Has everything in these zones of the kernel forgotten, which nobody uses any more. Blocks.
pub(crate) fn forget(zones: &BTreeSet<CtZone>) -> Result<(), CutError> {
    match zones.is_empty() {
        true => Ok(()),
        false => delete(&Datapath::Kernel.list(zones)?),
    }
}

/// Cuts the connections in the zones affected that no rule of the snapshot admits, and tells how
/// many there were.
///
/// Packets whose verdict the datapath has cached pass for some milliseconds after a change, and
/// may bring a connection back. So where there were any, it is worth looking again.
pub(crate) async fn cut(
    datapath: Datapath,
    switch: openflow::Client,
    snapshot: Arc<Snapshot>,
    affected: Affected,
) -> Result<usize, CutError> {
    let zones = affected.zones(&snapshot);
    if zones.is_empty() {
        return Ok(0);
    }
    let in_kernel = matches!(datapath, Datapath::Kernel);
    let work = move || -> Result<Entries, CutError> {
        let unruled = decide::unruled(&affected, &snapshot, datapath.list(&zones)?);
        if in_kernel {
            delete(&unruled)?;
        }
        Ok(unruled)
    };
    let unruled = tokio::task::spawn_blocking(work).await??;
    if !in_kernel {
        for (zone, entries) in &unruled {
            for batch in entries.chunks(BATCH) {
                let connections = batch.iter().map(|entry| entry.original).collect();
                let forgotten = switch.flush_conntrack(zone.get(), connections).await;
                forgotten.map_err(CutError::Forget)?;
            }
        }
    }
    Ok(unruled.values().map(Vec::len).sum())
}
