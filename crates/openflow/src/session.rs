//! The OpenFlow session as a state machine: bytes in, outcomes out; requests in, bytes out.
//!
//! It does no I/O and reads no clock. [`Handshake`] becomes a [`Session`] once the switch has said
//! hello and what it is. A session answers echo requests, finds the request that an error or a
//! reply belongs to by its transaction number (xid), and encodes long bundles bit by bit, as the
//! transport takes them. Messages that nobody asked for (port status, packet-in) are skipped.
//! Flow updates are told in their place between the outcomes, for that is the order of the switch.

mod bundle;
mod handshake;
#[cfg(test)]
mod tests;

pub use bundle::RefusedChange;
pub(crate) use bundle::{BundleFailure, Unity};
pub use handshake::HandshakeError;
pub(crate) use handshake::{Handshake, Progress};

use crate::{
    conntrack::CtTuple,
    flow::{FlowMod, FlowStats},
    meter::{Meter, MeterMod},
    monitor::FlowUpdate,
    number::TableId,
    wire::{
        DecodeError, ErrorMessage, bundle as bundle_wire, ct_flush, error, flow_monitor,
        flow_stats,
        header::{self, Frame, Kind, VERSION},
        meter,
    },
};
use bundle::{Bundle, Step};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A session with a switch that is known.
#[derive(Debug)]
pub(crate) struct Session {
    next_xid: u32,
    /// Single requests that wait for a reply, by xid.
    waiting: BTreeMap<u32, Waiting>,
    /// Bundles under way; the transaction numbers of each are a range of its own.
    bundles: VecDeque<Bundle>,
}

/// Names a request, so that its outcome can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequestId(u32);

#[derive(Debug)]
enum Waiting {
    Barrier,
    Echo,
    Dump,
    Meters(Vec<Meter>),
    Monitor,
}

/// What a message said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A request ended.
    Outcome(Outcome),
    /// Flow tables were changed.
    Updates(Vec<FlowUpdate>),
    /// A part of a dump, whose last part is its outcome. There may be very many flows: nobody need
    /// have all of them in this form.
    Flows(RequestId, Vec<FlowStats>),
}

/// How a request ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) id: RequestId,
    pub(crate) result: Result<Reply, Refusal>,
}

/// What a request got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Barrier,
    Echo,
    Flows(Vec<FlowStats>),
    Meters(Vec<Meter>),
    Monitor,
    Bundle,
}

/// Why a request got nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Request(ErrorMessage),
    Bundle(BundleFailure),
}

