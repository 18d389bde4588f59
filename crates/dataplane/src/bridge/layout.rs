//! Every table, register, mark, cookie bit and priority band, each declared once: here those of
//! br-int and the cookies of all bridges, below those of physical bridges and of br-tun.
//!
//! `reg5` and `reg6` are Neutron's, and so are conntrack zones. Tables have Neutron's numbers and
//! 100 more: while Neutron's agent takes over, flows of both are there, and a packet must meet those
//! of one alone. `docs/pipeline.md` explains it, and a test holds that page against this file.

use openflow::{Action, Cookie, Field, Flow, Priority, Subfield, TableId};

/// A table and what it decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Its number.
    pub id: TableId,
    /// Its name in dumps, traces and the docs.
    pub name: &'static str,
    /// What it decides.
    pub about: &'static str,
}

macro_rules! tables {
    ($($(#[doc = $doc:literal])+ $name:ident = $id:literal;)*) => {
        $($(#[doc = $doc])+ pub const $name: TableId = TableId($id);)*

        /// Every table of the bridge in the order of their numbers.
        pub const TABLES: &[Table] = &[
            $(Table { id: $name, name: stringify!($name), about: concat!($($doc),+) }),*
        ];
    };
}

pub mod physical;
pub mod predecessor;
pub mod tunnel;

tables! {
    /// The dead VLAN ends here; everything else enters Weir's tables.
    ENTRY = 0;
    /// Frames of physical networks get their local VLAN.
    LOCAL_SWITCHING = 100;
    /// Whether a port sends more packets than its QoS policy lets it.
    PACKET_RATE_LIMIT = 158;
    /// Whether a port sends more kilobits than its QoS policy lets it; the queue and the mark of what
    /// it sends.
    BANDWIDTH_RATE_LIMIT = 159;
    /// Which port or physical network a frame comes from.
    TRANSIENT = 160;
    /// Who is behind an unmanaged port or an uplink, learned from the frames that come from there.
    LEARN = 163;
    /// Whether a managed port may use the source addresses of the frame.
    BASE_EGRESS = 171;
    /// The policy of the sending port.
    RULES_EGRESS = 172;
    /// Whether the destination is a port of this node.
    ACCEPT_OR_INGRESS = 173;
    /// Destination address to class.
    REMOTE_EGRESS = 174;
    /// What passes without rules once its source is known to be right; the rest is tracked.
    TRACK_EGRESS = 175;
    /// Who has last sent from a MAC address that several ports share: destination address to port.
    LAST_SENDER = 176;
    /// The way to a MAC address that several ports share.
    SHARED_MAC = 179;
    /// Whether a port gets more kilobits than its QoS policy lets it, where it has a limit of packets
    /// besides.
    INGRESS_BANDWIDTH = 180;
    /// What reaches a managed port without rules; the rest is tracked.
    BASE_INGRESS = 181;
    /// The policy of the receiving port.
    RULES_INGRESS = 182;
    /// Source address to class.
    REMOTE_INGRESS = 184;
    /// Output to the port, committing what is new.
    DELIVER = 185;
    /// What a port may send to somewhere else; commits what is new.
    ACCEPTED_EGRESS = 191;
    /// First packets that were delivered: a hook for logging.
    ACCEPTED_INGRESS = 192;
    /// Everything refused, one flow for each reason.
    DROPPED = 193;
    /// Where accepted frames leave: another local port, an uplink, or NORMAL.
    ACCEPTED_EGRESS_NORMAL = 194;
    /// What [`LEARN`] has learned: destination address to port.
    LEARNED = 195;
    /// Unicast for nobody of this node, on a network with an unmanaged port.
    UNICAST_ELSEWHERE = 196;
}

/// The tables that hold nothing but what the switch has learned.
pub const LEARNING: [TableId; 2] = [LAST_SENDER, LEARNED];

/// The name of a table, where br-int has one of that number.
pub fn table_name(id: TableId) -> Option<&'static str> {
    TABLES.iter().find(|table| table.id == id).map(|table| table.name)
}

/// A flow of br-int in ovs-ofctl syntax with the names of the tables in place of their numbers, as
/// golden files, traces and `weir show flows` have it.
pub fn with_names(flow: &Flow) -> String {
    with_names_of(TABLES, flow)
}

/// The same for a flow of a bridge with these tables.
pub fn with_names_of(tables: &[Table], flow: &Flow) -> String {
    let mut text = flow.to_string();
    // The longer numbers first, so that 7 is not found in 173.
    for table in tables.iter().rev() {
        let (number, name) = (table.id.0, table.name);
        for (before, after) in [("table=", ","), ("goto_table:", ""), ("resubmit(,", ")")] {
            let numbered = format!("{before}{number}{after}");
            text = text.replace(&numbered, &format!("{before}{name}{after}"));
        }
    }
    text
}

/// The port (ofport): the sender until [`ACCEPT_OR_INGRESS`] finds a local destination.
pub const PORT: Subfield = Subfield::new(Field::reg(5), 0, 31);
/// The low half of [`PORT`], which is as wide as the port number of a frame.
pub const PORT_NUMBER: Subfield = Subfield::new(Field::reg(5), 0, 15);
/// The network: its local VLAN.
pub const NETWORK: Subfield = Subfield::new(Field::reg(6), 0, 31);
/// The conntrack zone: the low half of [`NETWORK`].
pub const ZONE: Subfield = Subfield::new(Field::reg(6), 0, 15);
/// The policy of the current direction.
pub const POLICY: Subfield = Subfield::new(Field::reg(7), 0, 31);
/// The class of the remote address among the sets without bits; 0 for none.
pub const CLASS: Subfield = Subfield::new(Field::reg(8), 0, 31);
/// Why a packet goes to [`DROPPED`].
pub const REASON: Subfield = Subfield::new(Field::reg(9), 0, 31);
/// The frame came from a physical network or a tunnel.
pub const FROM_UPLINK: Subfield = Subfield::new(Field::reg(10), 0, 0);
/// The sender may use an IPv4 address with its source MAC.
pub const HAS_IPV4: Subfield = Subfield::new(Field::reg(10), 1, 1);
/// The source MAC is the sender's own, not one of an allowed address pair.
pub const OWN_MAC: Subfield = Subfield::new(Field::reg(10), 2, 2);
/// [`PORT`] is an unmanaged port of this node that the frame is for.
pub const TO_LOCAL: Subfield = Subfield::new(Field::reg(10), 3, 3);
/// The sender's groups are stateless: nothing that it sends is tracked for its sake.
pub const STATELESS_SENDER: Subfield = Subfield::new(Field::reg(10), 4, 4);
/// The receiver's groups are stateless: what connection tracking says does not concern it.
pub const STATELESS_RECEIVER: Subfield = Subfield::new(Field::reg(10), 5, 5);
/// Other ports share the source MAC: table 173 is to note that it is at this one now.
pub const SHARED_SOURCE: Subfield = Subfield::new(Field::reg(10), 6, 6);
/// The frame is for every port with [`POLICY`] on its network.
pub const GROUP_FRAME: Subfield = Subfield::new(Field::reg(10), 7, 7);
/// The sender's rules are no business of flows: who it sends as is looked at, and nothing more.
pub const CHECKED_SENDER: Subfield = Subfield::new(Field::reg(10), 8, 8);
/// The receiver is filtered by netfilter: it gets no frame with a tag, and every other one.
pub const BEHIND_NETFILTER: Subfield = Subfield::new(Field::reg(10), 9, 9);

/// The sets of addresses that have a bit and that the remote address belongs to, the lowest bits
/// first. Class entries load those words that are not zero.
pub const SETS: [Subfield; 5] = [sets(0), sets(1), sets(2), sets(3), sets(4)];

const fn sets(word: u8) -> Subfield {
    Subfield::new(Field::reg(FIRST_OF_SETS + word), 0, 31)
}

const FIRST_OF_SETS: u8 = 11;
const _: () = assert!(SETS.len() * 32 == policy::Bits::WIDTH as usize, "a bit for each set");

/// The bit of [`SETS`] that says whether the remote address belongs to a set.
pub fn set_bit(bit: policy::Bit) -> Subfield {
    let (word, place) = bit.place();
    Subfield::new(Field::reg(FIRST_OF_SETS + word), place, place)
}

/// Every register field with the name that dumps and the docs use.
pub const FIELDS: &[(&str, Subfield)] = &[
    ("PORT", PORT),
    ("NETWORK", NETWORK),
    ("POLICY", POLICY),
    ("CLASS", CLASS),
    ("REASON", REASON),
    ("FROM_UPLINK", FROM_UPLINK),
    ("HAS_IPV4", HAS_IPV4),
    ("OWN_MAC", OWN_MAC),
    ("TO_LOCAL", TO_LOCAL),
    ("STATELESS_SENDER", STATELESS_SENDER),
    ("STATELESS_RECEIVER", STATELESS_RECEIVER),
    ("SHARED_SOURCE", SHARED_SOURCE),
    ("GROUP_FRAME", GROUP_FRAME),
    ("CHECKED_SENDER", CHECKED_SENDER),
    ("BEHIND_NETFILTER", BEHIND_NETFILTER),
    ("SETS_0", SETS[0]),
    ("SETS_1", SETS[1]),
    ("SETS_2", SETS[2]),
    ("SETS_3", SETS[3]),
    ("SETS_4", SETS[4]),
];

/// `ct_mark` of a connection that lost its rule.
pub const MARK_REVOKED: u32 = 1;
/// `ct_mark` of every other connection.
pub const MARK_VALID: u32 = 0;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// Why a packet was refused. The number is in `reg9` when it reaches table 193.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DropReason {
            $($(#[$doc])* $name = $number),*
        }

        impl DropReason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The number in the register.
            pub const fn number(self) -> u32 {
                match self {
                    $(Self::$name => $number),*
                }
            }

            /// What to tell a person.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text),*
                }
            }
        }
    };
}

