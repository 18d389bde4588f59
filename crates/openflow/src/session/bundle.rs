//! One bundle on its way: open, the changes, close; once all of them were taken, commit, else
//! discard. OpenFlow 1.4.1 § 6.9.
//!
//! A change that the switch cannot take is refused as soon as it is added, and the bundle stays
//! open; closing is where both sides know that every refusal has been said. A change that fails
//! as it is carried out is refused at commit, and the switch takes the others back.
//!
//! Where each change may be made without the others, nobody need wait for that: the bundle is
//! committed in the same breath, which saves a round trip. Open vSwitch commits what it has not
//! refused before, and every refusal is said before the commit is answered, so that what was made
//! is known for each change. A bundle of one change is of this kind: without the change nothing is
//! left to commit.

use crate::{
    flow::FlowMod,
    wire::{
        ErrorMessage,
        bundle::{self, Control},
    },
};

/// The most that a message's 16-bit length can say.
const MAX_MESSAGE: usize = 0xffff;

/// What holds the changes of a bundle together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unity {
    /// All of them or none.
    Atomic,
    /// Each may be made without the others.
    Independent,
}

/// A bundle. Its first xid opens it, one follows for each change, then one each to close it and to
/// commit or discard it.
#[derive(Debug)]
pub(super) struct Bundle {
    first_xid: u32,
    mods: Vec<FlowMod>,
    /// Whether it is committed before the switch has said what it refuses.
    hasty: bool,
    state: State,
    /// The first reason why not all of it can be made.
    failure: Option<BundleFailure>,
    /// Of a hasty one, every change that was refused.
    refused: Vec<RefusedChange>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was sent.
    New,
    /// Open, and so many changes were sent.
    Adding(usize),
    /// Close was sent.
    Closing,
    /// Commit was sent.
    Committing,
    /// Discard was sent.
    Discarding,
}

/// A change that the switch has refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedChange {
    /// Which one of the bundle, from 0.
    pub index: usize,
    /// What the switch said.
    pub error: ErrorMessage,
}

/// Why a bundle changed nothing, or not everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BundleFailure {
    /// The switch refused these changes, and made the others.
    Partly(Vec<RefusedChange>),
    /// The switch refused one of the changes.
    Refused { index: usize, flow_mod: Box<FlowMod>, error: ErrorMessage },
    /// One of the changes does not fit into a message.
    TooLong { index: usize, flow_mod: Box<FlowMod> },
    /// The switch refused the bundle itself.
    Bundle(ErrorMessage),
}

/// Where a message left a bundle.
#[derive(Debug)]
pub(super) enum Step {
    Wait,
    Done,
    Failed(BundleFailure),
    /// The switch has committed what it had refused as a whole: nobody knows what that was.
    Unknown,
}

impl Bundle {
    pub(super) fn new(first_xid: u32, mods: Vec<FlowMod>, unity: Unity) -> Self {
        let hasty = unity == Unity::Independent || mods.len() == 1;
        Self { first_xid, mods, hasty, state: State::New, failure: None, refused: Vec::new() }
    }

    pub(super) fn first_xid(&self) -> u32 {
        self.first_xid
    }

    /// The first transaction number past its own.
    pub(super) fn end_xid(&self) -> u32 {
        self.end_control_xid().wrapping_add(1)
    }

    pub(super) fn owns(&self, xid: u32) -> bool {
        let own = self.end_xid().wrapping_sub(self.first_xid);
        xid.wrapping_sub(self.first_xid) < own
    }

