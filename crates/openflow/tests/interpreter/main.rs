//! The interpreter against a real Open vSwitch: the same flows in the same order, and the same
//! packets out of the same ports, as `ofproto/trace` says.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod generate;
mod tables;
mod trace;

use generate::Dice;
use openflow::{
    Action, Client, Cookie, CtState, Field, Flow, FlowMod, PortNo, Target,
    interpreter::{CtEntry, Effect, Packet, Run, Tables, Untracked, run},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    mem::{Discriminant, discriminant},
};
use testkit::Switch;
use trace::{Done, Trace, Tracer};

/// The shape of a firewall's pipeline: source checks, connection tracking in a zone for each
/// network, classes of addresses, policies, delivery; in ovs-ofctl's syntax.
const PIPELINE: &str = include_str!("pipeline.txt");
const PORTS: [&str; 4] = ["p1", "p2", "p3", "p4"];

/// A bridge with four ports, and our ways to it.
struct Bench {
    _switch: Switch,
    client: Client,
    tracer: Tracer,
    coverage: Coverage,
}

impl Bench {
    async fn new() -> Self {
        let switch = Switch::start().unwrap();
        switch.add_bridge("br0").unwrap();
        for (port, number) in PORTS.iter().zip(1..) {
            let request = format!("ofport_request={number}");
            let set = ["--", "set", "interface", port, "type=internal", &request];
            switch.vsctl(&[&["add-port", "br0", port], &set[..]].concat()).unwrap();
        }
        let target = Target::Unix(switch.mgmt_socket("br0"));
        let client = Client::connect(&target).await.unwrap();
        let tracer = Tracer::new(&switch.run_dir().join("ovs-vswitchd.ctl"), "br0");
        Self { _switch: switch, client, tracer, coverage: Coverage::default() }
    }

    /// Puts these flows in the place of all others.
    async fn install(&self, flows: &[Flow]) {
        let adds = flows.iter().cloned().map(FlowMod::add);
        let mods = [FlowMod::delete_all()].into_iter().chain(adds).collect();
        self.client.bundle(mods).await.unwrap_or_else(|error| panic!("{error}"));
        self.client.barrier().await.unwrap();
    }

    /// Sends a packet through both and compares; connection tracking answers with these states.
    fn compare(&mut self, tables: &Tables, packet: &Packet, states: &[CtState]) {
        let mut ours = interpret(tables, packet, states);
        let mut states = states;
        if ours.fault.is_some() {
            // A trace resumes, with a state, what a pass forked that failed later; a switch does
            // not. Without states they cannot shift.
            states = &[];
            ours = interpret(tables, packet, states);
        }
        let theirs = self.tracer.trace(packet, states);
        compare(&ours, &theirs).unwrap_or_else(|difference| {
            let steps: Vec<String> = ours
                .steps
                .iter()
                .map(|step| match step.flow {
                    Some(flow) => flow.to_string(),
                    None => format!("table={} no flow", step.table),
                })
                .collect();
            panic!(
                "{difference}\n{packet}\n{}\n{:#?}\n{:?}\n{}",
                steps.join("\n"),
                ours.effects,
                ours.fault,
                theirs.text
            )
        });
        let passes = ours.steps.last().map_or(0, |step| step.pass);
        self.coverage.packets += 1;
        self.coverage.passes = self.coverage.passes.max(passes);
        self.coverage.faults += usize::from(ours.fault.is_some());
        for flow in ours.steps.iter().filter_map(|step| step.flow) {
            self.coverage.flow(flow);
        }
        for effect in &ours.effects {
            *self.coverage.effects.entry(kind(effect)).or_default() += 1;
        }
    }
}

/// What was gone through, to know that it was enough.
#[derive(Debug, Default)]
struct Coverage {
    packets: usize,
    passes: usize,
    faults: usize,
    effects: BTreeMap<&'static str, usize>,
    cookies: BTreeSet<u64>,
    matched: BTreeSet<Field>,
    actions: HashSet<Discriminant<Action>>,
}

impl Coverage {
    fn flow(&mut self, flow: &Flow) {
        self.cookies.insert(flow.cookie.0);
        self.matched.extend(flow.matches.iter().map(|term| term.field));
        self.actions.extend(flow.actions.iter().map(discriminant));
    }
}

/// The steps to a conjunction are not found themselves; what they lead to is.
fn is_found(flow: &&Flow) -> bool {
    !matches!(flow.actions[..], [Action::Conjunction { .. }, ..])
}

fn kind(effect: &Effect) -> &'static str {
    match effect {
        Effect::Output { .. } => "output",
        Effect::Normal { .. } => "normal",
        Effect::Commit { .. } => "commit",
        Effect::Controller { .. } => "controller",
        Effect::Learn(_) => "learn",
        Effect::Drop => "drop",
        _ => "other",
    }
}

