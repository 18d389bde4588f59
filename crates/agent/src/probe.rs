//! Sending a packet through flows without a switch, for `verify` and `trace`. Pure.
//!
//! A frame comes in by the port that sends it, or by the uplink of its network. Where a network
//! has no uplink, a frame from elsewhere begins at the table where those of an uplink go on. Of a port
//! that netfilter filters, the packet is one on its Linux bridge, too.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use dataplane::bridge::layout::{self, ACCEPT_OR_INGRESS, DROPPED, DropReason};
use dataplane::hybrid::verdict::{self, Header};
use dataplane::{FlowSet, LocalPort, Snapshot};
use model::{
    Direction, EtherType, HybridDevices, IpProtocol, MacAddr, NetworkType, OfPort, Port, PortId,
};
use openflow::interpreter::{self, CtEntry, Effect, Run, Step, Tables};
use openflow::{Action, CtState, Field, Flow, Match, PortNo, Priority, TableId};
use policy::L4;
use serde::{Deserialize, Serialize};

/// The port from which frames come that a client sends.
const SOURCE_PORT: u16 = 40_000;
/// Somebody who is not at this node: locally administered.
pub(crate) const STRANGER: MacAddr = MacAddr::new([0x02, 0, 0, 0xff, 0xff, 1]);
/// An IPv4 address for a port that has none (RFC 5737).
const NO_IPV4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// A number that no port can have: the way in for frames from elsewhere.
const ELSEWHERE: PortNo = PortNo(0xffff_ff00);
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

/// How connection tracking sees a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The first packet of a connection.
    New,
    /// A later one in the direction of the first.
    Established,
    /// One in the other direction.
    Reply,
    /// Not of the connection, but about it, such as an ICMP error.
    Related,
    /// Of no connection that there could be.
    Invalid,
}

/// Text that is no [`State`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not the state of a connection (new, established, reply, related, invalid)")]
pub struct ParseStateError {
    /// What was given.
    pub text: String,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::New, Self::Established, Self::Reply, Self::Related, Self::Invalid];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Reply => "reply",
            Self::Related => "related",
            Self::Invalid => "invalid",
        }
    }

    fn bits(self) -> CtState {
        match self {
            Self::New => CtState::NEW,
            Self::Established => CtState::EST,
            Self::Reply => CtState::EST | CtState::RPL,
            Self::Related => CtState::REL,
            Self::Invalid => CtState::INV,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for State {
    type Err = ParseStateError;

    fn from_str(text: &str) -> Result<Self, ParseStateError> {
        let found = Self::ALL.into_iter().find(|state| state.name() == text);
        found.ok_or_else(|| ParseStateError { text: text.to_owned() })
    }
}

/// What connection tracking says of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tracking {
    /// Its state.
    pub(crate) state: State,
    /// Whether the connection has lost its rule.
    pub(crate) revoked: bool,
}

impl Tracking {
    /// Everything that it can say. A new connection has no mark, and that of an invalid packet
    /// is nobody's.
    pub(crate) const ALL: [Self; 8] = [
        Self { state: State::New, revoked: false },
        Self { state: State::Established, revoked: false },
        Self { state: State::Established, revoked: true },
        Self { state: State::Reply, revoked: false },
        Self { state: State::Reply, revoked: true },
        Self { state: State::Related, revoked: false },
        Self { state: State::Related, revoked: true },
        Self { state: State::Invalid, revoked: false },
    ];
}

impl Tracking {
    /// What netfilter makes of it, in a zone.
    pub(crate) fn in_netfilter(self) -> verdict::State {
        match self.state {
            State::New => verdict::State::New,
            State::Invalid => verdict::State::Invalid,
            _ if self.revoked => verdict::State::Revoked,
            State::Established | State::Reply => verdict::State::Established,
            State::Related => verdict::State::Related,
        }
    }
}

impl fmt::Display for Tracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.revoked { " of a connection that lost its rule" } else { "" };
        write!(f, "{}{mark}", self.state)
    }
}

/// Flows to send packets through.
pub(crate) struct Bridge {
    tables: Tables,
}

impl Bridge {
    /// With these flows.
    pub(crate) fn new(flows: &FlowSet) -> Self {
        let way_in = Flow {
            table: TableId(0),
            priority: Priority(u16::MAX),
            matches: Match::new().in_port(ELSEWHERE.0),
            actions: [Action::Resubmit(ACCEPT_OR_INGRESS)].into(),
            ..Flow::default()
        };
        Self { tables: flows.iter().cloned().chain([Arc::new(way_in)]).collect() }
    }

