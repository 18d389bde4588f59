//! Packets and flow tables by chance, from few values so that they meet.

use openflow::{
    Cookie, CtState, Field, Flow, PortNo, Priority, TableId,
    interpreter::{Arp, Fragment, Packet},
};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Chance that is the same each time.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % n
    }

    /// Once in `n` times.
    pub(crate) fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[usize::try_from(self.below(values.len() as u64)).unwrap()]
    }

    fn small<T: TryFrom<u64>>(&mut self, n: u64) -> T
    where
        T::Error: std::fmt::Debug,
    {
        self.below(n).try_into().unwrap()
    }
}

/// What connection tracking finds, one state for each pass.
pub(crate) fn states(dice: &mut Dice) -> Vec<CtState> {
    const ALL: [CtState; 8] = [
        CtState::NEW,
        CtState::NEW,
        CtState::EST,
        CtState::EST,
        CtState(CtState::EST.0 | CtState::RPL.0),
        CtState(CtState::NEW.0 | CtState::REL.0),
        CtState(CtState::REL.0 | CtState::RPL.0),
        CtState::INV,
    ];
    let mut states = Vec::new();
    for _ in 0..dice.below(4) {
        states.push(dice.of(&ALL));
    }
    states
}

/// A packet for the tables of `pipeline.txt`.
pub(crate) fn pipeline_packet(dice: &mut Dice) -> Packet {
    let sender: u8 = dice.small(3);
    let sender = sender + 1;
    let receiver: u8 = dice.of(&[1, 2, 3, 9]);
    let from_outside = dice.once_in(4);
    let in_port = if from_outside { 4 } else { sender };
    let mac = |n: u8| [0xfa, 0x16, 0x3e, 0, 0, n];
    let src_mac = mac(if dice.once_in(8) { 9 } else { sender });
    let dst_mac = match dice.below(5) {
        0 => dice.of(&[[0xff; 6], [0x33, 0x33, 0, 0, 0, 1]]),
        _ => mac(receiver),
    };
    let mut packet = Packet::new(PortNo(in_port.into())).eth_src(src_mac).eth_dst(dst_mac);
    if from_outside {
        packet = packet.vlan(dice.of(&[117, 117, 117, 118, 119, 4095]));
    } else if dice.once_in(20) {
        packet = packet.vlan(dice.of(&[117, 4095]));
    }
    let src: u8 = dice.of(&[sender, sender, sender, 77]);
    let v4 = Ipv4Addr::new(10, 0, 0, src);
    let v4 = if dice.once_in(12) { Ipv4Addr::UNSPECIFIED } else { v4 };
    let link_local = |n: u8| Ipv6Addr::new(0xfe80, 0, 0, 0, 0xf816, 0x3eff, 0xfe00, n.into());
    let v6 = if dice.once_in(8) { Ipv6Addr::UNSPECIFIED } else { link_local(src) };
    let v6_dst = match dice.below(4) {
        _ if v6.is_unspecified() => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
        0 => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
        1 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5),
        _ => link_local(receiver),
    };
    let ipv4 = packet.clone().ipv4(v4, [10, 0, 0, receiver]);
    let ipv6 = packet.clone().ipv6(v6, v6_dst);
    packet = match dice.below(10) {
        0 => arp(dice, packet, v4),
        1 => ipv4.tcp(1024, dice.of(&[22, 80, 81, 8080])),
        2 => match dice.below(3) {
            0 => ipv4.udp(68, 67),
            1 => ipv4.udp(67, 68),
            _ => ipv4.udp(1024, 53),
        },
        3 => ipv4.sctp(1024, dice.of(&[256, 511, 512])),
        4 => ipv4.icmp(dice.of(&[0, 8]), 0),
        5 => ipv6.tcp(1024, dice.of(&[22, 8080, 8095, 8096])),
        6 => match dice.below(3) {
            0 => ipv6.udp(546, 547),
            1 => ipv6.udp(547, 546),
            _ => ipv6.udp(1024, 53),
        },
        7 => ipv6.icmp(dice.of(&[128, 129, 130, 131, 132, 133, 134, 143]), 0),
        8 => {
            let target = link_local(dice.of(&[sender, sender, 77]));
            match dice.below(3) {
                0 => ipv6.neighbour_solicitation(target, src_mac),
                1 => ipv6.neighbour_advertisement(target, src_mac),
                _ => ipv6.icmp(dice.of(&[135, 136]), dice.small(2)),
            }
        }
        _ => ipv6.tcp(1024, 22),
    };
    marked(dice, packet)
}

