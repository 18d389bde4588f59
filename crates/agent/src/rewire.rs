//! Moving virtual machines that run from one firewall driver to the other. Pure, but for `act`, which
//! touches interfaces, and `swap`, which touches the database.
//!
//! A port is filtered by flows where its device is plugged into the integration bridge itself, and by
//! netfilter where a Linux bridge is in between. So to move it is to plug it anew while its machine
//! runs, with both in force around that moment:
//!
//! | step | to `iptables_hybrid` | to `openvswitch` |
//! | --- | --- | --- |
//! | `Step::Preparing` | the Linux bridge is made, and joined to nothing | the device is looked for in the Linux bridge; connections are carried over |
//! | `Step::Doubling` | netfilter takes the port's rules; flows filter it | flows take them; netfilter filters it |
//! | `Step::Settling` | connections are carried over | those that are new are, too; cached verdicts go |
//! | `Step::Swapping`, one at a time | `tap` out of the integration bridge, `qvo` in, then `tap` into the Linux bridge | `tap` out of that, `qvo` out of the integration bridge, `tap` in |
//! | done | its flows let everything through | netfilter forgets it; the Linux bridge goes |
//!
//! The port number stays, so no flow changes with the swap. What fails is undone, in reverse. What an
//! agent leaves that ends in the middle is looked for by the next one (`Start`).

pub(crate) mod act;
pub(crate) mod swap;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dataplane::Filter;
use model::{CtZone, HybridDevices, OfPort, Port, PortId};
use serde::{Deserialize, Serialize};

use crate::conntrack::Carry;
use crate::firewall::Firewall;
use crate::plugged::Plug;

/// The driver of a port, in its interface's `external_ids`, where it is another one than that of the
/// node; and that of the agent before this one, in those of the integration bridge.
pub(crate) const DRIVER: &str = "weir-firewall-driver";
/// Marks an interface, in its `external_ids`, that took the place of the one by which whoever made
/// the machine had plugged it in.
pub(crate) const MOVED: &str = "weir-moved";

/// How many ports are moved at a time.
pub(crate) const AT_ONCE: usize = 8;

/// Ports that somebody wants moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migrate {
    /// The driver: `openvswitch` or `iptables_hybrid`.
    pub to: String,
    /// Ids of ports or names of interfaces; nobody stands for all ports that can be moved.
    pub ports: Vec<String>,
}

/// How the move of a port goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveStatus {
    /// The port.
    pub port: String,
    /// Its interface now.
    pub interface: String,
    /// The driver that it is to have.
    pub to: String,
    /// Whether it goes on.
    pub is_under_way: bool,
    /// How far it has come, or why it is as it was.
    pub step: String,
    /// Whether it could not be.
    pub is_undone: bool,
    /// How long the machine was cut off at most, in milliseconds, where that is over.
    pub cut_off_ms: Option<f64>,
}

/// What is being moved, and what became of what was.
#[derive(Debug, Default)]
pub struct Moves {
    moves: BTreeMap<PortId, Move>,
    /// How far the ports have been looked at that were plugged in when the agent started.
    pub(crate) start: Start,
}

/// How far the ports have come that were plugged in when the agent started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Start {
    /// It is not known what an agent before this one has left half done.
    #[default]
    Unknown,
    /// That is being looked for.
    Looking,
    /// Nothing is half done.
    Clean,
    /// Those that are plugged in for another driver are being moved.
    Moving,
}

/// The last move of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    /// The driver that it is to have.
    pub(crate) to: Firewall,
    /// What it takes, once it has begun.
    pub(crate) way: Option<Way>,
    /// Whether somebody asked for it; else it follows the driver of the node.
    pub(crate) is_asked_for: bool,
    /// How far it has come.
    pub(crate) step: Step,
}

/// How far the move of a port has come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Step {
    /// Others go first, or it is not up.
    #[error("it waits for its turn")]
    Queued,
    /// What it needs is made or looked for.
    #[error("its devices are prepared")]
    Preparing,
    /// Both are to filter it.
    #[error("flows and netfilter are to filter it both")]
    Doubling,
    /// Its connections are carried over, and verdicts go that the switch has cached.
    #[error("flows and netfilter filter it both; what was cached goes")]
    Settling,
    /// All is ready, and another port is being plugged in anew.
    #[error("it is ready to be plugged in anew")]
    Ready,
    /// It is being plugged in anew, with this port number.
    #[error("it is plugged in anew")]
    Swapping(OfPort),
    /// It is where it is to be, and was cut off for so long at most.
    #[error("done{}", after(*.0))]
    Done(Duration),
    /// It is as it was, and why.
    #[error("{0}")]
    Undone(String),
}

/// How long a move has taken its machine off the network, in words.
fn after(cut_off: Duration) -> String {
    match cut_off.as_millis() {
        0 => String::new(),
        milliseconds => format!("; the machine was cut off for {milliseconds} ms at most"),
    }
}

/// What is to be done next for moves.
#[derive(Debug)]
pub(crate) enum Rewiring {
    /// Something may be left half done at these ports.
    Look(Vec<Suspect>),
    /// Ports that are to get the driver of the node.
    Queue(Vec<PortId>),
    /// The devices of a port are to be prepared, and flows are to know these connections of it before
    /// they filter it.
    Prepare(PortId, Way, Vec<Carry>),
    /// Both filter a port: what is left to do before it is plugged in anew.
    Settle(Box<Swap>),
    /// A port is to be plugged in anew.
    Swap(Box<Swap>),
    /// The Linux bridge of a port goes, which no machine uses any more.
    Clean(PortId),
    /// A move cannot be.
    Refuse(PortId, String),
    /// A port is not plugged in any more.
    Forget(PortId),
}

