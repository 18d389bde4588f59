//! What the demo shows: the machines, their groups, the rules, and what the rules say.
//!
//! The verdict here is what a reader of the rules would say. It deliberately shares no code with
//! the compiler that it judges.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use serde_json::{Value, json};
use testkit::IpNet;

/// The network's VLAN range is configured on this physical network.
pub(super) const PHYSICAL_NETWORK: &str = "physnet1";
/// The subnet of all machines.
pub(super) const SUBNET: &str = "10.10.0.0/24";

/// What carries the network from host to host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Carrier {
    /// A VLAN of the physical network.
    Vlan,
    /// VXLAN tunnels.
    Vxlan,
    /// GRE tunnels.
    Gre,
    /// Geneve tunnels.
    Geneve,
}

impl Carrier {
    /// As the API and the options of `weir up` name it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Vlan => "vlan",
            Self::Vxlan => "vxlan",
            Self::Gre => "gre",
            Self::Geneve => "geneve",
        }
    }

    /// As people name it.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Vlan => "VLAN",
            Self::Vxlan => "VXLAN",
            Self::Gre => "GRE",
            Self::Geneve => "Geneve",
        }
    }
}

/// The security groups.
pub(super) const GROUPS: [&str; 3] = ["web", "db", "admin"];

/// The machines.
pub(super) static MACHINES: [Machine; 4] = [
    Machine::new("web1", "web", 11),
    Machine::new("web2", "web", 12),
    Machine::new("db1", "db", 21),
    Machine::new("admin1", "admin", 41),
];

/// What every machine offers and is asked for.
pub(super) const SERVICES: [Service; 3] = [Service::Tcp(80), Service::Tcp(5432), Service::Ping];

/// The rules at first: one by prefix, one by remote group, one for ICMP.
pub(super) const RULES: [Rule; 3] = [
    Rule { group: "web", service: Service::Tcp(80), remote: Remote::Prefix("10.10.0.0/27") },
    DATABASE_FROM_WEB,
    Rule { group: "admin", service: Service::Ping, remote: Remote::Anyone },
];

/// The rule that is taken away while a connection uses it.
pub(super) const DATABASE_FROM_WEB: Rule =
    Rule { group: "db", service: Service::Tcp(5432), remote: Remote::Group("web") };
/// The rule that takes its place.
pub(super) const DATABASE_FROM_ADMIN: Rule =
    Rule { group: "db", service: Service::Tcp(5432), remote: Remote::Group("admin") };

/// The rules after the change.
pub(super) fn rules_after() -> Vec<Rule> {
    let kept = RULES.into_iter().filter(|rule| *rule != DATABASE_FROM_WEB);
    kept.chain([DATABASE_FROM_ADMIN]).collect()
}

/// A virtual machine on the network.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) name: &'static str,
    pub(super) group: &'static str,
    pub(super) address: IpAddr,
}

/// Something a machine may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Tcp(u16),
    Ping,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remote {
    Anyone,
    Prefix(&'static str),
    Group(&'static str),
}

/// An ingress rule of a security group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) group: &'static str,
    pub(super) service: Service,
    pub(super) remote: Remote,
}

impl Machine {
    const fn new(name: &'static str, group: &'static str, host: u8) -> Self {
        Self { name, group, address: IpAddr::V4(Ipv4Addr::new(10, 10, 0, host)) }
    }

    /// What a program reads of it.
    pub(super) fn document(&self, host: &str) -> Value {
        json!({ "name": self.name, "group": self.group, "address": self.address, "host": host })
    }
}

impl Rule {
    /// Whether the rule lets `from` ask `to` for the service.
    pub(super) fn admits(&self, from: &Machine, to: &Machine, service: Service) -> bool {
        let by_remote = match self.remote {
            Remote::Anyone => true,
            Remote::Group(group) => from.group == group,
            Remote::Prefix(prefix) => {
                prefix.parse::<IpNet>().is_ok_and(|prefix| prefix.contains(&from.address))
            }
        };
        self.group == to.group && self.service == service && by_remote
    }

    /// The rule as a resource of the API; `id` tells the id of a security group's name.
    pub(super) fn resource(&self, id: impl Fn(&str) -> String) -> Value {
        let (protocol, port) = match self.service {
            Service::Tcp(port) => ("tcp", Some(port)),
            Service::Ping => ("icmp", None),
        };
        let (prefix, group) = match self.remote {
            Remote::Anyone => (None, None),
            Remote::Prefix(prefix) => (Some(prefix), None),
            Remote::Group(group) => (None, Some(id(group))),
        };
        json!({
            "security_group_id": id(self.group),
            "direction": "ingress",
            "ethertype": "IPv4",
            "protocol": protocol,
            "port_range_min": port,
            "port_range_max": port,
            "remote_ip_prefix": prefix,
            "remote_group_id": group,
        })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(port) => f.pad(&format!("tcp {port}")),
            Self::Ping => f.pad("ping"),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("anyone"),
            Self::Prefix(prefix) => f.write_str(prefix),
            Self::Group(group) => write!(f, "group {group}"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} admits {} from {}", self.group, self.service, self.remote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(rules: &[Rule]) -> Vec<String> {
        let mut lines = Vec::new();
        for to in &MACHINES {
            for service in SERVICES {
                for from in MACHINES.iter().filter(|from| *from != to) {
                    if rules.iter().any(|rule| rule.admits(from, to, service)) {
                        lines.push(format!("{} -> {} {service}", from.name, to.name));
                    }
                }
            }
        }
        lines
    }

    #[test]
    fn the_rules_say_what_a_reader_says() {
        let always = [
            "web2 -> web1 tcp 80",
            "db1 -> web1 tcp 80",
            "web1 -> web2 tcp 80",
            "db1 -> web2 tcp 80",
        ];
        let pings = ["web1 -> admin1 ping", "web2 -> admin1 ping", "db1 -> admin1 ping"];
        let before = ["web1 -> db1 tcp 5432", "web2 -> db1 tcp 5432"];
        let after = ["admin1 -> db1 tcp 5432"];
        assert_eq!(admitted(&RULES), [&always[..], &before, &pings].concat());
        assert_eq!(admitted(&rules_after()), [&always[..], &after, &pings].concat());
    }
}
