//! What a row is, and how rows are run: all of a section at once, without waiting for silence.
//!
//! Each machine ends what it sends with a frame that all its neighbours hear. Frames between two
//! machines keep their order, so once that frame has come, what has not come will not come.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use dataplane::bridge::layout::DropReason;
use testkit::eventually;

use crate::node::PATIENCE;
use crate::scene::{Change, Family, Machine, Scene};
use crate::{fragment, packet};

/// What the switch goes on to do asynchronously, it may do after the last frame has come.
const GRACE: Duration = Duration::from_millis(50);

/// How much of a packet is in a fragment. Open vSwitch takes smaller ones for an attack.
const FRAGMENT: usize = 1400;

/// How long the counters may take to follow the packets.
const COUNTING: Duration = Duration::from_secs(2);

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
    /// Each ends with a packet of the class; what comes before sets the scene.
    pub(crate) cases: Vec<Vec<Step>>,
}

/// A frame and what it gets.
pub(crate) struct Step {
    from: &'static Machine,
    /// One, or its fragments.
    frames: Vec<Vec<u8>>,
    /// As whoever receives it hears it.
    heard: Vec<u8>,
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

/// What was heard in a stage.
#[derive(Default)]
struct Heard {
    /// By whom.
    frames: HashMap<Vec<u8>, Vec<&'static str>>,
    /// What cannot have been sent.
    wrong: Vec<String>,
}

/// A row of single packets.
pub(crate) fn row(what: &'static str, steps: impl IntoIterator<Item = Step>) -> Row {
    stories(what, steps.into_iter().map(|step| vec![step]))
}

/// A row of packets that need others before them.
pub(crate) fn stories(what: &'static str, cases: impl IntoIterator<Item = Vec<Step>>) -> Row {
    let cases: Vec<Vec<Step>> = cases.into_iter().collect();
    Row { what, datapath: None, neutron: None, cases }
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

    /// Only on this datapath.
    pub(crate) fn on(self, datapath_type: &'static str) -> Self {
        Self { datapath: Some(datapath_type), ..self }
    }

    /// What the last packet of each case gets; the same in all of them.
    pub(crate) fn verdict(&self) -> Verdict {
        self.cases.first().and_then(|case| case.last()).expect("a row has a packet").verdict
    }
}

impl Scene {
    /// Makes the change, runs the sections, and says what differs.
    pub(crate) fn run(&self, act: &Act) -> Vec<String> {
        if let Some(change) = act.change {
            self.change(change);
        }
        let deadline = Instant::now() + act.within;
        loop {
            let sections = act.sections.iter();
            let wrong: Vec<String> =
                sections.flat_map(|section| self.run_section(section)).collect();
            if wrong.is_empty() || Instant::now() >= deadline {
                return wrong;
            }
        }
    }

    fn run_section(&self, section: &Section) -> Vec<String> {
        let cases: Vec<(&Row, &Vec<Step>)> = section
            .rows
            .iter()
            .filter(|row| row.datapath.is_none_or(|it| it == self.node.switch.datapath_type()))
            .flat_map(|row| row.cases.iter().map(move |case| (row, case)))
            .collect();
        let stages = cases.iter().map(|(_, case)| case.len()).max().unwrap_or(0);
        let mut wrong = Vec::new();
        for stage in 0..stages {
            let steps: Vec<(&Row, &Step)> =
                cases.iter().filter_map(|(row, case)| Some((*row, case.get(stage)?))).collect();
            wrong.extend(self.run_stage(section.title, stage, &steps));
        }
        wrong
    }

    fn run_stage(&self, title: &str, stage: usize, steps: &[(&Row, &Step)]) -> Vec<String> {
        let before = self.refusals();
        for (_, step) in steps {
            for frame in &step.frames {
                self.wire(step.from).send(frame).unwrap();
            }
        }
        let barriers: Vec<(&Machine, Vec<u8>)> =
            self.wires.iter().map(|(machine, _)| (*machine, packet::barrier(machine))).collect();
        for (machine, barrier) in &barriers {
            self.wire(machine).send(barrier).unwrap();
        }
        let Heard { frames: heard, mut wrong } = self.hear(&barriers);
        for (row, step) in steps {
            let mut hearers: Vec<&str> = heard.get(&step.heard).cloned().unwrap_or_default();
            hearers.sort_unstable();
            let mut expected: Vec<&str> = match step.verdict {
                Verdict::Reaches(machine) => vec![machine.name],
                Verdict::Floods => step.from.neighbours().map(|one| one.name).collect(),
                Verdict::Strays => {
                    let unmanaged = step.from.neighbours().filter(|one| !one.is_managed());
                    unmanaged.map(|one| one.name).collect()
                }
                Verdict::Admitted(machines, _) => machines.iter().map(|one| one.name).collect(),
                Verdict::Refused(_) | Verdict::Cut | Verdict::Outside => vec![],
            };
            expected.sort_unstable();
            if hearers != expected {
                let (name, what) = (step.from.name, row.what);
                wrong.push(format!(
                    "{title}: {what} (packet {stage}, from {name}): heard by {hearers:?}, not {expected:?}",
                ));
            }
        }
        wrong.extend(self.compare_refusals(title, stage, steps, &before));
        wrong
    }

