//! Everything behind the addresses of a packet, as one number of 24 bits.
//!
//! The upper eight bits are the IP protocol. The lower sixteen are the destination port, or ICMP
//! type and code, or mean nothing. So every rule is a range, a union of rules is a [`RangeSet`],
//! and one kind of arithmetic serves ports, types, codes and protocols.

use model::{EtherType, IpProtocol, PortRange, Transport};

use crate::range_set::{Range, RangeSet};
use crate::{L4, TermMatch};

/// Every packet of a family.
pub(crate) const EVERYTHING: Range = Range { low: 0, high: 0xff_ffff };

/// What a rule admits.
pub(crate) fn of_rule(ethertype: EtherType, transport: Transport) -> Range {
    match transport {
        Transport::Any => EVERYTHING,
        Transport::Protocol(protocol) => of_protocol(protocol),
        Transport::Ports { protocol, range } => of_ports(protocol, range),
        Transport::Icmp { kind, code: None } => of_kind(ethertype, kind),
        Transport::Icmp { kind, code: Some(code) } => of_code(ethertype, kind, code),
    }
}

/// What a term admits; of a mask with holes that is many ranges.
pub(crate) fn of_term(ethertype: EtherType, transport: TermMatch) -> RangeSet {
    let range = match transport {
        TermMatch::Any => EVERYTHING,
        TermMatch::Protocol(protocol) => of_protocol(protocol),
        TermMatch::Icmp { kind, code: None } => of_kind(ethertype, kind),
        TermMatch::Icmp { kind, code: Some(code) } => of_code(ethertype, kind, code),
        TermMatch::Port { protocol, value, mask } => {
            let base = of_protocol(protocol).low;
            let free = !mask;
            // The free bits below the lowest bit that counts make a range; each setting of the
            // free bits above it makes another one.
            let run = (1_u32 << mask.trailing_zeros()) - 1;
            let upper = u32::from(free) & !run;
            let settings = std::iter::successors(Some(upper), move |setting| {
                setting.checked_sub(1).map(|less| less & upper)
            });
            return settings
                .map(|setting| base | u32::from(value & mask) | setting)
                .map(|low| Range { low, high: low | run })
                .collect();
        }
    };
    [range].into_iter().collect()
}

/// The whole of a protocol.
pub(crate) fn of_protocol(protocol: IpProtocol) -> Range {
    let low = u32::from(protocol.0) << 16;
    Range { low, high: low | 0xffff }
}

/// All codes of an ICMP type.
pub(crate) fn of_kind(ethertype: EtherType, kind: u8) -> Range {
    let low = of_protocol(ethertype.icmp()).low | u32::from(kind) << 8;
    Range { low, high: low | 0xff }
}

/// The packet at this place: its protocol and what follows.
pub(crate) fn packet_at(ethertype: EtherType, point: u32) -> (IpProtocol, L4) {
    let [_, protocol, kind, code] = point.to_be_bytes();
    let protocol = IpProtocol(protocol);
    let l4 = if protocol.has_ports() {
        L4::Ports { dst: u16::from_be_bytes([kind, code]) }
    } else if protocol == ethertype.icmp() {
        L4::Icmp { kind, code }
    } else {
        L4::None
    };
    (protocol, l4)
}

fn of_ports(protocol: IpProtocol, range: PortRange) -> Range {
    let base = of_protocol(protocol).low;
    Range { low: base | u32::from(range.low()), high: base | u32::from(range.high()) }
}

fn of_code(ethertype: EtherType, kind: u8, code: u8) -> Range {
    let point = of_kind(ethertype, kind).low | u32::from(code);
    Range { low: point, high: point }
}
