//! A rule in words, for people who do not know its id.

use model::{Direction, PortRange, Remote, SecurityGroupRule, Transport};

use crate::cache::Names;

/// Such as `ingress IPv4 tcp 80 to 90 from members of group web (id)`.
pub(super) fn rule(rule: &SecurityGroupRule, names: &Names) -> String {
    let (direction, ethertype) = (rule.direction(), rule.ethertype());
    let preposition = match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    };
    let transport = transport(rule.transport());
    format!("{direction} {ethertype} {transport} {preposition} {}", remote(rule.remote(), names))
}

fn transport(transport: Transport) -> String {
    match transport {
        Transport::Any => "any protocol".to_owned(),
        Transport::Protocol(protocol) => protocol.to_string(),
        Transport::Ports { protocol, range } => format!("{protocol} {}", ports(range)),
        Transport::Icmp { kind, code: None } => format!("icmp type {kind}"),
        Transport::Icmp { kind, code: Some(code) } => format!("icmp type {kind} code {code}"),
    }
}

fn ports(range: PortRange) -> String {
    match (range.low(), range.high()) {
        (low, high) if low == high => format!("port {low}"),
        (low, high) => format!("ports {low} to {high}"),
    }
}

fn remote(remote: Remote, names: &Names) -> String {
    let named = |kind: &str, name: Option<&String>, id: String| match name {
        Some(name) => format!("{kind} {name} ({id})"),
        None => format!("{kind} {id}"),
    };
    match remote {
        Remote::Any => "anybody".to_owned(),
        Remote::Prefix(prefix) => prefix.to_string(),
        Remote::Group(id) => named("members of group", names.groups.get(&id), id.to_string()),
        Remote::AddressGroup(id) => {
            named("address group", names.address_groups.get(&id), id.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{EtherType, IpProtocol};

    use super::*;

    fn said(direction: Direction, transport: Transport, remote: Remote) -> String {
        let id = "00000000-0000-4000-8000-000000000001".parse().unwrap();
        let ethertype = EtherType::Ipv4;
        let made = SecurityGroupRule::new(id, direction, ethertype, transport, remote).unwrap();
        let mut names = Names::default();
        names.groups.insert("00000000-0000-4000-8000-0000000000aa".parse().unwrap(), "web".into());
        rule(&made, &names)
    }

    #[test]
    fn every_part_is_told() {
        let (ingress, egress) = (Direction::Ingress, Direction::Egress);
        let tcp = |low, high| Transport::Ports {
            protocol: IpProtocol::TCP,
            range: PortRange::new(low, high).unwrap(),
        };
        let group = |last: &str| {
            Remote::Group(format!("00000000-0000-4000-8000-0000000000{last}").parse().unwrap())
        };
        let office = "00000000-0000-4000-8000-0000000000cc".parse().unwrap();
        let icmp = |code| Transport::Icmp { kind: 3, code };
        let prefix = Remote::Prefix("10.0.0.0/8".parse().unwrap());
        let id = |last: &str| format!("00000000-0000-4000-8000-0000000000{last}");
        let said_and_meant = [
            (
                said(egress, Transport::Any, Remote::Any),
                "egress IPv4 any protocol to anybody".into(),
            ),
            (said(ingress, tcp(80, 80), prefix), "ingress IPv4 tcp port 80 from 10.0.0.0/8".into()),
            (
                said(ingress, tcp(80, 90), group("aa")),
                format!("ingress IPv4 tcp ports 80 to 90 from members of group web ({})", id("aa")),
            ),
            (
                said(ingress, Transport::Protocol(IpProtocol(47)), group("bb")),
                format!("ingress IPv4 gre from members of group {}", id("bb")),
            ),
            (
                said(ingress, icmp(None), Remote::AddressGroup(office)),
                format!("ingress IPv4 icmp type 3 from address group {}", id("cc")),
            ),
            (
                said(ingress, icmp(Some(4)), Remote::Any),
                "ingress IPv4 icmp type 3 code 4 from anybody".into(),
            ),
        ];
        for (said, meant) in said_and_meant {
            assert_eq!(said, meant);
        }
    }
}