/// As `ofproto/trace` has it: the states are given, the mark is the packet's own.
fn interpret<'t>(tables: &'t Tables, packet: &Packet, states: &[CtState]) -> Run<'t> {
    let mut states = states.iter();
    run(tables, packet.clone(), &mut |_zone: u16, packet: &Packet| CtEntry {
        state: states.next().copied().unwrap_or(CtState::NEW),
        mark: u32::try_from(packet.get(Field::CT_MARK)).unwrap(),
        label: packet.get(Field::CT_LABEL),
    })
}

fn compare(ours: &Run<'_>, theirs: &Trace) -> Result<(), String> {
    let steps: Vec<_> =
        ours.steps.iter().map(|step| (step.table.0, step.flow.map(|flow| flow.cookie.0))).collect();
    if steps != theirs.steps {
        return Err(format!("other flows\n ours {steps:x?}\n theirs {:x?}", theirs.steps));
    }
    if ours.fault.is_some() != theirs.failed {
        return Err(format!("fault {:?}", ours.fault));
    }
    let mut done = theirs.done.iter();
    for effect in &ours.effects {
        let mut expect = |what: &str, holds: &dyn Fn(&Done) -> bool| match done.next() {
            Some(next) if holds(next) => Ok(()),
            next => Err(format!("expected {what}, the switch did {next:?}")),
        };
        match effect {
            // The interpreter does not know which ports there are.
            Effect::Output { port, .. } if !exists(*port) => {}
            Effect::Normal { packet } if !exists(packet.in_port()) => {}
            Effect::Output { port, packet } => {
                expect(&format!("output:{port} {packet}"), &|next| match next {
                    Done::Output(to, frame) => *to == port.0 && frame.is(packet),
                    _ => false,
                })?;
            }
            Effect::Commit { zone, mark, label, force } => {
                expect(&format!("{effect:?}"), &|next| match next {
                    Done::Commit(theirs) => {
                        let same = |ours: Option<u128>, theirs: Option<(u128, u128)>| match theirs {
                            Some((value, mask)) => ours.is_some_and(|it| it & mask == value),
                            None => ours.is_none(),
                        };
                        theirs.zone == *zone
                            && theirs.force == *force
                            && same(mark.map(u128::from), theirs.mark)
                            && same(*label, theirs.label)
                    }
                    _ => false,
                })?;
            }
            Effect::Controller { .. } => {
                expect("controller", &|next| matches!(next, Done::Controller))?;
            }
            Effect::Normal { packet } => {
                // Nothing is learnt: to all other ports, in the order of the switch.
                let others = 1..=PORTS.len();
                let others = others.filter_map(|port| u32::try_from(port).ok());
                let mut expected: Vec<u32> = others.chain([PortNo::LOCAL.0]).collect();
                expected.retain(|port| *port != packet.in_port().0);
                let mut flooded = Vec::new();
                for next in done.by_ref().take(expected.len()) {
                    match next {
                        Done::Output(port, theirs) if theirs.is(packet) => flooded.push(*port),
                        other => return Err(format!("in NORMAL the switch did {other:?}")),
                    }
                }
                flooded.sort_unstable();
                if flooded != expected {
                    return Err(format!("NORMAL went to {flooded:?}"));
                }
            }
            Effect::Learn(_) | Effect::Drop => {}
            other => return Err(format!("{other:?} was not expected")),
        }
    }
    let learns = ours.effects.iter().filter(|effect| matches!(effect, Effect::Learn(_))).count();
    if learns != theirs.learns {
        return Err(format!("learned {learns} flows, the switch {}", theirs.learns));
    }
    match done.next() {
        None => Ok(()),
        Some(more) => Err(format!("the switch did {more:?} too")),
    }
}

fn exists(port: PortNo) -> bool {
    (1..=4).contains(&port.0) || port == PortNo::LOCAL
}

fn pipeline() -> Vec<Flow> {
    let lines = PIPELINE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let parse = |line: &str| line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
    let flows = lines.map(parse).zip(1..);
    flows.map(|(flow, cookie)| Flow { cookie: Cookie(cookie), ..flow }).collect()
}

#[tokio::test]
async fn a_pipeline_does_what_the_switch_does() {
    let mut bench = Bench::new().await;
    let flows = pipeline();
    bench.install(&flows).await;
    let tables = Tables::new(&flows);
    let mut dice = Dice::new(1);
    for _ in 0..5000 {
        let packet = generate::pipeline_packet(&mut dice);
        let states = generate::states(&mut dice);
        bench.compare(&tables, &packet, &states);
    }
    let unmet = flows.iter().filter(is_found);
    let unmet = unmet.filter(|flow| !bench.coverage.cookies.contains(&flow.cookie.0));
    assert_eq!(unmet.map(Flow::to_string).collect::<Vec<_>>(), [""; 0], "{:?}", bench.coverage);
}

