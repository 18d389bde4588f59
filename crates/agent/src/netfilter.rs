//! Netfilter, as far as it filters ports: what it holds, what it should hold, and which ports it
//! filters by now. Pure, but for `read`, `leftovers` and `NetfilterChange::make`, which have `tools` act.
//!
//! ```text
//! ports behind Linux bridges -> Node -> Desired ─┐
//!                iptables-save, ipset save -> Installed ──> NetfilterChange -> iptables-restore
//! ```
//!
//! Nothing tells of changes that others make there, so it is read when the agent starts, after each
//! change, and with each heartbeat.

mod tools;

use std::collections::BTreeSet;
use std::sync::Arc;

use dataplane::hybrid::{self, Changes, Desired, Installed, Listing, Node};
use model::{CtZone, PortId};
use peer::chain;
use tokio::task::spawn_blocking;

use self::tools::{Saved, ToolError};
use crate::bridged::{self, Unfiltered};
use crate::conntrack::{self, CutError, Judged, Zones};

/// What is known of netfilter.
#[derive(Debug, Default)]
pub struct Netfilter {
    /// Whether it is to filter ports.
    is_engaged: bool,
    /// What it holds; `None` until it was read.
    installed: Option<Installed>,
    /// Why it could not be read, or did not take the last change.
    pub(crate) trouble: Option<String>,
    /// From what it was computed what it should hold, and that.
    desired: Option<(Arc<Node>, Desired)>,
    /// Whether it holds what it should, as far as is known.
    is_as_desired: bool,
    /// Whether there are connections whose packets it drops because they have lost their permission.
    any_revoked: bool,
    /// Whether a change failed, so that it is not known which connections have been judged by it.
    unjudged: bool,
    /// Whether it is known that it sees no packet of any port.
    is_unbridged: bool,
    /// By what it filters, connections that were there before included.
    taken: Option<Arc<Node>>,
}

/// A change of netfilter. Where nothing differs, it is a look at the connections alone.
#[derive(Debug, Clone)]
pub struct NetfilterChange {
    changes: Changes,
    /// What it is computed from.
    node: Arc<Node>,
    /// Zones that get a port: nothing in them may be left of whoever had them before.
    fresh: BTreeSet<CtZone>,
    /// Whether there may be connections that no rule admits any more, or some that one admits again.
    judges: bool,
}

