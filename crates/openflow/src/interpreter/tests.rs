//! The index against a list, and that nothing outside brings the machine down. What a switch does
//! is compared in the crate's tests.

use super::{CtEntry, Effect, Fault, Packet, Tables, Untracked, run};
use crate::{
    action::{Action, Ct, Learn, LearnSpec, Zone},
    field::Field,
    flow::Flow,
    matching::{CtState, Match},
    number::{Cookie, PortNo, Priority, TableId},
    subfield::Subfield,
};
use proptest::{collection::vec, option, prelude::*};

/// Flows of a table, that overlap as often as they can, some of conjunctions.
fn flows() -> impl Strategy<Value = Vec<Flow>> {
    let terms = (
        option::of(0..3_u128),
        option::of((0..4_u128, 0..4_u128)),
        option::of((0..4_u128, 0..4_u128)),
        option::of(0..3_u128),
    );
    let flow = (terms, 0..5_u16, option::of((1..3_u32, 1..3_u8)));
    let flow = flow.prop_map(|((port, source, register, conj_id), priority, conjunction)| {
        let mut matches = Match::new();
        for (field, term) in [
            (Field::IN_PORT, port.map(|port| (port, u128::MAX))),
            (Field::ETH_SRC, source),
            (Field::reg(3), register),
            (Field::CONJ_ID, conj_id.map(|id| (id, u128::MAX))),
        ] {
            if let Some((value, mask)) = term {
                matches = matches.with_masked(field, value, mask);
            }
        }
        let actions = match conjunction {
            Some((id, clause)) => vec![Action::Conjunction { id, clause, clauses: 2 }],
            None => vec![Action::Output(PortNo(1))],
        };
        Flow { priority: Priority(priority), matches, actions: actions.into(), ..Flow::default() }
    });
    vec(flow, 0..40).prop_map(|mut flows| {
        for (flow, cookie) in flows.iter_mut().zip(1..) {
            flow.cookie = Cookie(cookie);
        }
        flows
    })
}

/// As [`Tables::lookup`], over a list.
fn listed<'a>(flows: &'a [Flow], packet: &Packet) -> Option<&'a Flow> {
    let mut there: Vec<&Flow> = Vec::new();
    for flow in flows {
        there.retain(|other| other.key() != flow.key());
        there.push(flow);
    }
    there.sort_by_key(|flow| std::cmp::Reverse(flow.priority));
    let is_step = |flow: &Flow| matches!(flow.actions[..], [Action::Conjunction { .. }]);
    let ordinary = |packet: &Packet| {
        let mut matching = there.iter().filter(|flow| matches(flow, packet) && !is_step(flow));
        matching.next().copied()
    };
    let found = ordinary(packet);
    for priority in (0..5).rev().filter(|it| found.is_none_or(|found| *it > found.priority.0)) {
        for id in 1..3 {
            let has = |clause| {
                let step = [Action::Conjunction { id, clause, clauses: 2 }];
                let mut flows = there.iter().filter(|flow| flow.priority.0 == priority);
                flows.any(|flow| *flow.actions == step && matches(flow, packet))
            };
            let joined = packet.clone().with(Field::CONJ_ID, id.into());
            if has(1) && has(2) && ordinary(&joined).is_some() {
                return ordinary(&joined);
            }
        }
    }
    found
}

fn matches(flow: &Flow, packet: &Packet) -> bool {
    flow.matches.iter().all(|term| packet.get(term.field) & term.mask == term.value)
}

fn field() -> impl Strategy<Value = Field> {
    let all: Vec<Field> = Field::all().collect();
    prop::sample::select(all)
}

fn subfield() -> impl Strategy<Value = Subfield> {
    (field(), any::<u8>(), any::<u8>()).prop_map(|(field, a, b)| {
        let (a, b) = (a % field.bits(), b % field.bits());
        Subfield::new(field, a.min(b), a.max(b))
    })
}