    /// What becomes of a frame.
    pub(crate) fn run(&self, frame: interpreter::Packet, tracking: Tracking) -> Run<'_> {
        self.run_asking(frame, tracking).0
    }

    /// What becomes of a frame, and whether connection tracking was asked.
    pub(crate) fn run_asking(
        &self,
        frame: interpreter::Packet,
        tracking: Tracking,
    ) -> (Run<'_>, bool) {
        let Tracking { state, revoked } = tracking;
        let mark = if revoked { layout::MARK_REVOKED } else { layout::MARK_VALID };
        let entry = CtEntry::new(state.bits()).mark(mark);
        let mut was_asked = false;
        let mut conntrack = |_: u16, _: &interpreter::Packet| {
            was_asked = true;
            entry
        };
        let run = interpreter::run(&self.tables, frame, &mut conntrack);
        (run, was_asked)
    }
}

/// Whether a frame comes from somewhere that no port of a switch leads to.
pub(crate) fn is_from_elsewhere(frame: &interpreter::Packet) -> bool {
    frame.in_port() == ELSEWHERE
}

/// Whether this lookup is only how a frame from elsewhere gets in, and none that a switch does.
pub(crate) fn is_way_in(step: &Step<'_>) -> bool {
    let in_port = step.flow.and_then(|flow| flow.matches.exact(Field::IN_PORT));
    in_port == Some(ELSEWHERE.0.into())
}

/// One end of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// Its Ethernet address.
    pub(crate) mac: MacAddr,
    /// Its IP address.
    pub(crate) address: IpAddr,
}

/// A frame that comes in by a port of the bridge.
pub(crate) fn from_port(ofport: OfPort) -> interpreter::Packet {
    interpreter::Packet::new(port_no(ofport))
}

/// A frame for a port that comes from somebody who is not at this node.
pub(crate) fn from_elsewhere(snapshot: &Snapshot, local: &LocalPort) -> interpreter::Packet {
    let Some(network) = snapshot.networks.get(&local.port.network) else {
        return interpreter::Packet::new(ELSEWHERE);
    };
    let segment = &network.segment;
    let uplink = snapshot.uplink(network);
    let tag = segment.segmentation_id.and_then(|id| u16::try_from(id.get()).ok());
    match (uplink, segment.network_type, tag) {
        (Some(uplink), NetworkType::Vlan, Some(tag)) => from_port(uplink).vlan(tag),
        (Some(uplink), NetworkType::Flat, _) => from_port(uplink),
        _ => interpreter::Packet::new(ELSEWHERE)
            .with(layout::NETWORK.field(), network.vlan.get().into()),
    }
}

/// The IP packet of a frame, with the source port of a client.
pub(crate) fn carrying(
    frame: interpreter::Packet,
    from: End,
    to: End,
    protocol: IpProtocol,
    l4: L4,
) -> interpreter::Packet {
    let frame = frame.eth_src(from.mac.octets()).eth_dst(to.mac.octets());
    let frame = match (from.address, to.address) {
        (IpAddr::V4(from), IpAddr::V4(to)) => frame.ipv4(from, to),
        (IpAddr::V6(from), IpAddr::V6(to)) => frame.ipv6(from, to),
        // Nobody sends that; it has no addresses then, and goes where unknown frames go.
        _ => return frame,
    };
    match (protocol, l4) {
        (IpProtocol::TCP, L4::Ports { dst }) => frame.tcp(SOURCE_PORT, dst),
        (IpProtocol::UDP, L4::Ports { dst }) => frame.udp(SOURCE_PORT, dst),
        (IpProtocol::SCTP, L4::Ports { dst }) => frame.sctp(SOURCE_PORT, dst),
        (IpProtocol::ICMPV6, L4::Icmp { kind: NEIGHBOUR_SOLICITATION, code: 0 }) => {
            frame.neighbour_solicitation(v6(to.address), from.mac.octets())
        }
        // Of the sender's own address, as it should be.
        (IpProtocol::ICMPV6, L4::Icmp { kind: NEIGHBOUR_ADVERTISEMENT, code: 0 }) => {
            frame.neighbour_advertisement(v6(from.address), from.mac.octets())
        }
        (_, L4::Icmp { kind, code }) => frame.icmp(kind, code),
        _ => frame.ip_proto(protocol.0),
    }
}

