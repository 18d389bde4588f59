//! The chains of one port: what is its own, before its policy is asked.
//!
//! The chain of what it sends checks the source, lets pass what needs no rule and refuses what
//! no rule can allow; the chain of what it receives lets pass what needs no rule. Both go on in
//! the chain of the policy in place of theirs, so `RETURN` there means: admitted.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Direction, EtherType, IpProtocol, MacAddr, PortId, Prefix};
use policy::PolicyId;

use super::name::ChainName;
use super::rule::{Rule, RuleMatch, Target};

const MLD_QUERY: u8 = 130;
const MLD_REPORT: u8 = 131;
const MLD_DONE: u8 = 132;
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const MLD2_REPORT: u8 = 143;

/// A port that is filtered, and everything that its chains depend on.
pub(super) struct Filtered<'a> {
    pub(super) port: &'a model::Port,
    pub(super) policy: PolicyId,
    pub(super) stateless: bool,
    pub(super) strict: bool,
}

/// The names of the chains of a port.
pub(super) struct PortChains {
    pub(super) ingress: ChainName,
    pub(super) egress: ChainName,
    pub(super) sources: ChainName,
}

impl PortChains {
    pub(super) fn of(port: PortId) -> Self {
        let of = |kind| ChainName::of_port(kind, port);
        Self { ingress: of('i'), egress: of('o'), sources: of('s') }
    }
}

impl Filtered<'_> {
    /// What it receives.
    pub(super) fn ingress(&self, family: EtherType) -> Vec<Rule> {
        let mut rules = Vec::new();
        let mut pass = |rule| rules.push(rule);
        if family == EtherType::Ipv6 {
            let mut kinds = vec![MLD_QUERY, NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT];
            if self.strict || self.own(family).next().is_some() {
                kinds.push(ROUTER_ADVERTISEMENT);
            }
            kinds.sort_unstable();
            kinds.into_iter().map(icmpv6).for_each(&mut pass);
        }
        self.known().into_iter().for_each(&mut pass);
        let (from, to) = dhcp_server(family);
        if self.strict {
            pass(udp(from, to));
        } else {
            let besides = match family {
                EtherType::Ipv4 => Some(Prefix::host(Ipv4Addr::BROADCAST.into())),
                EtherType::Ipv6 => Prefix::new(Ipv6Addr::from(LINK_LOCAL).into(), 64),
            };
            let own: BTreeSet<Prefix> = self.own(family).chain(besides).collect();
            own.into_iter().map(|own| udp(from, to).destination(own)).for_each(&mut pass);
        }
        pass(self.policy(Direction::Ingress));
        rules
    }

    /// What it sends.
    pub(super) fn egress(&self, family: EtherType) -> Vec<Rule> {
        let mut rules = Vec::new();
        let mut add = |rule| rules.push(rule);
        let sources = Rule::all(Target::Jump(PortChains::of(self.port.id).sources));
        match family {
            EtherType::Ipv4 => {
                let discover = udp(68, 67).source(Prefix::host(Ipv4Addr::UNSPECIFIED.into()));
                add(if self.strict {
                    discover.with(RuleMatch::SourceMac(self.port.mac))
                } else {
                    discover.destination(Prefix::host(Ipv4Addr::BROADCAST.into()))
                });
                add(sources);
                add(udp(68, 67));
                add(drop(udp(67, 68)));
            }
            EtherType::Ipv6 => {
                for kind in [MLD_REPORT, NEIGHBOUR_SOLICITATION, MLD2_REPORT] {
                    let probe = icmpv6(kind).source(Prefix::host(Ipv6Addr::UNSPECIFIED.into()));
                    add(to_link_local_groups(probe));
                }
                if self.strict {
                    // The integration bridge checks which address it advertises.
                    add(icmpv6(NEIGHBOUR_ADVERTISEMENT));
                }
                add(sources);
                add(drop(icmpv6(ROUTER_ADVERTISEMENT)));
                if self.strict {
                    let to_all = [MLD_QUERY, ROUTER_SOLICITATION, NEIGHBOUR_SOLICITATION];
                    to_all.map(icmpv6).into_iter().for_each(&mut add);
                    let to_groups = [MLD_REPORT, MLD_DONE, MLD2_REPORT].map(icmpv6);
                    to_groups.map(to_link_local_groups).into_iter().for_each(&mut add);
                } else {
                    add(pass(IpProtocol::ICMPV6));
                }
                add(udp(546, 547));
                add(drop(udp(547, 546)));
            }
        }
        self.known().into_iter().for_each(&mut add);
        add(self.policy(Direction::Egress));
        rules
    }

    /// The sources that it may use.
    pub(super) fn sources(&self, family: EtherType) -> Vec<Rule> {
        let mut pairs: BTreeSet<(MacAddr, Prefix)> = BTreeSet::new();
        if family == EtherType::Ipv6 {
            pairs.insert(link_local(self.port.mac));
        }
        for pair in self.port.pairs.iter().filter(|pair| pair.prefix.ethertype() == family) {
            pairs.insert((pair.mac, pair.prefix));
            if family == EtherType::Ipv6 && !self.strict {
                pairs.insert(link_local(pair.mac));
            }
        }
        let mut rules: Vec<Rule> = pairs
            .into_iter()
            .map(|(mac, prefix)| {
                Rule::all(Target::Return).source(prefix).with(RuleMatch::SourceMac(mac))
            })
            .collect();
        let has_address = self.port.pairs.iter().any(|pair| pair.mac == self.port.mac);
        if !has_address && !self.strict {
            rules.push(Rule::all(Target::Return).with(RuleMatch::SourceMac(self.port.mac)));
        }
        rules.push(Rule::all(Target::Drop));
        rules
    }

    /// The addresses of its own.
    fn own(&self, family: EtherType) -> impl Iterator<Item = Prefix> {
        let own = self.port.pairs.iter().filter(|pair| pair.mac == self.port.mac);
        own.map(|pair| pair.prefix).filter(move |prefix| prefix.ethertype() == family)
    }

    /// What belongs to a connection passes, unless that has lost its permission. Deleting such a
    /// connection is not enough where the other side may open it again with its next packet.
    fn known(&self) -> Vec<Rule> {
        if self.stateless {
            return Vec::new();
        }
        let revoked = Rule::all(Target::Drop).with(RuleMatch::Revoked);
        vec![revoked, Rule::all(Target::Return).with(RuleMatch::Known)]
    }

    fn policy(&self, direction: Direction) -> Rule {
        Rule::all(Target::Goto(ChainName::of_policy(direction, self.policy)))
    }
}

