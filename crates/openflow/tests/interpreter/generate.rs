//! Packets by chance, from few values so that they meet flows.

use openflow::{
    CtState, Field, PortNo,
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
