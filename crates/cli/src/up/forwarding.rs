//! What an operator decides about how bridges forward. The names are those of Neutron's options.

use agent::Forwarding;

/// What an operator decides about how bridges forward.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Forwarding")]
pub(super) struct ForwardingOptions {
    /// How many MAC addresses a bridge remembers
    #[arg(long, value_name = "NUMBER", env = "WEIR_BRIDGE_MAC_TABLE_SIZE", default_value_t = 50_000,
        value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    bridge_mac_table_size: u32,
    /// Send multicast only to ports that have asked for it (IGMP, MLD)
    #[arg(long, env = "WEIR_IGMP_SNOOPING_ENABLE")]
    igmp_snooping_enable: bool,
    /// With snooping: all multicast leaves the machine all the same
    #[arg(long, env = "WEIR_IGMP_FLOOD", requires = "igmp_snooping_enable")]
    igmp_flood: bool,
    /// With snooping: reports do not leave the machine, so no router hears of them
    #[arg(long, env = "WEIR_NO_IGMP_FLOOD_REPORTS", requires = "igmp_snooping_enable")]
    no_igmp_flood_reports: bool,
    /// With snooping: multicast that nobody has asked for goes to everybody
    #[arg(long, env = "WEIR_IGMP_FLOOD_UNREGISTERED", requires = "igmp_snooping_enable")]
    igmp_flood_unregistered: bool,
}

impl ForwardingOptions {
    /// What the agent is told.
    pub(super) fn config(&self) -> Forwarding {
        Forwarding {
            mac_table_size: self.bridge_mac_table_size,
            igmp_snooping: self.igmp_snooping_enable,
            igmp_flood: self.igmp_flood,
            igmp_flood_reports: !self.no_igmp_flood_reports,
            igmp_flood_unregistered: self.igmp_flood_unregistered,
        }
    }
}