/// A packet for random tables.
pub(crate) fn packet(dice: &mut Dice) -> Packet {
    let in_port = dice.of(&[PortNo(1), PortNo(2), PortNo(3), PortNo(4), PortNo::LOCAL]);
    let mut packet = Packet::new(in_port)
        .eth_src([2, 0, 0, 0, 0, dice.small(4)])
        .eth_dst([dice.of(&[2, 3]), 0, 0, 0, 0, dice.small(4)])
        .with(Field::reg(0), dice.below(4).into())
        .with(Field::reg(1), dice.below(4).into());
    if dice.once_in(3) {
        packet = packet.vlan(dice.of(&[1, 5])).with(Field::VLAN_PCP, dice.below(3).into());
    }
    let v4_src = Ipv4Addr::new(10, 0, 0, dice.small(4));
    let v4_dst = Ipv4Addr::new(10, 0, 0, dice.small(4));
    let v6_src = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, dice.small(4));
    let v6_dst = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, dice.small(4));
    packet = match dice.below(8) {
        0 => return arp(dice, packet, v4_src),
        1..5 => packet.ipv4(v4_src, v4_dst),
        5 | 6 => packet.ipv6(v6_src, v6_dst),
        _ => return packet.eth_type(dice.of(&[0x88cc, 0x8847 + 0x100])),
    };
    packet = packet.ttl(dice.of(&[1, 2, 64])).with(Field::IP_DSCP, dice.below(3).into());
    let is_v6 = packet.get(Field::ETH_TYPE) == 0x86dd;
    let (src, dst) = (dice.small(4), dice.small(4));
    packet = match dice.below(8) {
        0..3 => packet.tcp(src, dst).tcp_flags(dice.of(&[2, 0x10, 0x12])),
        3 => packet.udp(src, dst),
        4..7 if is_v6 => {
            let target = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, dice.small(4));
            let mac = [2, 0, 0, 0, 0, dice.small(4)];
            match dice.below(3) {
                0 => packet.neighbour_solicitation(target, mac),
                1 => packet.neighbour_advertisement(target, mac),
                _ => packet.icmp(135, 1),
            }
        }
        4 | 5 => packet.sctp(src, dst),
        6 => packet.icmp(dice.small(2), dice.small(2)),
        _ => packet.ip_proto(112),
    };
    if dice.once_in(10) {
        packet = packet.fragment(dice.of(&[Fragment::First, Fragment::Later]));
    }
    marked(dice, packet)
}

fn arp(dice: &mut Dice, packet: Packet, spa: Ipv4Addr) -> Packet {
    let arp = Arp {
        op: dice.of(&[1, 2]),
        sha: [2, 0, 0, 0, 0, dice.small(4)],
        spa,
        tha: [2, 0, 0, 0, 0, dice.small(4)],
        tpa: Ipv4Addr::new(10, 0, 0, dice.small(4)),
    };
    let packet = packet.arp(arp);
    if dice.once_in(3) { packet.eth_type(0x8035) } else { packet }
}

/// A trace takes the mark of a connection from the packet; also packets that are tracked before
/// they enter.
fn marked(dice: &mut Dice, packet: Packet) -> Packet {
    match dice.below(12) {
        0 => packet.tracked(0, dice.of(&[CtState::NEW, CtState::EST]), dice.small(2)),
        1..4 => packet.with(Field::CT_MARK, 1),
        _ => packet,
    }
}