    /// Encodes more of it, until `out` holds about `limit` bytes.
    pub(super) fn fill(&mut self, out: &mut Vec<u8>, limit: usize) {
        if self.state == State::New {
            bundle::encode_control(out, self.first_xid, self.first_xid, Control::OPEN);
            self.state = State::Adding(0);
        }
        while let State::Adding(index) = self.state
            && out.len() < limit
        {
            self.state = match self.mods.get(index) {
                Some(flow_mod) if self.failure.is_none() => {
                    let start = out.len();
                    let xid = self.first_xid.wrapping_add(1).wrapping_add(to_xid(index));
                    bundle::encode_add(out, xid, self.first_xid, flow_mod);
                    if out.len() - start > MAX_MESSAGE {
                        out.truncate(start);
                        let flow_mod = Box::new(flow_mod.clone());
                        self.failure = Some(BundleFailure::TooLong { index, flow_mod });
                    }
                    State::Adding(index + 1)
                }
                _ => {
                    bundle::encode_control(out, self.close_xid(), self.first_xid, Control::CLOSE);
                    if self.hasty && self.failure.is_none() {
                        self.encode_end(out, Control::COMMIT);
                        State::Committing
                    } else {
                        State::Closing
                    }
                }
            };
        }
    }

    /// The switch answered a control message.
    pub(super) fn controlled(&mut self, xid: u32, control: Control, out: &mut Vec<u8>) -> Step {
        match (self.state, control) {
            (State::Closing, Control::CLOSED) if xid == self.close_xid() => {
                let (control, state) = if self.failure.is_none() {
                    (Control::COMMIT, State::Committing)
                } else {
                    (Control::DISCARD, State::Discarding)
                };
                self.encode_end(out, control);
                self.state = state;
                Step::Wait
            }
            (State::Committing, Control::COMMITTED) if xid == self.end_control_xid() => {
                match self.failure.take() {
                    None => Step::Done,
                    Some(failure @ BundleFailure::Refused { .. }) => {
                        let refused = std::mem::take(&mut self.refused);
                        Step::Failed(if refused.len() < self.mods.len() {
                            BundleFailure::Partly(refused)
                        } else {
                            failure
                        })
                    }
                    Some(_) => Step::Unknown,
                }
            }
            (State::Discarding, Control::DISCARDED) if xid == self.end_control_xid() => {
                self.failure.take().map_or(Step::Done, Step::Failed)
            }
            _ => Step::Wait,
        }
    }

    /// The switch answered one of the messages with an error. The first one is the reason; what
    /// follows from it is not told.
    pub(super) fn refused(&mut self, xid: u32, error: ErrorMessage, out: &mut Vec<u8>) -> Step {
        let change = usize::try_from(xid.wrapping_sub(self.first_xid).wrapping_sub(1)).ok();
        let refused = change.and_then(|index| Some((index, self.mods.get(index)?)));
        if let Some((index, flow_mod)) = refused {
            if self.hasty {
                self.refused.push(RefusedChange { index, error: error.clone() });
            }
            let flow_mod = Box::new(flow_mod.clone());
            self.failure.get_or_insert(BundleFailure::Refused { index, flow_mod, error });
            return Step::Wait;
        }
        let failure = self.failure.take().unwrap_or(BundleFailure::Bundle(error));
        if xid == self.end_control_xid() {
            return Step::Failed(failure);
        }
        self.failure = Some(failure);
        if xid == self.close_xid() && self.state == State::Closing {
            // Whatever state the bundle is in over there, it must not stay.
            self.encode_end(out, Control::DISCARD);
            self.state = State::Discarding;
        }
        Step::Wait
    }

    fn encode_end(&self, out: &mut Vec<u8>, control: Control) {
        bundle::encode_control(out, self.end_control_xid(), self.first_xid, control);
    }

    fn close_xid(&self) -> u32 {
        self.first_xid.wrapping_add(1).wrapping_add(to_xid(self.mods.len()))
    }

    fn end_control_xid(&self) -> u32 {
        self.close_xid().wrapping_add(1)
    }
}

/// An index as an offset of transaction numbers, which wrap around.
#[expect(clippy::cast_possible_truncation, reason = "nobody holds four billion changes in memory")]
fn to_xid(index: usize) -> u32 {
    index as u32
}
