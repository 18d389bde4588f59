//! What the switch says while flows are monitored, in its order, for somebody who may be slow.
//!
//! Updates that nobody takes are not kept without bound: they are dropped, and the reader is told
//! that it has missed some. Answers are always kept; there is one for each request.

use super::{
    BundleError, Client, RequestError,
    task::{Answer, Order, Request},
};
use crate::{
    flow::{FlowMod, FlowStats},
    monitor::FlowUpdate,
    session::{Refusal, Reply, Unity},
    wire::ErrorMessage,
};
use std::collections::VecDeque;
use tokio::sync::mpsc;

/// How many messages may wait in the channel itself.
pub(super) const CHANNEL: usize = 16;
/// How many updates may wait to be taken: those of a large node whose flows go all at once.
const LIMIT: usize = 256 * 1024;
/// How many parts of a dump may wait to be taken. While there are more nothing is read.
const PARTS: usize = 16;

/// Something that the switch has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// These changes took effect, in this order.
    Updates(Vec<FlowUpdate>),
    /// A part of what [`InOrder::dump_flows`] asked for; [`Told::Flows`] is the last one.
    Part(Vec<FlowStats>),
    /// What [`InOrder::dump_flows`] asked for, or the last part of it: changes that were told before
    /// the first part are in it, changes that are told later are not.
    Flows(Result<Vec<FlowStats>, RequestError>),
    /// What became of [`InOrder::bundle`] or [`InOrder::independent`]: what was told before took
    /// effect before it, what is told later took effect later.
    Bundle(Result<(), BundleError>),
}

/// Tells of changes to flow tables, and what [`InOrder`] asks, in the order in which the switch
/// did all of it. It keeps the connection.
///
/// Of what this connection changes itself it tells that it did, not what. While the switch is
/// [paused](FlowUpdate::Paused) it may say so in full; who compares with what there is finds
/// nothing new.
#[derive(Debug)]
pub struct FlowMonitor {
    requests: InOrder,
    told: mpsc::Receiver<Told>,
    refusal: Option<ErrorMessage>,
}

impl FlowMonitor {
    pub(super) fn new(
        client: Client,
        told: mpsc::Receiver<Told>,
        refusal: Option<ErrorMessage>,
    ) -> Self {
        Self { requests: InOrder(client), told, refusal }
    }

    /// Why no change is told, where the switch does not know monitors, as one before Open vSwitch
    /// 3.0. Answers are told all the same.
    pub fn refusal(&self) -> Option<&ErrorMessage> {
        self.refusal.as_ref()
    }

    /// What the switch said next; nothing once the connection is gone.
    pub async fn next(&mut self) -> Option<Told> {
        self.told.recv().await
    }

    /// For requests whose answers are told here.
    pub fn requests(&self) -> &InOrder {
        &self.requests
    }
}

/// Makes requests whose answers a [`FlowMonitor`] tells, in their place among the changes. Clones
/// share the connection; the answers of one kind come in the order of the requests.
#[derive(Debug, Clone)]
pub struct InOrder(Client);

impl InOrder {
    /// Asks for every flow of every table. Answered by [`Told::Flows`].
    pub async fn dump_flows(&self) {
        self.send(Order::DumpFlows).await;
    }

    /// Makes changes in this order, all of them or none, visible to packets at once. Answered by
    /// [`Told::Bundle`].
    pub async fn bundle(&self, mods: Vec<FlowMod>) {
        self.send(Order::Bundle(mods, Unity::Atomic)).await;
    }

    /// Makes changes in this order, of which each may be made without the others, visible to packets
    /// at once. It takes a round trip less than [`Self::bundle`]. Answered by [`Told::Bundle`], which
    /// names all that the switch could not take where it has made others
    /// ([`BundleError::Partly`]).
    pub async fn independent(&self, mods: Vec<FlowMod>) {
        self.send(Order::Bundle(mods, Unity::Independent)).await;
    }

    /// Where the connection is gone, the monitor says so by its end.
    async fn send(&self, order: Order) {
        let _ = self.0.requests.send(Request { order, answer: Answer::InOrder }).await;
    }
}

