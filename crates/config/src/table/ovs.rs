//! `[ovs]`: the switch.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::kind::Kind;
use crate::option::{Definition, Opt, Part};

options! {
    INTEGRATION_BRIDGE: String = Definition::new("ovs", "integration_bridge", Kind::Text)
        .default("br-int"),
        Part::Honoured,
        "The bridge that ports are plugged into; made if it is not there.";

    TUNNEL_BRIDGE: String = Definition::new("ovs", "tunnel_bridge", Kind::Text).default("br-tun"),
        Part::Honoured,
        "The bridge of the tunnels; made if it is not there.";

    INT_PEER_PATCH_PORT: String = Definition::new("ovs", "int_peer_patch_port", Kind::Text)
        .default("patch-tun"),
        Part::Honoured,
        "The port of the integration bridge that leads to the tunnel bridge.";

    TUN_PEER_PATCH_PORT: String = Definition::new("ovs", "tun_peer_patch_port", Kind::Text)
        .default("patch-int"),
        Part::Honoured,
        "The port of the tunnel bridge that leads to the integration bridge.";

    LOCAL_IP: Option<IpAddr> = Definition::new("ovs", "local_ip", Kind::Ip),
        Part::Honoured,
        "The address that tunnels end at. It must be one of this host, or the agent does not \
         start.";

    BRIDGE_MAPPINGS: Vec<String> = Definition::new("ovs", "bridge_mappings", Kind::List)
        .default(""),
        Part::Honoured,
        "The bridge of each physical network. Weir waits for one that is not there, and `weir status` \
         says so; Neutron's agent ends.";

    DATAPATH_TYPE: String =
        Definition::new("ovs", "datapath_type", Kind::Choice(&["system", "netdev"]))
        .default("system"),
        Part::Honoured,
        "The datapath of bridges that have to be made.";

    VHOSTUSER_SOCKET_DIR: String = Definition::new("ovs", "vhostuser_socket_dir", Kind::Text)
        .default("/var/run/openvswitch"),
        Part::Honoured,
        "Reported to the server, which gives it to Nova.";

    RESOURCE_PROVIDER_BANDWIDTHS: Vec<String> =
        Definition::new("ovs", "resource_provider_bandwidths", Kind::List)
        .default(""),
        Part::Honoured,
        "Reported to the server, for Placement.";

    RESOURCE_PROVIDER_HYPERVISORS: BTreeMap<String, String> =
        Definition::new("ovs", "resource_provider_hypervisors", Kind::Dict)
        .default(""),
        Part::Honoured,
        "Reported to the server, for Placement.";

    RESOURCE_PROVIDER_DEFAULT_HYPERVISOR: Option<String> =
        Definition::new("ovs", "resource_provider_default_hypervisor", Kind::Text),
        Part::Honoured,
        "Reported to the server for bridges that `resource_provider_hypervisors` does not name; the \
         name of this host in `/etc/hosts` where it is not set.";

    RESOURCE_PROVIDER_PACKET_PROCESSING_WITHOUT_DIRECTION: Vec<String> =
        Definition::new("ovs", "resource_provider_packet_processing_without_direction", Kind::List)
        .default(""),
        Part::Honoured,
        "Reported to the server, for Placement; not together with the other direction option.";

    RESOURCE_PROVIDER_PACKET_PROCESSING_WITH_DIRECTION: Vec<String> =
        Definition::new("ovs", "resource_provider_packet_processing_with_direction", Kind::List)
        .default(""),
        Part::Honoured,
        "Reported to the server, for Placement; not together with the other direction option.";

    RESOURCE_PROVIDER_INVENTORY_DEFAULTS: BTreeMap<String, String> =
        Definition::new("ovs", "resource_provider_inventory_defaults", Kind::Dict)
        .default("allocation_ratio:1.0,min_unit:1,reserved:0,step_size:1"),
        Part::Honoured,
        "Reported to the server, for Placement.";

    RESOURCE_PROVIDER_PACKET_PROCESSING_INVENTORY_DEFAULTS: BTreeMap<String, String> =
        Definition::new("ovs", "resource_provider_packet_processing_inventory_defaults", Kind::Dict)
        .default("allocation_ratio:1.0,min_unit:1,reserved:0,step_size:1"),
        Part::Honoured,
        "Reported to the server, for Placement.";

    BRIDGE_MAC_TABLE_SIZE: i64 = Definition::new("ovs", "bridge_mac_table_size", Kind::INT)
        .default("50000"),
        Part::Honoured,
        "How many MAC addresses a bridge remembers.";

    IGMP_SNOOPING_ENABLE: bool = Definition::new("ovs", "igmp_snooping_enable", Kind::Bool)
        .default("False"),
        Part::Honoured,
        "Whether multicast goes only to ports that have asked for it.";

    IGMP_FLOOD: bool = Definition::new("ovs", "igmp_flood", Kind::Bool).default("False"),
        Part::Honoured,
        "With snooping: whether all multicast leaves the node all the same.";

    IGMP_FLOOD_REPORTS: bool = Definition::new("ovs", "igmp_flood_reports", Kind::Bool)
        .default("True"),
        Part::Honoured,
        "With snooping: whether reports leave the node.";

    IGMP_FLOOD_UNREGISTERED: bool = Definition::new("ovs", "igmp_flood_unregistered", Kind::Bool)
        .default("False"),
        Part::Honoured,
        "With snooping: whether multicast that nobody has asked for goes to everybody.";

    OVSDB_CONNECTION: String = Definition::new("ovs", "ovsdb_connection", Kind::Text)
        .default("tcp:127.0.0.1:6640"),
        Part::Honoured,
        "The Open vSwitch database: `tcp:`, `ssl:` or `unix:`. Where nothing listens at the \
         default and the socket of a local switch is there, Neutron's agent opens the port; Weir \
         takes the socket.";

    SSL_KEY_FILE: Option<String> = Definition::new("ovs", "ssl_key_file", Kind::Text),
        Part::Honoured,
        "The key for `ssl:`.";

    SSL_CERT_FILE: Option<String> = Definition::new("ovs", "ssl_cert_file", Kind::Text),
        Part::Honoured,
        "The certificate for `ssl:`.";

    SSL_CA_CERT_FILE: Option<String> = Definition::new("ovs", "ssl_ca_cert_file", Kind::Text),
        Part::Honoured,
        "Whom to trust for `ssl:`.";

    QOS_METER_BANDWIDTH: bool =
        Definition::new("ovs", "qos_meter_bandwidth", Kind::Bool).default("False"),
        Part::Honoured,
        "Whether limits of bandwidth are meters of the integration bridge, not policers and queues.";

    TRUNK_ENABLED: bool = Definition::new("ovs", "trunk_enabled", Kind::Bool).default("True"),
        Part::Honoured,
        "Whether the bridges of trunk ports are joined with the integration bridge.";
}

