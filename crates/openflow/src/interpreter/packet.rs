//! The header fields of one frame, its metadata and its registers, as a value.
//!
//! Every field has a place of its own; those that are views of another (`xreg2` of `reg4` and
//! `reg5`, `vlan_vid` of `vlan_tci`) share it. A field that the frame does not have, because it
//! is of another protocol, reads as zero, as it does in a switch.

use crate::{
    field::{Field, ones},
    number::PortNo,
    subfield::Subfield,
    text,
};
use std::fmt;

pub(super) const ETH_TYPE_IPV4: u128 = 0x0800;
pub(super) const ETH_TYPE_ARP: u128 = 0x0806;
pub(super) const ETH_TYPE_RARP: u128 = 0x8035;
pub(super) const ETH_TYPE_IPV6: u128 = 0x86dd;
pub(super) const TCP: u128 = 6;
pub(super) const UDP: u128 = 17;
pub(super) const SCTP: u128 = 132;
pub(super) const ICMPV4: u128 = 1;
pub(super) const ICMPV6: u128 = 58;
pub(super) const SOLICITATION: u128 = 135;
pub(super) const ADVERTISEMENT: u128 = 136;
/// In a VLAN tag: there is one.
pub(super) const TAG_PRESENT: u128 = 0x1000;
const FRAG_FIRST: u128 = 1;
const FRAG_LATER: u128 = 2;
/// Ports from here on are reserved, in the 16-bit numbering of OpenFlow 1.0.
const RESERVED_PORTS: u128 = 0xff00;

/// A frame within a switch.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Packet {
    values: [u128; Field::COUNT],
    /// The tag within the outer one; `vlan_tci` is the outer one.
    inner_tag: u128,
}

impl Packet {
    /// An untagged frame from a port, with nothing in it.
    pub fn new(in_port: PortNo) -> Self {
        let mut packet = Self { values: [0; Field::COUNT], inner_tag: 0 };
        packet.set(Field::IN_PORT, in_port.0.into());
        packet
    }

    /// Writes a field in the width that it has in a match, whether or not the frame has it.
    pub fn set(&mut self, field: Field, value: u128) {
        let Place { home, shift, mask } = place(field);
        if let Some(slot) = self.values.get_mut(usize::from(home.id())) {
            *slot = *slot & !(mask << shift) | (value & mask) << shift;
        }
    }

    /// A field in the width that it has in a match; 0 where the frame does not have it.
    pub fn get(&self, field: Field) -> u128 {
        if self.has(field) { self.raw(field) } else { 0 }
    }

    /// The port that it came in by.
    pub fn in_port(&self) -> PortNo {
        PortNo(u32::try_from(self.raw(Field::IN_PORT)).unwrap_or(u32::MAX))
    }

    /// A register; 0 where there is no such register.
    pub fn reg(&self, n: u8) -> u32 {
        self.registers().get(usize::from(n)).copied().unwrap_or_default()
    }

    /// All registers.
    pub fn registers(&self) -> [u32; 16] {
        let mut registers = [0; 16];
        for (n, four) in (0..).zip(registers.chunks_exact_mut(4)) {
            let joined = self.raw(Field::xxreg(n));
            for (register, shift) in four.iter_mut().zip([96, 64, 32, 0]) {
                *register = u32::try_from(joined >> shift & ones(32)).unwrap_or_default();
            }
        }
        registers
    }

    /// The number in its outer VLAN tag, where it has one.
    pub fn vlan_vid(&self) -> Option<u16> {
        let tag = self.raw(Field::VLAN_TCI);
        (tag & TAG_PRESENT != 0).then(|| u16::try_from(tag & 0xfff).unwrap_or_default())
    }

    /// The fields that the frame has and that are not zero, each in one form only: registers
    /// singly, the outer VLAN tag as `vlan_tci`. Those that others depend on come first.
    pub fn fields(&self) -> impl Iterator<Item = (Field, u128)> {
        Field::all()
            .filter(|field| {
                field.first_register().is_none()
                    && !matches!(*field, Field::IN_PORT_OXM | Field::VLAN_VID | Field::VLAN_PCP)
            })
            .map(|field| (field, self.get(field)))
            .filter(|(_, value)| *value != 0)
    }

