//! `[agent]`: how the agent works.

use crate::kind::Kind;
use crate::option::{Definition, Opt, Part};

options! {
    TUNNEL_TYPES: Vec<String> = Definition::new("agent", "tunnel_types", Kind::List).default(""),
        Part::Honoured,
        "The tunnels of this node; none without a type.";

    VXLAN_UDP_PORT: u16 = Definition::new("agent", "vxlan_udp_port", Kind::PORT).default("4789"),
        Part::Honoured,
        "The UDP port of VXLAN.";

    L2_POPULATION: bool = Definition::new("agent", "l2_population", Kind::Bool).default("False"),
        Part::Honoured,
        "Whether the server tells who is behind which tunnel.";

    ARP_RESPONDER: bool = Definition::new("agent", "arp_responder", Kind::Bool).default("False"),
        Part::Honoured,
        "Whether ARP requests are answered on this node; Weir answers neighbour solicitations, \
         too, where the bridge has the userspace datapath.";

    DONT_FRAGMENT: bool = Definition::new("agent", "dont_fragment", Kind::Bool).default("True"),
        Part::Honoured,
        "Whether the outer packet of a tunnel may not be fragmented.";

    TUNNEL_CSUM: bool = Definition::new("agent", "tunnel_csum", Kind::Bool).default("False"),
        Part::Honoured,
        "Whether the outer headers of a tunnel have checksums.";

    DSCP: Option<i64> = Definition::new("agent", "dscp", Kind::Int(0, 63)),
        Part::Honoured,
        "The DSCP of the outer packets of a tunnel.";

    DSCP_INHERIT: bool = Definition::new("agent", "dscp_inherit", Kind::Bool).default("False"),
        Part::Honoured,
        "Whether the outer packets have the DSCP of the inner ones.";

    DROP_FLOWS_ON_START: bool = Definition::new("agent", "drop_flows_on_start", Kind::Bool)
        .default("False"),
        Part::Honoured,
        "Whether the first thing is to delete all flows of all bridges.";

    REPORT_INTERVAL: f64 = Definition::new("agent", "report_interval", Kind::FLOAT).default("30"),
        Part::Honoured,
        "How often the agent reports, in seconds. SIGHUP changes it only at the next start.";

    LOG_AGENT_HEARTBEATS: bool = Definition::new("agent", "log_agent_heartbeats", Kind::Bool)
        .default("False"),
        Part::Honoured,
        "Reported to the server, which then logs the reports.";

    EXTENSIONS: Vec<String> = Definition::new("agent", "extensions", Kind::List).default(""),
        Part::Only(&["qos"]),
        "The extensions of the agent. Others than `qos` change what packets get, and Weir has \
         none of them.";

    ENABLE_DISTRIBUTED_ROUTING: bool =
        Definition::new("agent", "enable_distributed_routing", Kind::Bool)
        .default("False"),
        Part::Only(&["False"]),
        "Distributed routing: Weir does not route.";

    BAREMETAL_SMARTNIC: bool = Definition::new("agent", "baremetal_smartnic", Kind::Bool)
        .default("False"),
        Part::Only(&["False"]),
        "Ports of SmartNICs are plugged by nobody else; Weir does not plug them.";
}

/// Those that nobody here reads.
pub(super) static OTHERS: &[Definition] = &[
    Definition::new("agent", "explicitly_egress_direct", Kind::Bool).default("False").part(
        Part::NotNeeded,
        "Weir never floods unicast, and says by flows where a known address is.",
    ),
    Definition::new("agent", "minimize_polling", Kind::Bool)
        .default("True")
        .part(Part::NotNeeded, "Weir never polls."),
    Definition::new("agent", "polling_interval", Kind::at_least(1))
        .default("2")
        .part(Part::NotNeeded, "Weir never polls."),
    Definition::new("agent", "ovsdb_monitor_respawn_interval", Kind::INT).default("30").part(
        Part::NotNeeded,
        "Weir watches the database by itself, and connects again when it goes.",
    ),
    Definition::new("agent", "quitting_rpc_timeout", Kind::at_least(0))
        .default("10")
        .part(Part::NotNeeded, "Weir ends at once, and leaves the data plane as it is."),
    Definition::new("agent", "root_helper", Kind::Text)
        .default("sudo")
        .part(Part::NotNeeded, "Weir starts no other program."),
    Definition::new("agent", "root_helper_daemon", Kind::Text)
        .part(Part::NotNeeded, "Weir starts no other program."),
    Definition::new("agent", "use_helper_for_ns_read", Kind::Bool)
        .default("True")
        .part(Part::NotNeeded, "Weir starts no other program."),
    Definition::new("agent", "check_child_processes_action", Kind::Choice(&["respawn", "exit"]))
        .default("respawn")
        .part(Part::NotNeeded, "Weir starts no other program."),
    Definition::new("agent", "check_child_processes_interval", Kind::at_least(0))
        .default("60")
        .part(Part::NotNeeded, "Weir starts no other program."),
    Definition::new("agent", "kill_scripts_path", Kind::Text)
        .default("/etc/neutron/kill_scripts/")
        .part(Part::NotNeeded, "Weir starts no other program."),
    Definition::new("agent", "comment_iptables_rules", Kind::Bool)
        .default("True")
        .part(Part::NotNeeded, "Of the iptables drivers."),
    Definition::new("agent", "debug_iptables_rules", Kind::Bool)
        .default("False")
        .part(Part::NotNeeded, "Of the iptables drivers."),
    Definition::new("agent", "use_random_fully", Kind::Bool)
        .default("True")
        .part(Part::NotNeeded, "Of the iptables drivers."),
    Definition::new("agent", "availability_zone", Kind::Text)
        .default("nova")
        .part(Part::NotNeeded, "Of the DHCP and L3 agents."),
];
