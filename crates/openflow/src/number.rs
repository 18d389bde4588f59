//! Identifiers of OpenFlow: tables, priorities, cookies and ports, each a type of its own.

use std::fmt;

/// A flow table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TableId(pub u8);

impl TableId {
    /// Every table; only where a request selects flows.
    pub const ALL: Self = Self(0xff);
}

/// How a flow ranks in its table: the highest that matches wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(pub u16);

impl Priority {
    /// What ovs-ofctl means where no priority is written.
    pub const DEFAULT: Self = Self(0x8000);
}

impl Default for Priority {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A number that the controller gives to a flow; the switch only keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cookie(pub u64);

/// A port of a switch, in the 32-bit numbering of OpenFlow 1.1 and later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortNo(pub u32);

impl PortNo {
    /// Out of the port that the packet came in by.
    pub const IN_PORT: Self = Self(0xffff_fff8);
    /// Through the flow tables; only in packet-out.
    pub const TABLE: Self = Self(0xffff_fff9);
    /// As a learning switch without OpenFlow would.
    pub const NORMAL: Self = Self(0xffff_fffa);
    /// Every port but the incoming one and those with flooding off.
    pub const FLOOD: Self = Self(0xffff_fffb);
    /// Every port but the incoming one.
    pub const ALL: Self = Self(0xffff_fffc);
    /// To the controller.
    pub const CONTROLLER: Self = Self(0xffff_fffd);
    /// The port of the bridge itself.
    pub const LOCAL: Self = Self(0xffff_fffe);
    /// No port, or any, where a request selects flows.
    pub const ANY: Self = Self(0xffff_ffff);

    const NAMES: [(Self, &'static str); 8] = [
        (Self::IN_PORT, "IN_PORT"),
        (Self::TABLE, "TABLE"),
        (Self::NORMAL, "NORMAL"),
        (Self::FLOOD, "FLOOD"),
        (Self::ALL, "ALL"),
        (Self::CONTROLLER, "CONTROLLER"),
        (Self::LOCAL, "LOCAL"),
        (Self::ANY, "ANY"),
    ];

    /// The name of a reserved port.
    pub fn name(self) -> Option<&'static str> {
        Self::NAMES.iter().find(|(port, _)| *port == self).map(|(_, name)| *name)
    }

    /// The reserved port of that name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|(port, _)| *port)
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for PortNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}