reasons! {
    /// An unknown port, or a managed one with a source MAC that is not its own.
    UnknownSource = 1, "the port is not known, or may not use this source MAC address";
    /// A tagged frame from a virtual machine.
    Tagged = 2, "the virtual machine sent a frame with a VLAN tag";
    /// A source address that the port may not use, or an EtherType that is not permitted.
    SpoofedAddress = 3, "the port may not use this source address, or this EtherType is not permitted";
    /// A neighbour advertisement for an address of somebody else.
    SpoofedNeighbour = 4, "the neighbour advertisement is for an address that is not the port's";
    /// A DHCP server or router advertisement in a virtual machine.
    ServerInGuest = 5, "virtual machines may not serve DHCP or advertise routers";
    /// Conntrack calls the packet invalid.
    Invalid = 6, "conntrack cannot attribute the packet to a connection";
    /// The connection lost its rule.
    Revoked = 7, "the rule that allowed this connection is gone";
    /// No rule of the sender allows it.
    NoEgressRule = 8, "no egress rule allows it";
    /// No rule of the receiver allows it.
    NoIngressRule = 9, "no ingress rule allows it";
    /// An EtherType that a managed port does not receive.
    EtherType = 10, "frames of this EtherType are not delivered to the port";
    /// Nobody on this node has the destination, and there is nowhere else.
    NoDestination = 11, "nobody here has this destination address, and the network leads nowhere else";
}

