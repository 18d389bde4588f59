//! Prints matches. Most fields print themselves; what is special are the protocol shorthands
//! (`tcp6`) and VLAN tags.

use super::value;
use crate::{
    field::Field,
    matching::{Match, Term},
};
use std::fmt;

/// Ethertype, protocol and the word for both.
pub(super) const SHORTHANDS: [(u16, Option<u8>, &str); 14] = [
    (0x0800, Some(1), "icmp"),
    (0x0800, Some(6), "tcp"),
    (0x0800, Some(17), "udp"),
    (0x0800, Some(132), "sctp"),
    (0x86dd, Some(58), "icmp6"),
    (0x86dd, Some(6), "tcp6"),
    (0x86dd, Some(17), "udp6"),
    (0x86dd, Some(132), "sctp6"),
    (0x0800, None, "ip"),
    (0x86dd, None, "ipv6"),
    (0x0806, None, "arp"),
    (0x8035, None, "rarp"),
    (0x8847, None, "mpls"),
    (0x8848, None, "mplsm"),
];

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let eth_type = self.exact(Field::ETH_TYPE);
        let proto = self.exact(Field::IP_PROTO);
        let shorthand = SHORTHANDS.iter().find(|(known_type, known_proto, _)| {
            eth_type == Some(u128::from(*known_type))
                && known_proto.is_none_or(|known| proto == Some(u128::from(known)))
        });
        let says_proto = shorthand.is_some_and(|(_, proto, _)| proto.is_some());
        // Without a shorthand the ethertype stands behind the addresses.
        let mut late_type = if shorthand.is_none() { eth_type } else { None };

        let mut list = List { f, separator: "" };
        let mut terms: Vec<Term> = self.iter().collect();
        terms.sort_unstable_by_key(|term| term.field.print_rank());
        for term in terms {
            if term.field.print_rank() > Field::ETH_DST.print_rank()
                && let Some(eth_type) = late_type.take()
            {
                write!(list.next()?, "dl_type={eth_type:#06x}")?;
            }
            match term.field {
                Field::ETH_TYPE => {
                    if let Some((_, _, word)) = shorthand {
                        list.next()?.write_str(word)?;
                    }
                }
                Field::VLAN_VID => vlan(&mut list, term, self.exact(Field::VLAN_PCP))?,
                // Printed with the number.
                Field::VLAN_PCP if self.get(Field::VLAN_VID).is_some() => {}
                Field::IP_PROTO if says_proto => {}
                Field::IP_DSCP => write!(list.next()?, "nw_tos={}", term.value << 2)?,
                Field::IP_FRAG => write!(list.next()?, "nw_frag={}", frag(term))?,
                _ => plain(&mut list, term, says_proto)?,
            }
        }
        if let Some(eth_type) = late_type {
            write!(list.next()?, "dl_type={eth_type:#06x}")?;
        }
        if !self.foreign().is_empty() {
            list.next()?.write_str("oxm:")?;
            self.foreign().iter().try_for_each(|byte| write!(list.f, "{byte:02x}"))?;
        }
        Ok(())
    }
}

/// Tag or no tag, its number, its priority; in one term as soon as it is not plain.
fn vlan(list: &mut List<'_, '_>, term: Term, priority: Option<u128>) -> fmt::Result {
    let tagged = term.mask & 0x1000 != 0 && term.value & 0x1000 != 0;
    let number_mask = term.mask & 0xfff;
    if tagged && (number_mask == 0xfff || (number_mask == 0 && priority.is_some())) {
        if number_mask != 0 {
            write!(list.next()?, "dl_vlan={}", term.value & 0xfff)?;
        }
        if let Some(priority) = priority {
            write!(list.next()?, "dl_vlan_pcp={priority}")?;
        }
        Ok(())
    } else {
        let (value, mask) = match priority {
            Some(priority) => (term.value | priority << 13, term.mask | 0xe000),
            None => (term.value, term.mask),
        };
        write!(list.next()?, "vlan_tci={value:#06x}")?;
        if mask == 0xffff { Ok(()) } else { write!(list.f, "/{mask:#06x}") }
    }
}

fn frag(term: Term) -> &'static str {
    match (term.mask, term.value) {
        (3, 0) => "no",
        (3, 1) => "first",
        (3, 3) => "later",
        (1, 0) => "no",
        (1, _) => "yes",
        (2, 0) => "not_later",
        (2, _) => "later",
        _ => "<error>",
    }
}

fn plain(list: &mut List<'_, '_>, term: Term, says_proto: bool) -> fmt::Result {
    let f = list.next()?;
    write!(f, "{}=", match_name(term.field, says_proto))?;
    match term.field {
        Field::CT_ZONE => write!(f, "{}", term.value),
        Field::IPV6_LABEL if term.is_exact() => write!(f, "{:#07x}", term.value),
        Field::IPV6_LABEL => write!(f, "{:#07x}/{:#07x}", term.value, term.mask),
        field if term.is_exact() => value::exact(f, field.format(), term.value),
        field => value::masked(f, field, term.value, term.mask),
    }
}

/// What ovs-ofctl calls a field in a match, where that is not what it calls it in an action.
fn match_name(field: Field, says_proto: bool) -> &'static str {
    match field {
        Field::ETH_SRC => "dl_src",
        Field::ETH_DST => "dl_dst",
        Field::IPV4_SRC => "nw_src",
        Field::IPV4_DST => "nw_dst",
        Field::TCP_SRC | Field::UDP_SRC | Field::SCTP_SRC if says_proto => "tp_src",
        Field::TCP_DST | Field::UDP_DST | Field::SCTP_DST if says_proto => "tp_dst",
        Field::ICMPV6_TYPE if says_proto => "icmp_type",
        Field::ICMPV6_CODE if says_proto => "icmp_code",
        other => other.name(),
    }
}

struct List<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    separator: &'static str,
}

impl<'b> List<'_, 'b> {
    fn next(&mut self) -> Result<&mut fmt::Formatter<'b>, fmt::Error> {
        self.f.write_str(self.separator)?;
        self.separator = ",";
        Ok(self.f)
    }
}
