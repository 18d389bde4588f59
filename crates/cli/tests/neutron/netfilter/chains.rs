//! Chains that Neutron's driver wrote, walked as netfilter walks them. They are text, and are read
//! word by word for each packet: nothing here is shared with what they are compared with.

use std::collections::BTreeMap;
use std::net::IpAddr;

use dataplane::hybrid::verdict::{Header, Packet, State};
use model::{IpProtocol, Prefix};
use serde::Deserialize;

/// The chains of both families.
#[derive(Debug, Deserialize)]
pub(super) struct Chains {
    #[serde(rename = "IPv4")]
    ipv4: BTreeMap<String, Vec<String>>,
    #[serde(rename = "IPv6")]
    ipv6: BTreeMap<String, Vec<String>>,
    sets: BTreeMap<String, Vec<String>>,
}

impl Chains {
    /// Whether a packet that passes the bridge is accepted.
    pub(super) fn passes(&self, packet: &Packet) -> bool {
        match self.walk("FORWARD", packet) {
            Some("ACCEPT") => true,
            Some("DROP") => false,
            end => panic!("nobody has decided on {packet:?}: {end:?}"),
        }
    }

    /// What ends the way of the packet; nothing where it comes back from the chain.
    fn walk<'a>(&'a self, chain: &str, packet: &Packet) -> Option<&'a str> {
        let chains = if packet.source.is_ipv4() { &self.ipv4 } else { &self.ipv6 };
        for rule in chains.get(chain).into_iter().flatten() {
            let Some(target) = self.target(rule, packet) else { continue };
            match target {
                "ACCEPT" | "DROP" => return Some(target),
                "RETURN" => return None,
                chain => {
                    if let Some(end) = self.walk(chain, packet) {
                        return Some(end);
                    }
                }
            }
        }
        None
    }

    /// What the rule does with the packet, where it holds.
    fn target<'a>(&self, rule: &'a str, packet: &Packet) -> Option<&'a str> {
        let (rule, target) = rule.rsplit_once("-j ").unwrap();
        let rule = match rule.split_once("-m comment --comment \"") {
            Some((before, comment)) => {
                format!("{before}{}", comment.split_once('"').unwrap().1)
            }
            None => rule.to_owned(),
        };
        let mut words = rule.split_whitespace();
        while let Some(word) = words.next() {
            if word == "--physdev-is-bridged" {
                packet.output.as_ref()?;
                continue;
            }
            let value = words.next().unwrap();
            let holds = match word {
                "-m" => true,
                "--match-set" => {
                    let address = match words.next().unwrap() {
                        "src" => packet.source,
                        _ => packet.destination,
                    };
                    let set = self.sets.get(value).into_iter().flatten();
                    set.into_iter().any(|prefix| is_in(address, prefix))
                }
                _ => holds(word, value, packet),
            };
            if !holds {
                return None;
            }
        }
        Some(target)
    }
}

fn holds(word: &str, value: &str, packet: &Packet) -> bool {
    let ports = match packet.header {
        Header::Ports { from, to } => Some((from, to)),
        _ => None,
    };
    match word {
        "-s" => is_in(packet.source, value),
        "-d" => is_in(packet.destination, value),
        "-p" => packet.protocol == value.parse::<IpProtocol>().unwrap(),
        "--physdev-in" => packet.input == value,
        "--physdev-out" => packet.output.as_deref() == Some(value),
        "--mac-source" => packet.source_mac == value.to_lowercase().parse().unwrap(),
        "--sport" => ports.is_some_and(|(from, _)| is_one_of(from, value)),
        "--dport" | "--dports" => ports.is_some_and(|(_, to)| is_one_of(to, value)),
        "--icmp-type" | "--icmpv6-type" => {
            let (wanted, only) = value.split_once('/').map_or((value, None), |(a, b)| (a, Some(b)));
            matches!(packet.header, Header::Icmp { kind, code }
                if kind == wanted.parse::<u8>().unwrap()
                    && only.is_none_or(|only| code == only.parse::<u8>().unwrap()))
        }
        "--state" => value.split(',').any(|state| match state {
            "RELATED" => packet.state == State::Related,
            "ESTABLISHED" => packet.state == State::Established,
            "INVALID" => packet.state == State::Invalid,
            other => panic!("{other}"),
        }),
        other => panic!("{other} {value}"),
    }
}

fn is_in(address: IpAddr, prefix: &str) -> bool {
    prefix.parse::<Prefix>().unwrap().contains(address)
}

/// Whether the port is in a list of ports and ranges.
fn is_one_of(port: u16, list: &str) -> bool {
    list.split(',').any(|range| {
        let (low, high) = range.split_once(':').unwrap_or((range, range));
        (low.parse::<u16>().unwrap()..=high.parse().unwrap()).contains(&port)
    })
}
