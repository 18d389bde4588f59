//! Netfilter, as far as it filters ports: what it holds, what it should hold, and which ports it
//! filters by now. Pure, but for `read`, `look`, `leftovers` and `NetfilterChange::make`, which have `tools` act.
//!
//! ```text
//! ports behind Linux bridges -> Node -> Desired ─┐
//!                iptables-save, ipset save -> Installed ──> NetfilterChange -> iptables-restore
//! ```
//!
//! Nothing tells what others change there, so it is looked at again and again. Rules are read back only
//! where somebody else may have changed them: nftables counts its transactions (`generation`). Where the
//! count has grown by those of a change of ours alone, what is installed is what was to be.

mod generation;
mod pace;
mod tools;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataplane::hybrid::{self, Changes, Desired, Installed, Listing, Node};
use model::{CtZone, Port, PortId};
use peer::chain;
use tokio::task::spawn_blocking;

use self::generation::Generation;
pub(crate) use self::pace::Pace;
use self::tools::{Saved, ToolError};
use crate::bridged::{self, Unfiltered};
use crate::conntrack::{self, Carry, CutError, Datapath, Judged, Rules, Zones};

/// What ends a transaction in the input of `iptables-restore`.
const COMMIT: &str = "COMMIT";

/// What is known of netfilter.
#[derive(Debug, Default)]
pub struct Netfilter {
    /// Whether it is to filter ports.
    is_engaged: bool,
    /// What it holds; `None` until it was read.
    found: Option<Found>,
    /// Whether the last change that was read back was there as it was made.
    is_proven: bool,
    /// Why it could not be read, or did not take the last change.
    pub(crate) trouble: Option<String>,
    /// From what it was computed what it should hold, and that.
    desired: Option<(Arc<Node>, Arc<Desired>)>,
    /// What it holds as it was to be, since when it did.
    held: Option<Arc<Desired>>,
    /// Whether it holds what it should, as far as is known.
    is_as_desired: bool,
    /// Whether there are connections whose packets it drops because they have lost their permission.
    any_revoked: bool,
    /// Whether a change is on its way. Until it has come to its end no other is needed.
    is_changing: bool,
    /// Whether a change failed, so that it is not known which connections have been judged by it.
    unjudged: bool,
    /// Whether it is known that it sees no packet of any port.
    is_unbridged: bool,
    /// By what it filters, connections that were there before included.
    taken: Option<Arc<Node>>,
}

/// What it holds.
#[derive(Debug)]
pub(crate) struct Found {
    installed: Installed,
    /// The last transaction that is in it; not known where rules are changed without one.
    generation: Option<Generation>,
}

/// What it was found to hold when it was looked at again.
#[derive(Debug)]
pub(crate) enum Look {
    /// Everything was read.
    All(Found),
    /// The rules are as they were, and these are the sets.
    Sets(Installed),
}

/// A change of netfilter. Where nothing differs, it is a look at the connections alone.
#[derive(Debug, Clone)]
pub struct NetfilterChange {
    changes: Changes,
    /// What it is computed from.
    node: Arc<Node>,
    /// What it leads to.
    desired: Arc<Desired>,
    /// Zones that get a port: nothing in them may be left of whoever had them before.
    fresh: BTreeSet<CtZone>,
    /// Whether there may be connections that no rule admits any more, or some that one admits again.
    judges: bool,
    /// The last transaction before it. Unless others come between, what is there then need not be read.
    generation: Option<Generation>,
    /// Connections that are to go on where another firewall filters their port by it.
    carries: Vec<Carry>,
    /// Whether it leaves ports to flows.
    lets_go: bool,
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
    /// What it was to lead to.
    desired: Arc<Desired>,
    /// What became of connections that were looked at, where it was made.
    result: Result<Option<Judged>, NetfilterError>,
    /// What there is now, where that is something else.
    after: Option<After>,
}

/// What there is after a change.
#[derive(Debug)]
enum After {
    /// Nobody else has changed anything.
    Expected(Found),
    /// It was read.
    Read(Result<Found, NetfilterError>),
}

