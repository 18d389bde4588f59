//! The machines, their ports and networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use testkit::frame::Mac;

use crate::cases::group::{
    ANY, CHANGING, CIRCLE, DEFAULT, DNS, EGRESS, FRIENDS, REMOTES, SELF, SERVER, SINK, STATELESS,
    WEB,
};

/// An IP family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// A machine with one port. Number `n` on network `k` has 10.0.k.n and 2001:db8:0:k::n.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    pub(crate) n: u8,
    pub(crate) network: u8,
    /// The last byte of its MAC address.
    mac: u8,
    pub(crate) groups: &'static [u32],
    pub(crate) kind: Kind,
}

/// What is special about a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// Allowed address pairs: MAC address (its own where there is none) and prefix.
    Pairs(&'static [(Option<&'static str>, &'static str)]),
    WithoutAddress,
    WithoutSecurity,
    Trusted,
    /// It runs on another node, and its wire is one of the physical network's.
    Beyond,
}

/// The network of the node with the option `strict_equivalence`.
pub(crate) const STRICT: u8 = 6;
/// Networks that leave the node: with an unmanaged port here, and without.
pub(crate) const OPEN: u8 = 8;
pub(crate) const CLOSED: u8 = 9;
/// One that nobody has here.
pub(crate) const STRANGE: u8 = 10;

/// The EtherType that the node permits.
pub(crate) const PERMITTED: u16 = 0x88b6;
/// The MAC address that one pair of Dave has.
pub(crate) const PAIR_MAC: Mac = [0xfa, 0x16, 0x3e, 0, 1, 4];

/// MAC addresses that Kate and Liam share, with their prefixes.
const SHARED: &[(Option<&str>, &str)] = &[
    (Some("fa:16:3e:00:02:00"), "10.7.0.0/16"),
    (Some("fa:16:3e:00:02:00"), "2001:db8:7::/48"),
    (Some("fa:16:3e:00:02:01"), "10.7.0.0/16"),
    (Some("fa:16:3e:00:02:02"), "10.7.0.0/16"),
    (Some("fa:16:3e:00:02:03"), "10.7.0.0/16"),
    (Some("fa:16:3e:00:02:11"), "2001:db8:7::/48"),
    (Some("fa:16:3e:00:02:12"), "2001:db8:7::/48"),
    (Some("fa:16:3e:00:02:13"), "2001:db8:7::/48"),
];

/// The shared MAC address of this number, with an address that may be used with it: 0 for both
/// families, 1 to 3 for this one.
pub(crate) fn shared(family: Family, n: u8) -> (Mac, &'static str) {
    let (base, address) = match family {
        Family::V4 => (0, "10.7.0.1"),
        Family::V6 => (0x10, "2001:db8:7::1"),
    };
    ([0xfa, 0x16, 0x3e, 0, 2, if n == 0 { 0 } else { base + n }], address)
}

macro_rules! machines {
    ($($name:ident, $n:literal, $network:expr, $mac:literal, $groups:expr, $kind:expr;)*) => {
        $(pub(crate) static $name: Machine = Machine {
            name: stringify!($name),
            n: $n,
            network: $network,
            mac: $mac,
            groups: &$groups,
            kind: $kind,
        };)*
        pub(crate) static MACHINES: &[&Machine] = &[$(&$name),*];
    };
}

