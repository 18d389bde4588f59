//! The codec against bytes of ovs-ofctl and of a switch, against itself, and against damage.

use super::{
    DecodeError, ErrorMessage, Features, Reader, Write, bundle, error, features, flow_mod,
    flow_monitor, flow_stats,
    header::{self, Deframer, Frame, Kind},
    instruction, oxm,
};
use crate::{
    action::{Action, Ct, Learn, LearnSpec, Nat, NatPick, NatRange, NatSide},
    field::Field,
    flow::{Command, Flow, FlowFlags, FlowMod},
    matching::{CtState, Match},
    monitor::{FlowUpdate, RemovedReason},
    number::{Cookie, PortNo, Priority, TableId},
    subfield::Subfield,
};
use proptest::prelude::*;
use std::{sync::Arc, time::Duration};

/// Pairs of lines: a flow, and the flow mod that ovs-ofctl makes of it.
const CAPTURED: &str = include_str!("captured/flow_mods.txt");

fn captured() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let mut lines = CAPTURED.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    std::iter::from_fn(move || Some((lines.next()?, hex(lines.next()?))))
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn frame(bytes: &[u8]) -> Frame<'_> {
    let (frame, len) = Frame::decode(bytes).unwrap().unwrap();
    assert_eq!(len, bytes.len());
    frame
}

/// Updates, which a controller never sends, as the body of a reply.
fn encode_updates(updates: &[FlowUpdate]) -> Vec<u8> {
    let mut out = vec![0, 16, 0, 0, 0, 0, 0, 0];
    for update in updates {
        let start = out.len();
        out.put_zeros(2);
        let mut full = |event, flow: &Flow, reason, [idle_timeout, hard_timeout]: [u16; 2]| {
            out.put_u16(event);
            out.put_u8(flow.table.0);
            out.put_u8(reason);
            out.put_u16(idle_timeout);
            out.put_u16(hard_timeout);
            out.put_u16(flow.priority.0);
            out.put_zeros(4);
            out.put_u64(flow.cookie.0);
            oxm::encode(&mut out, &flow.matches);
            instruction::encode(&mut out, &flow.actions);
        };
        match update {
            FlowUpdate::Added { flow, idle_timeout, hard_timeout } => {
                full(1, flow, 0, [*idle_timeout, *hard_timeout]);
            }
            FlowUpdate::Removed { flow, reason } => full(2, flow, reason.0, [0, 0]),
            FlowUpdate::Modified { flow, idle_timeout, hard_timeout } => {
                full(3, flow, 0, [*idle_timeout, *hard_timeout]);
            }
            FlowUpdate::Own { xid } => {
                out.put_u16(4);
                out.put_u32(*xid);
            }
            FlowUpdate::Paused | FlowUpdate::Missed => {
                out.put_u16(if *update == FlowUpdate::Paused { 5 } else { 6 });
                out.put_zeros(4);
            }
        }
        let len = u16::try_from(out.len() - start).unwrap();
        out[start..start + 2].copy_from_slice(&len.to_be_bytes());
    }
    out
}

/// Reads a flow mod, which a switch never sends.
fn decode_flow_mod(body: &[u8]) -> Result<FlowMod, DecodeError> {
    let mut reader = Reader::new("flow mod", body);
    let cookie = Cookie(reader.u64()?);
    let cookie_mask = reader.u64()?;
    let table = TableId(reader.u8()?);
    let command = match reader.u8()? {
        0 => Command::Add,
        1 => Command::Modify,
        2 => Command::ModifyStrict,
        3 => Command::Delete,
        4 => Command::DeleteStrict,
        value => return Err(DecodeError::Value { what: "flow mod command", value: value.into() }),
    };
    let (idle_timeout, hard_timeout) = (reader.u16()?, reader.u16()?);
    let priority = Priority(reader.u16()?);
    reader.skip(4)?; // buffer
    let port = PortNo(reader.u32()?);
    reader.skip(4)?; // group
    let flags = FlowFlags(reader.u16()?);
    reader.skip(2)?; // importance
    let matches = oxm::decode(&mut reader)?;
    let mut actions = instruction::decode(&mut reader)?;
    if command == Command::Delete && port != PortNo::ANY {
        actions.push(Action::Output(port));
    }
    let flow = Arc::new(Flow { table, priority, cookie, matches, actions: actions.into() });
    Ok(FlowMod { command, flow, idle_timeout, hard_timeout, flags, cookie_mask })
}