    /// Every frame and who heard it, until every barrier was heard.
    fn hear(&self, barriers: &[(&Machine, Vec<u8>)]) -> Heard {
        let mut heard: BTreeMap<&'static str, Vec<Vec<u8>>> = BTreeMap::new();
        let deadline = Instant::now() + PATIENCE;
        for (machine, wire) in &self.wires {
            let mut awaited: Vec<&Vec<u8>> = barriers
                .iter()
                .filter(|(from, _)| from.network == machine.network && from != machine)
                .map(|(_, barrier)| barrier)
                .collect();
            while !awaited.is_empty() {
                let frame = wire.hear(deadline).unwrap();
                let frame = frame.unwrap_or_else(|| panic!("{} hears no barrier", machine.name));
                awaited.retain(|barrier| **barrier != frame);
                heard.entry(machine.name).or_default().push(frame);
            }
        }
        let deadline = Instant::now() + GRACE;
        for (machine, wire) in &self.wires {
            while let Some(frame) = wire.hear(deadline).unwrap() {
                heard.entry(machine.name).or_default().push(frame);
            }
        }
        let mut all = Heard::default();
        for (name, frames) in heard {
            let (frames, fragments) = fragment::join(frames);
            for frame in frames {
                all.frames.entry(frame).or_default().push(name);
            }
            if !fragments.is_empty() {
                all.wrong.push(format!("{name} heard {} fragments of nothing", fragments.len()));
            }
        }
        all
    }

    /// What was refused is counted under the reason that the rows give.
    fn compare_refusals(
        &self,
        title: &str,
        stage: usize,
        steps: &[(&Row, &Step)],
        before: &BTreeMap<DropReason, u64>,
    ) -> Vec<String> {
        // A packet in fragments counts once where conntrack has put it together, or else more
        // often; what is left of it without the first one, no rule may allow.
        let mut least = before.clone();
        let mut most = before.clone();
        for (_, step) in steps {
            match step.verdict {
                Verdict::Reaches(_) | Verdict::Floods | Verdict::Strays | Verdict::Outside => {}
                Verdict::Admitted(_, refusals) => {
                    for count in [&mut least, &mut most] {
                        *count.entry(DropReason::NoIngressRule).or_default() += refusals;
                    }
                }
                Verdict::Refused(reason) => {
                    *least.entry(reason).or_default() += 1;
                    let others = step.frames.len() as u64 - 1;
                    *most.entry(reason).or_default() += 1 + others;
                    *most.entry(DropReason::NoIngressRule).or_default() += others;
                }
                Verdict::Cut => return Vec::new(),
            }
        }
        let expected =
            |(reason, count): &(&DropReason, &u64)| (least[reason]..=most[reason]).contains(*count);
        let mut counted = BTreeMap::new();
        // The counters follow the packets, but not at once.
        let equal = eventually(COUNTING, || {
            counted = self.refusals();
            counted.iter().all(|one| expected(&one))
        });
        if equal.is_ok() {
            return Vec::new();
        }
        let differing = counted.iter().filter(|one| !expected(one));
        let message = |(reason, count): (&DropReason, &u64)| {
            let was = before[reason];
            let (count, expected) = (count - was, least[reason] - was);
            format!("{title} (packet {stage}): {reason:?} counted {count}, not {expected}")
        };
        differing.map(message).collect()
    }

    /// The counters of table 193.
    fn refusals(&self) -> BTreeMap<DropReason, u64> {
        self.node.switch.settle().unwrap();
        let dump = self.node.switch.ofctl(&["dump-flows", "br-int", "table=193"]).unwrap();
        let count = |reason: DropReason| {
            let with_reason = format!("reg9={:#x} ", reason.number());
            let flow = dump.lines().find(|line| line.contains(&with_reason))?;
            let (_, packets) = flow.split_once("n_packets=")?;
            packets.split(',').next()?.parse().ok()
        };
        DropReason::ALL.iter().map(|reason| (*reason, count(*reason).unwrap())).collect()
    }

    fn wire(&self, machine: &Machine) -> &testkit::Wire {
        let found = self.wires.iter().find(|(other, _)| *other == machine);
        &found.expect("every machine has a wire").1
    }
}