/// What waits to be told.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    listener: Option<mpsc::Sender<Told>>,
    waiting: VecDeque<Told>,
    /// How many updates are among it.
    updates: usize,
    /// How many parts of a dump are among it.
    parts: usize,
}

impl Outbox {
    /// From now on everything is told to this listener.
    pub(super) fn open(&mut self, listener: mpsc::Sender<Told>) {
        *self = Self { listener: Some(listener), ..Self::default() };
    }

    pub(super) fn updates(&mut self, mut updates: Vec<FlowUpdate>) {
        if self.listener.is_none() {
            return;
        }
        if self.updates.saturating_add(updates.len()) > LIMIT {
            self.waiting.retain(|told| !matches!(told, Told::Updates(_)));
            self.updates = 0;
            updates = vec![FlowUpdate::Missed];
        }
        self.updates = self.updates.saturating_add(updates.len());
        self.waiting.push_back(Told::Updates(updates));
    }

    pub(super) fn part(&mut self, flows: Vec<FlowStats>) {
        if self.listener.is_some() {
            self.parts += 1;
            self.waiting.push_back(Told::Part(flows));
        }
    }

    pub(super) fn answer(&mut self, result: Result<Reply, Refusal>) {
        let told = match result {
            Ok(Reply::Flows(flows)) => Told::Flows(Ok(flows)),
            Err(Refusal::Request(error)) => Told::Flows(Err(RequestError::Refused(error))),
            Ok(_) => Told::Bundle(Ok(())),
            Err(Refusal::Bundle(failure)) => Told::Bundle(Err(failure.into())),
        };
        if self.listener.is_some() {
            self.waiting.push_back(told);
        }
    }

    /// Whether the listener should take something before more is read.
    pub(super) fn is_full(&self) -> bool {
        self.parts > PARTS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Tells what waits first, when there is room for it. Nothing is lost where this is dropped.
    pub(super) async fn tell(&mut self) {
        let Some(listener) = &self.listener else { return };
        if let Ok(room) = listener.reserve().await {
            if let Some(told) = self.waiting.pop_front() {
                match &told {
                    Told::Updates(updates) => {
                        self.updates = self.updates.saturating_sub(updates.len());
                    }
                    Told::Part(_) => self.parts = self.parts.saturating_sub(1),
                    Told::Flows(_) | Told::Bundle(_) => {}
                }
                room.send(told);
            }
            return;
        }
        // Nobody listens any more.
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn updates_that_nobody_takes_are_dropped_and_answers_are_not() {
        let (listener, mut told) = mpsc::channel(CHANNEL);
        let mut outbox = Outbox::default();
        outbox.updates(vec![FlowUpdate::Paused]);
        assert!(outbox.is_empty());
        outbox.open(listener);
        let own = |count| vec![FlowUpdate::Own { xid: 7 }; count];
        outbox.updates(own(LIMIT - 1));
        outbox.answer(Ok(Reply::Bundle));
        outbox.updates(own(1));
        assert_eq!(outbox.waiting.len(), 3);
        outbox.updates(own(1));
        outbox.updates(own(2));
        while !outbox.is_empty() {
            outbox.tell().await;
        }
        assert_eq!(told.try_recv(), Ok(Told::Bundle(Ok(()))));
        assert_eq!(told.try_recv(), Ok(Told::Updates(vec![FlowUpdate::Missed])));
        assert_eq!(told.try_recv(), Ok(Told::Updates(own(2))));
        assert!(told.try_recv().is_err());
        assert_eq!(outbox.updates, 0);

        // Of a dump no more is read than somebody takes.
        for _ in 0..=PARTS {
            assert!(!outbox.is_full());
            outbox.part(Vec::new());
        }
        assert!(outbox.is_full());
        outbox.tell().await;
        assert!(!outbox.is_full());
        assert_eq!(told.try_recv(), Ok(Told::Part(Vec::new())));
        while told.try_recv().is_ok() || !outbox.is_empty() {
            outbox.tell().await;
        }

        drop(told);
        outbox.updates(own(1));
        outbox.tell().await;
        assert!(outbox.is_empty());
    }
}