/// Priorities by name. Within a table a higher one wins; flows of one band never overlap with
/// another outcome. Bands of tables that have nothing in common may have one number.
pub mod priority {
    use super::Priority;

    // In any table.

    /// Nothing may stand above it.
    pub const ALWAYS: Priority = Priority(65535);
    /// What a port on standby sends.
    pub const STANDBY: Priority = Priority(130);
    /// What must be settled before anything else of the table.
    pub const FIRST: Priority = Priority(120);
    /// What must be settled before the bands below.
    pub const EARLY: Priority = Priority(110);
    /// A port, by its number or by an address that leads to it.
    pub const PORT: Priority = Priority(100);
    /// What nothing else of the table has settled, and is not lost by that.
    pub const LAST: Priority = Priority(30);
    /// What a table does with the rest.
    pub const MISS: Priority = Priority(0);

    // Where a frame comes from: tables 0, 100 and 160.

    /// What netfilter would not have seen.
    pub const UNSEEN_BY_NETFILTER: Priority = Priority(125);
    /// A port with one of its MAC addresses, where there is a flow for any.
    pub const PORT_WITH_MAC: Priority = Priority(105);
    /// Frames of physical networks.
    pub const UPLINK: Priority = Priority(90);
    /// What managed ports may send from whatever MAC address.
    pub const ANY_MAC: Priority = Priority(50);
    /// The way into Weir's tables. It stands above what Neutron's agent writes to table 0 at its
    /// start, so that this decides nothing before the agent takes Weir's flow away.
    pub const ENTER: Priority = Priority(10);
    /// Translation of a segment's VLAN.
    pub const SEGMENT: Priority = Priority(3);
    /// Frames of a physical network that no segment matched.
    pub const NO_SEGMENT: Priority = Priority(2);

    // What managed ports may send and receive: tables 171, 175 and 181.