/// Tables 0 to 9. A resubmit stays within 0 to 3, 4 to 6 or 7 to 9, or leads to later ones, and
/// connection tracking leads to later ones, so that no packet comes back for ever.
pub(crate) fn tables(dice: &mut Dice) -> Vec<Flow> {
    let mut flows = Vec::new();
    for table in 0..10 {
        for _ in 0..12 {
            let priority = 10 + flows.len() as u64;
            let (terms, proto) = matches(dice);
            let actions = actions(dice, table, &terms, proto);
            flows.push(flow(table, priority, &terms, &actions));
        }
        if table == 5 || table == 8 {
            conjunctions(dice, table, &mut flows);
        }
    }
    for (flow, cookie) in flows.iter_mut().zip(1..) {
        flow.cookie = Cookie(cookie);
    }
    flows
}

fn flow(table: u64, priority: u64, terms: &str, actions: &str) -> Flow {
    let text = format!("table={table},priority={priority},{terms} actions={actions}");
    let flow: Flow = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(flow.table, TableId(table.try_into().unwrap()));
    assert_eq!(flow.priority, Priority(priority.try_into().unwrap()));
    flow
}

/// Clauses on the ports and addresses, some complete, with ordinary flows above, at and below
/// their priority.
fn conjunctions(dice: &mut Dice, table: u64, flows: &mut Vec<Flow>) {
    for (id, priority) in [(1, 1000), (2, 1000), (3, 900), (4, 5)] {
        let (a, b, c) = (dice.below(4), dice.below(4), dice.below(4));
        let clause = |n: u64| format!("conjunction({id},{n}/2)");
        for source in [a, b] {
            let terms = format!("ip,nw_src=10.0.0.{source}");
            let same = flows.iter_mut().find(|other| {
                **other
                    == Flow {
                        actions: other.actions.clone(),
                        ..flow(table, priority, &terms, "drop")
                    }
            });
            let new = flow(table, priority, &terms, &clause(1));
            match same {
                Some(other) => other.actions.extend(new.actions),
                None => flows.push(new),
            }
        }
        for port in [b, c] {
            let terms = format!("tcp,reg2={id},tp_dst={port}");
            flows.retain(|other| other.key() != flow(table, priority, &terms, "drop").key());
            flows.push(flow(table, priority, &terms, &clause(2)));
        }
        let (terms, actions) = (format!("ip,conj_id={id}"), format!("output:{}", 1 + id % 4));
        flows.push(flow(table, priority + 1, &terms, &actions));
    }
}

