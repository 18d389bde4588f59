//! Moving ports from one firewall driver to the other: carries out what the plan wants next.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{HybridDevices, PortId};
use peer::chain;

use super::Node;
use crate::conntrack::Rules;
use crate::event::Event;
use crate::firewall::Firewall;
use crate::rewire::act::{self, RewireError, Tools};
use crate::rewire::{self, Migrate, MoveStatus, Rewiring, Start, Step, Way};

impl Node {
    /// Does what moves need next.
    pub(super) fn rewire(&mut self) {
        for next in std::mem::take(&mut self.plan.rewiring) {
            match next {
                Rewiring::Look(suspects) => {
                    self.inventory.moves.start = Start::Looking;
                    self.spawn(async move {
                        act::finish_halves(suspects).await;
                        Event::LookedForHalves
                    });
                }
                Rewiring::Queue(ports) => {
                    tracing::info!(ports = ports.len(), "moving ports to the driver of this node");
                    self.inventory.moves.start = Start::Moving;
                    for id in ports {
                        self.inventory.moves.queue(id, self.inventory.firewall, false);
                    }
                    self.look_again();
                }
                Rewiring::Prepare(port, way, carries) => {
                    self.inventory.moves.begin(port, way);
                    let devices = HybridDevices::of(port);
                    let tools = self.tools();
                    self.spawn(async move {
                        let mut prepared = act::prepare(devices, way).await;
                        if prepared.is_ok() {
                            prepared = act::hand_over(tools, carries).await;
                        }
                        Event::Prepared(port, prepared)
                    });
                }
                Rewiring::Settle(swap) => {
                    let port = swap.port.id;
                    self.inventory.moves.advance(port, Step::Settling);
                    let tools = self.tools();
                    self.spawn(
                        async move { Event::Settled(port, act::settle(tools, *swap).await) },
                    );
                }
                Rewiring::Swap(swap) => {
                    let port = swap.port.id;
                    self.inventory.moves.advance(port, Step::Swapping(swap.ofport));
                    let tools = self.tools();
                    self.spawn(async move { Event::Swapped(port, act::swap(tools, *swap).await) });
                }
                Rewiring::Clean(port) => {
                    tokio::spawn(act::clean(HybridDevices::of(port)));
                }
                Rewiring::Refuse(port, reason) => {
                    tracing::warn!(%port, reason, "a port cannot be moved");
                    self.clean_spare(port);
                    self.inventory.moves.advance(port, Step::Undone(reason));
                    self.look_again();
                }
                Rewiring::Forget(port) => {
                    self.clean_spare(port);
                    self.inventory.moves.forget(port);
                }
            }
        }
    }

    /// A Linux bridge that was made for a move which does not go on goes.
    fn clean_spare(&self, port: PortId) {
        if self.inventory.moves.has_spare_bridge(port) {
            tokio::spawn(act::clean(HybridDevices::of(port)));
        }
    }

    fn tools(&self) -> Tools {
        Tools {
            database: self.database.clone(),
            bridge: self.config.integration_bridge.clone(),
            datapath: self.datapath(),
            control: self.config.control(),
            rules: Rules::of(&self.plan.snapshot),
        }
    }

    /// Has the plan made again: a step was taken without anything else that would.
    fn look_again(&self) {
        self.spawn(async { Event::Rewired });
    }

    pub(super) fn take_step(
        &mut self,
        port: PortId,
        result: Result<(), RewireError>,
        next: Step,
    ) -> bool {
        let step = match result {
            Ok(()) => next,
            Err(error) => undone(port, &error),
        };
        self.inventory.moves.advance(port, step);
        true
    }

    pub(super) fn take_swapped(
        &mut self,
        port: PortId,
        result: Result<Duration, RewireError>,
    ) -> bool {
        let step = match result {
            Ok(cut_off) => {
                tracing::info!(%port, ?cut_off, "the port is moved");
                Step::Done(cut_off)
            }
            Err(error) => undone(port, &error),
        };
        self.inventory.moves.advance(port, step);
        // What the plan goes by from here on is how the port is plugged in now.
        self.inventory.replica = Some(self.database.replica());
        true
    }

    /// Queues the moves that somebody asks for.
    pub(super) fn migrate(&mut self, migrate: &Migrate) -> Result<Vec<MoveStatus>, String> {
        let to = Firewall::named(&migrate.to).map_err(|error| chain(&error))?;
        if to == Firewall::Noop || self.inventory.firewall == Firewall::Noop {
            return Err(
                "ports can be moved between openvswitch and iptables_hybrid, on a node whose \
                        firewall_driver is one of them"
                    .to_owned(),
            );
        }
        let ids = self.named(&migrate.ports)?;
        let asks_for_all = migrate.ports.is_empty();
        for id in &ids {
            let Some(plug) = self.inventory.plugged.ports.get(id) else { continue };
            let is_so = plug.driver_on(self.inventory.firewall) == to;
            let way = rewire::way(*id, plug, to);
            let stays = matches!(way, Ok(Way::Stay));
            let never_moves = rewire::way(*id, plug, Firewall::IptablesHybrid).is_err();
            if !(stays && (is_so || never_moves) || asks_for_all && way.is_err()) {
                self.inventory.moves.queue(*id, to, true);
            }
        }
        Ok(self.moves(|id| ids.contains(id)))
    }

    /// The ports that these ids and names of interfaces stand for; all where there are none.
    fn named(&self, names: &[String]) -> Result<BTreeSet<PortId>, String> {
        let ports = &self.inventory.plugged.ports;
        if names.is_empty() {
            return Ok(ports.keys().copied().collect());
        }
        let find = |name: &String| {
            let mut found = ports.iter();
            found
                .find(|(id, plug)| id.to_string() == *name || *plug.interface == **name)
                .map(|(id, _)| *id)
                .ok_or_else(|| {
                    format!(
                        "no port here has the id or the interface '{name}'; 'weir status' lists them"
                    )
                })
        };
        names.iter().map(find).collect()
    }

    /// How the moves of these ports go.
    pub(super) fn moves(&self, is_of: impl Fn(&PortId) -> bool) -> Vec<MoveStatus> {
        let moves = self.inventory.moves.iter().filter(|(id, _)| is_of(id));
        moves
            .filter_map(|(id, it)| {
                let plug = self.inventory.plugged.ports.get(&id)?;
                Some(MoveStatus {
                    port: id.to_string(),
                    interface: plug.interface.to_string(),
                    to: it.to.to_string(),
                    is_under_way: it.is_under_way(),
                    step: self.step(id, &it.step),
                    is_undone: matches!(it.step, Step::Undone(_)),
                    cut_off_ms: match it.step {
                        Step::Done(cut_off) => Some(cut_off.as_secs_f64() * 1e3),
                        _ => None,
                    },
                })
            })
            .collect()
    }

    /// How far a move has come; of one that has not begun, what its port waits for.
    fn step(&self, id: PortId, step: &Step) -> String {
        let state = self.plan.ports.get(&id).map(|view| view.state.to_string());
        match (step, state) {
            (Step::Queued, Some(state)) => format!("{step}; the port is {state}"),
            _ => step.to_string(),
        }
    }
}

fn undone(port: PortId, error: &RewireError) -> Step {
    let reason = chain(error);
    tracing::warn!(%port, reason, "a port could not be moved");
    Step::Undone(reason)
}
