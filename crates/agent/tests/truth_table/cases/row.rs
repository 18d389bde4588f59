//! What a row is.

use std::time::Duration;

use dataplane::bridge::layout::DropReason;

use crate::cases::machine::{Family, Machine};
use crate::cases::{fragment, packet};

/// How much of a packet is in a fragment. Open vSwitch takes smaller ones for an attack.
const FRAGMENT: usize = 1400;

/// Rows that belong together on the page.
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) rows: Vec<Row>,
}

/// Sections that are run after a change.
pub(crate) struct Act {
    pub(crate) change: Option<Change>,
    /// How long it may take until the sections hold; until then they are run again.
    pub(crate) within: Duration,
    pub(crate) sections: Vec<Section>,
}

/// A class of packets and what it gets.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    /// The datapath type for which it holds, where it does not for both.
    pub(crate) datapath: Option<&'static str>,
    /// What Neutron's native driver does, where it does something else.
    pub(crate) neutron: Option<&'static str>,
    /// What the last packet of each case gets where netfilter filters, if that is something else.
    pub(crate) netfilter: Option<Netfilter>,
    /// Each ends with a packet of the class; what comes before sets the scene.
    pub(crate) cases: Vec<Vec<Step>>,
}

/// What a packet gets where netfilter filters.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Netfilter {
    /// Whoever has the destination address hears it.
    Delivers,
    /// Every other machine of the network hears it.
    Floods,
    /// These machines hear it, but for who has sent it.
    Admits(&'static [&'static Machine]),
    /// These machines hear it, one of them because it has asked for it.
    Answers(&'static [&'static Machine]),
    /// Nobody hears it.
    Drops,
}

/// What changes between two acts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    /// Port security of a machine, off or on.
    Security(&'static Machine, bool),
    /// The groups of a machine.
    Groups(&'static Machine, u32),
    /// Whether a group is stateful.
    Stateful(u32, bool),
    /// What is in the address group besides its own addresses.
    Addresses(&'static [&'static str]),
    /// The rules of Yvonne's group go.
    RulesGo,
    /// The rules of Yvonne's group come back.
    RulesComeBack,
}

/// A frame and what it gets.
pub(crate) struct Step {
    pub(crate) from: &'static Machine,
    /// One, or its fragments.
    pub(crate) frames: Vec<Vec<u8>>,
    /// As whoever receives it hears it.
    pub(crate) heard: Vec<u8>,
    pub(crate) verdict: Verdict,
}

/// What a frame gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This machine hears it, and nobody else.
    Reaches(&'static Machine),
    /// Every other machine of the network hears it.
    Floods,
    /// Every other unmanaged port of the network hears it, and no managed one.
    Strays,
    /// These machines hear it, and for so many policies of the others no rule allows it.
    Admitted(&'static [&'static Machine], u64),
    /// Nobody hears it, and the switch says why.
    Refused(DropReason),
    /// Nobody hears it: its connection is marked, or gone already.
    Cut,
    /// Nobody hears it, and it does not come as far as where reasons are counted.
    Outside,
}

/// A frame that has a sender but no verdict yet.
pub(crate) struct Sent {
    from: &'static Machine,
    frames: Vec<Vec<u8>>,
    heard: Vec<u8>,
}

impl Machine {
    pub(crate) fn sends(&'static self, frame: Vec<u8>) -> Sent {
        Sent { from: self, heard: frame.clone(), frames: vec![frame] }
    }

    /// Whoever hears all the fragments hears the frame.
    pub(crate) fn sends_in_fragments(&'static self, frame: Vec<u8>) -> Sent {
        let frames = fragment::split(&frame, packet::fresh(), FRAGMENT);
        Sent { from: self, heard: frame, frames }
    }
}

impl Sent {
    /// It does not arrive as it was sent, but like this.
    pub(crate) fn heard_as(self, heard: Vec<u8>) -> Self {
        Self { heard, ..self }
    }

    pub(crate) fn reaches(self, machine: &'static Machine) -> Step {
        self.gets(Verdict::Reaches(machine))
    }

    pub(crate) fn floods(self) -> Step {
        self.gets(Verdict::Floods)
    }

    pub(crate) fn strays(self) -> Step {
        self.gets(Verdict::Strays)
    }

    pub(crate) fn admitted(self, to: &'static [&'static Machine], refusals: u64) -> Step {
        self.gets(Verdict::Admitted(to, refusals))
    }

    pub(crate) fn refused(self, reason: DropReason) -> Step {
        self.gets(Verdict::Refused(reason))
    }

    pub(crate) fn cut(self) -> Step {
        self.gets(Verdict::Cut)
    }

    pub(crate) fn stays_outside(self) -> Step {
        self.gets(Verdict::Outside)
    }

    fn gets(self, verdict: Verdict) -> Step {
        Step { from: self.from, frames: self.frames, heard: self.heard, verdict }
    }
}

/// A row of single packets.
pub(crate) fn row(what: &'static str, steps: impl IntoIterator<Item = Step>) -> Row {
    stories(what, steps.into_iter().map(|step| vec![step]))
}

/// A row of packets that need others before them.
pub(crate) fn stories(what: &'static str, cases: impl IntoIterator<Item = Vec<Step>>) -> Row {
    let cases: Vec<Vec<Step>> = cases.into_iter().collect();
    Row { what, datapath: None, neutron: None, netfilter: None, cases }
}

/// The same in both families.
pub(crate) fn both<T>(make: impl Fn(Family) -> T) -> [T; 2] {
    [make(Family::V4), make(Family::V6)]
}

impl Row {
    /// Neutron's native driver does something else.
    pub(crate) fn neutron(self, what: &'static str) -> Self {
        Self { neutron: Some(what), ..self }
    }

    /// Where netfilter filters, it gets something else.
    pub(crate) fn netfilter(self, what: Netfilter) -> Self {
        Self { netfilter: Some(what), ..self }
    }

    /// Only on this datapath.
    pub(crate) fn on(self, datapath_type: &'static str) -> Self {
        Self { datapath: Some(datapath_type), ..self }
    }

    /// What the last packet of each case gets; the same in all of them.
    pub(crate) fn verdict(&self) -> Verdict {
        self.cases.first().and_then(|case| case.last()).expect("a row has a packet").verdict
    }
}