machines! {
    ALICE,    1, 0,  1, [DEFAULT], Kind::Plain;
    BOB,      2, 0,  2, [DEFAULT], Kind::Plain;
    CAROL,    3, 0,  3, [SERVER], Kind::Plain;
    DAVE,     4, 0,  4, [DEFAULT], Kind::Pairs(&[
        (None, "10.8.4.0/24"),
        (None, "2001:db8:8:4::/64"),
        (Some("fa:16:3e:00:01:04"), "10.8.5.0/24"),
        (Some("fa:16:3e:00:01:04"), "2001:db8:8:5::/64"),
    ]);
    ERIN,     5, 0,  5, [DEFAULT], Kind::Pairs(&[(None, "0.0.0.0/0"), (None, "::/0")]);
    MALLORY,  6, 0,  6, [EGRESS], Kind::Pairs(&[
        (None, "10.0.1.0/24"),
        (None, "2001:db8:0:1::/64"),
        (None, "10.9.0.0/16"),
        (None, "2001:db8:9::/48"),
    ]);
    SAM,      7, 0,  7, [ANY], Kind::Plain;
    HEIDI,    8, 0,  8, [], Kind::Plain;
    IVAN,     9, 0,  9, [WEB, DNS], Kind::Plain;
    JUDY,    10, 0, 10, [REMOTES], Kind::Plain;
    OLIVIA,  11, 0, 11, [SELF], Kind::Plain;
    LONE,    12, 0, 12, [ANY], Kind::WithoutAddress;
    YVONNE,  13, 0, 13, [CHANGING], Kind::Plain;
    PEGGY,   14, 1,  1, [DEFAULT], Kind::Plain;
    QUINN,   15, 1, 15, [DEFAULT], Kind::Plain;
    FRANK,   16, 2, 16, [], Kind::WithoutSecurity;
    GRACE,   17, 2, 17, [], Kind::Trusted;
    TRENT,   18, 2, 18, [DEFAULT], Kind::Plain;
    VICTOR,  19, 2, 19, [], Kind::Plain;
    WALTER,  20, 3, 20, [DEFAULT], Kind::Plain;
    XAVIER,  21, 3, 21, [ANY], Kind::Plain;
    ZOE,     22, 4, 22, [EGRESS], Kind::Plain;
    ADA,     23, 4, 23, [STATELESS], Kind::Plain;
    BEN,     24, 4, 24, [STATELESS], Kind::Plain;
    CLEO,    25, 4, 25, [ANY], Kind::Plain;
    DAN,     26, 4, 26, [SINK], Kind::Plain;
    EVE,     27, 4, 27, [EGRESS], Kind::Plain;
    KATE,    28, 5, 28, [ANY], Kind::Pairs(SHARED);
    LIAM,    29, 5, 29, [ANY], Kind::Pairs(SHARED);
    NINA,    30, 5, 30, [ANY], Kind::Plain;
    GINA,    31, STRICT, 31, [ANY], Kind::Plain;
    HUGO,    32, STRICT, 32, [EGRESS], Kind::Plain;
    IDA,     33, STRICT, 33, [SERVER], Kind::Plain;
    JACK,    34, STRICT, 34, [], Kind::WithoutSecurity;
    MONA,    35, STRICT, 35, [STATELESS], Kind::Plain;
    LEO,     36, STRICT, 36, [EGRESS], Kind::Plain;
    OSCAR,   37, 7, 37, [EGRESS], Kind::Plain;
    PAUL,    38, 7, 38, [CIRCLE], Kind::Plain;
    RUTH,    39, 7, 39, [FRIENDS], Kind::Plain;
    OTTO,    40, OPEN, 40, [], Kind::Beyond;
    VERA,    41, OPEN, 41, [SERVER], Kind::Plain;
    WENDY,   42, OPEN, 42, [EGRESS], Kind::Plain;
    XENIA,   43, OPEN, 43, [], Kind::WithoutSecurity;
    PIA,     44, CLOSED, 44, [DEFAULT], Kind::Plain;
    ROSA,    45, CLOSED, 45, [DEFAULT], Kind::Beyond;
    SVEN,    46, STRANGE, 46, [], Kind::Beyond;
}

impl Machine {
    pub(crate) fn mac(&self) -> Mac {
        [0xfa, 0x16, 0x3e, 0, 0, self.mac]
    }

    pub(crate) fn v4(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, self.network, self.n)
    }

    pub(crate) fn v6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, self.network.into(), 0, 0, 0, self.n.into())
    }

    pub(crate) fn ip(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4().into(),
            Family::V6 => self.v6().into(),
        }
    }

    pub(crate) fn link_local(&self) -> Ipv6Addr {
        link_local(self.mac())
    }

    pub(crate) fn mac_text(&self) -> String {
        format!("fa:16:3e:00:00:{:02x}", self.mac)
    }

    pub(crate) fn device(&self) -> String {
        format!("tap{}", self.n)
    }

    /// Every other machine on its network.
    pub(crate) fn neighbours(&'static self) -> impl Iterator<Item = &'static Self> {
        let others = MACHINES.iter().copied().filter(move |other| other.n != self.n);
        others.filter(|other| other.network == self.network)
    }

    pub(crate) fn is_managed(&self) -> bool {
        !matches!(self.kind, Kind::WithoutSecurity | Kind::Trusted | Kind::Beyond)
    }

    /// The VLAN of its network on the wire, where that leaves the node.
    pub(crate) fn vlan(&self) -> Option<u32> {
        let leaves = [STRICT, OPEN, CLOSED, STRANGE].contains(&self.network);
        leaves.then(|| 100 + u32::from(self.network))
    }
}

/// The link-local address that belongs to a MAC address.
pub(crate) fn link_local(mac: Mac) -> Ipv6Addr {
    model::MacAddr::new(mac).link_local()
}