/// fe80::.
const LINK_LOCAL: [u16; 8] = [0xfe80, 0, 0, 0, 0, 0, 0, 0];
/// ff02::.
const LINK_LOCAL_GROUPS: [u16; 8] = [0xff02, 0, 0, 0, 0, 0, 0, 0];

fn link_local(mac: MacAddr) -> (MacAddr, Prefix) {
    (mac, Prefix::host(IpAddr::V6(mac.link_local())))
}

fn dhcp_server(family: EtherType) -> (u16, u16) {
    match family {
        EtherType::Ipv4 => (67, 68),
        EtherType::Ipv6 => (547, 546),
    }
}

fn pass(protocol: IpProtocol) -> Rule {
    Rule::all(Target::Return).protocol(protocol)
}

fn drop(rule: Rule) -> Rule {
    Rule { target: Target::Drop, ..rule }
}

fn udp(from: u16, to: u16) -> Rule {
    pass(IpProtocol::UDP).with(RuleMatch::Udp { from, to })
}

fn icmpv6(kind: u8) -> Rule {
    pass(IpProtocol::ICMPV6).with(RuleMatch::Icmpv6 { kind, code: None })
}

fn to_link_local_groups(rule: Rule) -> Rule {
    Rule { destination: Prefix::new(Ipv6Addr::from(LINK_LOCAL_GROUPS).into(), 16), ..rule }
}