    /// What reaches a port that netfilter filters, with `strict_equivalence`.
    pub const TO_NETFILTER_KNOWN: Priority = Priority(107);
    /// Everything else for it, which does not reach it then.
    pub const TO_NETFILTER_OTHER: Priority = Priority(106);
    /// What reaches a port that netfilter filters.
    pub const TO_NETFILTER: Priority = Priority(105);
    /// What reaches a port without rules.
    pub const WITHOUT_RULES: Priority = Priority(100);
    /// What is accepted without connection tracking.
    pub const UNTRACKED: Priority = Priority(95);
    /// IP that connection tracking has not seen.
    pub const UNSEEN: Priority = Priority(90);
    /// IP that connection tracking has seen, or need not see.
    pub const SEEN: Priority = Priority(80);
    /// DHCP clients, solicitations, reports of listeners.
    pub const HOUSEKEEPING: Priority = Priority(80);
    /// What a port that is filtered elsewhere may not send unless a band above lets it.
    pub const CHECKED: Priority = Priority(78);
    /// What a port that netfilter filters sends, with `strict_equivalence`.
    pub const FROM_NETFILTER: Priority = Priority(77);
    /// Everything else that it sends, which is refused then.
    pub const FROM_NETFILTER_OTHER: Priority = Priority(76);
    /// Everything else that a port sends that is filtered elsewhere.
    pub const FILTERED_ELSEWHERE: Priority = Priority(75);
    /// What no virtual machine may send unless a band above lets it.
    pub const FORBIDDEN: Priority = Priority(70);
    /// Addresses of a port.
    pub const ADDRESS: Priority = Priority(65);
    /// IP whose source is right.
    pub const IP: Priority = Priority(65);

    // Rules and classes: tables 172, 174, 182 and 184.

    /// Packets that conntrack calls invalid.
    pub const INVALID: Priority = Priority(80);
    /// Replies and related packets.
    pub const REPLY: Priority = Priority(70);
    /// Rules.
    pub const RULE: Priority = Priority(50);
    /// Fragments of a connection that a rule has admitted.
    pub const FRAGMENT: Priority = Priority(45);
    /// A tracked connection without a rule.
    pub const UNRULED: Priority = Priority(40);
    /// Classes: the prefix length is added, so the longest prefix wins.
    pub const CLASS: u16 = 100;
    /// Classes that are tied to a MAC address stand above all others.
    pub const CLASS_WITH_MAC: u16 = 300;

    // What is done with an accepted packet, or with a refused one: tables 185, 191 and 193.

    /// The first packet of a connection.
    pub const NEW: Priority = Priority(100);
    /// A connection whose mark is to be taken away.
    pub const STALE: Priority = Priority(90);
    /// A reason to refuse.
    pub const REASON: Priority = Priority(100);

    // Where a frame leaves: tables 194 and 196.

    /// IP frames to group addresses, where rules filter them.
    pub const GROUP: Priority = Priority(105);
    /// Every other frame to a group address.
    pub const ANY_GROUP: Priority = Priority(100);
    /// Frames that still have the tag of their local VLAN.
    pub const TAGGED: Priority = Priority(95);
    /// Networks where it depends on what was learned.
    pub const LEARNED: Priority = Priority(65);
    /// To where the frame came from, which is all that there is.
    pub const BACK: Priority = Priority(65);
    /// A network, whoever the frame is for.
    pub const NETWORK: Priority = Priority(50);
}

/// What a flow is there for; 8 bits of its cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The frame of the pipeline, the same on every node.
    Base,
    /// One port.
    Port,
    /// One policy.
    Policy,
    /// One class of remote addresses.
    Class,
    /// One network.
    Network,
    /// Learned by the switch in one network. It is for the switch to add and to delete.
    Learned,
    /// One tunnel to another node.
    Tunnel,
    /// What the server says of who of one network is where.
    Population,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Base,
        Self::Port,
        Self::Policy,
        Self::Class,
        Self::Network,
        Self::Learned,
        Self::Tunnel,
        Self::Population,
    ];

    const fn number(self) -> u64 {
        match self {
            Self::Base => 1,
            Self::Port => 2,
            Self::Policy => 3,
            Self::Class => 4,
            Self::Network => 5,
            Self::Learned => 6,
            Self::Tunnel => 7,
            Self::Population => 8,
        }
    }

    /// Its name in `weir show flows`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Port => "port",
            Self::Policy => "policy",
            Self::Class => "class",
            Self::Network => "network",
            Self::Learned => "learned",
            Self::Tunnel => "tunnel",
            Self::Population => "population",
        }
    }
}

/// Whose a flow is: 16 bits that say Weir, 8 bits of [`Kind`], 40 bits of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// What kind of object.
    pub kind: Kind,
    /// The object: the low 40 bits of a port's id, or the number of a policy, class or VLAN.
    pub object: u64,
}

const WEIR: u64 = 0x3e17;
const OBJECT_BITS: u32 = 40;
const OBJECT_MASK: u64 = (1 << OBJECT_BITS) - 1;
const VLAN_BITS: u32 = 12;

impl Owner {
    /// The frame of the pipeline.
    pub const BASE: Self = Self { kind: Kind::Base, object: 0 };