/// Those that nobody here reads.
pub(super) static OTHERS: &[Definition] = &[
    Definition::new("ovs", "ovsdb_timeout", Kind::at_least(1))
        .default("10")
        .part(Part::NotNeeded, "Weir never waits for one answer of the database: it watches it."),
    Definition::new("ovs", "ovsdb_debug", Kind::Bool)
        .default("False")
        .part(Part::NotNeeded, "`debug` says all of it."),
    Definition::new("ovs", "of_listen_address", Kind::Ip)
        .default("127.0.0.1")
        .part(Part::NotNeeded, "Weir connects to the bridge's management socket; nothing listens."),
    Definition::new("ovs", "of_listen_port", Kind::PORT)
        .default("6633")
        .part(Part::NotNeeded, "Weir connects to the bridge's management socket; nothing listens."),
    Definition::new("ovs", "of_connect_timeout", Kind::at_least(1))
        .default("300")
        .part(Part::NotNeeded, "Weir connects again, with growing pauses, for as long as it runs."),
    Definition::new("ovs", "of_request_timeout", Kind::at_least(1))
        .default("300")
        .part(Part::NotNeeded, "Weir never waits for one answer of the switch."),
    Definition::new("ovs", "of_inactivity_probe", Kind::at_least(0)).default("10").part(
        Part::NotNeeded,
        "The management socket is local: a switch that goes is noticed at once.",
    ),
    Definition::new("ovs", "openflow_processed_per_port", Kind::Bool)
        .default("False")
        .part(Part::NotNeeded, "A change is one bundle, whatever it takes."),
];
