//! What a flow matches: a canonical set of fields with values and masks.
//!
//! Two matches that select the same packets field by field are equal: masked-out bits are zero, a
//! mask of all ones is an exact value, a mask of zeros is an absent field, and the order in which
//! fields were added does not count. Prerequisites (`tcp_dst` needs `ip` and `tcp`) are the
//! switch's to check.

mod packed;
#[cfg(test)]
mod tests;

use self::packed::Packed;
use crate::{
    field::{Field, ones},
    subfield::Subfield,
};
use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    ops::BitOr,
};

/// A set of fields, each with a value and a mask.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Match {
    /// Terms by field: the field's id, doubled, plus 1 where masked; the value; the mask where
    /// masked; both as long as on the wire. Then terms on fields that [`Field`] does not know, as
    /// they came.
    packed: Packed,
}

/// One field of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// The field.
    pub field: Field,
    /// What its bits must be; zero where the mask is.
    pub value: u128,
    /// Which bits count.
    pub mask: u128,
}

impl Term {
    /// Whether all bits count.
    pub fn is_exact(&self) -> bool {
        self.mask == self.field.full_mask()
    }
}

/// Bits of `ct_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CtState(pub u32);

impl CtState {
    /// No bit.
    pub const NONE: Self = Self(0);
    /// A new connection, not committed yet.
    pub const NEW: Self = Self(1);
    /// Part of an existing connection.
    pub const EST: Self = Self(1 << 1);
    /// Related to an existing connection, e.g. an ICMP error.
    pub const REL: Self = Self(1 << 2);
    /// In the direction opposite to the one that began the connection.
    pub const RPL: Self = Self(1 << 3);
    /// Could not be tracked.
    pub const INV: Self = Self(1 << 4);
    /// Went through connection tracking.
    pub const TRK: Self = Self(1 << 5);
    /// Its source was translated.
    pub const SNAT: Self = Self(1 << 6);
    /// Its destination was translated.
    pub const DNAT: Self = Self(1 << 7);

    pub(crate) const NAMES: [&'static str; 8] =
        ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"];
}

impl BitOr for CtState {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

const VLAN_PRESENT: u16 = 0x1000;
const ICMP_ETH_TYPE_V6: u16 = 0x86dd;

impl Match {
    /// The match of every packet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a field that has exactly this value. Bits past the field's width are dropped.
    #[must_use]
    pub fn with(self, field: Field, value: u128) -> Self {
        self.with_masked(field, value, u128::MAX)
    }

    /// With a field whose bits in `mask` have this value; replaces what there was of the field.
    ///
    /// Some fields are brought to the form in which a switch keeps them: registers that are
    /// joined (`xreg`, `xxreg`) become single ones, `vlan_tci` becomes `vlan_vid` and `vlan_pcp`
    /// (the latter as a whole, however little of it was masked).
    #[must_use]
    pub fn with_masked(mut self, field: Field, value: u128, mask: u128) -> Self {
        self.set(field, value, mask);
        self
    }

    /// By the port that the packet came in by.
    #[must_use]
    pub fn in_port(self, port: u32) -> Self {
        self.with(Field::IN_PORT, port.into())
    }

    /// By some bits of the Ethernet source.
    #[must_use]
    pub fn eth_src_masked(self, mac: [u8; 6], mask: [u8; 6]) -> Self {
        self.with_masked(Field::ETH_SRC, from_bytes(&mac), from_bytes(&mask))
    }

    /// By Ethernet source.
    #[must_use]
    pub fn eth_src(self, mac: [u8; 6]) -> Self {
        self.with(Field::ETH_SRC, from_bytes(&mac))
    }

    /// By Ethernet destination.
    #[must_use]
    pub fn eth_dst(self, mac: [u8; 6]) -> Self {
        self.with(Field::ETH_DST, from_bytes(&mac))
    }

    /// By some bits of the Ethernet destination.
    #[must_use]
    pub fn eth_dst_masked(self, mac: [u8; 6], mask: [u8; 6]) -> Self {
        self.with_masked(Field::ETH_DST, from_bytes(&mac), from_bytes(&mask))
    }

    /// By ethertype.
    #[must_use]
    pub fn eth_type(self, eth_type: u16) -> Self {
        self.with(Field::ETH_TYPE, eth_type.into())
    }

    /// By VLAN number, 0 to 4095; the packet has a tag.
    #[must_use]
    pub fn vlan_vid(self, vlan: u16) -> Self {
        self.with(Field::VLAN_VID, (vlan | VLAN_PRESENT).into())
    }

    /// Packets with a VLAN tag, whatever its number.
    #[must_use]
    pub fn vlan_present(self) -> Self {
        self.with_masked(Field::VLAN_VID, VLAN_PRESENT.into(), VLAN_PRESENT.into())
    }

    /// Packets without a VLAN tag.
    #[must_use]
    pub fn vlan_absent(self) -> Self {
        self.with(Field::VLAN_VID, 0)
    }

