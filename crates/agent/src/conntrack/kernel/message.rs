//! Messages of ctnetlink. Headers are in the byte order of the machine, values in that of the
//! network.

use std::net::IpAddr;

use model::CtZone;
use openflow::{CtTransport, CtTuple};

use crate::conntrack::{Connection, Entry};
use crate::netlink::{self, ACK, DUMP, NLMSG_DONE, NLMSG_ERROR, REQUEST, array, attribute, find};

const CT_NEW: u16 = 1 << 8;
const CT_GET: u16 = (1 << 8) | 1;
const CT_DELETE: u16 = (1 << 8) | 2;

const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;

const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

const NESTED: u16 = 0x8000;

const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const STATUS: u16 = 3;
const PROTOINFO: u16 = 4;
const TIMEOUT: u16 = 7;
const MARK: u16 = 8;
const ID: u16 = 12;
const ZONE: u16 = 18;
const MARK_MASK: u16 = 21;

const PROTOINFO_TCP: u16 = 1;
const TCP_STATE: u16 = 1;
const TCP_FLAGS_ORIGINAL: u16 = 4;
const TCP_FLAGS_REPLY: u16 = 5;
/// The kernel does not look at sequence numbers, which are not known.
const TCP_LIBERAL: u8 = 8;

/// Bits of the status: there was a reply, it is not among the first to go, it is in the table.
const SEEN_REPLY: u32 = 2;
const ASSURED: u32 = 4;
const CONFIRMED: u32 = 8;

const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;

const IP_V4_SRC: u16 = 1;
const IP_V4_DST: u16 = 2;
const IP_V6_SRC: u16 = 3;
const IP_V6_DST: u16 = 4;

const PROTO_NUM: u16 = 1;
const PROTO_SRC_PORT: u16 = 2;
const PROTO_DST_PORT: u16 = 3;
/// Identifier, type and code follow one another, of ICMP and of ICMPv6.
const PROTO_ICMP: u16 = 4;
const PROTO_ICMPV6: u16 = 7;
const ICMPV6: u8 = 58;

/// A message for the kernel.
#[derive(Debug)]
pub(super) struct Request(pub(super) Vec<u8>);

/// A message of the kernel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A connection of a zone.
    Connection(CtZone, Connection),
    /// Everything has been said or done.
    Done,
    /// An error number.
    Refused(i32),
    /// Nothing that matters here.
    Other,
}

/// Asks for every connection; newer kernels list those of `zone` alone.
pub(super) fn list(sequence: u32, zone: Option<CtZone>) -> Request {
    request(CT_GET, REQUEST | DUMP, sequence, AF_UNSPEC, |out| {
        if let Some(zone) = zone {
            attribute(out, ZONE, |out| out.extend(zone.get().to_be_bytes()));
        }
    })
}

/// Asks to delete one connection.
pub(super) fn delete(sequence: u32, zone: CtZone, entry: &Entry) -> Request {
    request(CT_DELETE, REQUEST | ACK, sequence, family(entry), |out| {
        attribute(out, TUPLE_ORIG | NESTED, |out| tuple(out, &entry.original));
        attribute(out, ZONE, |out| out.extend(zone.get().to_be_bytes()));
        if let Some(id) = entry.id {
            attribute(out, ID, |out| out.extend(id));
        }
    })
}

/// Asks to set those bits of the mark of one connection that the mask has.
pub(super) fn mark(sequence: u32, zone: CtZone, entry: &Entry, value: u32, mask: u32) -> Request {
    // Without the flag that asks for a new one, it is one that is there.
    request(CT_NEW, REQUEST | ACK, sequence, family(entry), |out| {
        attribute(out, TUPLE_ORIG | NESTED, |out| tuple(out, &entry.original));
        attribute(out, ZONE, |out| out.extend(zone.get().to_be_bytes()));
        attribute(out, MARK, |out| out.extend(value.to_be_bytes()));
        attribute(out, MARK_MASK, |out| out.extend(mask.to_be_bytes()));
    })
}

/// Asks to make a connection, unless there is one already.
pub(super) fn insert(sequence: u32, zone: CtZone, connection: &Connection) -> Request {
    let Connection { entry, reply, replied, tcp, timeout } = connection;
    let status = if *replied { SEEN_REPLY | ASSURED | CONFIRMED } else { CONFIRMED };
    request(CT_NEW, REQUEST | ACK | CREATE | EXCLUSIVE, sequence, family(entry), |out| {
        attribute(out, TUPLE_ORIG | NESTED, |out| tuple(out, &entry.original));
        if let Some(reply) = reply {
            attribute(out, TUPLE_REPLY | NESTED, |out| tuple(out, reply));
        }
        attribute(out, STATUS, |out| out.extend(status.to_be_bytes()));
        if let Some(state) = tcp {
            attribute(out, PROTOINFO | NESTED, |out| {
                attribute(out, PROTOINFO_TCP | NESTED, |out| {
                    attribute(out, TCP_STATE, |out| out.push(*state));
                    for flags in [TCP_FLAGS_ORIGINAL, TCP_FLAGS_REPLY] {
                        // The flags, and which of them are meant.
                        attribute(out, flags, |out| out.extend([TCP_LIBERAL; 2]));
                    }
                });
            });
        }
        attribute(out, TIMEOUT, |out| out.extend(timeout.to_be_bytes()));
        attribute(out, MARK, |out| out.extend(entry.mark.to_be_bytes()));
        attribute(out, ZONE, |out| out.extend(zone.get().to_be_bytes()));
    })
}