    /// Whether the frame has a field: what ovs-fields(7) calls its prerequisites.
    pub(super) fn has(&self, field: Field) -> bool {
        let eth_type = || self.raw(Field::ETH_TYPE);
        let is_ip = || matches!(eth_type(), ETH_TYPE_IPV4 | ETH_TYPE_IPV6);
        let is = |proto| is_ip() && self.raw(Field::IP_PROTO) == proto;
        let begins = || self.raw(Field::IP_FRAG) & FRAG_LATER == 0;
        let icmpv6 = || eth_type() == ETH_TYPE_IPV6 && is(ICMPV6);
        let neighbour = |kind| {
            icmpv6() && self.raw(Field::ICMPV6_TYPE) == kind && self.raw(Field::ICMPV6_CODE) == 0
        };
        match field {
            Field::VLAN_PCP => self.vlan_vid().is_some(),
            Field::IPV4_SRC | Field::IPV4_DST => eth_type() == ETH_TYPE_IPV4,
            Field::IPV6_SRC | Field::IPV6_DST | Field::IPV6_LABEL => eth_type() == ETH_TYPE_IPV6,
            Field::IP_PROTO | Field::IP_FRAG | Field::IP_DSCP | Field::IP_ECN | Field::IP_TTL => {
                is_ip()
            }
            Field::TCP_SRC | Field::TCP_DST | Field::TCP_FLAGS => is(TCP) && begins(),
            Field::UDP_SRC | Field::UDP_DST => is(UDP) && begins(),
            Field::SCTP_SRC | Field::SCTP_DST => is(SCTP) && begins(),
            Field::ICMPV4_TYPE | Field::ICMPV4_CODE => eth_type() == ETH_TYPE_IPV4 && is(ICMPV4),
            Field::ICMPV6_TYPE | Field::ICMPV6_CODE => icmpv6(),
            Field::ND_TARGET | Field::ND_RESERVED | Field::ND_OPTIONS_TYPE => {
                neighbour(SOLICITATION) || neighbour(ADVERTISEMENT)
            }
            Field::ND_SLL => neighbour(SOLICITATION),
            Field::ND_TLL => neighbour(ADVERTISEMENT),
            Field::ARP_OP | Field::ARP_SPA | Field::ARP_TPA | Field::ARP_SHA | Field::ARP_THA => {
                eth_type() == ETH_TYPE_ARP || eth_type() == ETH_TYPE_RARP
            }
            _ => true,
        }
    }

    /// A field as flows match it: a fragment, also the first one, has no ports and no ICMP type.
    pub(super) fn matched(&self, field: Field) -> u128 {
        match field {
            Field::TCP_SRC
            | Field::TCP_DST
            | Field::UDP_SRC
            | Field::UDP_DST
            | Field::SCTP_SRC
            | Field::SCTP_DST
            | Field::ICMPV4_TYPE
            | Field::ICMPV4_CODE
            | Field::ICMPV6_TYPE
            | Field::ICMPV6_CODE
                if self.raw(Field::IP_FRAG) != 0 =>
            {
                0
            }
            _ => self.get(field),
        }
    }

    /// Some bits of a field.
    pub(super) fn read(&self, bits: Subfield) -> u128 {
        self.get(bits.field()) >> bits.lo() & bits.full_value()
    }

    /// Writes some bits of a field, where the frame has it; `width` are those that count.
    pub(super) fn write(&mut self, bits: Subfield, value: u128, width: u128) {
        let field = bits.field();
        if !self.has(field) {
            return;
        }
        let mask = width << bits.lo();
        let mut new = self.raw(field) & !mask | (value & width) << bits.lo();
        if field == Field::IN_PORT {
            new = widened(new & 0xffff);
        }
        self.set(field, new);
    }

    pub(super) fn push_tag(&mut self) {
        self.inner_tag = self.raw(Field::VLAN_TCI);
        self.set(Field::VLAN_TCI, TAG_PRESENT);
    }

    pub(super) fn pop_tag(&mut self) {
        self.set(Field::VLAN_TCI, self.inner_tag);
        self.inner_tag = 0;
    }

    /// As a packet is that has not been tracked.
    pub(super) fn forget_tracking(&mut self) {
        for field in Field::all().filter(|field| field.is_tracking()) {
            self.set(field, 0);
        }
    }

    /// What is there even where no protocol says so.
    fn raw(&self, field: Field) -> u128 {
        let Place { home, shift, mask } = place(field);
        self.values.get(usize::from(home.id())).map_or(0, |slot| slot >> shift & mask)
    }
}

impl fmt::Display for Packet {
    /// As `ovs-appctl ofproto/trace` takes a packet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (field, value) in self.fields() {
            write!(f, "{separator}{field}=")?;
            match value {
                _ if field != Field::IP_FRAG => text::exact(f, field.format(), value)?,
                FRAG_FIRST => f.write_str("first")?,
                _ => f.write_str("later")?,
            }
            separator = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packet({self})")
    }
}

/// A port number of OpenFlow 1.0 in the 32 bits of later versions.
pub(super) fn widened(port: u128) -> u128 {
    if port >= RESERVED_PORTS { port | 0xffff_0000 } else { port }
}

/// Where a field lies: in the place of which field, and which bits of it.
#[derive(Clone, Copy)]
struct Place {
    home: Field,
    shift: u8,
    mask: u128,
}

#[expect(clippy::indexing_slicing, reason = "an id is below the count of fields")]
fn place(field: Field) -> Place {
    PLACES[usize::from(field.id())]
}

static PLACES: [Place; Field::COUNT] = places();

#[expect(clippy::indexing_slicing, reason = "runs in the compiler only")]
const fn places() -> [Place; Field::COUNT] {
    let mut places = [Place { home: Field::IN_PORT, shift: 0, mask: 0 }; Field::COUNT];
    let mut id = 0;
    while let Some(field) = Field::from_id(id) {
        let (home, shift) = match (field, field.register(), field.first_register()) {
            (Field::IN_PORT_OXM, ..) => (Field::IN_PORT, 0),
            (Field::VLAN_VID, ..) => (Field::VLAN_TCI, 0),
            (Field::VLAN_PCP, ..) => (Field::VLAN_TCI, 13),
            // The lowest register is the highest part.
            (_, Some(n), _) | (_, _, Some(n)) => {
                (Field::xxreg(n / 4), 128 - field.bits() - n % 4 * 32)
            }
            _ => (field, 0),
        };
        places[id as usize] = Place { home, shift, mask: ones(field.match_bits()) };
        id += 1;
    }
    places
}