#[test]
fn flow_mods_are_those_of_ovs_ofctl() {
    let mut count = 0;
    for (text, theirs) in captured() {
        let flow: Flow = text.parse().unwrap();
        let frame = frame(&theirs);
        assert_eq!(frame.kind, Kind::FLOW_MOD);
        assert_eq!(decode_flow_mod(frame.body).unwrap(), FlowMod::add(flow.clone()), "{text}");
        let mut ours = Vec::new();
        header::encode(&mut ours, Kind::FLOW_MOD, frame.xid, |out| {
            flow_mod::encode(out, &FlowMod::add(flow));
        });
        assert_eq!(ours, theirs, "{text}");
        count += 1;
    }
    assert_eq!(count, 66);
}

#[test]
fn commands_and_cookie_masks_are_those_of_ovs_ofctl() {
    let flow: Flow = "table=1,priority=5,reg5=1,actions=output:1".parse().unwrap();
    let key: Flow = "cookie=0x10,table=1,reg5=1,actions=drop".parse().unwrap();
    let by_cookie = |command| FlowMod { cookie_mask: 0x10, ..FlowMod::new(command, key.clone()) };
    let cases = [
        (
            FlowMod::new(Command::Modify, flow.clone()),
            "050e005800000002000000000000000000000000000000000101000000000005ffffffffffffffffffffffff\
             000000000001000c00010a040000000100000000000400180000000000000010000000010000000000000000",
        ),
        (
            FlowMod::new(Command::ModifyStrict, flow),
            "050e005800000002000000000000000000000000000000000102000000000005ffffffffffffffffffffffff\
             000000000001000c00010a040000000100000000000400180000000000000010000000010000000000000000",
        ),
        (
            by_cookie(Command::Delete),
            "050e004000000002000000000000001000000000000000100103000000008000ffffffffffffffffffffffff\
             000000000001000c00010a040000000100000000",
        ),
        (
            // del-flows BRIDGE cookie=0x10/0x10,table=1,out_port=7
            FlowMod::delete_to(PortNo(7), TableId(1), Cookie(0x10), 0x10),
            "050e003800000002000000000000001000000000000000100103000000008000ffffffff00000007ffffffff\
             000000000001000400000000",
        ),
        (
            by_cookie(Command::DeleteStrict),
            "050e004000000002000000000000001000000000000000100104000000008000ffffffffffffffffffffffff\
             000000000001000c00010a040000000100000000",
        ),
    ];
    for (flow_mod, theirs) in cases {
        let mut ours = Vec::new();
        header::encode(&mut ours, Kind::FLOW_MOD, 2, |out| flow_mod::encode(out, &flow_mod));
        assert_eq!(ours, hex(theirs), "{flow_mod}");
        assert_eq!(decode_flow_mod(frame(&ours).body).unwrap(), flow_mod);
    }
}

#[test]
fn requests_are_those_of_ovs_ofctl() {
    let mut out = Vec::new();
    header::encode(&mut out, Kind::MULTIPART_REQUEST, 2, flow_stats::encode_request);
    assert_eq!(
        out,
        hex("05120038000000020001000000000000ff000000ffffffffffffffff0000000000000000000000000000\
             0000000000000001000400000000")
    );
    out.clear();
    bundle::encode_control(&mut out, 1, 0, bundle::Control::OPEN);
    assert_eq!(out, hex("05210010000000010000000000000003"));
    out.clear();
    bundle::encode_control(&mut out, 0x46, 0, bundle::Control::COMMIT);
    assert_eq!(out, hex("05210010000000460000000000040003"));
    out.clear();
    let flow: Flow = "table=60,priority=0,actions=drop".parse().unwrap();
    bundle::encode_add(&mut out, 4, 0, &FlowMod::add(flow));
    assert_eq!(
        out,
        hex(
            "052200480000000400000000000000 03050e003800000004000000000000000000000000000000003c00\
             000000000000ffffffffffffffffffffffff000000000001000400000000"
        )
    );
}

