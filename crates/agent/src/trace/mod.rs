//! What becomes of one packet, table by table, and which rule or check decides it. Pure.
//!
//! The packet takes its way through the flows that the switch holds, and through the chains that
//! netfilter holds where that filters the sender or the receiver (`filtering`). That a rule admitted
//! it is told by [`policy::allows`], which knows neither flow nor chain.

mod filtering;
mod words;

pub use self::filtering::{Filtering, Met};

use std::net::{IpAddr, Ipv4Addr};

use dataplane::bridge::layout::{
    self, DROPPED, DropReason, RULES_EGRESS, RULES_INGRESS, priority, table_name,
};
use dataplane::hybrid::{Netfilter, Reason};
use dataplane::{Filter, FlowSet, LocalPort, Snapshot};
use model::{
    Direction, EtherType, IpProtocol, MacAddr, PortId, Prefix, SecurityGroup, SecurityGroupRuleId,
};
use openflow::interpreter::{Run, Step as Lookup};
use policy::{L4, Packet, allows};
use serde::{Deserialize, Serialize};

use self::filtering::{Inspection, Judged};
use crate::cache::Names;
use crate::probe::{
    Bridge, End, STRANGER, State, Tracking, at_bridge, carrying, end_of, from_elsewhere, from_port,
    is_way_in, port_no, reason, ways_out,
};
use crate::verify::table;

/// What is said where no rule admits a packet and connections do not count.
const STATELESS: &str = "; the port's security groups are stateless, so replies need a rule too";

/// What to trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The port.
    pub port: String,
    /// Whether it sends the packet or is to receive it, and who is on the other side.
    pub way: Way,
    /// What follows the IP header.
    pub transport: Transport,
    /// What connection tracking says of it.
    pub state: State,
}

/// Which way the packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// From the port to this address.
    To(IpAddr),
    /// From this address to the port.
    From(IpAddr),
}

/// What follows the IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TCP to this port.
    Tcp(u16),
    /// UDP to this port.
    Udp(u16),
    /// ICMP of the packet's family.
    Icmp {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
    },
    /// An echo request of the packet's family.
    Echo,
    /// An IP protocol of which nothing more is looked at.
    Protocol(u8),
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The packet, as `ovs-appctl ofproto/trace` takes it.
    pub packet: String,
    /// What connection tracking says of it.
    pub state: State,
    /// What netfilter does with it on the Linux bridge of the sender, where that filters it.
    pub sent: Option<Filtering>,
    /// The tables that it goes through, in order. None where it does not come so far.
    pub steps: Vec<Step>,
    /// What netfilter does with it on the Linux bridge of the receiver, where that filters it.
    pub received: Option<Filtering>,
    /// Whether it leaves the integration bridge, and nobody behind it on this host drops it.
    pub accepted: bool,
    /// By which ports it leaves; `NORMAL` where the switch decides.
    pub outputs: Vec<String>,
    /// The rules that admit it: the sender's, then the receiver's. Empty where none was needed.
    pub rules: Vec<Admission>,
    /// Why it is refused, or why it needs no rule.
    pub reason: Option<String>,
}

/// A lookup in a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The table, by number and name.
    pub table: String,
    /// The flow that was found there.
    pub flow: Option<String>,
    /// The register fields that it has written.
    pub registers: Vec<String>,
    /// Whether connection tracking has seen the packet before.
    pub tracked: bool,
}

/// A rule that admits the packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// The port that has the rule.
    pub port: String,
    /// `egress` or `ingress`.
    pub direction: String,
    /// The rule's id.
    pub rule: String,
    /// What the rule says, in words.
    pub says: String,
    /// The id of the security group that it belongs to.
    pub group: String,
    /// The name of that group, where it has one.
    pub group_name: Option<String>,
}

