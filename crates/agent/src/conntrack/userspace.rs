//! Connections of the userspace datapath, as `ovs-appctl dpctl/dump-conntrack` lists them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use model::CtZone;
use openflow::{CtTransport, CtTuple};

use super::{Connection, Connections, Entries, Entry};
use crate::control::{Commander, ControlError};

/// The userspace datapath's name; there is one for all bridges.
const DATAPATH: &str = "netdev@ovs-netdev";
/// How long a connection is given that goes on elsewhere, in seconds; its next packet sets it anew.
const TIMEOUT: u32 = 600;

/// The connections of each zone. Blocks.
pub(crate) fn list(
    socket: &Path,
    zones: impl ExactSizeIterator<Item = CtZone> + Clone,
) -> Result<Entries, ControlError> {
    of_zones(socket, zones, |connection| connection.entry)
}

/// The same with all that is known of them. Blocks.
pub(crate) fn connections(
    socket: &Path,
    zones: impl ExactSizeIterator<Item = CtZone> + Clone,
) -> Result<Connections, ControlError> {
    of_zones(socket, zones, |connection| connection)
}

/// What matters of the connections of each zone.
fn of_zones<T>(
    socket: &Path,
    zones: impl ExactSizeIterator<Item = CtZone> + Clone,
    matters: impl Fn(Connection) -> T,
) -> Result<BTreeMap<CtZone, Vec<T>>, ControlError> {
    let only = if zones.len() == 1 { zones.clone().next() } else { None };
    let mut found: BTreeMap<_, _> = zones.map(|zone| (zone, Vec::new())).collect();
    for line in dump(socket, only)?.lines() {
        if let Some((zone, connection)) = parse(line)
            && let Some(of_zone) = found.get_mut(&zone)
        {
            of_zone.push(matters(connection));
        }
    }
    Ok(found)
}

/// It walks all of them, whatever the zone; so several zones are one question.
fn dump(socket: &Path, only: Option<CtZone>) -> Result<String, ControlError> {
    let zone = only.map(|zone| format!("zone={zone}"));
    let arguments: Vec<String> = std::iter::once(DATAPATH.to_owned()).chain(zone).collect();
    Commander::connect(socket)?.command("dpctl/dump-conntrack", &arguments)
}

/// One line, such as `udp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1,dport=2),reply=(...),zone=5,mark=1`.
/// Nothing for a connection of no zone, or one that cannot be read.
fn parse(line: &str) -> Option<(CtZone, Connection)> {
    let (protocol, rest) = line.split_once(",orig=(")?;
    let (original, rest) = rest.split_once(')')?;
    let (reply, rest) = rest.split_once(')')?;
    let protocol = protocol_number(protocol)?;
    let original = tuple(protocol, original)?;
    let reply = reply.strip_prefix(",reply=(").and_then(|reply| tuple(protocol, reply));
    let zone = CtZone::new(number(rest, "zone")?);
    let mark = number(rest, "mark").unwrap_or(0);
    let state = rest.split_once("(state=").and_then(|(_, rest)| rest.split_once(')'));
    let connection = Connection {
        entry: Entry { original, mark, id: None },
        reply,
        // The switch does not say; whoever answers what was sent is admitted either way.
        replied: true,
        tcp: state.and_then(|(state, _)| tcp_state(state)),
        timeout: TIMEOUT,
    };
    Some((zone, connection))
}

/// The kernel's number for a state that the switch names so, of a connection that both sides know of.
fn tcp_state(name: &str) -> Option<u8> {
    Some(match name {
        "ESTABLISHED" => 3,
        "FIN_WAIT_1" | "FIN_WAIT_2" => 4,
        "CLOSE_WAIT" => 5,
        "CLOSING" | "LAST_ACK" => 6,
        "TIME_WAIT" => 7,
        _ => return None,
    })
}

fn tuple(protocol: u8, original: &str) -> Option<CtTuple> {
    let transport = match (number(original, "id"), number(original, "type")) {
        (Some(id), Some(kind)) => CtTransport::Icmp { id, kind, code: number(original, "code")? },
        _ => match (number(original, "sport").unwrap_or(0), number(original, "dport").unwrap_or(0))
        {
            (0, 0) => CtTransport::None,
            (src, dst) => CtTransport::Ports { src, dst },
        },
    };
    let src: IpAddr = number(original, "src")?;
    let dst: IpAddr = number(original, "dst")?;
    Some(CtTuple { src, dst, protocol, transport })
}

/// The value of a name in `name=value,name=value`.
fn number<T: FromStr>(fields: &str, name: &str) -> Option<T> {
    fields.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

fn protocol_number(name: &str) -> Option<u8> {
    Some(match name {
        "icmp" => 1,
        "igmp" => 2,
        "tcp" => 6,
        "udp" => 17,
        "dccp" => 33,
        "icmpv6" => 58,
        "sctp" => 132,
        "udplite" => 136,
        other => other.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that Open vSwitch 3.1.0 printed.
    #[test]
    fn lines_of_a_dump() {
        let named = |line: &str| {
            parse(line).map(|(zone, Connection { entry, .. })| {
                format!("{zone} {} {}", entry.mark, entry.original)
            })
        };
        let reply = "reply=(src=10.0.0.2,dst=10.0.0.1,sport=53,dport=1000)";
        let udp = "udp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1000,dport=53)";
        let tuple =
            "ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=17,ct_tp_src=1000,ct_tp_dst=53";
        let read = [
            (format!("{udp},{reply},zone=5,mark=1"), format!("5 1 {tuple}")),
            (
                "icmp,orig=(src=10.0.0.1,dst=10.0.0.2,id=78,type=13,code=0),reply=(src=10.0.0.2,dst=10.0.0.1,id=78,type=14,code=0),zone=4094".to_owned(),
                "4094 0 ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=1,icmp_id=78,icmp_type=13,icmp_code=0".to_owned(),
            ),
            (
                "47,orig=(src=::1,dst=::2,sport=0,dport=0),reply=(src=::2,dst=::1,sport=0,dport=0),zone=1,labels=0x7,protoinfo=(state=NEW)".to_owned(),
                "1 0 ct_ipv6_src=::1,ct_ipv6_dst=::2,ct_nw_proto=47".to_owned(),
            ),
        ];
        for (line, expected) in read {
            assert_eq!(named(&line), Some(expected), "{line}");
        }
        let tcp = "tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=4,dport=80),\
                   reply=(src=10.0.0.2,dst=10.0.0.1,sport=80,dport=4),zone=5,\
                   protoinfo=(state=ESTABLISHED)";
        let (_, whole) = parse(tcp).unwrap();
        assert_eq!(whole.tcp, Some(3));
        let back = "ct_nw_src=10.0.0.2,ct_nw_dst=10.0.0.1,ct_nw_proto=6,ct_tp_src=80,ct_tp_dst=4";
        assert_eq!(whole.reply.unwrap().to_string(), back);
        let skipped = [
            String::new(),
            format!("{udp},{reply}"),
            format!("{udp},{reply},zone=65536"),
            format!("{udp},zone=5"),
            format!("new,{udp},{reply},zone=5"),
            "udp,orig=(src=10.0.0.300,dst=10.0.0.2),reply=(),zone=5".to_owned(),
        ];
        for line in skipped {
            assert_eq!(named(&line), None, "{line}");
        }
    }
}
