//! Rules from their text, so that what is installed can be walked.
//!
//! Every rule of ours is understood, and so are some that others may have put before it or beside
//! it. What is not understood is kept as text: the rule is written as it was read in any case.

use std::sync::Arc;

use model::{EtherType, IpProtocol, MacAddr, PortRange, Prefix};

use super::FAMILIES;
use super::installed::{Installed, InstalledTables};
use super::name::{ChainName, NEUTRON, PREFIX, SetName};
use super::netfilter::{AddressSet, Netfilter, Table, Tables};
use super::rule::{FRAME, Multiport, Rule, RuleMatch, Target};

impl Installed {
    /// What is installed as what it means: everything that packets of ports may meet. A set that is
    /// not as ours are is left out.
    pub fn netfilter(&self) -> Netfilter {
        let mut netfilter = Netfilter::default();
        for family in FAMILIES {
            *netfilter.family_mut(family) = tables(self.tables(family));
        }
        for (name, set) in self.sets.iter().filter(|(_, set)| set.is_plain && set.room > 0) {
            let family = match name.is_ipv6() {
                true => EtherType::Ipv6,
                false => EtherType::Ipv4,
            };
            let prefixes = set.prefixes.clone();
            netfilter.sets.insert(name.clone(), AddressSet { family, prefixes });
        }
        netfilter
    }
}

fn tables(installed: &InstalledTables) -> Tables {
    let mut tables = Tables::default();
    for (name, chains) in installed {
        let mut table = Table::default();
        for (chain, rules) in chains {
            let of_kind =
                if chain.starts_with(PREFIX) { &mut table.own } else { &mut table.shared };
            let rules = rules.iter().map(|rule| Rule::parse(rule)).collect();
            of_kind.insert(ChainName::exactly(chain), Arc::new(rules));
        }
        tables.0.insert(*name, table);
    }
    tables
}

impl Rule {
    /// The rule that `iptables-save` writes so, behind the name of its chain.
    pub(super) fn parse(text: &str) -> Self {
        let words = words(text);
        let at = words.iter().position(|word| ["-j", "-g"].contains(word)).unwrap_or(words.len());
        let (asked, done) = words.split_at_checked(at).unwrap_or_default();
        let rule = parse(asked, target(done));
        if rule.to_string() == text {
            return rule;
        }
        let matches = [asked.join(" ")].into_iter().filter(|text| !text.is_empty());
        Self {
            matches: matches.map(RuleMatch::Other).collect(),
            ..Self::all(Target::Other(done.join(" ")))
        }
    }
}

/// The words of a rule; what is in quotation marks is one.
fn words(text: &str) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let is_gap = |c| {
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        c == ' ' && !is_quoted
    };
    text.split(is_gap).filter(|word| !word.is_empty()).collect()
}

fn parse(words: &[&str], target: Target) -> Rule {
    let mut rule = Rule::all(target);
    let mut rest = words;
    while let [option, value, more @ ..] = rest {
        let is_taken = match *option {
            "-s" => value.parse().map(|prefix: Prefix| rule.source = Some(prefix)).is_ok(),
            "-d" => value.parse().map(|prefix: Prefix| rule.destination = Some(prefix)).is_ok(),
            "-p" => value.parse().map(|protocol| rule.protocol = Some(protocol)).is_ok(),
            _ => false,
        };
        if !is_taken {
            break;
        }
        rest = more;
    }
    while !rest.is_empty() {
        let len =
            rest.iter().skip(1).position(|word| *word == "-m").map_or(rest.len(), |at| at + 1);
        let (each, more) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        rest = more;
        let made = match (rule.matches.last(), each) {
            // Source and destination port of one packet.
            (Some(RuleMatch::Other(sources)), ["-m", "multiport", "--dports", to]) => {
                let both = udp(sources, to);
                if both.is_some() {
                    rule.matches.pop();
                }
                both
            }
            _ => None,
        };
        let made = made.or_else(|| parse_match(each, rule.protocol));
        rule.matches.push(made.unwrap_or_else(|| RuleMatch::Other(each.join(" "))));
    }
    rule
}

fn udp(sources: &str, to: &str) -> Option<RuleMatch> {
    let from = sources.strip_prefix("-m multiport --sports ")?.parse().ok()?;
    Some(RuleMatch::Udp { from, to: to.parse().ok()? })
}