impl Netfilter {
    /// Has what netfilter should hold follow the node. A port keeps its zone.
    pub(crate) fn follow(&mut self, mut node: Node) -> &Desired {
        let ports = node.ports.keys().copied().collect();
        let taken = self.taken.iter().flat_map(|taken| &taken.ports);
        let known = taken.filter_map(|(id, port)| Some((*id, port.zone?))).collect();
        let nothing = Installed::default();
        let zones = hybrid::zones(&ports, &known, self.installed().unwrap_or(&nothing));
        for (id, port) in &mut node.ports {
            port.zone = zones.get(id).copied();
        }
        let desired = match self.desired.take() {
            Some(as_before) if *as_before.0 == node => as_before,
            before => {
                self.is_as_desired = false;
                let before = before.as_ref().map(|(node, desired)| (&**node, &**desired));
                let desired = hybrid::desired_since(&node, before);
                (Arc::new(node), Arc::new(desired))
            }
        };
        &self.desired.insert(desired).1
    }

    /// It is to filter ports. Whether it sees their packets is asked when it is read next.
    pub(crate) fn engage(&mut self) {
        if !self.is_engaged {
            self.is_engaged = true;
            self.found = None;
            self.held = None;
        }
    }

    /// Whether it is to filter ports.
    pub(crate) fn is_engaged(&self) -> bool {
        self.is_engaged
    }

    /// It holds what it should, and nothing of others.
    #[cfg(test)]
    pub(crate) fn pretend(&mut self) {
        self.found = Some(Found { installed: Installed::default(), generation: None });
        self.taken = self.desired.as_ref().map(|(node, _)| Arc::clone(node));
        self.is_as_desired = true;
    }

    /// It was found to hold what is listed.
    #[cfg(test)]
    pub(crate) fn pretend_found(&mut self, listing: Listing<'_>) {
        let installed = Installed::parse(listing);
        self.found = Some(Found { installed, generation: None });
    }

    /// Nothing of ours is to be there.
    pub(crate) fn clear(&mut self) {
        self.is_engaged = false;
        let node = Node::default();
        if self.desired.as_ref().is_none_or(|(before, _)| **before != node) {
            self.is_as_desired = false;
            self.desired = Some((Arc::new(node), Arc::default()));
        }
    }

    /// Whether something of ours is there.
    pub(crate) fn has_leftovers(&self) -> bool {
        self.installed().is_some_and(|installed| !installed.is_empty())
    }

    /// By what it is to filter ports; nothing where there are none.
    pub(crate) fn node(&self) -> Option<&Arc<Node>> {
        self.desired.as_ref().map(|(node, _)| node).filter(|node| !node.ports.is_empty())
    }

    /// Whether it holds what it should, as far as is known.
    pub(crate) fn is_as_desired(&self) -> bool {
        self.is_as_desired
    }

    /// Whether changes by others are counted.
    pub(crate) fn is_counted(&self) -> bool {
        self.found.as_ref().is_some_and(|found| found.generation.is_some())
    }

    /// Whether it is known what it holds.
    pub(crate) fn is_read(&self) -> bool {
        self.found.is_some()
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
        let found = || self.installed()?.zones_of(&BTreeSet::from([port])).remove(&port);
        taken.or_else(found)
    }

    /// The conntrack zones of those of these ports that netfilter has filtered for an agent before this
    /// one, as far as it was read.
    pub(crate) fn zones_before(&self, ports: &BTreeSet<PortId>) -> BTreeMap<PortId, CtZone> {
        self.installed().map(|installed| installed.zones_of(ports)).unwrap_or_default()
    }

    /// Whether nobody has put anything there that may be in use.
    pub(crate) fn is_vacant(&self) -> bool {
        self.installed().is_some_and(Installed::is_empty)
    }

    fn installed(&self) -> Option<&Installed> {
        self.found.as_ref().map(|found| &found.installed)
    }