/// Why netfilter is not as it should be.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetfilterError {
    /// It could not be read or changed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// What it holds is of no use.
    #[error(transparent)]
    Unfiltered(#[from] Unfiltered),
    /// Connections could not be forgotten.
    #[error(transparent)]
    Conntrack(#[from] CutError),
    /// It took a change, and is not as it should be all the same.
    #[error("netfilter does not hold what it was given; what is left to do: {0}")]
    Otherwise(String),
    /// The task ended.
    #[error("the change ended early")]
    Ended(#[from] tokio::task::JoinError),
}

/// What came of a change.
#[derive(Debug)]
pub(crate) struct Changed {
    /// What it was computed from.
    node: Arc<Node>,
    /// What became of connections that were looked at, where it was made.
    result: Result<Option<Judged>, NetfilterError>,
    /// What there is now, where that is something else.
    installed: Option<Result<Installed, NetfilterError>>,
}

impl Netfilter {
    /// Has what netfilter should hold follow the node. A port keeps its zone.
    pub(crate) fn follow(&mut self, mut node: Node) -> &Desired {
        let ports = node.ports.keys().copied().collect();
        let taken = self.taken.iter().flat_map(|taken| &taken.ports);
        let known = taken.filter_map(|(id, port)| Some((*id, port.zone?))).collect();
        let nothing = Installed::default();
        let zones = hybrid::zones(&ports, &known, self.installed.as_ref().unwrap_or(&nothing));
        for (id, port) in &mut node.ports {
            port.zone = zones.get(id).copied();
        }
        let as_before = self.desired.take().filter(|(before, _)| **before == node);
        self.is_as_desired &= as_before.is_some();
        let (_, desired) = self.desired.insert(as_before.unwrap_or_else(|| {
            let desired = hybrid::desired(&node);
            (Arc::new(node), desired)
        }));
        desired
    }

    /// It is to filter ports. Whether it sees their packets is asked when it is read next.
    pub(crate) fn engage(&mut self) {
        if !self.is_engaged {
            self.is_engaged = true;
            self.installed = None;
        }
    }

    /// Whether it is to filter ports.
    pub(crate) fn is_engaged(&self) -> bool {
        self.is_engaged
    }

    /// It holds what it should, and nothing of others.
    #[cfg(test)]
    pub(crate) fn pretend(&mut self) {
        self.installed = Some(Installed::default());
        self.taken = self.desired.as_ref().map(|(node, _)| Arc::clone(node));
        self.is_as_desired = true;
    }

    /// Nothing of ours is to be there.
    pub(crate) fn clear(&mut self) {
        self.is_engaged = false;
        let node = Node::default();
        if self.desired.as_ref().is_none_or(|(before, _)| **before != node) {
            self.is_as_desired = false;
            self.desired = Some((Arc::new(node), Desired::default()));
        }
    }

    /// Whether something of ours is there.
    pub(crate) fn has_leftovers(&self) -> bool {
        self.installed.as_ref().is_some_and(|installed| !installed.is_empty())
    }

    /// Whether it is known what it holds.
    pub(crate) fn is_read(&self) -> bool {
        self.installed.is_some()
    }

    /// Whether it filters all that it is to filter, or is known to filter nothing.
    pub(crate) fn is_settled(&self) -> bool {
        let ports = self.desired.iter().flat_map(|(node, _)| node.ports.keys());
        self.is_unbridged || (self.taken.is_some() && ports.into_iter().all(|id| self.filters(*id)))
    }

    /// Whether it filters this port.
    pub(crate) fn filters(&self, port: PortId) -> bool {
        self.taken.as_ref().is_some_and(|taken| taken.ports.contains_key(&port))
    }

    /// The conntrack zone of a port that it filters, or did for an agent before this one.
    pub(crate) fn zone(&self, port: PortId) -> Option<CtZone> {
        let taken = self.taken.as_ref().and_then(|taken| taken.ports.get(&port)?.zone);
        let found = || self.installed.as_ref()?.zones_of(&BTreeSet::from([port])).remove(&port);
        taken.or_else(found)
    }

    /// Whether nobody has put anything there that may be in use.
    pub(crate) fn is_vacant(&self) -> bool {
        self.installed.as_ref().is_some_and(Installed::is_empty)
    }

    /// What is to be changed; nothing before it was read, or where it is as it should be.
    pub(crate) fn change(&mut self) -> Option<NetfilterChange> {
        let (node, desired) = self.desired.as_ref().filter(|_| !self.is_as_desired)?;
        let installed = self.installed.as_ref()?;
        let changes = desired.netfilter.changes(installed);
        if changes.is_empty() && self.taken.as_ref().is_some_and(|taken| Arc::ptr_eq(taken, node)) {
            self.is_as_desired = true;
            return None;
        }
        let found = installed.zones_of(&node.ports.keys().copied().collect());
        let had = |id: &PortId| {
            let taken = self.taken.as_ref().and_then(|taken| taken.ports.get(id)?.zone);
            taken.or_else(|| found.get(id).copied())
        };
        let fresh = node.ports.iter().filter(|(id, port)| had(id) != port.zone);
        let fresh = fresh.filter_map(|(_, port)| port.zone).collect();
        let looks_back = self.taken.is_none() || self.any_revoked || self.unjudged;
        let judges = looks_back || !changes.only_adds();
        Some(NetfilterChange { changes, node: Arc::clone(node), fresh, judges })
    }

    /// Takes note of what was read.
    pub(crate) fn read(&mut self, installed: Result<Installed, NetfilterError>) {
        match installed {
            Ok(installed) => {
                self.is_as_desired &= self.installed.as_ref() == Some(&installed);
                self.installed = Some(installed);
                self.is_unbridged = false;
                self.trouble = None;
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Takes note of what came of a change: how many connections were cut, marked or reinstated, where
    /// it was made.
    pub(crate) fn take(&mut self, changed: Changed) -> Result<usize, NetfilterError> {
        let Changed { node, result, installed } = changed;
        let result = result.and_then(|judged| self.check(&node, installed).map(|()| judged));
        if let Ok(Some(judged)) = &result {
            self.any_revoked = judged.any_revoked;
        }
        match &result {
            Ok(_) => {
                self.unjudged = false;
                self.trouble = None;
                self.is_unbridged = false;
                self.taken = Some(node);
            }
            Err(error) => {
                self.unjudged = true;
                self.fail(error);
            }
        }
        result.map(|judged| judged.unwrap_or_default().sentenced)
    }

    /// What it holds has to be read anew. What it has taken before goes on, unless it sees nothing.
    fn fail(&mut self, error: &NetfilterError) {
        self.installed = None;
        self.is_as_desired = false;
        self.is_unbridged = matches!(error, NetfilterError::Unfiltered(_));
        if self.is_unbridged {
            self.taken = None;
        }
        self.trouble = Some(chain(error));
    }

    /// Whether what there is now is what was to be there.
    fn check(
        &mut self,
        node: &Arc<Node>,
        installed: Option<Result<Installed, NetfilterError>>,
    ) -> Result<(), NetfilterError> {
        let Some(installed) = installed else { return Ok(()) };
        let installed = installed?;
        self.is_as_desired = false;
        let desired = self.desired.as_ref().filter(|(of, _)| Arc::ptr_eq(of, node));
        let left = desired.map(|(_, desired)| desired.netfilter.changes(&installed));
        self.installed = Some(installed);
        match left.filter(|left| !left.is_empty()) {
            None => Ok(()),
            Some(left) => {
                let first = left.lines().next().unwrap_or_default();
                Err(NetfilterError::Otherwise(first.to_owned()))
            }
        }
    }
}

/// What netfilter holds, which is to filter ports.
pub(crate) async fn read() -> Result<Installed, NetfilterError> {
    spawn_blocking(|| bridged::check().map_err(Into::into).and_then(|()| list())).await?
}

/// What an agent with another firewall may have left there. Where it cannot be told, as on a machine
/// without the programs, that is nothing.
pub(crate) async fn leftovers() -> Installed {
    let listed = spawn_blocking(list).await.map_err(NetfilterError::from).flatten();
    listed.unwrap_or_else(|error| {
        tracing::debug!(error = chain(&error), "nothing is known of netfilter");
        Installed::default()
    })
}

fn list() -> Result<Installed, NetfilterError> {
    let Saved { ipv4, ipv6, sets, protocols } = tools::save()?;
    let listing = Listing { ipv4: &ipv4, ipv6: &ipv6, sets: &sets, protocols: &protocols };
    Ok(Installed::parse(listing))
}

impl NetfilterChange {
    /// Makes the change, and cuts the connections that no rule admits any more.
    pub(crate) async fn make(self) -> Changed {
        let node = Arc::clone(&self.node);
        let work = move || {
            let result = self.run();
            let installed = (!self.changes.is_empty()).then(list);
            (result, installed)
        };
        let done = spawn_blocking(work).await;
        let (result, installed) = done.unwrap_or_else(|error| (Err(error.into()), None));
        Changed { node, result, installed }
    }

    /// Blocks.
    fn run(&self) -> Result<Option<Judged>, NetfilterError> {
        let Changes { sets_before, ipv4, ipv6, sets_after } = &self.changes;
        conntrack::forget(&self.fresh)?;
        tools::restore_sets(sets_before)?;
        tools::restore_ipv4(ipv4)?;
        tools::restore_ipv6(ipv6)?;
        tools::restore_sets(sets_after)?;
        if !self.judges {
            return Ok(None);
        }
        let zone = |port: &hybrid::Port| Some((port.zone?, Arc::clone(&port.port)));
        let judged = conntrack::judge(&Zones {
            ports: self.node.ports.values().filter_map(zone).collect(),
            groups: self.node.groups.clone(),
            members: self.node.members.clone(),
        })?;
        Ok(Some(judged))
    }
}