    /// By IP protocol.
    #[must_use]
    pub fn ip_proto(self, proto: u8) -> Self {
        self.with(Field::IP_PROTO, proto.into())
    }

    /// By IPv4 source prefix.
    #[must_use]
    pub fn ipv4_src(self, address: Ipv4Addr, prefix_len: u8) -> Self {
        self.with_prefix(Field::IPV4_SRC, address.to_bits().into(), prefix_len)
    }

    /// By IPv4 destination prefix.
    #[must_use]
    pub fn ipv4_dst(self, address: Ipv4Addr, prefix_len: u8) -> Self {
        self.with_prefix(Field::IPV4_DST, address.to_bits().into(), prefix_len)
    }

    /// By IPv6 source prefix.
    #[must_use]
    pub fn ipv6_src(self, address: Ipv6Addr, prefix_len: u8) -> Self {
        self.with_prefix(Field::IPV6_SRC, address.to_bits(), prefix_len)
    }

    /// By IPv6 destination prefix.
    #[must_use]
    pub fn ipv6_dst(self, address: Ipv6Addr, prefix_len: u8) -> Self {
        self.with_prefix(Field::IPV6_DST, address.to_bits(), prefix_len)
    }

    /// By source port of TCP (6), UDP (17) or SCTP (132); nothing for another protocol.
    #[must_use]
    pub fn tp_src(self, proto: u8, value: u16, mask: u16) -> Self {
        match proto {
            6 => self.with_masked(Field::TCP_SRC, value.into(), mask.into()),
            17 => self.with_masked(Field::UDP_SRC, value.into(), mask.into()),
            132 => self.with_masked(Field::SCTP_SRC, value.into(), mask.into()),
            _ => self,
        }
    }

    /// By destination port of TCP (6), UDP (17) or SCTP (132); nothing for another protocol.
    #[must_use]
    pub fn tp_dst(self, proto: u8, value: u16, mask: u16) -> Self {
        match proto {
            6 => self.with_masked(Field::TCP_DST, value.into(), mask.into()),
            17 => self.with_masked(Field::UDP_DST, value.into(), mask.into()),
            132 => self.with_masked(Field::SCTP_DST, value.into(), mask.into()),
            _ => self,
        }
    }

    /// By ICMP type, and code if given: of ICMPv6 where the ethertype is 0x86dd, else of ICMP.
    /// Ethertype and protocol are matched too.
    #[must_use]
    pub fn icmp(self, eth_type: u16, icmp_type: u8, code: Option<u8>) -> Self {
        let (proto, type_field, code_field) = if eth_type == ICMP_ETH_TYPE_V6 {
            (58, Field::ICMPV6_TYPE, Field::ICMPV6_CODE)
        } else {
            (1, Field::ICMPV4_TYPE, Field::ICMPV4_CODE)
        };
        let typed = self.eth_type(eth_type).ip_proto(proto).with(type_field, icmp_type.into());
        match code {
            Some(code) => typed.with(code_field, code.into()),
            None => typed,
        }
    }

    /// By the IPv4 prefix of the ARP sender.
    #[must_use]
    pub fn arp_spa(self, address: Ipv4Addr, prefix_len: u8) -> Self {
        self.with_prefix(Field::ARP_SPA, address.to_bits().into(), prefix_len)
    }

    /// By the prefix of the target of a neighbour solicitation or advertisement.
    #[must_use]
    pub fn nd_target(self, address: Ipv6Addr, prefix_len: u8) -> Self {
        self.with_prefix(Field::ND_TARGET, address.to_bits(), prefix_len)
    }

    /// By a whole register.
    ///
    /// # Panics
    ///
    /// Where there is no such register.
    #[must_use]
    pub fn reg(self, n: u8, value: u32) -> Self {
        self.with(Field::reg(n), value.into())
    }

    /// By some bits of a register.
    ///
    /// # Panics
    ///
    /// Where there is no such register.
    #[must_use]
    pub fn reg_masked(self, n: u8, value: u32, mask: u32) -> Self {
        self.with_masked(Field::reg(n), value.into(), mask.into())
    }

    /// By a range of bits of a field, in addition to what is matched of its other bits.
    #[must_use]
    pub fn field(self, subfield: Subfield, value: u64) -> Self {
        let (old_value, old_mask) = self.get(subfield.field()).unwrap_or_default();
        let mask = subfield.mask();
        let value = (u128::from(value) & subfield.full_value()) << subfield.lo();
        self.with_masked(subfield.field(), old_value & !mask | value, old_mask | mask)
    }

    /// By connection tracking state: all of `set`, none of `unset`.
    #[must_use]
    pub fn ct_state(self, set: CtState, unset: CtState) -> Self {
        self.with_masked(Field::CT_STATE, set.0.into(), (set | unset).0.into())
    }

    /// By the mark of the connection.
    #[must_use]
    pub fn ct_mark(self, mark: u32) -> Self {
        self.with(Field::CT_MARK, mark.into())
    }