/// A question that has no answer.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// The text is no id.
    #[error("'{text}' is not the id of a port")]
    Id {
        /// What was given.
        text: String,
    },
    /// The port has no flows.
    #[error("port {port} has no flows on this host; 'weir status' says why")]
    NoPort {
        /// The port.
        port: PortId,
    },
}

/// Through what a packet is followed.
#[derive(Debug, Clone)]
pub struct Installed {
    /// The flows of the integration bridge.
    pub flows: FlowSet,
    /// What netfilter holds, or why that is not known; `None` where nobody has looked.
    pub netfilter: Option<Result<Netfilter, String>>,
}

/// Follows a packet through what is installed.
///
/// # Errors
///
/// The port is not one of this node.
pub fn trace(
    snapshot: &Snapshot,
    names: &Names,
    installed: &Installed,
    question: &Question,
) -> Result<Trace, TraceError> {
    let id: PortId =
        question.port.parse().map_err(|_| TraceError::Id { text: question.port.clone() })?;
    let local = snapshot.ports.get(&id).ok_or(TraceError::NoPort { port: id })?;
    let remote = match question.way {
        Way::To(address) | Way::From(address) => address,
    };
    let ethertype = if remote.is_ipv4() { EtherType::Ipv4 } else { EtherType::Ipv6 };
    let own = end_of(local, ethertype);
    let neighbour = neighbour(snapshot, local, remote);
    let mac = neighbour.map_or_else(|| mac_for(remote), |(mac, _)| mac);
    let other = End { mac, address: remote };
    let neighbour = neighbour.map(|(_, local)| local);

    let (protocol, l4) = transport(question.transport, ethertype);
    let walk = match question.way {
        Way::To(_) => Walk { sender: Some(local), from: own, to: other, receiver: neighbour },
        Way::From(_) => Walk { sender: neighbour, from: other, to: own, receiver: Some(local) },
    };
    let way_in = match walk.sender {
        Some(sender) => from_port(sender.ofport),
        None => from_elsewhere(snapshot, local),
    };
    let frame = carrying(way_in, walk.from, walk.to, protocol, l4);
    let inspection = Inspection { snapshot, names, netfilter: installed.netfilter.as_ref() };
    let tracking = Tracking { state: question.state, revoked: false };
    let ends = [walk.from, walk.to];
    let judged = |local: Option<&LocalPort>, direction| {
        let local = local.filter(|local| local.filter == Filter::Netfilter)?;
        Some(inspection.judge(
            local,
            direction,
            at_bridge(local.port.id, direction, ends, protocol, l4),
            tracking,
        ))
    };
    let sent = judged(walk.sender, Direction::Egress);
    let mut trace = Trace {
        packet: frame.to_string(),
        state: question.state,
        sent: None,
        steps: Vec::new(),
        received: None,
        accepted: false,
        outputs: Vec::new(),
        rules: Vec::new(),
        reason: None,
    };
    let mut connection_counts = false;
    if let Some(Judged { filtering, admission, told, is_known }) = sent {
        trace.rules.extend(admission);
        trace.reason = told;
        connection_counts |= is_known;
        let is_dropped = filtering.is_dropped();
        trace.sent = Some(filtering);
        if is_dropped {
            return Ok(trace);
        }
    }
    let bridge = Bridge::new(&installed.flows);
    let run = bridge.run(frame, tracking);
    trace.accepted = !run.is_dropped();
    trace.rules.extend(walk.admissions(snapshot, names, &run, protocol, l4));
    trace.steps = steps(&run);
    trace.outputs = ways_out(&run);
    if !trace.accepted {
        trace.reason = Some(walk.refusal(snapshot, &run));
        return Ok(trace);
    }
    let reached = walk.receiver.filter(|local| run.ports().any(|it| it == port_no(local.ofport)));
    if let Some(Judged { filtering, admission, told, is_known }) =
        judged(reached, Direction::Ingress)
    {
        trace.rules.extend(admission);
        connection_counts |= is_known;
        trace.accepted = !filtering.is_dropped();
        // Of both sides, where they say different things and the packet passes.
        trace.reason = match (trace.reason.take(), told) {
            (Some(before), Some(told)) if trace.accepted && before != told => {
                Some(format!("{before}; {told}"))
            }
            (before, told) => told.or(before),
        };
        trace.received = Some(filtering);
    }
    if trace.reason.is_none() && trace.rules.is_empty() {
        trace.reason = Some(needs_none(&run, connection_counts));
    }
    Ok(trace)
}

