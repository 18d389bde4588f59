//! The fields that matches and actions name, with what the wire and ovs-ofctl call each.
//!
//! One table holds all of it; everything else in the crate asks the table. Facts: OpenFlow 1.4.1
//! § 7.2.3.7 and ovs-fields(7). Fields that are not here still pass through a
//! [`Match`](crate::Match) as raw bytes.

use std::fmt;

/// A field of a packet, of its metadata or of the pipeline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Field(u8);

/// How ovs-ofctl writes a field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Hex,
    Decimal,
    /// Decimal where exact, hexadecimal where masked.
    Port,
    OfPort,
    Mac,
    Ipv4,
    Ipv6,
    CtState,
    TcpFlags,
    Frag,
}

/// Class and number of a field, the upper 23 bits of an OXM header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) class: u16,
    pub(crate) number: u8,
}

struct Row {
    name: &'static str,
    subfield_name: &'static str,
    code: Code,
    subfield_code: Code,
    /// As a subfield, as a match, and in bytes as a match.
    bits: u8,
    match_bits: u8,
    match_bytes: u8,
    /// Its place in ovs-ofctl's text.
    print_rank: u8,
    format: Format,
    maskable: bool,
}

impl Field {
    /// Hash computed by the datapath.
    pub const DP_HASH: Self = Self(0);
    /// Recirculation number of the datapath.
    pub const RECIRC_ID: Self = Self(1);
    /// Conjunction all of whose clauses matched.
    pub const CONJ_ID: Self = Self(2);
    /// Incoming port. A match has the 32-bit number, a subfield the 16-bit one of OpenFlow 1.0.
    pub const IN_PORT: Self = Self(3);
    /// Incoming port as a 32-bit subfield; a match on it is one on `IN_PORT`.
    pub const IN_PORT_OXM: Self = Self(4);
    /// Ethernet source.
    pub const ETH_SRC: Self = Self(5);
    /// Ethernet destination.
    pub const ETH_DST: Self = Self(6);
    /// Ethertype, behind VLAN tags.
    pub const ETH_TYPE: Self = Self(7);
    /// The whole VLAN tag, with bit 0x1000 for "has a tag"; a match on it is one on `VLAN_VID` and `VLAN_PCP`.
    pub const VLAN_TCI: Self = Self(8);
    /// VLAN number. A match, and an action that sets it whole, have a 13th bit, 0x1000, for "has a tag".
    pub const VLAN_VID: Self = Self(9);
    /// VLAN priority.
    pub const VLAN_PCP: Self = Self(10);
    /// IPv4 source.
    pub const IPV4_SRC: Self = Self(11);
    /// IPv4 destination.
    pub const IPV4_DST: Self = Self(12);
    /// IPv6 source.
    pub const IPV6_SRC: Self = Self(13);
    /// IPv6 destination.
    pub const IPV6_DST: Self = Self(14);
    /// Fragment: bit 0 it is one, bit 1 not the first.
    pub const IP_FRAG: Self = Self(15);
    /// Differentiated services code point.
    pub const IP_DSCP: Self = Self(16);
    /// Explicit congestion notification.
    pub const IP_ECN: Self = Self(17);
    /// Time to live, or hop limit.
    pub const IP_TTL: Self = Self(18);
    /// IPv6 flow label.
    pub const IPV6_LABEL: Self = Self(19);
    /// IP protocol.
    pub const IP_PROTO: Self = Self(20);
    /// TCP source port.
    pub const TCP_SRC: Self = Self(21);
    /// TCP destination port.
    pub const TCP_DST: Self = Self(22);
    /// TCP flags.
    pub const TCP_FLAGS: Self = Self(23);
    /// UDP source port.
    pub const UDP_SRC: Self = Self(24);
    /// UDP destination port.
    pub const UDP_DST: Self = Self(25);
    /// SCTP source port.
    pub const SCTP_SRC: Self = Self(26);
    /// SCTP destination port.
    pub const SCTP_DST: Self = Self(27);
    /// ICMP type.
    pub const ICMPV4_TYPE: Self = Self(28);
    /// ICMP code.
    pub const ICMPV4_CODE: Self = Self(29);
    /// ICMPv6 type.
    pub const ICMPV6_TYPE: Self = Self(30);
    /// ICMPv6 code.
    pub const ICMPV6_CODE: Self = Self(31);
    /// Target of a neighbour solicitation or advertisement.
    pub const ND_TARGET: Self = Self(32);
    /// Source link-layer address of a neighbour solicitation.
    pub const ND_SLL: Self = Self(33);
    /// Target link-layer address of a neighbour advertisement.
    pub const ND_TLL: Self = Self(34);
    /// ARP operation: 1 request, 2 reply.
    pub const ARP_OP: Self = Self(35);
    /// IPv4 address of the ARP sender.
    pub const ARP_SPA: Self = Self(36);
    /// IPv4 address of the ARP target.
    pub const ARP_TPA: Self = Self(37);
    /// Ethernet address of the ARP sender.
    pub const ARP_SHA: Self = Self(38);
    /// Ethernet address of the ARP target.
    pub const ARP_THA: Self = Self(39);
    /// Key of the tunnel, e.g. a VXLAN network identifier.
    pub const TUN_ID: Self = Self(40);
    /// Outer IPv4 source of the tunnel.
    pub const TUN_SRC: Self = Self(41);
    /// Outer IPv4 destination of the tunnel.
    pub const TUN_DST: Self = Self(42);
    /// Outer IPv6 source of the tunnel.
    pub const TUN_IPV6_SRC: Self = Self(43);
    /// Outer IPv6 destination of the tunnel.
    pub const TUN_IPV6_DST: Self = Self(44);
    /// Group policy of the tunnel.
    pub const TUN_GBP_ID: Self = Self(45);
    /// Group policy flags of the tunnel.
    pub const TUN_GBP_FLAGS: Self = Self(46);
    /// Mark that accompanies the packet, of the kernel.
    pub const PKT_MARK: Self = Self(75);
    /// Connection tracking state, see [`CtState`](crate::CtState).
    pub const CT_STATE: Self = Self(76);
    /// Connection tracking zone.
    pub const CT_ZONE: Self = Self(77);
    /// Mark of the tracked connection.
    pub const CT_MARK: Self = Self(78);
    /// Label of the tracked connection.
    pub const CT_LABEL: Self = Self(79);
    /// IPv4 source in the original direction.
    pub const CT_NW_SRC: Self = Self(80);
    /// IPv6 source in the original direction.
    pub const CT_IPV6_SRC: Self = Self(81);
    /// IPv4 destination in the original direction.
    pub const CT_NW_DST: Self = Self(82);
    /// IPv6 destination in the original direction.
    pub const CT_IPV6_DST: Self = Self(83);
    /// IP protocol in the original direction.
    pub const CT_NW_PROTO: Self = Self(84);
    /// Source port in the original direction.
    pub const CT_TP_SRC: Self = Self(85);
    /// Destination port in the original direction.
    pub const CT_TP_DST: Self = Self(86);
    /// Metadata between tables.
    pub const METADATA: Self = Self(87);
    /// What follows the checksum of a neighbour solicitation or advertisement: the flags of the
    /// latter.
    pub const ND_RESERVED: Self = Self(88);
    /// Type of the link-layer option of a neighbour solicitation or advertisement: 1 source, 2
    /// target.
    pub const ND_OPTIONS_TYPE: Self = Self(89);