#[tokio::test]
async fn random_tables_do_what_the_switch_does() {
    let mut bench = Bench::new().await;
    let mut all = Coverage::default();
    for seed in 0..40 {
        let mut dice = Dice::new(seed);
        let flows = tables::tables(&mut dice);
        flows.iter().filter(is_found).for_each(|flow| all.flow(flow));
        bench.install(&flows).await;
        let tables = Tables::new(&flows);
        for _ in 0..150 {
            let packet = generate::packet(&mut dice);
            let states = generate::states(&mut dice);
            bench.compare(&tables, &packet, &states);
        }
    }
    let met = bench.coverage;
    assert_eq!(met.matched, all.matched);
    assert_eq!(met.actions, all.actions);
    for effect in ["output", "normal", "commit", "controller", "learn", "drop"] {
        assert!(met.effects.get(effect).is_some_and(|n| *n > 100), "{effect}: {:?}", met.effects);
    }
    assert!(met.packets == 6000 && met.passes == 2 && met.faults > 10, "{met:?}");
}

#[tokio::test]
async fn limits_are_those_of_the_switch() {
    let mut bench = Bench::new().await;
    let packet = Packet::new(PortNo(1));
    // Table 0 goes to itself 64 times with the register going up, or once more.
    let count = |at: u32, more: &str| {
        format!("cookie={:#x}, reg0={at:#x} actions=load:{}->NXM_NX_REG0[]{more}", at + 1, at + 1)
    };
    // Table 1 is met so often, and leads to table 2 63 times each.
    let repeat = |table: u8, times: usize| vec![format!("resubmit(,{table})"); times].join(",");
    for last in [64, 65] {
        let deep: Vec<Flow> = (0..=last)
            .map(|at| count(at, if at < last { ",resubmit(,0)" } else { ",output:2" }))
            .map(|text| text.parse().unwrap())
            .collect();
        bench.install(&deep).await;
        bench.compare(&Tables::new(&deep), &packet, &[]);
        assert_eq!(bench.coverage.faults, usize::from(last == 65));
    }
    for more in ["", ",resubmit(,2)"] {
        let wide: Vec<Flow> = [
            format!("cookie=0x1, actions=output:2,{}{more}", repeat(1, 64)),
            format!("cookie=0x2, table=1, actions={}", repeat(2, 63)),
            "cookie=0x3, table=2, actions=drop".to_owned(),
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        bench.install(&wide).await;
        bench.compare(&Tables::new(&wide), &packet, &[]);
        assert_eq!(bench.coverage.faults, 1 + usize::from(!more.is_empty()));
    }
}

#[tokio::test]
async fn what_is_learned_is_what_the_switch_learns() {
    let mut bench = Bench::new().await;
    let flow: Flow = "ip actions=load:0x7->NXM_NX_REG1[],load:0x2->NXM_NX_REG3[],\
        learn(table=20,priority=1,cookie=0x123,NXM_OF_VLAN_TCI[0..11],\
        NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0->NXM_OF_VLAN_TCI[],\
        load:NXM_NX_REG1[0..15]->NXM_NX_REG2[0..15],output:NXM_OF_IN_PORT[]),\
        learn(table=20,priority=2,cookie=0x124,eth_type=0x800,NXM_OF_IP_SRC[],\
        NXM_NX_REG4[0..3]=NXM_NX_REG1[0..3],NXM_OF_IN_PORT[],load:0x5->NXM_NX_REG5[],\
        output:NXM_NX_REG3[]),\
        learn(table=20,priority=3,cookie=0x125,reg5=0x7,load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15])"
        .parse()
        .unwrap();
    let flows = [flow];
    let tables = Tables::new(&flows);
    for packet in [
        Packet::new(PortNo(1))
            .eth_src([2, 0, 0, 0, 0, 1])
            .vlan(5)
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2]),
        Packet::new(PortNo::LOCAL).eth_src([2, 0, 0, 0, 0, 2]).ipv4([10, 0, 0, 3], [10, 0, 0, 2]),
    ] {
        bench.install(&flows).await;
        let run = run(&tables, packet.clone(), &mut Untracked);
        let learned = run.effects.into_iter().filter_map(|effect| match effect {
            Effect::Learn(flow) => Some(flow),
            _ => None,
        });
        let mut learned: Vec<Flow> = learned.collect();
        bench.tracer.send(&packet);
        let installed = bench.client.dump_flows().await.unwrap().into_iter();
        let installed = installed.map(|stats| std::sync::Arc::unwrap_or_clone(stats.flow));
        let mut theirs: Vec<Flow> = installed.filter(|flow| *flow != flows[0]).collect();
        learned.sort();
        theirs.sort();
        assert_eq!(learned, theirs, "{packet}");
        assert_eq!(learned.len(), 3);
    }
}