/// The switch broke the protocol: nothing that follows can be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A message of another version.
    #[error("a message of OpenFlow version {version:#04x} in a session of version 0x05")]
    Version {
        /// Its version byte.
        version: u8,
    },
    /// A message that cannot be read.
    #[error("a message of type {kind} cannot be read")]
    Message {
        /// Its type byte.
        kind: u8,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
    /// Bytes that cannot be cut into messages.
    #[error("the stream cannot be cut into messages")]
    Framing(#[from] DecodeError),
    /// A bundle was refused as such and committed all the same.
    #[error("a bundle was committed although it had been refused")]
    Committed,
}

impl Session {
    fn new(next_xid: u32) -> Self {
        Self { next_xid, waiting: BTreeMap::new(), bundles: VecDeque::new() }
    }

    /// Asks to be told when everything before has been done.
    pub(crate) fn barrier(&mut self, out: &mut Vec<u8>) -> RequestId {
        let xid = self.wait(Waiting::Barrier);
        header::encode(out, Kind::BARRIER_REQUEST, xid, |_| {});
        RequestId(xid)
    }

    /// Has connections forgotten. That has no reply of its own, so a barrier with the same number
    /// follows: whichever of error and barrier comes first is the outcome.
    pub(crate) fn flush_conntrack(
        &mut self,
        zone: u16,
        connections: &[CtTuple],
        out: &mut Vec<u8>,
    ) -> RequestId {
        let xid = self.wait(Waiting::Barrier);
        for original in connections {
            let body = |out: &mut Vec<u8>| ct_flush::encode(out, zone, original);
            header::encode(out, Kind::EXPERIMENTER, xid, body);
        }
        header::encode(out, Kind::BARRIER_REQUEST, xid, |_| {});
        RequestId(xid)
    }

    /// Has everything in these zones forgotten, likewise.
    pub(crate) fn flush_conntrack_zones(&mut self, zones: &[u16], out: &mut Vec<u8>) -> RequestId {
        let xid = self.wait(Waiting::Barrier);
        for zone in zones {
            let body = |out: &mut Vec<u8>| ct_flush::encode_zone(out, *zone);
            header::encode(out, Kind::EXPERIMENTER, xid, body);
        }
        header::encode(out, Kind::BARRIER_REQUEST, xid, |_| {});
        RequestId(xid)
    }

    /// Asks whether the switch is there.
    pub(crate) fn echo(&mut self, out: &mut Vec<u8>) -> RequestId {
        let xid = self.wait(Waiting::Echo);
        header::encode(out, Kind::ECHO_REQUEST, xid, |_| {});
        RequestId(xid)
    }

    /// Asks for every flow.
    pub(crate) fn dump_flows(&mut self, out: &mut Vec<u8>) -> RequestId {
        let xid = self.wait(Waiting::Dump);
        header::encode(out, Kind::MULTIPART_REQUEST, xid, flow_stats::encode_request);
        RequestId(xid)
    }

    /// Changes meters, in this order. That has no reply of its own, so a barrier with the same number
    /// follows: whichever of error and barrier comes first is the outcome.
    pub(crate) fn change_meters(&mut self, changes: &[MeterMod], out: &mut Vec<u8>) -> RequestId {
        let xid = self.wait(Waiting::Barrier);
        for change in changes {
            header::encode(out, Kind::METER_MOD, xid, |out| meter::encode(out, change));
        }
        header::encode(out, Kind::BARRIER_REQUEST, xid, |_| {});
        RequestId(xid)
    }

    /// Asks for the values of every meter.
    pub(crate) fn dump_meters(&mut self, out: &mut Vec<u8>) -> RequestId {
        let xid = self.wait(Waiting::Meters(Vec::new()));
        header::encode(out, Kind::MULTIPART_REQUEST, xid, meter::encode_request);
        RequestId(xid)
    }

    /// Asks to be told of changes of these tables from now on.
    pub(crate) fn monitor_flows(
        &mut self,
        tables: &BTreeSet<TableId>,
        out: &mut Vec<u8>,
    ) -> RequestId {
        let xid = self.wait(Waiting::Monitor);
        let body = |out: &mut Vec<u8>| flow_monitor::encode_request(out, tables);
        header::encode(out, Kind::MULTIPART_REQUEST, xid, body);
        RequestId(xid)
    }

    /// Makes changes in this order. [`fill`](Self::fill) sends them.
    pub(crate) fn bundle(&mut self, mods: Vec<FlowMod>, unity: Unity) -> RequestId {
        let bundle = Bundle::new(self.next_xid, mods, unity);
        let id = RequestId(bundle.first_xid());
        self.next_xid = bundle.end_xid();
        self.bundles.push_back(bundle);
        id
    }

    /// Encodes more of what waits to be sent, until `out` holds about `limit` bytes.
    pub(crate) fn fill(&mut self, out: &mut Vec<u8>, limit: usize) {
        for bundle in &mut self.bundles {
            bundle.fill(out, limit);
            if out.len() >= limit {
                break;
            }
        }
    }

    /// Takes a message in; perhaps it ends a request, or tells of changes.
    ///
    /// # Errors
    ///
    /// [`ProtocolError`] where the message cannot be what it claims to be.
    pub(crate) fn receive(
        &mut self,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Heard>, ProtocolError> {
        if frame.version != VERSION {
            return Err(ProtocolError::Version { version: frame.version });
        }
        let unreadable = |source| ProtocolError::Message { kind: frame.kind.0, source };
        let xid = frame.xid;
        let outcome = match frame.kind {
            Kind::ECHO_REQUEST => {
                header::encode(out, Kind::ECHO_REPLY, xid, |out| out.extend_from_slice(frame.body));
                None
            }
            Kind::ECHO_REPLY => {
                self.end(xid, |waiting| matches!(waiting, Waiting::Echo), Reply::Echo)
            }
            Kind::BARRIER_REPLY => {
                self.end(xid, |waiting| matches!(waiting, Waiting::Barrier), Reply::Barrier)
            }
            Kind::MULTIPART_REPLY if flow_monitor::is_reply(frame.body) => {
                let updates = flow_monitor::decode_reply(frame.body).map_err(unreadable)?;
                if !updates.is_empty() {
                    return Ok(Some(Heard::Updates(updates)));
                }
                self.end(xid, |waiting| matches!(waiting, Waiting::Monitor), Reply::Monitor)
            }
            Kind::MULTIPART_REPLY => {
                return self.dumped(xid, frame.body).map_err(unreadable);
            }
            Kind::BUNDLE_CONTROL => {
                let (_, control) = bundle_wire::decode_control(frame.body).map_err(unreadable)?;
                self.bundle_step(xid, |bundle| bundle.controlled(xid, control, out))?
            }
            Kind::ERROR => {
                let error = error::decode(frame.body).map_err(unreadable)?;
                if self.waiting.remove(&xid).is_some() {
                    Some(Outcome { id: RequestId(xid), result: Err(Refusal::Request(error)) })
                } else {
                    self.bundle_step(xid, |bundle| bundle.refused(xid, error, out))?
                }
            }
            _ => None,
        };
        Ok(outcome.map(Heard::Outcome))
    }

    fn wait(&mut self, waiting: Waiting) -> u32 {
        let xid = self.next_xid;
        self.next_xid = xid.wrapping_add(1);
        self.waiting.insert(xid, waiting);
        xid
    }

    fn end(&mut self, xid: u32, fits: fn(&Waiting) -> bool, reply: Reply) -> Option<Outcome> {
        if !self.waiting.get(&xid).is_some_and(fits) {
            return None;
        }
        self.waiting.remove(&xid);
        Some(Outcome { id: RequestId(xid), result: Ok(reply) })
    }

    fn dumped(&mut self, xid: u32, body: &[u8]) -> Result<Option<Heard>, DecodeError> {
        let id = RequestId(xid);
        let reply = match self.waiting.get_mut(&xid) {
            Some(Waiting::Dump) => {
                let (flows, more) = flow_stats::decode_reply(body)?;
                if more {
                    return Ok(Some(Heard::Flows(id, flows)));
                }
                Reply::Flows(flows)
            }
            Some(Waiting::Meters(meters)) => {
                if meter::decode_reply(body, meters)? {
                    return Ok(None);
                }
                Reply::Meters(std::mem::take(meters))
            }
            _ => return Ok(None),
        };
        self.waiting.remove(&xid);
        Ok(Some(Heard::Outcome(Outcome { id, result: Ok(reply) })))
    }

    /// Lets the bundle that has the transaction number take its step.
    fn bundle_step(
        &mut self,
        xid: u32,
        step: impl FnOnce(&mut Bundle) -> Step,
    ) -> Result<Option<Outcome>, ProtocolError> {
        let Some(index) = self.bundles.iter().position(|bundle| bundle.owns(xid)) else {
            return Ok(None);
        };
        let Some(bundle) = self.bundles.get_mut(index) else { return Ok(None) };
        let id = RequestId(bundle.first_xid());
        let result = match step(bundle) {
            Step::Wait => return Ok(None),
            Step::Done => Ok(Reply::Bundle),
            Step::Failed(failure) => Err(Refusal::Bundle(failure)),
            Step::Unknown => return Err(ProtocolError::Committed),
        };
        self.bundles.remove(index);
        Ok(Some(Outcome { id, result }))
    }
}