    /// What is to be changed; nothing before it was read, or where it is as it should be.
    pub(crate) fn change(&mut self) -> Option<NetfilterChange> {
        let is_idle = !self.is_as_desired && !self.is_changing;
        let (node, desired) = self.desired.as_ref().filter(|_| is_idle)?;
        let Found { installed, generation } = self.found.as_ref()?;
        let changes = match &self.held {
            Some(held) => desired.netfilter.changes_since(&held.netfilter, installed),
            None => desired.netfilter.changes(installed),
        };
        if changes.is_empty() {
            self.held = Some(Arc::clone(desired));
        }
        let is_taken = self.taken.as_ref().is_some_and(|taken| Arc::ptr_eq(taken, node));
        if changes.is_empty() && is_taken {
            self.is_as_desired = true;
            return None;
        }
        if is_taken {
            let first = changes.lines().next();
            tracing::warn!(first, "somebody has changed netfilter; mending it");
        }
        self.is_proven |= changes.is_empty();
        // What is mended may be what was never there as it was made.
        let generation = generation.filter(|_| self.is_proven && !is_taken);
        let found = installed.zones_of(&node.ports.keys().copied().collect());
        let had = |id: &PortId| {
            let taken = self.taken.as_ref().and_then(|taken| taken.ports.get(id)?.zone);
            taken.or_else(|| found.get(id).copied())
        };
        let fresh = node.ports.iter().filter(|(id, port)| had(id) != port.zone);
        let fresh = fresh.filter_map(|(_, port)| port.zone).collect();
        // Whoever has changed something may have let connections in.
        let looks_back = self.taken.is_none() || is_taken || self.any_revoked || self.unjudged;
        let judges = looks_back || !changes.only_adds();
        let (node, desired) = (Arc::clone(node), Arc::clone(desired));
        Some(NetfilterChange {
            changes,
            node,
            desired,
            fresh,
            judges,
            generation,
            carries: Vec::new(),
            lets_go: false,
        })
    }

    /// Whether a change is on its way.
    pub(crate) fn is_changing(&self) -> bool {
        self.is_changing
    }

    /// A change is on its way.
    pub(crate) fn begin(&mut self) {
        self.is_changing = true;
    }

    /// Takes note of what was read. Tells whether something is another way than it was known to be.
    pub(crate) fn read(&mut self, look: Result<Look, NetfilterError>) -> bool {
        let is_other = match (look, &mut self.found) {
            (Err(error), _) => {
                self.fail(&error);
                return true;
            }
            (Ok(Look::Sets(sets)), Some(found)) => found.installed.take_sets(sets),
            // They are nothing without the rules.
            (Ok(Look::Sets(_)), None) => return false,
            (Ok(Look::All(now)), found) => {
                let before = found.replace(now);
                before.as_ref().map(|before| &before.installed) != self.installed()
            }
        };
        if is_other {
            self.is_as_desired = false;
            self.held = None;
        }
        self.is_unbridged = false;
        is_other | self.trouble.take().is_some()
    }

    /// The last transaction of others or ours that is known.
    pub(crate) fn known(&self) -> Known {
        Known(self.found.as_ref().and_then(|found| found.generation))
    }

    /// Takes note of what came of a change: how many connections were cut, marked or reinstated, where
    /// it was made.
    pub(crate) fn take(&mut self, changed: Changed) -> Result<usize, NetfilterError> {
        let Changed { node, desired, result, after } = changed;
        self.is_changing = false;
        let result = result.and_then(|judged| self.check(desired, after).map(|()| judged));
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
        self.found = None;
        self.held = None;
        self.is_proven = false;
        self.is_as_desired = false;
        self.is_unbridged = matches!(error, NetfilterError::Unfiltered(_));
        if self.is_unbridged {
            self.taken = None;
        }
        self.trouble = Some(chain(error));
    }

    /// Whether what there is now is what was to be there.
    fn check(&mut self, desired: Arc<Desired>, after: Option<After>) -> Result<(), NetfilterError> {
        let found = match after {
            None => return Ok(()),
            Some(After::Expected(found)) => found,
            Some(After::Read(found)) => {
                let found = found?;
                let left = desired.netfilter.changes(&found.installed);
                if let Some(first) = left.lines().next() {
                    return Err(NetfilterError::Otherwise(first.to_owned()));
                }
                self.is_proven = true;
                found
            }
        };
        self.found = Some(found);
        self.is_as_desired = self.desired.as_ref().is_some_and(|(_, it)| Arc::ptr_eq(it, &desired));
        self.held = Some(desired);
        Ok(())
    }
}

/// What is known of netfilter's rules: the last transaction, if they have such.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known(Option<Generation>);

/// What netfilter holds, which is to filter ports.
pub(crate) async fn read() -> Result<Installed, NetfilterError> {
    let all = || bridged::check().map_err(Into::into).and_then(|()| list());
    Ok(spawn_blocking(all).await??.installed)
}

/// What netfilter holds, which is to filter ports; of what is known already, no more than is needed to
/// tell that it is so still.
pub(crate) async fn look(known: Known) -> Result<Look, NetfilterError> {
    let look = move || {
        bridged::check()?;
        if known.0.is_some() && known.0 == Generation::read() {
            let sets = tools::save_sets()?;
            let sets = Installed::parse(Listing { sets: &sets, ..Listing::default() });
            return Ok(Look::Sets(sets));
        }
        list().map(Look::All)
    };
    spawn_blocking(look).await?
}