/// The IP packet on the Linux bridge of a port that sends it or gets it, with the source port of a
/// client.
pub(crate) fn at_bridge(
    port: PortId,
    direction: Direction,
    [from, to]: [End; 2],
    protocol: IpProtocol,
    l4: L4,
) -> verdict::Packet {
    let HybridDevices { tap, qvb, .. } = HybridDevices::of(port);
    let (input, output) = match direction {
        Direction::Ingress => (qvb, tap),
        Direction::Egress => (tap, qvb),
    };
    verdict::Packet {
        input,
        output: Some(output),
        source_mac: from.mac,
        destination_mac: to.mac,
        source: from.address,
        destination: to.address,
        protocol,
        header: match l4 {
            L4::Ports { dst } => Header::Ports { from: SOURCE_PORT, to: dst },
            L4::Icmp { kind, code } => Header::Icmp { kind, code },
            L4::None => Header::Other,
        },
        state: verdict::State::New,
    }
}

/// The end at which a port is, in a family: its own address, or an IPv4 address that it may not
/// use where it has none.
pub(crate) fn end_of(local: &LocalPort, ethertype: EtherType) -> End {
    end_of_port(&local.port, ethertype)
}

/// The same of a port, wherever it is plugged in.
pub(crate) fn end_of_port(port: &Port, ethertype: EtherType) -> End {
    let own = port.pairs.iter().filter(|pair| pair.mac == port.mac).map(|pair| pair.prefix);
    let own = own
        .filter(|prefix| prefix.ethertype() == ethertype && !prefix.address().is_unspecified())
        .map(|prefix| prefix.address())
        .next();
    let address = own.unwrap_or_else(|| match ethertype {
        EtherType::Ipv4 => NO_IPV4,
        EtherType::Ipv6 => IpAddr::V6(port.mac.link_local()),
    });
    End { mac: port.mac, address }
}

/// A group that nobody treats in a special way (RFC 6762), as the end of a packet.
pub(crate) fn group_of(ethertype: EtherType) -> End {
    match ethertype {
        EtherType::Ipv4 => End {
            mac: MacAddr::new([0x01, 0, 0x5e, 0, 0, 0xfb]),
            address: IpAddr::V4(Ipv4Addr::new(224, 0, 0, 251)),
        },
        EtherType::Ipv6 => End {
            mac: MacAddr::new([0x33, 0x33, 0, 0, 0, 0xfb]),
            address: IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb)),
        },
    }
}

/// What becomes of a packet, as far as one port decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It passes.
    Accepted,
    /// It does not; without a reason where no flow matched it.
    Refused(Option<DropReason>),
}

impl Verdict {
    /// What a run says of its packet, which a port sends or is to receive.
    pub(crate) fn of(run: &Run<'_>, direction: Direction, local: &LocalPort) -> Self {
        let dropped = run.steps.iter().rfind(|step| step.table == DROPPED);
        let accepted = match direction {
            Direction::Ingress => run.ports().any(|port| port == port_no(local.ofport)),
            // What becomes of it behind table 173 is not the sender's matter, but something must.
            Direction::Egress => {
                run.steps.iter().any(|step| step.table == ACCEPT_OR_INGRESS)
                    && (dropped.is_some() || !run.is_dropped())
            }
        };
        if accepted { Self::Accepted } else { Self::Refused(dropped.and_then(reason)) }
    }
}

/// Why a packet came to table 193.
pub(crate) fn reason(step: &Step<'_>) -> Option<DropReason> {
    let register = layout::REASON.field();
    let number = (0..).zip(step.registers).find(|(n, _)| Field::reg(*n) == register)?.1;
    DropReason::ALL.iter().copied().find(|reason| reason.number() == number)
}

/// The ports that a run sends its packet out of, and how else it leaves.
pub(crate) fn ways_out(run: &Run<'_>) -> Vec<String> {
    run.effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Output { port, .. } => Some(format!("port {port}")),
            Effect::Normal { .. } => Some("NORMAL".to_owned()),
            _ => None,
        })
        .collect()
}

/// A port number (ofport) in 32 bits.
pub(crate) fn port_no(ofport: OfPort) -> PortNo {
    if ofport == OfPort::LOCAL { PortNo::LOCAL } else { PortNo(ofport.get().into()) }
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V6(address) => address,
        IpAddr::V4(address) => address.to_ipv6_mapped(),
    }
}
