//! Flow tables by chance, such as a switch takes, from few values so that packets meet them.

use crate::generate::Dice;
use openflow::{Cookie, Flow, Priority, TableId};

const TAGS: [&str; 4] =
    ["dl_vlan=5", "vlan_tci=0x1000/0x1000", "vlan_tci=0x0000/0x1fff", "dl_vlan=1,dl_vlan_pcp=2"];
const STATES: [&str; 6] = [
    "ct_state=-trk",
    "ct_state=+trk",
    "ct_state=+trk+new-rel",
    "ct_state=+est+trk",
    "ct_state=+rpl",
    "ct_state=+inv+trk",
];
const MOVES: [&str; 5] = [
    "move:NXM_OF_IN_PORT[]->NXM_NX_REG2[0..15]",
    "load:0->NXM_OF_IN_PORT[]",
    "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
    "move:NXM_OF_VLAN_TCI[]->NXM_NX_REG3[0..15]",
    "move:NXM_OF_ETH_DST[0..1]->NXM_NX_REG1[0..1]",
];
/// What goes into `ct(commit,zone=1…)`.
const EXECS: [&str; 4] = [
    "",
    ",exec(set_field:0x1->ct_mark)",
    ",exec(load:0x1->NXM_NX_CT_MARK[0],set_field:0x5->ct_label)",
    ",force",
];
const REWRITE_IPV6: &str = "set_field:fe80::7->ipv6_dst,move:NXM_NX_IPV6_SRC[0..31]->NXM_NX_REG3[]";
const REWRITE_ARP: &str = "move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:2->arp_op,\
    set_field:02:00:00:00:00:09->arp_sha";
const LEARN: &str = "learn(table=100,priority=7,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],\
    load:NXM_NX_REG1[0..15]->NXM_NX_REG2[0..15],output:NXM_OF_IN_PORT[])";

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
            let new = flow(table, priority, &format!("ip,nw_src=10.0.0.{source}"), &clause(1));
            match flows.iter_mut().find(|other| other.key() == new.key()) {
                Some(other) => {
                    other.actions = other.actions.iter().chain(&*new.actions).cloned().collect();
                }
                None => flows.push(new),
            }
        }
        for port in [b, c] {
            // The register lets one conjunction at a time be complete: of two, a switch takes any.
            let terms = format!("tcp,reg2={id},tp_dst={port}");
            let new = flow(table, priority, &terms, &clause(2));
            flows.retain(|other| other.key() != new.key());
            flows.push(new);
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
            3 => dice.of(&TAGS).to_owned(),
            4 | 5 => format!("reg{}={n}", dice.below(4)),
            6 => format!("reg{}={:#x}/0x{}", dice.below(4), n & 2, 2),
            7 => format!("metadata={n}/0x3"),
            8 | 9 => dice.of(&STATES).to_owned(),
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
            8 => format!("move:NXM_NX_REG{n}[0..15]->NXM_NX_REG{reg}[0..15]"),
            9 => format!("load:{n}->NXM_NX_XXREG0[32..63],set_field:{m}->xreg1"),
            10 => dice.of(&MOVES).to_owned(),
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
                let exec = dice.of(&EXECS);
                format!("ct(commit,zone={n}{exec})")
            }
            17 if can_commit && table < 7 => {
                format!("ct(commit,zone=2,table={segment},exec(load:0x1->NXM_NX_CT_MARK[1]))")
            }
            18 => "ct_clear".to_owned(),
            19 if is_ip => "dec_ttl".to_owned(),
            20 if matches!(proto, "tcp" | "udp") => {
                let address = format!("set_field:10.0.0.{m}->ip_src,set_field:3->ip_dscp");
                format!("set_field:{n}->{proto}_dst,{address}")
            }
            20 if proto == "tcp6" => REWRITE_IPV6.to_owned(),
            20 if proto == "arp" => REWRITE_ARP.to_owned(),
            21 if dice.once_in(3) => LEARN.to_owned(),
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