/// Who sends a packet to whom; the ports that are at this node.
struct Walk<'a> {
    sender: Option<&'a LocalPort>,
    from: End,
    to: End,
    receiver: Option<&'a LocalPort>,
}

impl Walk<'_> {
    /// Why the packet goes nowhere. Where it is for want of a rule, and connections do not count
    /// for the port that wants it, that is said too: it is not the usual case.
    fn refusal(&self, snapshot: &Snapshot, run: &Run<'_>) -> String {
        let dropped = run.steps.iter().rfind(|step| step.table == DROPPED).and_then(reason);
        let local = match dropped {
            Some(DropReason::NoEgressRule) => self.sender,
            Some(DropReason::NoIngressRule) => self.receiver,
            _ => None,
        };
        let is_stateless = |local: &LocalPort| snapshot.is_stateless(&local.port.groups);
        refusal(run) + if local.is_some_and(is_stateless) { STATELESS } else { "" }
    }

    /// The rules by which it passed the tables of the rules.
    fn admissions(
        &self,
        snapshot: &Snapshot,
        names: &Names,
        run: &Run<'_>,
        protocol: IpProtocol,
        l4: L4,
    ) -> Vec<Admission> {
        let sides = [
            (RULES_EGRESS, Direction::Egress, self.sender, self.to),
            (RULES_INGRESS, Direction::Ingress, self.receiver, self.from),
        ];
        let mut admissions = Vec::new();
        for (table, direction, local, remote) in sides {
            let by_rule = |step: &Lookup<'_>| {
                step.table == table && step.flow.is_some_and(|it| it.priority == priority::RULE)
            };
            let Some(local) = local.filter(|_| run.steps.iter().any(by_rule)) else { continue };
            let packet =
                Packet { remote: remote.address, remote_mac: Some(remote.mac), protocol, l4 };
            for group in snapshot.groups_of(&local.port.groups) {
                let Some(id) = allows([group.as_ref()], &snapshot.members, direction, &packet)
                else {
                    continue;
                };
                admissions.push(Admission::of(local, direction, id, group, names));
                break;
            }
        }
        admissions
    }
}

impl Admission {
    fn of(
        local: &LocalPort,
        direction: Direction,
        id: SecurityGroupRuleId,
        group: &SecurityGroup,
        names: &Names,
    ) -> Self {
        let rule = group.rules.iter().find(|rule| rule.id() == id);
        Self {
            port: local.port.id.to_string(),
            direction: direction.to_string(),
            rule: id.to_string(),
            says: rule.map(|rule| words::rule(rule, names)).unwrap_or_default(),
            group: group.id.to_string(),
            group_name: names.groups.get(&group.id).cloned(),
        }
    }
}

/// The port of the same network that has this address, and the Ethernet address it has it with.
fn neighbour<'a>(
    snapshot: &'a Snapshot,
    local: &LocalPort,
    address: IpAddr,
) -> Option<(MacAddr, &'a LocalPort)> {
    let others = snapshot
        .ports
        .values()
        .filter(|other| other.port.network == local.port.network && other.port.id != local.port.id);
    others.into_iter().find_map(|other| {
        let pair = other.port.pairs.iter().find(|pair| pair.prefix == Prefix::host(address));
        let own = address == IpAddr::V6(other.port.mac.link_local());
        let mac = pair.map(|pair| pair.mac).or(own.then_some(other.port.mac))?;
        Some((mac, other))
    })
}