#[test]
fn answers_of_a_switch_are_read() {
    let bytes = hex("06060020000000020000aa754761564200000000fe0000000000024f00000000");
    let features = features::decode(frame(&bytes).body).unwrap();
    let expected =
        Features { datapath_id: 0x0000_aa75_4761_5642, n_tables: 254, capabilities: 0x24f };
    assert_eq!(features, expected);

    let bytes = hex("05210010000000060000000600010000");
    assert_eq!(bundle::decode_control(frame(&bytes).body).unwrap(), (6, bundle::Control(1)));

    let bytes = hex("0501001c0000000700040009052200580000000700000006000000 03");
    let error = error::decode(frame(&bytes).body).unwrap();
    assert_eq!(error.name(), Some("OFPBMC_BAD_PREREQ"));
    assert_eq!(error.to_string(), "OFPBMC_BAD_PREREQ");
    assert_eq!(error.data, hex("052200580000000700000006000000 03"));
}

/// Two flows as a switch dumps them.
const DUMP: &str = "051300d000000005000100000000000000883c0000000000090f560000090000000000000000\
    00000000000000000007000000000000000000000000000000000001002580000a02080080000d0410001000800014\
    010680001c02005000010a040000000300000000040028000000000012000800000000ffff0018000023200023000\
    100010c04000fff0000000000000100083d00000000383d000000000007bfa480800000000000000000000000000000\
    0000000000000000000000000000000000000000000001000400000000";

#[test]
fn a_dump_of_a_switch_is_read() {
    let bytes = hex(DUMP);
    let (flows, more) = flow_stats::decode_reply(frame(&bytes).body).unwrap();
    assert!(!more);
    let text: Vec<String> = flows.iter().map(|stats| stats.flow.to_string()).collect();
    let expected = [
        "cookie=0x7, table=60, priority=9,tcp,reg5=0x3,vlan_tci=0x1000/0x1000,tp_dst=80 \
         actions=pop_vlan,ct(commit,zone=NXM_NX_REG6[0..15]),goto_table:61",
        "table=61, actions=drop",
    ];
    assert_eq!(text, expected);
    assert_eq!(flows[0].duration, Duration::from_nanos(0x090f_5600));
    assert_eq!((flows[0].packets, flows[0].flags), (0, FlowFlags(0)));
}

/// Updates of a switch: a flow that was added with a timeout, got other actions and was deleted; one
/// added and gone by its hard timeout; a change of our own.
const UPDATES: &str = "0010000000000000\
    005000010100003c000000050000000000000000000000080001001d80000a020800800014010680001c02005000010a\
    0400000003000000000400180000000000000010000000020000000000000000\
    005000030100003c000000050000000000000000000000080001001d80000a020800800014010680001c02005000010a\
    04000000030000000004001800000000ffff001000002320000efff83c000000\
    005000020102003c000000050000000000000000000000080001001d80000a020800800014010680001c02005000010a\
    04000000030000000004001800000000ffff001000002320000efff83c000000\
    002000013c000000000180000000000000000000000000000001000400000000\
    002000023c010000000180000000000000000000000000000001000400000000\
    0008000400000070";