fn parse_match(words: &[&str], protocol: Option<IpProtocol>) -> Option<RuleMatch> {
    const IS_BRIDGED: &str = "--physdev-is-bridged";
    let device = |name: &str| name.to_owned();
    Some(match words {
        ["-m", "physdev", "--physdev-in", name] => RuleMatch::PhysdevIn(device(name)),
        ["-m", "physdev", "--physdev-in", name, IS_BRIDGED] => RuleMatch::BridgedIn(device(name)),
        ["-m", "physdev", "--physdev-out", name, IS_BRIDGED] => RuleMatch::BridgedOut(device(name)),
        ["-m", "multiport", "--dports", list] => {
            let ranges: Option<Vec<PortRange>> = list.split(',').map(range).collect();
            match ranges?.as_slice() {
                [only] if protocol.is_some_and(has_single_ports) => RuleMatch::Port(*only),
                ranges => RuleMatch::Multiport(Multiport::exactly(ranges.to_vec())),
            }
        }
        ["-m", "icmp", "--icmp-type", text] => {
            let (kind, code) = icmp(text)?;
            RuleMatch::Icmp { kind, code }
        }
        ["-m", "icmp6", "--icmpv6-type", text] => {
            let (kind, code) = icmp(text)?;
            RuleMatch::Icmpv6 { kind, code }
        }
        ["-m", "mac", "--mac-source", mac] => RuleMatch::SourceMac(mac.parse().ok()?),
        ["-m", "bpf", "--bytecode", program] => RuleMatch::DestinationMac(destination(program)?),
        ["-m", "set", "--match-set", name, "src"] => RuleMatch::SourceIn(SetName::parse(name)?),
        ["-m", "set", "--match-set", name, "dst"] => {
            RuleMatch::DestinationIn(SetName::parse(name)?)
        }
        ["-m", "connmark", ..] => RuleMatch::Revoked,
        ["-m", "conntrack", "--ctstate", "INVALID"] => RuleMatch::Invalid,
        ["-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED"] => RuleMatch::Known,
        ["-m", "comment", "--comment", text] => RuleMatch::Comment((*text).to_owned()),
        ["-m", name @ ("tcp" | "udp"), ports @ ..] => {
            let protocol = if *name == "tcp" { IpProtocol::TCP } else { IpProtocol::UDP };
            let (from, to) = match ports {
                ["--sport", from] => (Some(range(from)?), None),
                ["--dport", to] => (None, Some(range(to)?)),
                ["--sport", from, "--dport", to] => (Some(range(from)?), Some(range(to)?)),
                _ => return None,
            };
            RuleMatch::Ports { protocol, from, to }
        }
        _ => return None,
    })
}

fn target(words: &[&str]) -> Target {
    let is_known = |name: &str| name.starts_with(NEUTRON);
    let other = || Target::Other(words.join(" "));
    match words {
        ["-j", "ACCEPT"] => Target::Accept,
        ["-j", "DROP"] => Target::Drop,
        ["-j", "RETURN"] => Target::Return,
        ["-j", chain] if is_known(chain) => Target::Jump(ChainName::exactly(chain)),
        ["-g", chain] if is_known(chain) => Target::Goto(ChainName::exactly(chain)),
        ["-j", "CT", "--zone", zone] => {
            zone.parse().map_or_else(|_| other(), |zone| Target::Zone(model::CtZone::new(zone)))
        }
        ["-j", "CT", "--notrack"] => Target::NoTrack,
        _ => other(),
    }
}

/// Whether a single range of its ports is a match of its own, in rules of ours.
fn has_single_ports(protocol: IpProtocol) -> bool {
    [IpProtocol::TCP, IpProtocol::UDP].contains(&protocol)
}

fn range(text: &str) -> Option<PortRange> {
    let (low, high) = text.split_once(':').unwrap_or((text, text));
    PortRange::new(low.parse().ok()?, high.parse().ok()?).ok()
}

fn icmp(text: &str) -> Option<(u8, Option<u8>)> {
    Some(match text.split_once('/') {
        Some((kind, code)) => (kind.parse().ok()?, Some(code.parse().ok()?)),
        None => (text.parse().ok()?, None),
    })
}

/// The MAC address that a filter program looks for. Whether it is written so is for the caller to
/// see.
fn destination(program: &str) -> Option<MacAddr> {
    let behind = |instruction: &str| -> Option<&str> {
        let rest = program.split_once(instruction)?.1;
        rest.split(',').next()
    };
    let high: u32 = behind(&format!(",32 0 0 {FRAME},21 0 3 "))?.parse().ok()?;
    let low: u16 = behind(&format!(",40 0 0 {},21 0 1 ", FRAME + 4))?.parse().ok()?;
    let ([a, b, c, d], [e, g]) = (high.to_be_bytes(), low.to_be_bytes());
    Some(MacAddr::new([a, b, c, d, e, g]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_write_is_understood_where_it_is_usual() {
        let is_understood = |text: &str| {
            let rule = Rule::parse(text);
            assert_eq!(rule.to_string(), text);
            let is_other = |each: &RuleMatch| matches!(each, RuleMatch::Other(_));
            !rule.matches.iter().any(is_other) && !matches!(rule.target, Target::Other(_))
        };
        for text in [
            "-j ACCEPT",
            "-s 192.0.2.1/32 -j DROP",
            "-s 10.0.0.0/8 -d 192.0.2.0/24 -p tcp -m tcp --dport 23 -j ACCEPT",
            "-p udp -m udp --sport 67 --dport 68 -j RETURN",
            "-p tcp -m tcp --sport 1024:65535 -m comment --comment \"a -j b\" -j RETURN",
            "-m comment --comment why -j DROP",
        ] {
            assert!(is_understood(text), "{text}");
        }
        for text in [
            "",
            "-j LOG --log-prefix \"no -j \"",
            "-i eth0 -o eth1 -j ACCEPT",
            "! -s 192.0.2.0/24 -j ACCEPT",
            "-s 192.0.2.0/24 -i eth0 -p tcp -j DROP",
            "-p tcp -m tcp --dport 22 --tcp-flags SYN SYN -j ACCEPT",
            "-m connmark --mark 0x2/0x2 -j DROP",
            "-m set ! --match-set NIPv400000001-0000-6000-0000- src -j DROP",
            "-m multiport --sports 1,2 -m multiport --dports 3 -j DROP",
            "-j DOCKER-USER",
            "-p nonsense -j RETURN",
            "-j REJECT --reject-with icmp-port-unreachable",
        ] {
            assert!(!is_understood(text), "{text}");
        }
    }
}