/// Terms, and the protocol that they fix.
fn matches(dice: &mut Dice) -> (String, &'static str) {
    let mut terms: Vec<String> = Vec::new();
    let proto = dice.of(&[
        "", "", "ip", "ip", "tcp", "udp", "sctp", "icmp", "arp", "rarp", "ipv6", "tcp6", "icmp6",
    ]);
    let n = dice.below(4);
    if !proto.is_empty() {
        terms.push(proto.to_owned());
    }
    match (proto, n) {
        ("ip" | "tcp" | "udp" | "sctp" | "icmp", 0) => terms.push(format!("nw_src=10.0.0.{n}/31")),
        ("ip" | "udp", 1) => terms.push(format!("nw_dst=10.0.0.{}", dice.below(4))),
        ("ip" | "ipv6", 2) => terms.push(
            dice.of(&["nw_tos=4", "nw_ttl=2", "nw_frag=yes", "nw_frag=later", "nw_frag=no"])
                .to_owned(),
        ),
        ("tcp" | "tcp6" | "udp" | "sctp", 2) => terms.push(format!("tp_dst={}", dice.below(4))),
        ("tcp" | "udp" | "sctp", 3) => terms.push(format!("tp_src={:#x}/0x2", dice.below(2) * 2)),
        ("tcp6", 3) => terms.push("tcp_flags=+syn-ack".to_owned()),
        ("tcp", 1) => terms.push("tcp_flags=syn".to_owned()),
        ("icmp", 1) => terms.push(format!("icmp_type={}", dice.below(2))),
        ("icmp", 2) => terms.push(format!("icmp_type=0,icmp_code={}", dice.below(2))),
        ("icmp6", 0) => terms.push(format!("icmp_type=135,nd_target=fe80::{}", dice.below(4))),
        ("icmp6", 1) => terms.push("icmp_type=135,icmp_code=0,nd_target=::/64".to_owned()),
        ("icmp6", 2) => terms.push("icmp_type=136,icmp_code=0,nd_tll=02:00:00:00:00:01".to_owned()),
        ("icmp6", _) => terms.push("icmp_type=135,nd_sll=02:00:00:00:00:01".to_owned()),
        ("ipv6", 0) => terms.push(format!("ipv6_src=fe80::{}/127", dice.below(2) * 2)),
        ("arp" | "rarp", 0) => terms.push(format!("arp_spa=10.0.0.{}", dice.below(4))),
        ("arp" | "rarp", 1) => terms.push(format!("arp_op={}", 1 + dice.below(2))),
        ("arp" | "rarp", 2) => {
            terms.push(format!("arp_sha=02:00:00:00:00:0{},arp_tpa=10.0.0.0/31", dice.below(4)))
        }
        _ => {}
    }
    for _ in 0..dice.below(2) + u64::from(proto.is_empty()) {
        let n = dice.below(4);
        terms.push(match dice.below(12) {
            0 => format!("in_port={}", dice.of(&["1", "2", "3", "4", "LOCAL"])),
            1 => format!("dl_src=02:00:00:00:00:0{n}"),
            2 => "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00".to_owned(),
            3 => dice
                .of(&[
                    "dl_vlan=5",
                    "vlan_tci=0x1000/0x1000",
                    "vlan_tci=0x0000/0x1fff",
                    "dl_vlan=1,dl_vlan_pcp=2",
                ])
                .to_owned(),
            4 | 5 => format!("reg{}={n}", dice.below(4)),
            6 => format!("reg{}={:#x}/0x{}", dice.below(4), n & 2, 2),
            7 => format!("metadata={n}/0x3"),
            8 | 9 => dice
                .of(&[
                    "ct_state=-trk",
                    "ct_state=+trk",
                    "ct_state=+trk+new-rel",
                    "ct_state=+est+trk",
                    "ct_state=+rpl",
                    "ct_state=+inv+trk",
                ])
                .to_owned(),
            10 => format!("ct_mark={}/0x1", n & 1),
            _ => format!("ct_zone={n}"),
        });
    }
    // One term for each field: the last is as good as the first.
    terms.sort();
    terms.dedup_by_key(|term| term.split('=').next().unwrap_or_default().to_owned());
    if terms.iter().any(|term| term.starts_with("dl_vlan")) {
        terms.retain(|term| !term.starts_with("vlan_tci"));
    }
    (terms.join(","), proto)
}