/// What an agent with another firewall may have left there. Where it cannot be told, as on a machine
/// without the programs, that is nothing.
pub(crate) async fn leftovers() -> Look {
    let listed = spawn_blocking(list).await.map_err(NetfilterError::from).flatten();
    Look::All(listed.unwrap_or_else(|error| {
        tracing::debug!(error = chain(&error), "nothing is known of netfilter");
        Found { installed: Installed::default(), generation: None }
    }))
}

fn list() -> Result<Found, NetfilterError> {
    let before = Generation::read();
    let saved = tools::save()?;
    let generation = Generation::read().filter(|now| saved.is_nft() && before == Some(*now));
    let Saved { ipv4, ipv6, sets, protocols } = &saved;
    let installed = Installed::parse(Listing { ipv4, ipv6, sets, protocols });
    Ok(Found { installed, generation })
}

impl NetfilterChange {
    /// The ports that it gives a zone, with that.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&Arc<Port>, CtZone)> {
        let ports = self.node.ports.values().filter_map(|it| Some((&it.port, it.zone?)));
        ports.filter(|(_, zone)| self.fresh.contains(zone))
    }

    /// What decides on connections when it is made.
    fn rules(&self) -> Rules {
        Rules { groups: self.node.groups.clone(), members: self.node.members.clone() }
    }

    /// Connections that are to go on where another firewall filters their port by it.
    pub(crate) fn add_carries(&mut self, carries: Vec<Carry>) {
        self.carries.extend(carries);
    }

    /// It leaves ports to flows, with these connections.
    pub(crate) fn let_go(&mut self, carries: Vec<Carry>) {
        self.lets_go = true;
        self.add_carries(carries);
    }

    /// Whether it leaves ports to flows.
    pub(crate) fn lets_go(&self) -> bool {
        self.lets_go
    }

    /// Those.
    #[cfg(test)]
    pub(crate) fn carries(&self) -> &[Carry] {
        &self.carries
    }

    /// Makes the change, and cuts the connections that no rule admits any more. The datapath has those
    /// that it is to carry over.
    pub(crate) async fn make(self, datapath: Datapath) -> Changed {
        let (node, desired) = (Arc::clone(&self.node), Arc::clone(&self.desired));
        let work = move || {
            let result = self.run(&datapath);
            (result, (!self.changes.is_empty()).then(|| self.after()))
        };
        let done = spawn_blocking(work).await;
        let (result, after) = done.unwrap_or_else(|error| (Err(error.into()), None));
        Changed { node, desired, result, after }
    }

    /// What there is after it. Blocks.
    fn after(self) -> After {
        let Changes { ipv4, ipv6, after: installed, .. } = self.changes;
        let lines = ipv4.lines().chain(ipv6.lines());
        let transactions = lines.filter(|line| *line == COMMIT).count();
        let transactions = u32::try_from(transactions).unwrap_or(u32::MAX);
        let generation = self.generation.map(|before| before.later(transactions));
        if generation.is_some() && generation == Generation::read() {
            return After::Expected(Found { installed, generation });
        }
        After::Read(list())
    }

    /// Blocks.
    fn run(&self, datapath: &Datapath) -> Result<Option<Judged>, NetfilterError> {
        let Changes { sets_before, ipv4, ipv6, sets_after, .. } = &self.changes;
        conntrack::forget(&self.fresh)?;
        self.carry(datapath);
        tools::restore_sets(sets_before)?;
        tools::restore_ipv4(ipv4)?;
        tools::restore_ipv6(ipv6)?;
        tools::restore_sets(sets_after)?;
        // Those that began since.
        self.carry(datapath);
        if !self.judges {
            return Ok(None);
        }
        let zone = |port: &hybrid::Port| Some((port.zone?, Arc::clone(&port.port)));
        let judged = conntrack::judge(&Zones {
            ports: self.node.ports.values().filter_map(zone).collect(),
            rules: self.rules(),
        })?;
        Ok(Some(judged))
    }

    /// Where it fails, connections go on when their first sender sends again. Blocks.
    fn carry(&self, datapath: &Datapath) {
        if self.carries.is_empty() {
            return;
        }
        match conntrack::carry(datapath, &self.carries, &self.rules()) {
            Ok(carried) => tracing::debug!(carried, "carried connections over"),
            Err(error) => {
                tracing::warn!(error = chain(&error), "connections could not be carried over");
            }
        }
    }
}