/// A port that may have been left half done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suspect {
    /// The port.
    pub(crate) port: PortId,
    /// Whether it is plugged in by way of a Linux bridge.
    pub(crate) is_bridged: bool,
}

/// What the move of a port takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// A Linux bridge is put before it.
    Bridge,
    /// Its Linux bridge is taken away.
    Unbridge,
    /// It is plugged in as it should be; only who filters it changes.
    Stay,
}

/// What plugging a port in anew takes.
#[derive(Debug, Clone)]
pub(crate) struct Swap {
    /// The port.
    pub(crate) port: Arc<Port>,
    /// What changes.
    pub(crate) way: Way,
    /// The interface that it is plugged in with.
    pub(crate) interface: Arc<str>,
    /// Its port number, which stays.
    pub(crate) ofport: OfPort,
    /// The conntrack zone of its network in the datapath of the integration bridge.
    pub(crate) in_flows: CtZone,
    /// Its own zone, where netfilter filters it.
    pub(crate) in_netfilter: Option<CtZone>,
    /// What is noted with the new interface; nothing under a key takes that away.
    pub(crate) notes: BTreeMap<String, String>,
    /// What stands there until then.
    pub(crate) before: BTreeMap<String, String>,
}

impl Move {
    /// Whether it goes on.
    pub(crate) fn is_under_way(&self) -> bool {
        !matches!(self.step, Step::Done(_) | Step::Undone(_))
    }

    /// Whether it is one of those that go on now.
    pub(crate) fn is_active(&self) -> bool {
        self.is_under_way() && self.step != Step::Queued
    }

    /// Whether there is a Linux bridge for it that its machine is not joined to yet.
    fn has_spare_bridge(&self) -> bool {
        let is_ready = matches!(self.step, Step::Doubling | Step::Settling | Step::Ready);
        is_ready && self.way == Some(Way::Bridge)
    }

    /// Whether both are to filter the port, or it is being plugged in anew.
    fn is_doubled(&self) -> bool {
        matches!(self.step, Step::Doubling | Step::Settling | Step::Ready | Step::Swapping(_))
    }
}

impl Moves {
    /// All of them, those that have ended included.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PortId, &Move)> {
        self.moves.iter().map(|(id, it)| (*id, it))
    }

    /// Whether that of this port goes on now.
    pub(crate) fn is_active(&self, id: PortId) -> bool {
        self.moves.get(&id).is_some_and(Move::is_active)
    }

    /// Whether a Linux bridge was made for this port that its machine is not joined to yet.
    pub(crate) fn has_spare_bridge(&self, id: PortId) -> bool {
        self.moves.get(&id).is_some_and(Move::has_spare_bridge)
    }

    /// Whether any goes on.
    pub(crate) fn is_any_under_way(&self) -> bool {
        self.moves.values().any(Move::is_under_way)
    }

    /// Whether any port is being plugged in anew.
    pub(crate) fn is_any_swapping(&self) -> bool {
        self.moves.values().any(|it| matches!(it.step, Step::Swapping(_)))
    }

    /// How many more may begin now.
    pub(crate) fn room(&self) -> usize {
        let active = self.moves.values().filter(|it| it.is_active()).count();
        AT_ONCE.saturating_sub(active)
    }

    /// A port is to have this driver. One that is being moved goes on first.
    pub(crate) fn queue(&mut self, id: PortId, to: Firewall, is_asked_for: bool) {
        if !self.is_active(id) {
            self.moves.insert(id, Move { to, way: None, is_asked_for, step: Step::Queued });
        }
    }

    /// A move begins, and takes this.
    pub(crate) fn begin(&mut self, id: PortId, way: Way) {
        if let Some(it) = self.moves.get_mut(&id) {
            (it.way, it.step) = (Some(way), Step::Preparing);
        }
    }

    /// A move has come this far.
    pub(crate) fn advance(&mut self, id: PortId, step: Step) {
        if let Some(it) = self.moves.get_mut(&id) {
            it.step = step;
        }
    }

    /// Nobody will ask about it any more.
    pub(crate) fn forget(&mut self, id: PortId) {
        self.moves.remove(&id);
    }

    /// Who filters a port, given who would if it were not moved: until the end of a move flows do, and
    /// netfilter with them.
    pub(crate) fn filter(&self, id: PortId, otherwise: Filter) -> Filter {
        match self.moves.get(&id).is_some_and(Move::is_doubled) {
            true => Filter::Flows,
            false => otherwise,
        }
    }

    /// Whether netfilter is to have the rules of a port that flows filter, given whether it has them.
    pub(crate) fn is_doubled(&self, id: PortId, has_rules: bool) -> bool {
        let doubled = self.moves.get(&id).filter(|it| it.is_doubled());
        doubled.is_some_and(|it| has_rules || it.to.is_hybrid())
    }

    /// The port number of a port that is being plugged in anew.
    pub(crate) fn ofport(&self, id: PortId) -> Option<OfPort> {
        match self.moves.get(&id)?.step {
            Step::Swapping(ofport) => Some(ofport),
            _ => None,
        }
    }
}

/// What it takes to give a port that is plugged in like this a driver.
///
/// # Errors
///
/// Why it cannot have it.
pub(crate) fn way(id: PortId, plug: &Plug, to: Firewall) -> Result<Way, String> {
    let devices = HybridDevices::of(id);
    let is_bridged = *plug.interface == *devices.qvo;
    match (to.is_hybrid(), is_bridged) {
        (true, false) if *plug.interface == *devices.tap => Ok(Way::Bridge),
        (true, false) => Err(format!(
            "its interface is {}; only one that is called {} can be put behind a Linux bridge",
            plug.interface, devices.tap
        )),
        (false, true) => Ok(Way::Unbridge),
        _ => Ok(Way::Stay),
    }
}