#[test]
fn updates_of_a_switch_are_read() {
    let flow = |text: &str| Arc::new(text.parse::<Flow>().unwrap());
    let changed = "cookie=0x8, table=1, priority=5,tcp,reg5=0x3,tp_dst=80 actions=";
    let (before, after) =
        (flow(&format!("{changed}output:2")), flow(&format!("{changed}resubmit(,60)")));
    let brief = flow("table=60, actions=drop");
    let expected = [
        FlowUpdate::Added { flow: before, idle_timeout: 60, hard_timeout: 0 },
        FlowUpdate::Modified { flow: Arc::clone(&after), idle_timeout: 60, hard_timeout: 0 },
        FlowUpdate::Removed { flow: after, reason: RemovedReason::DELETE },
        FlowUpdate::Added { flow: Arc::clone(&brief), idle_timeout: 0, hard_timeout: 1 },
        FlowUpdate::Removed { flow: brief, reason: RemovedReason::HARD_TIMEOUT },
        FlowUpdate::Own { xid: 0x70 },
    ];
    let bytes = hex(UPDATES);
    assert_eq!(flow_monitor::decode_reply(&bytes).unwrap(), expected);
    let read = |text: &str| flow_monitor::decode_reply(&hex(text));
    assert_eq!(read("0010000000000000").unwrap(), []);
    assert_eq!(read("00100000000000000008000500000000").unwrap(), [FlowUpdate::Paused]);
    assert_eq!(read("00100000000000000008000600000000").unwrap(), [FlowUpdate::Missed]);
    assert!(read("00100000000000000008000700000000").is_err());
    assert!(read("00100000000000000003000400000000").is_err());
    assert!(flow_monitor::is_reply(&bytes));
    assert!(!flow_monitor::is_reply(frame(&hex(DUMP)).body) && !flow_monitor::is_reply(&[0]));
}

#[test]
fn a_monitor_is_asked_for_once_for_each_table() {
    let mut out = Vec::new();
    flow_monitor::encode_request(&mut out, &[TableId(60), TableId(1)].into());
    assert_eq!(
        out,
        hex("0010000000000000\
             00000001ffffffffffffffff001e0100 0001000400000000\
             0000003cffffffffffffffff001e3c00 0001000400000000")
    );
}

#[test]
fn no_message_is_read_from_less_than_all_of_it() {
    // Cut anywhere, a body is refused, unless the cut falls between two parts of it.
    for (text, bytes) in captured() {
        let body = frame(&bytes).body;
        for len in 0..body.len() {
            if let Ok(shorter) = decode_flow_mod(&body[..len]) {
                assert!(len.is_multiple_of(8), "{text}: read from {len} bytes");
                assert_ne!(*shorter.flow, text.parse().unwrap());
            }
        }
    }
    let bytes = hex(DUMP);
    let body = frame(&bytes).body;
    let whole_flows = [8, 8 + 0x88, body.len()];
    for len in 0..body.len() {
        let result = flow_stats::decode_reply(&body[..len]);
        assert_eq!(result.is_ok(), whole_flows.contains(&len), "{len} bytes: {result:?}");
    }
    let body = hex(UPDATES);
    let whole_updates = [8, 0x58, 0xa8, 0xf8, 0x118, 0x138, 0x140];
    for len in 0..body.len() {
        let result = flow_monitor::decode_reply(&body[..len]);
        assert_eq!(result.is_ok(), whole_updates.contains(&len), "{len} bytes: {result:?}");
    }
    let features = hex("0000aa754761564200000000fe0000000000024f00000000");
    for len in 0..features.len() {
        assert!(features::decode(&features[..len]).is_err());
    }
    for len in 0..4 {
        assert!(error::decode(&[0; 8][..len]).is_err());
    }
    assert!(error::decode(&[0xff; 6]).is_err());
    for len in 0..6 {
        assert!(bundle::decode_control(&[0; 8][..len]).is_err());
    }
}

#[test]
fn trailing_bytes_are_refused() {
    for (text, bytes) in captured() {
        let mut body = frame(&bytes).body.to_vec();
        body.push(0);
        assert!(decode_flow_mod(&body).is_err(), "{text}");
    }
    let mut body = frame(&hex(DUMP)).body.to_vec();
    body.push(0);
    assert!(flow_stats::decode_reply(&body).is_err());
    let mut body = hex(UPDATES);
    body.push(0);
    assert!(flow_monitor::decode_reply(&body).is_err());
    let features = hex("0000aa754761564200000000fe0000000000024f0000000000");
    let error = DecodeError::Trailing { what: "features", count: 1 };
    assert_eq!(features::decode(&features), Err(error));
}