    const REG0: u8 = 47;
    const XREG0: u8 = 63;
    const XXREG0: u8 = 71;
    const XXREG3: u8 = 74;

    /// Register `n`, 0 to 15, of 32 bits.
    ///
    /// # Panics
    ///
    /// Where there is no such register; in a constant, that is a compile error.
    pub const fn reg(n: u8) -> Self {
        assert!(n < 16, "there are 16 registers");
        Self(Self::REG0 + n)
    }

    /// Registers `2n` and `2n + 1` as one of 64 bits, `n` from 0 to 7. Only for subfields.
    ///
    /// # Panics
    ///
    /// Where there is no such register; in a constant, that is a compile error.
    pub const fn xreg(n: u8) -> Self {
        assert!(n < 8, "there are 8 double registers");
        Self(Self::XREG0 + n)
    }

    /// Registers `4n` to `4n + 3` as one of 128 bits, `n` from 0 to 3. Only for subfields.
    ///
    /// # Panics
    ///
    /// Where there is no such register; in a constant, that is a compile error.
    pub const fn xxreg(n: u8) -> Self {
        assert!(n < 4, "there are 4 quadruple registers");
        Self(Self::XXREG0 + n)
    }

    /// All fields.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..COUNT).map(Self)
    }

    /// The field of that name, in ovs-ofctl's spelling or in the form of `NXM_NX_REG0`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|field| {
            let row = field.row();
            row.name == name || row.subfield_name.eq_ignore_ascii_case(name)
        })
    }

    /// What ovs-ofctl calls it in `set_field`, e.g. `reg5`.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// What ovs-ofctl calls it as a subfield, e.g. `NXM_NX_REG5`.
    pub const fn subfield_name(self) -> &'static str {
        self.row().subfield_name
    }

    /// Width in bits as a subfield.
    pub const fn bits(self) -> u8 {
        self.row().bits
    }

    /// Width in bits in a match. It differs for `IN_PORT` (32, not 16) and `VLAN_VID` (13, not
    /// 12).
    pub const fn match_bits(self) -> u8 {
        self.row().match_bits
    }

    /// Whether the switch matches some bits of it without the others.
    pub const fn is_maskable(self) -> bool {
        self.row().maskable
    }

    /// All ones, over the width that the field has in a match.
    pub const fn full_mask(self) -> u128 {
        ones(self.match_bits())
    }

    /// How many fields there are.
    pub(crate) const COUNT: usize = COUNT as usize;

    pub(crate) const fn id(self) -> u8 {
        self.0
    }

    /// Which of the registers it is.
    pub(crate) const fn register(self) -> Option<u8> {
        match self.0 {
            Self::REG0..Self::XREG0 => Some(self.0 - Self::REG0),
            _ => None,
        }
    }

    /// Whether connection tracking gives it to a packet.
    pub(crate) fn is_tracking(self) -> bool {
        (Self::CT_STATE..=Self::CT_TP_DST).contains(&self)
    }

    pub(crate) const fn from_id(id: u8) -> Option<Self> {
        if id < COUNT { Some(Self(id)) } else { None }
    }

    pub(crate) const fn code(self) -> Code {
        self.row().code
    }

    pub(crate) const fn subfield_code(self) -> Code {
        self.row().subfield_code
    }

    /// The first of the registers that this one joins, if it joins any.
    pub(crate) const fn first_register(self) -> Option<u8> {
        match self.0 {
            Self::XREG0..Self::XXREG0 => Some((self.0 - Self::XREG0) * 2),
            Self::XXREG0..=Self::XXREG3 => Some((self.0 - Self::XXREG0) * 4),
            _ => None,
        }
    }

    /// The field of a class and number, whichever of its two.
    pub(crate) fn from_code(code: Code) -> Option<Self> {
        let page = match code.class {
            0x0000 => 0,
            0x0001 => 1,
            0x8000 => 2,
            0x8001 => 3,
            0x1000 => 4,
            _ => return None,
        };
        LOOKUP.get(page)?.get(usize::from(code.number)).copied().and_then(Self::from_id)
    }

    /// Bytes of the value in a match and in `set_field`.
    pub(crate) const fn match_bytes(self) -> usize {
        self.row().match_bytes as usize
    }

    /// Bytes of the field that a subfield is cut from.
    pub(crate) const fn subfield_bytes(self) -> u8 {
        if self.0 == Self::IN_PORT.0 { 2 } else { self.row().match_bytes }
    }

    /// Where ovs-ofctl prints it, among the others.
    pub(crate) const fn print_rank(self) -> u8 {
        self.row().print_rank
    }

    pub(crate) const fn format(self) -> Format {
        self.row().format
    }

    #[expect(clippy::indexing_slicing, reason = "an id is made from the table's own indices")]
    const fn row(self) -> &'static Row {
        &TABLE[self.0 as usize]
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The lowest `bits` bits set.
pub(crate) const fn ones(bits: u8) -> u128 {
    if bits >= 128 { u128::MAX } else { (1 << bits) - 1 }
}