/// Any action, also such as no switch takes; resubmits in all directions.
fn action() -> impl Strategy<Value = Action> {
    let table = (0..4_u8).prop_map(TableId);
    let ct = (any::<bool>(), subfield(), option::of(table.clone()), vec(write(), 0..2));
    let spec = (subfield(), subfield(), any::<u128>());
    prop_oneof![
        any::<u32>().prop_map(|port| Action::Output(PortNo(port))),
        subfield().prop_map(Action::OutputField),
        table.clone().prop_map(Action::Resubmit),
        table.prop_map(Action::GotoTable),
        any::<u16>().prop_map(Action::PushVlan),
        Just(Action::PopVlan),
        write(),
        ct.prop_map(|(commit, zone, table, exec)| {
            let zone = Zone::Field(zone);
            Ct { commit, table, exec, ..Ct::commit(zone) }.into()
        }),
        (any::<u32>(), any::<u8>(), any::<u8>())
            .prop_map(|(id, clause, clauses)| Action::Conjunction { id, clause, clauses }),
        vec(spec, 0..4).prop_map(|specs| learn(&specs)),
        prop::sample::select(vec![
            Action::CtClear,
            Action::DecTtl,
            Action::Foreign(vec![1]),
            Action::Resubmit(TableId::ALL),
            Action::Group(1),
        ]),
    ]
}

fn write() -> impl Strategy<Value = Action> {
    prop_oneof![
        (subfield(), any::<u128>()).prop_map(|(dst, value)| Action::SetField { dst, value }),
        (subfield(), subfield()).prop_map(|(src, dst)| Action::Move { src, dst }),
        (any::<u64>(), any::<u64>())
            .prop_map(|(value, mask)| Action::WriteMetadata { value, mask }),
    ]
}

fn learn(specs: &[(Subfield, Subfield, u128)]) -> Action {
    let specs = specs.iter().enumerate().map(|(n, &(dst, src, value))| match n {
        0 => LearnSpec::Match { dst, src },
        1 => LearnSpec::MatchValue { dst, value },
        2 => LearnSpec::Load { dst, src },
        _ => LearnSpec::Output(src),
    });
    let learn = Learn {
        table: TableId(0),
        priority: Priority::DEFAULT,
        cookie: Cookie(0),
        idle_timeout: 0,
        hard_timeout: 0,
        fin_idle_timeout: 0,
        fin_hard_timeout: 0,
        send_flow_rem: false,
        delete_learned: false,
        limit: 0,
        specs: specs.collect(),
    };
    Action::Learn(Box::new(learn))
}

fn any_flow() -> impl Strategy<Value = Flow> {
    let terms = vec((field(), any::<u128>(), any::<u128>()), 0..2);
    (0..4_u8, any::<u16>(), terms, vec(action(), 0..5)).prop_map(
        |(table, priority, terms, actions)| {
            let matches = terms.into_iter().fold(Match::new(), |matches, (field, value, mask)| {
                // Few bits count, so that some flows are met.
                matches.with_masked(field, value, mask & 1)
            });
            let (table, priority) = (TableId(table), Priority(priority));
            Flow { table, priority, matches, actions: actions.into(), ..Flow::default() }
        },
    )
}

proptest! {
    #[test]
    fn the_index_finds_what_a_list_has(
        flows in flows(),
        port in 0..3_u32,
        source in 0..4_u128,
        register in 0..4_u128,
    ) {
        let packet = Packet::new(PortNo(port))
            .with(Field::ETH_SRC, source)
            .with(Field::reg(3), register);
        let tables = Tables::new(&flows);
        prop_assert_eq!(tables.lookup(TableId(0), &packet).unwrap(), listed(&flows, &packet));
    }

    #[test]
    fn no_flow_and_no_packet_brings_it_down(
        flows in vec(any_flow(), 0..24),
        fields in vec((field(), any::<u128>()), 0..12),
    ) {
        let packet = fields
            .into_iter()
            .fold(Packet::new(PortNo(1)), |packet, (field, value)| packet.with(field, value));
        let _text = packet.to_string();
        let tables = Tables::new(&flows);
        let run = run(&tables, packet, &mut Untracked);
        prop_assert_eq!(run.is_dropped(), run.effects.last() == Some(&Effect::Drop));
        prop_assert!(!run.steps.is_empty());
    }

    #[test]
    fn fields_keep_to_themselves(a in field(), b in field(), value: u128) {
        // Another field changes only where both are parts of one.
        let packet = Packet::new(PortNo(1)).eth_type(0x0800);
        let is_part = |field: Field| {
            field.register().is_some() || field.first_register().is_some()
                || [Field::VLAN_TCI, Field::VLAN_VID, Field::VLAN_PCP].contains(&field)
                || [Field::IN_PORT, Field::IN_PORT_OXM].contains(&field)
        };
        // These say which protocol it is, and so which fields there are.
        let says = [Field::ETH_TYPE, Field::IP_PROTO, Field::IP_FRAG];
        prop_assume!(a != b && !(is_part(a) && is_part(b)) && !says.contains(&a));
        prop_assert_eq!(packet.clone().with(a, value).get(b), packet.get(b));
    }
}