#[test]
fn a_stream_is_cut_into_messages() {
    let mut stream = Vec::new();
    for xid in 0..3 {
        header::encode(&mut stream, Kind::ECHO_REQUEST, xid, |out| out.extend(vec![7; 5]));
    }
    for size in 1..stream.len() {
        let mut deframer = Deframer::default();
        let mut seen = Vec::new();
        for chunk in stream.chunks(size) {
            deframer.buffer().extend_from_slice(chunk);
            while let Some(frame) = deframer.next().unwrap() {
                assert_eq!((frame.kind, frame.body), (Kind::ECHO_REQUEST, &[7; 5][..]));
                seen.push(frame.xid);
            }
        }
        assert_eq!(seen, [0, 1, 2]);
    }
    let mut deframer = Deframer::default();
    deframer.buffer().extend_from_slice(&[5, 0, 0, 7, 0, 0, 0, 0]);
    assert_eq!(deframer.next(), Err(DecodeError::Length { what: "message", length: 7 }));
}

#[test]
fn errors_have_names() {
    let error = |kind, code, experimenter| ErrorMessage { kind, code, experimenter, data: vec![] };
    let cases = [
        (error(0, 0, None), "OFPHFC_INCOMPATIBLE"),
        (error(2, 9, None), "OFPBAC_BAD_OUT_GROUP"),
        (error(17, 13, None), "OFPBFC_MSG_FAILED"),
        (error(0xffff, 15, Some(0x2320)), "NXBAC_BAD_CONJUNCTION"),
        (error(99, 1, None), "error of type 99, code 1"),
        (error(0xffff, 1, Some(5)), "error of type 65535, code 1, experimenter 0x5"),
    ];
    for (error, text) in cases {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn what_is_not_known_is_kept() {
    // A match on mpls_label, an action "exit", an instruction "clear actions".
    let bytes = hex("0001 000c 80004404 00000005 00000000");
    let matches = oxm::decode(&mut Reader::new("match", &bytes)).unwrap();
    assert_eq!(matches.foreign(), &hex("8000440400000005")[..]);
    let mut out = Vec::new();
    oxm::encode(&mut out, &matches);
    assert_eq!(out, bytes);

    let bytes = hex("0004 0018 00000000 ffff 0010 00002320 0011 000000000000 0005 0008 00000000");
    let actions = instruction::decode(&mut Reader::new("instructions", &bytes)).unwrap();
    assert!(matches!(actions[..], [Action::Foreign(_), Action::ForeignInstruction(_)]));
    let mut out = Vec::new();
    instruction::encode(&mut out, &actions);
    assert_eq!(out, bytes);
}

#[test]
fn packet_type_ethernet_is_no_match() {
    let bytes = hex("0001 000c 80005804 00000000 00000000");
    assert_eq!(oxm::decode(&mut Reader::new("match", &bytes)).unwrap(), Match::new());
}

#[test]
fn tcp_flags_are_read_in_each_of_their_forms() {
    let expected = Match::new().with_masked(Field::TCP_FLAGS, 0x2, 0x12);
    for form in ["0001 0010 ffff5508 4f4e4600 0002 0012", "0001 000c 00014504 0002 0012 00000000"] {
        let bytes = hex(form);
        assert_eq!(oxm::decode(&mut Reader::new("match", &bytes)).unwrap(), expected, "{form}");
    }
}

fn any_field() -> impl Strategy<Value = Field> {
    proptest::sample::select(Field::all().collect::<Vec<_>>())
}

fn any_match() -> impl Strategy<Value = Match> {
    let term = (any_field(), any::<u128>(), prop_oneof![Just(u128::MAX), any::<u128>()]);
    proptest::collection::vec(term, 0..8).prop_map(|terms| {
        terms
            .into_iter()
            .fold(Match::new(), |all, (f, value, mask)| all.with_masked(f, value, mask))
    })
}

fn any_subfield() -> impl Strategy<Value = Subfield> {
    (any_field(), any::<u8>(), any::<u8>()).prop_map(|(field, a, b)| {
        let (a, b) = (a % field.bits(), b % field.bits());
        Subfield::new(field, a.min(b), a.max(b))
    })
}

/// Two subfields of one width.
fn two_subfields() -> impl Strategy<Value = (Subfield, Subfield)> {
    (any_subfield(), any_subfield()).prop_map(|(a, b)| {
        let bits = a.bits().min(b.bits());
        let cut = |s: Subfield| Subfield::new(s.field(), s.lo(), s.lo() + bits - 1);
        (cut(a), cut(b))
    })
}

fn set_field() -> impl Strategy<Value = Action> {
    (any_subfield(), any::<u128>())
        .prop_map(|(dst, value)| Action::SetField { dst, value: value & dst.full_value() })
}

fn learn_spec() -> impl Strategy<Value = LearnSpec> {
    prop_oneof![
        two_subfields().prop_map(|(dst, src)| LearnSpec::Match { dst, src }),
        two_subfields().prop_map(|(dst, src)| LearnSpec::Load { dst, src }),
        (any_subfield(), any::<u128>())
            .prop_map(|(dst, v)| LearnSpec::MatchValue { dst, value: v & dst.full_value() }),
        (any_subfield(), any::<u128>())
            .prop_map(|(dst, v)| LearnSpec::LoadValue { dst, value: v & dst.full_value() }),
        any_subfield().prop_map(LearnSpec::Output),
    ]
}

fn any_learn() -> impl Strategy<Value = Learn> {
    let limit = prop_oneof![Just(0), any::<u32>()];
    let numbers = (any::<[u16; 5]>(), any::<u64>(), any::<u8>(), any::<[bool; 2]>(), limit);
    (numbers, proptest::collection::vec(learn_spec(), 0..6)).prop_map(
        |(([priority, idle, hard, fin_idle, fin_hard], cookie, table, flags, limit), specs)| {
            Learn {
                table: TableId(table),
                priority: Priority(priority),
                cookie: Cookie(cookie),
                idle_timeout: idle,
                hard_timeout: hard,
                fin_idle_timeout: fin_idle,
                fin_hard_timeout: fin_hard,
                send_flow_rem: flags[0],
                delete_learned: flags[1],
                limit,
                specs,
            }
        },
    )
}

fn any_nat() -> impl Strategy<Value = Nat> {
    let addresses = prop_oneof![
        Just(NatRange::None),
        any::<[u32; 2]>().prop_map(|[a, b]| NatRange::V4(a.into(), (a | b).into())),
        any::<[u128; 2]>().prop_map(|[a, b]| NatRange::V6(a.into(), (a | b).into())),
    ];
    let side = proptest::sample::select(vec![NatSide::Src, NatSide::Dst]);
    let pick = proptest::sample::select(vec![NatPick::Any, NatPick::Hash, NatPick::Random]);
    (side, addresses, any::<[u16; 2]>(), any::<bool>(), pick).prop_map(
        |(side, addresses, [a, b], persistent, pick)| {
            // Without addresses, text has no place for the rest.
            let bare = Nat { side: Some(side), ..Nat::default() };
            match addresses {
                NatRange::None => bare,
                _ => Nat {
                    addresses,
                    ports: (a, if a == 0 { 0 } else { a | b }),
                    persistent,
                    pick,
                    ..bare
                },
            }
        },
    )
}

pub(crate) fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        (0..0xff00_u32).prop_map(|port| Action::Output(PortNo(port))),
        any_subfield()
            .prop_filter("ranges of 64 bits at most", |s| s.bits() <= 64)
            .prop_map(Action::OutputField),
        any::<u8>().prop_map(|table| Action::Resubmit(TableId(table))),
        Just(Action::PopVlan),
        set_field(),
        two_subfields().prop_map(|(src, dst)| Action::Move { src, dst }),
        Just(Action::CtClear),
        (any::<u32>(), 1..=64_u8, any::<u8>())
            .prop_map(|(id, clause, clauses)| Action::Conjunction { id, clause, clauses }),
        any_learn().prop_map(|learn| Action::Learn(Box::new(learn))),
        proptest::collection::vec(any::<u8>(), 1..20).prop_map(|note| Action::note(&note)),
        (any::<u16>(), proptest::option::of(any_nat()), any::<[bool; 2]>(), 0..255_u8).prop_map(
            |(zone, nat, [commit, force], table)| {
                let ct = Ct { commit, force, table: Some(TableId(table)), ..Ct::commit(zone) };
                let ct = ct.exec(Action::set(Field::CT_MARK, 1));
                nat.into_iter().fold(ct, Ct::nat).into()
            }
        ),
    ]
}