const fn row(
    name: &'static str,
    subfield_name: &'static str,
    code: (u16, u8),
    subfield_code: (u16, u8),
    [bits, match_bits, match_bytes, print_rank]: [u8; 4],
    format: Format,
    maskable: bool,
) -> Row {
    Row {
        name,
        subfield_name,
        code: Code { class: code.0, number: code.1 },
        subfield_code: Code { class: subfield_code.0, number: subfield_code.1 },
        bits,
        match_bits,
        match_bytes,
        print_rank,
        format,
        maskable,
    }
}

const COUNT: u8 = 90;

/// Name, name as a subfield, code, code as a subfield, [bits, bits in a match, bytes in a match,
/// print rank], format, maskable. In the order of the wire, where a field's prerequisites come
/// before it.
#[rustfmt::skip]
static TABLE: [Row; COUNT as usize] = [
    row("dp_hash", "NXM_NX_DP_HASH", (0x0001, 35), (0x0001, 35), [32, 32, 4, 2], Format::Hex, true),
    row("recirc_id", "NXM_NX_RECIRC_ID", (0x0001, 36), (0x0001, 36), [32, 32, 4, 1], Format::Decimal, false),
    row("conj_id", "NXM_NX_CONJ_ID", (0x0001, 37), (0x0001, 37), [32, 32, 4, 3], Format::Decimal, false),
    row("in_port", "NXM_OF_IN_PORT", (0x8000, 0), (0x0000, 0), [16, 32, 4, 52], Format::OfPort, false),
    row("in_port_oxm", "OXM_OF_IN_PORT", (0x8000, 0), (0x8000, 0), [32, 32, 4, 53], Format::OfPort, false),
    row("eth_src", "NXM_OF_ETH_SRC", (0x8000, 4), (0x0000, 2), [48, 48, 6, 57], Format::Mac, true),
    row("eth_dst", "NXM_OF_ETH_DST", (0x8000, 3), (0x0000, 1), [48, 48, 6, 58], Format::Mac, true),
    row("eth_type", "NXM_OF_ETH_TYPE", (0x8000, 5), (0x0000, 3), [16, 16, 2, 15], Format::Hex, false),
    row("vlan_tci", "NXM_OF_VLAN_TCI", (0x0000, 4), (0x0000, 4), [16, 16, 2, 54], Format::Hex, true),
    row("vlan_vid", "OXM_OF_VLAN_VID", (0x8000, 6), (0x8000, 6), [12, 13, 2, 55], Format::Decimal, true),
    row("vlan_pcp", "OXM_OF_VLAN_PCP", (0x8000, 7), (0x8000, 7), [3, 3, 1, 56], Format::Decimal, false),
    row("ip_src", "NXM_OF_IP_SRC", (0x8000, 11), (0x0000, 7), [32, 32, 4, 64], Format::Ipv4, true),
    row("ip_dst", "NXM_OF_IP_DST", (0x8000, 12), (0x0000, 8), [32, 32, 4, 65], Format::Ipv4, true),
    row("ipv6_src", "NXM_NX_IPV6_SRC", (0x8000, 26), (0x0001, 19), [128, 128, 16, 59], Format::Ipv6, true),
    row("ipv6_dst", "NXM_NX_IPV6_DST", (0x8000, 27), (0x0001, 20), [128, 128, 16, 60], Format::Ipv6, true),
    row("ip_frag", "NXM_NX_IP_FRAG", (0x0001, 26), (0x0001, 26), [2, 2, 1, 73], Format::Frag, true),
    row("ip_dscp", "OXM_OF_IP_DSCP", (0x8000, 8), (0x8000, 8), [6, 6, 1, 70], Format::Decimal, false),
    row("nw_ecn", "NXM_NX_IP_ECN", (0x8000, 9), (0x0001, 28), [2, 2, 1, 71], Format::Decimal, false),
    row("nw_ttl", "NXM_NX_IP_TTL", (0x0001, 29), (0x0001, 29), [8, 8, 1, 72], Format::Decimal, false),
    row("ipv6_label", "NXM_NX_IPV6_LABEL", (0x8000, 28), (0x0001, 27), [20, 20, 4, 61], Format::Hex, true),
    row("nw_proto", "NXM_OF_IP_PROTO", (0x8000, 10), (0x0000, 6), [8, 8, 1, 67], Format::Decimal, false),
    row("tcp_src", "NXM_OF_TCP_SRC", (0x8000, 13), (0x0000, 9), [16, 16, 2, 81], Format::Port, true),
    row("tcp_dst", "NXM_OF_TCP_DST", (0x8000, 14), (0x0000, 10), [16, 16, 2, 82], Format::Port, true),
    row("tcp_flags", "NXM_NX_TCP_FLAGS", (0x0001, 34), (0x0001, 34), [12, 12, 2, 87], Format::TcpFlags, true),
    row("udp_src", "NXM_OF_UDP_SRC", (0x8000, 15), (0x0000, 11), [16, 16, 2, 83], Format::Port, true),
    row("udp_dst", "NXM_OF_UDP_DST", (0x8000, 16), (0x0000, 12), [16, 16, 2, 84], Format::Port, true),
    row("sctp_src", "OXM_OF_SCTP_SRC", (0x8000, 17), (0x8000, 17), [16, 16, 2, 85], Format::Port, true),
    row("sctp_dst", "OXM_OF_SCTP_DST", (0x8000, 18), (0x8000, 18), [16, 16, 2, 86], Format::Port, true),
    row("icmp_type", "NXM_OF_ICMP_TYPE", (0x8000, 19), (0x0000, 13), [8, 8, 1, 74], Format::Decimal, false),
    row("icmp_code", "NXM_OF_ICMP_CODE", (0x8000, 20), (0x0000, 14), [8, 8, 1, 75], Format::Decimal, false),
    row("icmpv6_type", "NXM_NX_ICMPV6_TYPE", (0x8000, 29), (0x0001, 21), [8, 8, 1, 76], Format::Decimal, false),
    row("icmpv6_code", "NXM_NX_ICMPV6_CODE", (0x8000, 30), (0x0001, 22), [8, 8, 1, 77], Format::Decimal, false),
    row("nd_target", "NXM_NX_ND_TARGET", (0x8000, 31), (0x0001, 23), [128, 128, 16, 78], Format::Ipv6, true),
    row("nd_sll", "NXM_NX_ND_SLL", (0x8000, 32), (0x0001, 24), [48, 48, 6, 79], Format::Mac, true),
    row("nd_tll", "NXM_NX_ND_TLL", (0x8000, 33), (0x0001, 25), [48, 48, 6, 80], Format::Mac, true),
    row("arp_op", "NXM_OF_ARP_OP", (0x8000, 21), (0x0000, 15), [16, 16, 2, 66], Format::Decimal, false),
    row("arp_spa", "NXM_OF_ARP_SPA", (0x8000, 22), (0x0000, 16), [32, 32, 4, 62], Format::Ipv4, true),
    row("arp_tpa", "NXM_OF_ARP_TPA", (0x8000, 23), (0x0000, 17), [32, 32, 4, 63], Format::Ipv4, true),
    row("arp_sha", "NXM_NX_ARP_SHA", (0x8000, 24), (0x0001, 17), [48, 48, 6, 68], Format::Mac, true),
    row("arp_tha", "NXM_NX_ARP_THA", (0x8000, 25), (0x0001, 18), [48, 48, 6, 69], Format::Mac, true),
    row("tun_id", "NXM_NX_TUN_ID", (0x8000, 38), (0x0001, 16), [64, 64, 8, 44], Format::Hex, true),
    row("tun_src", "NXM_NX_TUN_IPV4_SRC", (0x0001, 31), (0x0001, 31), [32, 32, 4, 45], Format::Ipv4, true),
    row("tun_dst", "NXM_NX_TUN_IPV4_DST", (0x0001, 32), (0x0001, 32), [32, 32, 4, 46], Format::Ipv4, true),
    row("tun_ipv6_src", "NXM_NX_TUN_IPV6_SRC", (0x0001, 109), (0x0001, 109), [128, 128, 16, 47], Format::Ipv6, true),
    row("tun_ipv6_dst", "NXM_NX_TUN_IPV6_DST", (0x0001, 110), (0x0001, 110), [128, 128, 16, 48], Format::Ipv6, true),
    row("tun_gbp_id", "NXM_NX_TUN_GBP_ID", (0x0001, 38), (0x0001, 38), [16, 16, 2, 49], Format::Decimal, true),
    row("tun_gbp_flags", "NXM_NX_TUN_GBP_FLAGS", (0x0001, 39), (0x0001, 39), [8, 8, 1, 50], Format::Hex, true),
    row("reg0", "NXM_NX_REG0", (0x0001, 0), (0x0001, 0), [32, 32, 4, 16], Format::Hex, true),
    row("reg1", "NXM_NX_REG1", (0x0001, 1), (0x0001, 1), [32, 32, 4, 17], Format::Hex, true),
    row("reg2", "NXM_NX_REG2", (0x0001, 2), (0x0001, 2), [32, 32, 4, 18], Format::Hex, true),
    row("reg3", "NXM_NX_REG3", (0x0001, 3), (0x0001, 3), [32, 32, 4, 19], Format::Hex, true),
    row("reg4", "NXM_NX_REG4", (0x0001, 4), (0x0001, 4), [32, 32, 4, 20], Format::Hex, true),
    row("reg5", "NXM_NX_REG5", (0x0001, 5), (0x0001, 5), [32, 32, 4, 21], Format::Hex, true),
    row("reg6", "NXM_NX_REG6", (0x0001, 6), (0x0001, 6), [32, 32, 4, 22], Format::Hex, true),
    row("reg7", "NXM_NX_REG7", (0x0001, 7), (0x0001, 7), [32, 32, 4, 23], Format::Hex, true),
    row("reg8", "NXM_NX_REG8", (0x0001, 8), (0x0001, 8), [32, 32, 4, 24], Format::Hex, true),
    row("reg9", "NXM_NX_REG9", (0x0001, 9), (0x0001, 9), [32, 32, 4, 25], Format::Hex, true),
    row("reg10", "NXM_NX_REG10", (0x0001, 10), (0x0001, 10), [32, 32, 4, 26], Format::Hex, true),
    row("reg11", "NXM_NX_REG11", (0x0001, 11), (0x0001, 11), [32, 32, 4, 27], Format::Hex, true),
    row("reg12", "NXM_NX_REG12", (0x0001, 12), (0x0001, 12), [32, 32, 4, 28], Format::Hex, true),
    row("reg13", "NXM_NX_REG13", (0x0001, 13), (0x0001, 13), [32, 32, 4, 29], Format::Hex, true),
    row("reg14", "NXM_NX_REG14", (0x0001, 14), (0x0001, 14), [32, 32, 4, 30], Format::Hex, true),
    row("reg15", "NXM_NX_REG15", (0x0001, 15), (0x0001, 15), [32, 32, 4, 31], Format::Hex, true),
    row("xreg0", "OXM_OF_PKT_REG0", (0x8001, 0), (0x8001, 0), [64, 64, 8, 32], Format::Hex, true),
    row("xreg1", "OXM_OF_PKT_REG1", (0x8001, 1), (0x8001, 1), [64, 64, 8, 33], Format::Hex, true),
    row("xreg2", "OXM_OF_PKT_REG2", (0x8001, 2), (0x8001, 2), [64, 64, 8, 34], Format::Hex, true),
    row("xreg3", "OXM_OF_PKT_REG3", (0x8001, 3), (0x8001, 3), [64, 64, 8, 35], Format::Hex, true),
    row("xreg4", "OXM_OF_PKT_REG4", (0x8001, 4), (0x8001, 4), [64, 64, 8, 36], Format::Hex, true),
    row("xreg5", "OXM_OF_PKT_REG5", (0x8001, 5), (0x8001, 5), [64, 64, 8, 37], Format::Hex, true),
    row("xreg6", "OXM_OF_PKT_REG6", (0x8001, 6), (0x8001, 6), [64, 64, 8, 38], Format::Hex, true),
    row("xreg7", "OXM_OF_PKT_REG7", (0x8001, 7), (0x8001, 7), [64, 64, 8, 39], Format::Hex, true),
    row("xxreg0", "NXM_NX_XXREG0", (0x0001, 111), (0x0001, 111), [128, 128, 16, 40], Format::Hex, true),
    row("xxreg1", "NXM_NX_XXREG1", (0x0001, 112), (0x0001, 112), [128, 128, 16, 41], Format::Hex, true),
    row("xxreg2", "NXM_NX_XXREG2", (0x0001, 113), (0x0001, 113), [128, 128, 16, 42], Format::Hex, true),
    row("xxreg3", "NXM_NX_XXREG3", (0x0001, 114), (0x0001, 114), [128, 128, 16, 43], Format::Hex, true),
    row("pkt_mark", "NXM_NX_PKT_MARK", (0x0001, 33), (0x0001, 33), [32, 32, 4, 0], Format::Hex, true),
    row("ct_state", "NXM_NX_CT_STATE", (0x0001, 105), (0x0001, 105), [8, 8, 4, 4], Format::CtState, true),
    row("ct_zone", "NXM_NX_CT_ZONE", (0x0001, 106), (0x0001, 106), [16, 16, 2, 5], Format::Hex, false),
    row("ct_mark", "NXM_NX_CT_MARK", (0x0001, 107), (0x0001, 107), [32, 32, 4, 6], Format::Hex, true),
    row("ct_label", "NXM_NX_CT_LABEL", (0x0001, 108), (0x0001, 108), [128, 128, 16, 7], Format::Hex, true),
    row("ct_nw_src", "NXM_NX_CT_NW_SRC", (0x0001, 120), (0x0001, 120), [32, 32, 4, 8], Format::Ipv4, true),
    row("ct_ipv6_src", "NXM_NX_CT_IPV6_SRC", (0x0001, 122), (0x0001, 122), [128, 128, 16, 9], Format::Ipv6, true),
    row("ct_nw_dst", "NXM_NX_CT_NW_DST", (0x0001, 121), (0x0001, 121), [32, 32, 4, 10], Format::Ipv4, true),
    row("ct_ipv6_dst", "NXM_NX_CT_IPV6_DST", (0x0001, 123), (0x0001, 123), [128, 128, 16, 11], Format::Ipv6, true),
    row("ct_nw_proto", "NXM_NX_CT_NW_PROTO", (0x0001, 119), (0x0001, 119), [8, 8, 1, 12], Format::Decimal, false),
    row("ct_tp_src", "NXM_NX_CT_TP_SRC", (0x0001, 124), (0x0001, 124), [16, 16, 2, 13], Format::Port, true),
    row("ct_tp_dst", "NXM_NX_CT_TP_DST", (0x0001, 125), (0x0001, 125), [16, 16, 2, 14], Format::Port, true),
    row("metadata", "OXM_OF_METADATA", (0x8000, 2), (0x8000, 2), [64, 64, 8, 51], Format::Hex, true),
    row("nd_reserved", "ERICOXM_OF_ICMPV6_ND_RESERVED", (0x1000, 1), (0x1000, 1), [32, 32, 4, 88], Format::Decimal, false),
    row("nd_options_type", "ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE", (0x1000, 2), (0x1000, 2), [8, 8, 1, 89], Format::Decimal, false),
];

/// From class (0, 1, 0x8000, 0x8001, 0x1000) and number to the index in [`TABLE`].
static LOOKUP: [[u8; 128]; 5] = lookup();

#[expect(clippy::indexing_slicing, reason = "runs in the compiler only")]
const fn lookup() -> [[u8; 128]; 5] {
    let mut pages = [[u8::MAX; 128]; 5];
    let mut id = COUNT;
    // From the last to the first: of two with one code, the first stays.
    while id > 0 {
        id -= 1;
        let row = &TABLE[id as usize];
        let codes = [row.code, row.subfield_code];
        let mut at = 0;
        while at < 2 {
            let page = match codes[at].class {
                0x0000 => 0,
                0x0001 => 1,
                0x8000 => 2,
                0x8001 => 3,
                _ => 4,
            };
            pages[page][codes[at].number as usize] = id;
            at += 1;
        }
    }
    pages
}