fn family(entry: &Entry) -> u8 {
    if entry.original.src.is_ipv4() { AF_INET } else { AF_INET6 }
}

fn request(
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    attributes: impl FnOnce(&mut Vec<u8>),
) -> Request {
    // The family, version 0, and no resource.
    Request(netlink::encode(kind, flags, sequence, &[family, 0, 0, 0], attributes))
}

fn tuple(out: &mut Vec<u8>, tuple: &CtTuple) {
    attribute(out, TUPLE_IP | NESTED, |out| {
        for (address, v4, v6) in
            [(tuple.src, IP_V4_SRC, IP_V6_SRC), (tuple.dst, IP_V4_DST, IP_V6_DST)]
        {
            match address {
                IpAddr::V4(address) => attribute(out, v4, |out| out.extend(address.octets())),
                IpAddr::V6(address) => attribute(out, v6, |out| out.extend(address.octets())),
            }
        }
    });
    attribute(out, TUPLE_PROTO | NESTED, |out| {
        attribute(out, PROTO_NUM, |out| out.push(tuple.protocol));
        match tuple.transport {
            CtTransport::Ports { src, dst } => {
                attribute(out, PROTO_SRC_PORT, |out| out.extend(src.to_be_bytes()));
                attribute(out, PROTO_DST_PORT, |out| out.extend(dst.to_be_bytes()));
            }
            CtTransport::Icmp { id, kind, code } => {
                let first = icmp(tuple.protocol);
                attribute(out, first, |out| out.extend(id.to_be_bytes()));
                attribute(out, first + 1, |out| out.push(kind));
                attribute(out, first + 2, |out| out.push(code));
            }
            CtTransport::None => {}
        }
    });
}

fn icmp(protocol: u8) -> u16 {
    if protocol == ICMPV6 { PROTO_ICMPV6 } else { PROTO_ICMP }
}

/// The first message, its number, and what follows it; nothing where it is not whole.
pub(super) fn decode(bytes: &[u8]) -> Option<(Message, u32, &[u8])> {
    let (netlink::Message { kind, sequence, body, .. }, rest) = netlink::decode(bytes)?;
    let message = match kind {
        NLMSG_DONE => Message::Done,
        NLMSG_ERROR => match i32::from_ne_bytes(*body.first_chunk()?) {
            0 => Message::Done,
            error => Message::Refused(error.saturating_neg()),
        },
        CT_NEW => connection(body.get(4..)?)
            .map_or(Message::Other, |(zone, entry)| Message::Connection(zone, entry)),
        _ => Message::Other,
    };
    Some((message, sequence, rest))
}

/// A connection, unless it is of no zone or conntrack knows too little of it.
fn connection(attributes: &[u8]) -> Option<(CtZone, Connection)> {
    let number = |kind| find(attributes, kind).and_then(array).map(u32::from_be_bytes);
    let zone = u16::from_be_bytes(array(find(attributes, ZONE)?)?);
    let original = read_tuple(find(attributes, TUPLE_ORIG)?)?;
    let info = find(attributes, PROTOINFO).and_then(|info| find(info, PROTOINFO_TCP));
    let id = find(attributes, ID).and_then(array);
    let connection = Connection {
        entry: Entry { original, mark: number(MARK).unwrap_or(0), id },
        reply: find(attributes, TUPLE_REPLY).and_then(read_tuple),
        replied: number(STATUS).is_some_and(|status| status & SEEN_REPLY != 0),
        tcp: info.and_then(|info| find(info, TCP_STATE)?.first().copied()),
        timeout: number(TIMEOUT).unwrap_or(0),
    };
    Some((CtZone::new(zone), connection))
}

fn read_tuple(tuple: &[u8]) -> Option<CtTuple> {
    let (ip, proto) = (find(tuple, TUPLE_IP)?, find(tuple, TUPLE_PROTO)?);
    let address = |v4, v6| match find(ip, v4) {
        Some(octets) => array::<4>(octets).map(IpAddr::from),
        None => array::<16>(find(ip, v6)?).map(IpAddr::from),
    };
    let (src, dst) = (address(IP_V4_SRC, IP_V6_SRC)?, address(IP_V4_DST, IP_V6_DST)?);
    let short = |kind| find(proto, kind).and_then(array).map(u16::from_be_bytes);
    let octet = |kind| find(proto, kind).and_then(|value| value.first().copied());
    let protocol = octet(PROTO_NUM)?;
    let first = icmp(protocol);
    let transport = match (short(PROTO_SRC_PORT), short(PROTO_DST_PORT), short(first)) {
        (Some(src), Some(dst), _) => CtTransport::Ports { src, dst },
        (_, _, Some(id)) => {
            CtTransport::Icmp { id, kind: octet(first + 1)?, code: octet(first + 2)? }
        }
        _ => CtTransport::None,
    };
    Some(CtTuple { src, dst, protocol, transport })
}
