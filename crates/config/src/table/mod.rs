//! Every option that a node's files may hold, group by group: its type and default as Neutron 29
//! has them, and what Weir does with it.
//!
//! A test compares types and defaults with what Neutron registers, and prints
//! `docs/configuration.md` from this.

/// Constants for options that Weir reads, and a list of them.
macro_rules! options {
    ($($name:ident: $value:ty = $definition:expr, $part:expr, $says:literal;)*) => {
        $(
            #[doc = $says]
            pub const $name: Opt<$value> = Opt::new($definition.part($part, $says));
        )*

        /// Those that Weir reads.
        pub(super) static READ: &[Definition] = &[$($name.definition),*];
    };
}

pub mod agent;
pub mod default;
pub mod elsewhere;
mod extension;
pub mod messaging;
pub mod ovs;
mod process;
pub mod securitygroup;
pub mod server;

use crate::option::Definition;
use crate::source::normal;

/// A part of the table.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// Options that Weir reads.
    pub read: &'static [Definition],
    /// Options that nobody reads.
    pub others: &'static [Definition],
}

/// What a key of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// An option of the table.
    Option,
    /// An option of another program.
    Elsewhere,
    /// An option that is no more.
    Removed,
    /// None that anybody knows.
    Unknown,
}

/// What an agent reads.
pub static AGENT: &[Section] = &[
    Section { title: "Identity, bus and log", read: default::READ, others: default::OTHERS },
    Section { title: "The switch", read: ovs::READ, others: ovs::OTHERS },
    Section { title: "The agent", read: agent::READ, others: agent::OTHERS },
    Section { title: "The firewall", read: securitygroup::READ, others: securitygroup::OTHERS },
    Section { title: "RabbitMQ", read: messaging::READ, others: messaging::OTHERS },
    Section { title: "Extensions", read: &[], others: extension::OTHERS },
    Section { title: "Processes", read: &[], others: process::OTHERS },
];

/// What a server reads.
pub static SERVER: Section =
    Section { title: "The server", read: server::READ, others: server::OTHERS };

/// The options that an agent reads.
pub fn agent() -> impl Iterator<Item = &'static Definition> {
    let reported = std::iter::once(&server::TUNNELLED_NETWORK_RP_NAME_DEFINITION);
    AGENT.iter().flat_map(Section::all).chain(reported)
}

/// The options that a server reads. Its values may name what an agent reads, too, and an agent beside
/// it takes its firewall.
pub fn server() -> impl Iterator<Item = &'static Definition> {
    let of_agents = default::READ.iter().chain(messaging::READ).chain(securitygroup::READ);
    SERVER.all().chain(of_agents)
}

/// What a key is.
pub fn known(group: &str, key: &str) -> Known {
    let group = normal(group);
    let mut all = AGENT.iter().flat_map(Section::all).chain(SERVER.all());
    let is_named = |(former, name): (&str, &str)| normal(former) == group && name == key;
    if all.any(|definition| definition.names().any(is_named)) {
        return Known::Option;
    }
    if elsewhere::REMOVED.contains(&(group.as_str(), key)) {
        return Known::Removed;
    }
    let is_default = group == "DEFAULT" && elsewhere::DEFAULT.contains(&key);
    if is_default || elsewhere::GROUPS.contains(&group.as_str()) {
        return Known::Elsewhere;
    }
    Known::Unknown
}

impl Section {
    /// All of it.
    pub fn all(&self) -> impl Iterator<Item = &'static Definition> + use<> {
        self.read.iter().chain(self.others)
    }
}