    /// The owner of a port's flows.
    pub fn port(id: model::PortId) -> Self {
        let (_, low) = id.uuid().as_u64_pair();
        Self { kind: Kind::Port, object: low & OBJECT_MASK }
    }

    /// The owner of a policy's flows.
    pub fn policy(id: policy::PolicyId) -> Self {
        Self { kind: Kind::Policy, object: id.0.into() }
    }

    /// The owner of a class's flows.
    pub fn class(id: policy::ClassId) -> Self {
        Self { kind: Kind::Class, object: id.0.into() }
    }

    /// The owner of a network's flows.
    pub fn network(vlan: model::VlanTag) -> Self {
        Self { kind: Kind::Network, object: vlan.get().into() }
    }

    /// The owner of what is learned of a port on standby.
    pub fn learned_of(id: model::PortId) -> Self {
        Self { kind: Kind::Learned, ..Self::port(id) }
    }

    /// The owner of what is learned in a network.
    pub fn learned(vlan: model::VlanTag) -> Self {
        Self { kind: Kind::Learned, object: vlan.get().into() }
    }

    /// The owner of what br-tun learns in a network with this segmentation id. It is another one
    /// when the id is another, because what was learned holds the id.
    pub fn learned_from_tunnels(vlan: model::VlanTag, id: model::SegmentationId) -> Self {
        let object = u64::from(id.get()) << VLAN_BITS | u64::from(vlan.get());
        Self { kind: Kind::Learned, object: object & OBJECT_MASK }
    }

    /// The owner of the flows that say who of a network is where.
    pub fn population(vlan: model::VlanTag) -> Self {
        Self { kind: Kind::Population, object: vlan.get().into() }
    }

    /// The owner of the flows of a tunnel that this port leads to.
    pub fn tunnel(ofport: model::OfPort) -> Self {
        Self { kind: Kind::Tunnel, object: ofport.get().into() }
    }

    /// The cookie of its flows, with which bits of it all owners of its kind share.
    pub const fn cookie_of_kind(self) -> (Cookie, u64) {
        (self.cookie(), !OBJECT_MASK)
    }

    /// The cookie of its flows.
    pub const fn cookie(self) -> Cookie {
        Cookie((WEIR << 48) | (self.kind.number() << OBJECT_BITS) | (self.object & OBJECT_MASK))
    }

    /// The owner that a cookie names; `None` for a cookie that is not Weir's.
    pub fn of(cookie: Cookie) -> Option<Self> {
        let kind = (cookie.0 >> OBJECT_BITS) & 0xff;
        let kind = Kind::ALL.into_iter().find(|known| known.number() == kind)?;
        is_weir(cookie).then_some(Self { kind, object: cookie.0 & OBJECT_MASK })
    }
}

/// The network that a flow finds packets of, or says that they are of.
pub fn network(flow: &Flow) -> Option<model::VlanTag> {
    let matched = flow.matches.exact(NETWORK.field());
    let written = flow.actions.iter().find_map(|action| match action {
        Action::SetField { dst, value } if *dst == NETWORK => Some(*value),
        _ => None,
    });
    let vlan = u32::try_from(matched.or(written)?).ok()?;
    model::VlanTag::new(vlan).ok()
}

/// Whether the switch has learned this flow by one of Weir's. Such flows are no part of what a node
/// wants of its switch: they come and go with the packets.
pub fn is_learned(flow: &Flow) -> bool {
    let owner = Owner::of(flow.cookie);
    let is_learning = LEARNING.contains(&flow.table) || flow.table == tunnel::UCAST_TO_TUN;
    is_learning && owner.is_some_and(|owner| owner.kind == Kind::Learned)
}

/// Whether a flow with this cookie is Weir's, of whatever kind.
pub const fn is_weir(cookie: Cookie) -> bool {
    cookie.0 >> 48 == WEIR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_name_their_owner() {
        for kind in Kind::ALL {
            for object in [0, 1, OBJECT_MASK] {
                let owner = Owner { kind, object };
                assert_eq!(Owner::of(owner.cookie()), Some(owner));
            }
        }
        assert_eq!(Owner::of(Cookie(0)), None);
        assert_eq!(Owner::of(Cookie(0x3e17_ff00_0000_0000)), None);
        assert!(is_weir(Cookie(0x3e17_ff00_0000_0000)), "kinds of later versions are ours too");
    }

    #[test]
    fn tables_ascend() {
        for tables in [TABLES, physical::TABLES, tunnel::TABLES] {
            assert!(tables.windows(2).all(|pair| pair[0].id < pair[1].id));
        }
    }
}