fn parsed(lines: &[&str]) -> Vec<Flow> {
    lines.iter().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn registers_are_parts_of_wider_ones() {
    let mut packet =
        Packet::new(PortNo(1)).with(Field::xxreg(1), 0x1_0000_0002_0000_0003_0000_0004);
    assert_eq!((4..8).map(|n| packet.reg(n)).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(packet.get(Field::xreg(3)), 0x3_0000_0004);
    packet.set(Field::reg(6), 9);
    assert_eq!(packet.get(Field::xxreg(1)), 0x1_0000_0002_0000_0009_0000_0004);
    assert_eq!(packet.reg(16), 0);
}

#[test]
fn a_field_of_another_protocol_is_zero() {
    let packet = Packet::new(PortNo(1)).ipv4([10, 0, 0, 1], [10, 0, 0, 2]).udp(5, 6);
    assert_eq!(packet.get(Field::UDP_DST), 6);
    assert_eq!(packet.clone().with(Field::TCP_DST, 7).get(Field::TCP_DST), 0);
    assert_eq!(packet.clone().eth_type(0x0806).get(Field::IPV4_SRC), 0);
    assert_eq!(
        packet.to_string(),
        "in_port=1,eth_type=0x800,ip_src=10.0.0.1,ip_dst=10.0.0.2,nw_ttl=64,nw_proto=17,\
         udp_src=5,udp_dst=6"
    );
}

#[test]
fn marks_come_back_with_the_packet() {
    let flows = parsed(&[
        "ip actions=ct(commit,table=1,zone=5,exec(load:0x1->NXM_NX_CT_MARK[0])),output:9",
        "table=1, ct_state=+trk+est,ct_zone=5,ct_mark=0x1,ip actions=ct(table=2,zone=6)",
        "table=2, ct_state=+trk+rpl,ct_zone=6,ct_mark=0x4,ip actions=ct_clear,resubmit(,3)",
        "table=3, ct_state=0,ct_zone=0,ct_mark=0,ip actions=output:2",
    ]);
    let tables = Tables::new(&flows);
    let packet = Packet::new(PortNo(1)).ipv4([10, 0, 0, 1], [10, 0, 0, 2]);
    let mut zones = Vec::new();
    let run = run(&tables, packet, &mut |zone: u16, _: &Packet| {
        zones.push(zone);
        match zone {
            5 => CtEntry::new(CtState::EST),
            _ => CtEntry::new(CtState::EST | CtState::RPL).mark(4),
        }
    });
    assert_eq!(zones, [5, 6]);
    assert_eq!(run.ports().collect::<Vec<_>>(), [PortNo(9), PortNo(2)]);
    assert!(matches!(run.effects[0], Effect::Commit { zone: 5, mark: Some(1), .. }));
    assert_eq!(run.steps.iter().map(|step| step.pass).collect::<Vec<_>>(), [0, 1, 2, 2]);
}

#[test]
fn what_cannot_be_known_is_said() {
    let packet = Packet::new(PortNo(1)).ipv4([10, 0, 0, 1], [10, 0, 0, 2]);
    let fault = |flows: &[Flow]| {
        let tables = Tables::new(flows);
        let run = run(&tables, packet.clone(), &mut Untracked);
        assert!(run.is_dropped());
        run.fault.unwrap()
    };
    let mut flows =
        parsed(&["cookie=0x7, actions=output:2,action:ffff0010000023200123456789abcdef"]);
    let (table, cookie) = (TableId(0), Cookie(7));
    assert_eq!(fault(&flows), Fault::ForeignAction { table, cookie });
    flows[0].matches.add_foreign(&[0, 1, 0xff, 1, 0]);
    assert_eq!(fault(&flows), Fault::ForeignMatch { table, cookie });
    let flows = parsed(&["ip actions=output:2,ct(table=0),ct(table=0)"]);
    let tables = Tables::new(&flows);
    let run = run(&tables, packet.clone(), &mut Untracked);
    assert_eq!(run.fault, Some(Fault::TooManyPasses { table }));
    assert_eq!(run.ports().count(), 63);
}