proptest! {
    #[test]
    fn any_match_survives_the_wire(matches in any_match()) {
        let mut out = Vec::new();
        oxm::encode(&mut out, &matches);
        prop_assert_eq!(out.len() % 8, 0);
        let mut reader = Reader::new("match", &out);
        prop_assert_eq!(oxm::decode(&mut reader).unwrap(), matches);
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn any_action_survives_the_wire(
        actions in proptest::collection::vec(any_action(), 0..5),
        table in proptest::option::of(any::<u8>()),
    ) {
        let mut actions = actions;
        actions.extend(table.map(|table| Action::GotoTable(TableId(table))));
        let mut out = Vec::new();
        instruction::encode(&mut out, &actions);
        let decoded = instruction::decode(&mut Reader::new("instructions", &out)).unwrap();
        prop_assert_eq!(decoded, actions);
    }

    #[test]
    fn any_action_survives_its_text(action in any_action()) {
        let text = action.to_string();
        prop_assert_eq!(text.parse::<Action>(), Ok(action), "{}", text);
    }

    #[test]
    fn damage_is_refused_or_read_but_never_a_panic(
        flip in any::<(proptest::sample::Index, u8)>(),
        which in any::<proptest::sample::Index>(),
    ) {
        let all: Vec<_> = captured().collect();
        let mut body = frame(&which.get(&all).1).body.to_vec();
        let at = flip.0.index(body.len());
        body[at] ^= flip.1;
        if let Ok(flow_mod) = decode_flow_mod(&body) {
            // What was read can be printed, and sent again as what it is.
            let _ = flow_mod.to_string();
            let mut out = Vec::new();
            flow_mod::encode(&mut out, &flow_mod);
            let again = decode_flow_mod(&out).unwrap();
            if flow_mod.command == Command::Add {
                prop_assert_eq!(again, flow_mod);
            }
        }
        let mut dump = frame(&hex(DUMP)).body.to_vec();
        let at = flip.0.index(dump.len());
        dump[at] ^= flip.1;
        let _ = flow_stats::decode_reply(&dump);
        let mut updates = hex(UPDATES);
        let at = flip.0.index(updates.len());
        updates[at] ^= flip.1;
        let _ = flow_monitor::decode_reply(&updates);
    }

    #[test]
    fn any_update_survives_the_wire(
        matches in any_match(),
        actions in proptest::collection::vec(any_action(), 0..5),
        [table, reason] in any::<[u8; 2]>(),
        [priority, idle_timeout, hard_timeout] in any::<[u16; 3]>(),
        cookie in any::<u64>(),
    ) {
        let (table, priority, cookie) = (TableId(table), Priority(priority), Cookie(cookie));
        let flow = Arc::new(Flow { table, priority, cookie, matches, actions: actions.into() });
        let gone = Flow { actions: Arc::default(), ..(*flow).clone() };
        let updates = vec![
            FlowUpdate::Added { flow: Arc::clone(&flow), idle_timeout, hard_timeout },
            FlowUpdate::Modified { flow, idle_timeout, hard_timeout },
            FlowUpdate::Removed { flow: gone.into(), reason: RemovedReason(reason) },
            FlowUpdate::Own { xid: 5 },
            FlowUpdate::Paused,
            FlowUpdate::Missed,
        ];
        prop_assert_eq!(flow_monitor::decode_reply(&encode_updates(&updates)).unwrap(), updates);
    }

    #[test]
    fn ct_state_of_any_bits(set in 0..=0xff_u32, unset in 0..=0xff_u32) {
        let matches = Match::new().ct_state(CtState(set), CtState(unset & !set));
        prop_assert_eq!(matches.to_string().parse::<Match>().unwrap(), matches);
    }
}