fn actions(dice: &mut Dice, table: u64, terms: &str, proto: &str) -> String {
    let segment = [4, 7, 10].into_iter().find(|end| table < *end).unwrap();
    let start = [7, 4, 0].into_iter().find(|start| table >= *start).unwrap();
    // As far as the switch knows when it checks the flow; it takes at most two.
    let mut tags = u8::from(terms.contains("dl_vlan=") || terms.contains("vlan_tci=0x1000"));
    let is_ip = matches!(proto, "ip" | "tcp" | "udp" | "sctp" | "icmp" | "ipv6" | "tcp6" | "icmp6");
    // A switch refuses to commit what is known to be invalid.
    let can_commit = is_ip && !terms.contains("+inv");
    let mut actions: Vec<String> = Vec::new();
    for _ in 0..1 + dice.below(4) {
        let (n, m, reg) = (dice.below(4), dice.below(4), dice.below(4));
        // Mostly onwards; back now and then.
        let to = if dice.once_in(6) {
            start + dice.below(10 - start)
        } else {
            (table + 1 + dice.below(3)).min(9)
        };
        actions.push(match dice.below(26) {
            0 | 1 => format!("output:{}", 1 + n),
            2 => format!("output:NXM_NX_REG{reg}[]"),
            3 => dice.of(&["IN_PORT", "LOCAL", "NORMAL", "NORMAL"]).to_owned(),
            4 => "CONTROLLER:128".to_owned(),
            5 | 6 => format!("set_field:{n}->reg{reg}"),
            7 => format!("load:{}->NXM_NX_REG{reg}[{n}]", m & 1),
            8 => format!("move:NXM_NX_REG{n}[0..15]->NXM_NX_REG{reg}[{},{}]", 0, 15).replace(',', ".."),
            9 => format!("load:{n}->NXM_NX_XXREG0[32..63],set_field:{m}->xreg1"),
            10 => dice.of(&["move:NXM_OF_IN_PORT[]->NXM_NX_REG2[0..15]", "load:0->NXM_OF_IN_PORT[]", "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]", "move:NXM_OF_VLAN_TCI[]->NXM_NX_REG3[0..15]", "move:NXM_OF_ETH_DST[0..1]->NXM_NX_REG1[0..1]"]).to_owned(),
            11 => format!("set_field:02:00:00:00:00:0{n}->eth_{}", dice.of(&["src", "dst"])),
            12 if tags < 2 => {
                tags += 1;
                format!("push_vlan:0x8100,set_field:{}->vlan_vid", 4097 + n)
            }
            13 if tags > 0 => {
                tags -= 1;
                "pop_vlan".to_owned()
            }
            14 if tags > 0 => format!("set_field:{}->vlan_vid,set_field:{n}->vlan_pcp", 4097 + m),
            15 if is_ip && table < 7 => {
                let zone = dice.of(&["1", "NXM_NX_REG1[0..15]"]);
                format!("ct(table={},zone={zone})", segment + dice.below(10 - segment))
            }
            16 if can_commit => {
                let exec = dice.of(&["", ",exec(set_field:0x1->ct_mark)", ",exec(load:0x1->NXM_NX_CT_MARK[0],set_field:0x5->ct_label)", ",force"]);
                format!("ct(commit,zone={n}{exec})")
            }
            17 if can_commit && table < 7 => format!("ct(commit,zone=2,table={segment},exec(load:0x1->NXM_NX_CT_MARK[1]))"),
            18 => "ct_clear".to_owned(),
            19 if is_ip => "dec_ttl".to_owned(),
            20 if matches!(proto, "tcp" | "udp") => format!("set_field:{n}->{proto}_dst,set_field:10.0.0.{m}->ip_src,set_field:3->ip_dscp"),
            20 if proto == "tcp6" => "set_field:fe80::7->ipv6_dst,move:NXM_NX_IPV6_SRC[0..31]->NXM_NX_REG3[]".to_owned(),
            20 if proto == "arp" => "move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:2->arp_op,set_field:02:00:00:00:00:09->arp_sha".to_owned(),
            21 if dice.once_in(3) => "learn(table=100,priority=7,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_NX_REG1[0..15]->NXM_NX_REG2[0..15],output:NXM_OF_IN_PORT[])".to_owned(),
            22 => "note:01.02.03.04.05.06,set_queue:3,pop_queue".to_owned(),
            _ => format!("resubmit(,{to})"),
        });
    }
    if dice.once_in(5) {
        actions.push(format!("write_metadata:{:#x}/0x3", dice.below(4)));
        actions.push(format!("goto_table:{}", table + 1));
    } else if dice.once_in(4) && table < 9 {
        actions.push(format!("goto_table:{}", table + 1));
    }
    actions.join(",")
}
