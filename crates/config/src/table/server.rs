//! Groups and options of the server, which `weir up` reads: segments, MTU, quotas, agents.

use std::collections::BTreeMap;

use crate::kind::Kind;
use crate::option::{Definition, Opt, Part};

options! {
    PROJECT_NETWORK_TYPES: Vec<String> =
        Definition::new("ml2", "project_network_types", Kind::List)
        .default("local")
        .former(&[(None, Some("tenant_network_types"))]),
        Part::Honoured,
        "What carries a network whose creator does not say.";

    PATH_MTU: i64 = Definition::new("ml2", "path_mtu", Kind::at_least(0)).default("0"),
        Part::Honoured,
        "The largest IP packet between the ends of tunnels; 0 is no limit.";

    PHYSICAL_NETWORK_MTUS: BTreeMap<String, String> =
        Definition::new("ml2", "physical_network_mtus", Kind::Dict)
        .default(""),
        Part::Honoured,
        "The largest IP packet of each physical network.";

    OVERLAY_IP_VERSION: i64 =
        Definition::new("ml2", "overlay_ip_version", Kind::IntChoice(&[4, 6]))
        .default("4"),
        Part::Honoured,
        "The version of IP that tunnels run over.";

    TUNNELLED_NETWORK_RP_NAME: String =
        Definition::new("ml2", "tunnelled_network_rp_name", Kind::Text)
        .default("rp_tunnelled"),
        Part::Honoured,
        "Reported to the server by an agent, for Placement.";

    FLAT_NETWORKS: Vec<String> = Definition::new("ml2_type_flat", "flat_networks", Kind::List)
        .default("*"),
        Part::Honoured,
        "The physical networks that may carry a flat network.";

    NETWORK_VLAN_RANGES: Vec<String> =
        Definition::new("ml2_type_vlan", "network_vlan_ranges", Kind::List)
        .default(""),
        Part::Honoured,
        "The VLANs of each physical network.";

    VXLAN_VNI_RANGES: Vec<String> = Definition::new("ml2_type_vxlan", "vni_ranges", Kind::List)
        .default(""),
        Part::Honoured,
        "The VNIs of VXLAN networks.";

    TUNNEL_ID_RANGES: Vec<String> = Definition::new("ml2_type_gre", "tunnel_id_ranges", Kind::List)
        .default(""),
        Part::Honoured,
        "The keys of GRE networks.";

    GENEVE_VNI_RANGES: Vec<String> = Definition::new("ml2_type_geneve", "vni_ranges", Kind::List)
        .default(""),
        Part::Honoured,
        "The VNIs of Geneve networks.";

    MAX_HEADER_SIZE: i64 = Definition::new("ml2_type_geneve", "max_header_size", Kind::at_least(0))
        .default("30"),
        Part::Honoured,
        "How long the headers of Geneve may be.";

    GLOBAL_PHYSNET_MTU: i64 = Definition::new("DEFAULT", "global_physnet_mtu", Kind::INT)
        .default("1500"),
        Part::Honoured,
        "The largest IP packet of the underlay.";

    AGENT_DOWN_TIME: i64 = Definition::new("DEFAULT", "agent_down_time", Kind::Int(1, 2_147_483))
        .default("75"),
        Part::Honoured,
        "After how many seconds without a report an agent is down.";

    MAX_ALLOWED_ADDRESS_PAIR: i64 =
        Definition::new("DEFAULT", "max_allowed_address_pair", Kind::at_least(0))
        .default("10"),
        Part::Honoured,
        "How many allowed address pairs a port may have.";

    DEFAULT_QUOTA: i64 = Definition::new("quotas", "default_quota", Kind::INT).default("-1"),
        Part::Differs,
        "How many of a resource that no other option names a project may have; without a word there is no limit.";

    QUOTA_NETWORK: i64 = Definition::new("quotas", "quota_network", Kind::INT).default("100"),
        Part::Differs,
        "How many networks a project may have; without a word there is no limit.";

    QUOTA_SUBNET: i64 = Definition::new("quotas", "quota_subnet", Kind::INT).default("100"),
        Part::Differs,
        "How many subnets a project may have; without a word there is no limit.";

    QUOTA_PORT: i64 = Definition::new("quotas", "quota_port", Kind::INT).default("500"),
        Part::Differs,
        "How many ports a project may have; without a word there is no limit.";

    QUOTA_SECURITY_GROUP: i64 = Definition::new("quotas", "quota_security_group", Kind::INT)
        .default("10"),
        Part::Differs,
        "How many security groups a project may have; without a word there is no limit.";

    QUOTA_SECURITY_GROUP_RULE: i64 =
        Definition::new("quotas", "quota_security_group_rule", Kind::INT)
        .default("100"),
        Part::Differs,
        "How many rules a project may have; without a word there is no limit.";
}

/// Those that nobody here reads.
pub(super) static OTHERS: &[Definition] = &[
    Definition::new("ml2", "type_drivers", Kind::List)
        .default("local,flat,vlan,gre,vxlan,geneve")
        .part(Part::NotNeeded, "Weir has all of them."),
    Definition::new("ml2", "mechanism_drivers", Kind::List)
        .default("")
        .part(Part::NotNeeded, "Weir has one: Open vSwitch, with `l2population`."),
    Definition::new("ml2", "extension_drivers", Kind::List)
        .default("")
        .part(Part::NotNeeded, "Weir always has port security."),
    Definition::new("ml2", "external_network_type", Kind::Text)
        .part(Part::NotNeeded, "Weir has no external networks."),
    Definition::new("ml2_type_vxlan", "vxlan_group", Kind::Text)
        .part(Part::NotNeeded, "Weir has no multicast VXLAN."),
];

/// The option of these that an agent reads, too.
pub(super) static TUNNELLED_NETWORK_RP_NAME_DEFINITION: Definition =
    TUNNELLED_NETWORK_RP_NAME.definition;