/// The Ethernet address for somebody who is not at this node, or for a group (RFC 1112 § 6.4,
/// RFC 2464 § 7).
fn mac_for(address: IpAddr) -> MacAddr {
    match address {
        IpAddr::V4(Ipv4Addr::BROADCAST) => MacAddr::BROADCAST,
        IpAddr::V4(group) if group.is_multicast() => {
            let [_, b, c, d] = group.octets();
            MacAddr::new([0x01, 0x00, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V6(group) if group.is_multicast() => {
            let [.., a, b, c, d] = group.octets();
            MacAddr::new([0x33, 0x33, a, b, c, d])
        }
        _ => STRANGER,
    }
}

fn transport(transport: Transport, ethertype: EtherType) -> (IpProtocol, L4) {
    match transport {
        Transport::Tcp(dst) => (IpProtocol::TCP, L4::Ports { dst }),
        Transport::Udp(dst) => (IpProtocol::UDP, L4::Ports { dst }),
        Transport::Icmp { kind, code } => (ethertype.icmp(), L4::Icmp { kind, code }),
        Transport::Echo => {
            let kind = if ethertype == EtherType::Ipv4 { 8 } else { 128 };
            (ethertype.icmp(), L4::Icmp { kind, code: 0 })
        }
        Transport::Protocol(number) => {
            let protocol = IpProtocol(number);
            let l4 = if protocol.has_ports() {
                L4::Ports { dst: 0 }
            } else if protocol == ethertype.icmp() {
                L4::Icmp { kind: 0, code: 0 }
            } else {
                L4::None
            };
            (protocol, l4)
        }
    }
}

fn steps(run: &Run<'_>) -> Vec<Step> {
    let mut before = [0; 16];
    let mut steps = Vec::with_capacity(run.steps.len());
    for lookup in &run.steps {
        // A frame from elsewhere brings its network along.
        if !is_way_in(lookup) {
            steps.push(Step {
                table: table(lookup.table),
                flow: lookup.flow.map(layout::with_names),
                registers: written(&before, &lookup.registers),
                tracked: lookup.pass > 0,
            });
        }
        before = lookup.registers;
    }
    steps
}

/// The register fields that differ, as `NAME=value`.
fn written(before: &[u32; 16], after: &[u32; 16]) -> Vec<String> {
    let value = |registers: &[u32; 16], field: openflow::Subfield| {
        let register =
            (0..).zip(registers).find(|(n, _)| openflow::Field::reg(*n) == field.field());
        register.map(|(_, value)| u128::from(*value) >> field.lo() & field.full_value())
    };
    layout::FIELDS
        .iter()
        .filter_map(|(name, field)| {
            let now = value(after, *field)?;
            (value(before, *field)? != now).then(|| format!("{name}={now:#x}"))
        })
        .collect()
}

/// Why a packet passes although no rule was asked, given whether it is because netfilter
/// knows its connection.
fn needs_none(run: &Run<'_>, connection_counts: bool) -> String {
    let in_rules = |step: &Lookup<'_>| [RULES_EGRESS, RULES_INGRESS].contains(&step.table);
    let reason = match connection_counts || run.steps.iter().any(in_rules) {
        true => Reason::Known,
        false => Reason::NoneNeeded,
    };
    reason.text().to_owned()
}

fn refusal(run: &Run<'_>) -> String {
    let dropped = run.steps.iter().rfind(|step| step.table == DROPPED);
    if let Some(reason) = dropped.and_then(reason) {
        return reason.text().to_owned();
    }
    if let Some(fault) = &run.fault {
        return fault.to_string();
    }
    match run.steps.last() {
        Some(Lookup { table, flow: None, .. }) => {
            let name = table_name(*table).unwrap_or_default();
            format!("no flow of table {table} {name} matches it; see 'weir verify'")
        }
        _ => "the last flow takes it nowhere".to_owned(),
    }
}

#[cfg(test)]
mod tests;
