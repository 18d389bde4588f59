//! How rows are run: all of a section at once, without waiting for silence.
//!
//! Each machine ends what it sends with a frame that all its neighbours hear. Frames between two
//! machines keep their order, so once that frame has come, what has not come will not come.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use dataplane::bridge::layout::DropReason;
use testkit::{Switch, Wire, eventually};

use crate::cases::machine::Machine;
use crate::cases::row::{Act, Change, Netfilter, Row, Section, Step, Verdict};
use crate::cases::{fragment, packet};

/// How long anything may take that should happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the switch goes on to do asynchronously, it may do after the last frame has come.
const GRACE: Duration = Duration::from_millis(50);

/// How long the counters may take to follow the packets.
const COUNTING: Duration = Duration::from_secs(2);

/// Who applies the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Flows.
    Flows,
    /// Netfilter, on Linux bridges between the machines and the switch. It counts no reasons.
    Netfilter,
}

/// How long netfilter may take to follow a change.
const FOLLOWING: Duration = Duration::from_secs(60);

/// What was heard in a stage.
#[derive(Default)]
struct Heard {
    /// By whom.
    frames: HashMap<Vec<u8>, Vec<&'static str>>,
    /// What cannot have been sent.
    wrong: Vec<String>,
}

/// Machines with a wire each, and the switches that they are on.
pub(crate) struct Stage<'a> {
    pub(crate) wires: &'a [(&'static Machine, Wire)],
    pub(crate) switches: Vec<&'a Switch>,
    pub(crate) driver: Driver,
}

impl Stage<'_> {
    /// Makes the change, runs the sections, and says what differs.
    pub(crate) fn run(&self, act: &Act, change: impl FnOnce(Change)) -> Vec<String> {
        let mut within = act.within;
        if let Some(what) = act.change {
            change(what);
            if self.driver == Driver::Netfilter {
                within = within.max(FOLLOWING);
            }
        }
        let deadline = Instant::now() + within;
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
            .filter(|row| row.datapath.is_none_or(|it| self.has_datapath(it)))
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
            let mut expected = self.hearers(row, step, stage);
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

    /// Who is to hear it.
    fn hearers(&self, row: &Row, step: &Step, stage: usize) -> Vec<&'static str> {
        let names = |machines: &mut dyn Iterator<Item = &'static Machine>| {
            machines.map(|machine| machine.name).collect()
        };
        let neighbours = || step.from.neighbours();
        let is_last = row.cases.iter().all(|case| case.len() == stage + 1);
        if let Some(netfilter) =
            row.netfilter.filter(|_| self.driver == Driver::Netfilter && is_last)
        {
            let to = |machine: &&'static Machine| step.heard.starts_with(&machine.mac());
            return match netfilter {
                Netfilter::Delivers => names(&mut neighbours().filter(to)),
                Netfilter::Floods => names(&mut neighbours()),
                Netfilter::Admits(machines) => {
                    names(&mut machines.iter().copied().filter(|one| *one != step.from))
                }
                Netfilter::Answers(machines) => names(&mut machines.iter().copied()),
                Netfilter::Drops => Vec::new(),
            };
        }
        match step.verdict {
            Verdict::Reaches(machine) => vec![machine.name],
            Verdict::Floods => names(&mut neighbours()),
            Verdict::Strays => names(&mut neighbours().filter(|one| !one.is_managed())),
            Verdict::Admitted(machines, _) => names(&mut machines.iter().copied()),
            Verdict::Refused(_) | Verdict::Cut | Verdict::Outside => Vec::new(),
        }
    }

    /// Every frame and who heard it, until every barrier was heard.
    fn hear(&self, barriers: &[(&Machine, Vec<u8>)]) -> Heard {
        let mut heard: BTreeMap<&'static str, Vec<Vec<u8>>> = BTreeMap::new();
        let deadline = Instant::now() + PATIENCE;
        for (machine, wire) in self.wires {
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
        for (machine, wire) in self.wires {
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
        if self.driver == Driver::Netfilter {
            return Vec::new();
        }
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

    /// The counters of table 193, of all switches together.
    fn refusals(&self) -> BTreeMap<DropReason, u64> {
        let mut sums = BTreeMap::new();
        for switch in &self.switches {
            switch.settle().unwrap();
            let dump = switch.ofctl(&["dump-flows", "br-int", "table=193"]).unwrap();
            for &reason in DropReason::ALL {
                *sums.entry(reason).or_default() += count(&dump, reason).unwrap();
            }
        }
        sums
    }

    fn has_datapath(&self, datapath_type: &str) -> bool {
        self.switches.iter().all(|switch| switch.datapath_type() == datapath_type)
    }

    fn wire(&self, machine: &Machine) -> &Wire {
        let found = self.wires.iter().find(|(other, _)| *other == machine);
        &found.expect("every machine has a wire").1
    }
}

/// How many packets were refused for this reason, by a dump of the flows that count them.
fn count(dump: &str, reason: DropReason) -> Option<u64> {
    let with_reason = format!("reg9={:#x} ", reason.number());
    let flow = dump.lines().find(|line| line.contains(&with_reason))?;
    let (_, packets) = flow.split_once("n_packets=")?;
    packets.split(',').next()?.parse().ok()
}