    /// By connection tracking zone.
    #[must_use]
    pub fn ct_zone(self, zone: u16) -> Self {
        self.with(Field::CT_ZONE, zone.into())
    }

    fn with_prefix(self, field: Field, address: u128, prefix_len: u8) -> Self {
        let rest = field.match_bits().saturating_sub(prefix_len);
        self.with_masked(field, address, !ones(rest))
    }

    /// Sets a field, as [`with_masked`](Self::with_masked).
    pub(crate) fn set(&mut self, field: Field, value: u128, mask: u128) {
        if let Some(first) = field.first_register() {
            let registers = u32::from(field.bits()) / 32;
            for (register, n) in (first..).zip((0..registers).rev()) {
                self.set_plain(Field::reg(register), value >> (32 * n), mask >> (32 * n));
            }
        } else if field == Field::IN_PORT_OXM {
            self.set_plain(Field::IN_PORT, value, mask);
        } else if field == Field::VLAN_TCI {
            self.set_plain(Field::VLAN_VID, value, mask);
            let priority = if mask & 0xe000 == 0 { 0 } else { u128::MAX };
            self.set_plain(Field::VLAN_PCP, value >> 13, priority);
        } else {
            self.set_plain(field, value, mask);
        }
    }

    fn set_plain(&mut self, field: Field, value: u128, mask: u128) {
        let mask = mask & field.full_mask();
        let value = value & mask;
        let bytes = field.match_bytes();
        let masked = mask != field.full_mask();
        let mut term = [0; 33];
        let mut len = 0;
        if mask != 0 {
            len = 1 + bytes;
            put(&mut term, 0, &[field.id() << 1 | u8::from(masked)]);
            put(&mut term, 1, wire_bytes(&value.to_be_bytes(), bytes));
            if masked {
                put(&mut term, len, wire_bytes(&mask.to_be_bytes(), bytes));
                len += bytes;
            }
        }
        let (start, end) = self.place(field);
        self.packed.splice(start, end, term.get(..len).unwrap_or(&term));
    }

    /// Where a field's term lies, or would lie.
    fn place(&self, field: Field) -> (usize, usize) {
        let mut at = 0;
        let mut terms = self.iter();
        for term in terms.by_ref() {
            let bytes = term.field.match_bytes();
            let end = at + 1 + if term.is_exact() { bytes } else { 2 * bytes };
            if term.field == field {
                return (at, end);
            }
            if term.field > field {
                break;
            }
            at = end;
        }
        (at, at)
    }

    /// A field's value and mask, if it is matched.
    pub fn get(&self, field: Field) -> Option<(u128, u128)> {
        self.iter()
            .take_while(|term| term.field <= field)
            .find(|term| term.field == field)
            .map(|term| (term.value, term.mask))
    }

    /// A field's value, if it is matched exactly.
    pub fn exact(&self, field: Field) -> Option<u128> {
        self.get(field).filter(|(_, mask)| *mask == field.full_mask()).map(|(value, _)| value)
    }

    /// The fields, in the order of [`Field`].
    pub fn iter(&self) -> Terms<'_> {
        Terms { rest: self.packed.terms() }
    }

    /// Whether every packet matches.
    pub fn is_empty(&self) -> bool {
        self.packed.terms().is_empty() && self.foreign().is_empty()
    }

    /// OXM terms on fields that [`Field`] does not know, as a switch sent them.
    pub fn foreign(&self) -> &[u8] {
        self.packed.foreign()
    }

    pub(crate) fn add_foreign(&mut self, term: &[u8]) {
        self.packed.add_foreign(term);
    }
}

impl fmt::Debug for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Match({self})")
    }
}

/// The terms of a [`Match`].
#[derive(Debug, Clone)]
pub struct Terms<'a> {
    rest: &'a [u8],
}

impl Iterator for Terms<'_> {
    type Item = Term;

    fn next(&mut self) -> Option<Term> {
        let (head, rest) = self.rest.split_first()?;
        let field = Field::from_id(head >> 1)?;
        let (value, rest) = rest.split_at_checked(field.match_bytes())?;
        let (mask, rest) = if head & 1 == 1 {
            let (mask, rest) = rest.split_at_checked(field.match_bytes())?;
            (from_bytes(mask), rest)
        } else {
            (field.full_mask(), rest)
        };
        self.rest = rest;
        Some(Term { field, value: from_bytes(value), mask })
    }
}

impl<'a> IntoIterator for &'a Match {
    type Item = Term;
    type IntoIter = Terms<'a>;

    fn into_iter(self) -> Terms<'a> {
        self.iter()
    }
}

/// A big-endian number of at most 16 bytes.
pub(crate) fn from_bytes(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// The last bytes of a big-endian number.
pub(crate) fn wire_bytes(number: &[u8; 16], bytes: usize) -> &[u8] {
    number.get(16 - bytes..).unwrap_or(number)
}

fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    buffer.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
}
