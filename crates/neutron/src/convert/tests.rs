//! Each conversion, and each way in which it is refused.

use std::error::Error as _;

use model::{
    AddressPair, Direction, EtherType, IpProtocol, NetworkType, PortRange, Remote, SegmentationId,
    Transport,
};

use super::*;
use crate::object::{
    AddressAssociation, AddressGroup, AllowedAddressPair, IpAllocation, Port, PortBinding,
    PortBindingLevel, PortSecurity, QosBandwidthLimitRule, QosDscpMarkingRule,
    QosMinimumBandwidthRule, QosMinimumPacketRateRule, QosPacketRateLimitRule, QosPolicy, QosRule,
    SecurityGroup, SecurityGroupRule, SubPort, Trunk,
};

const PORT: &str = "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e01";
const NETWORK: &str = "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e02";
const GROUP: &str = "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e03";
const RULE: &str = "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e06";

fn fixed(address: &str) -> IpAllocation {
    IpAllocation { ip_address: address.to_owned(), ..IpAllocation::default() }
}

fn allowed(mac: &str, address: &str) -> AllowedAddressPair {
    AllowedAddressPair {
        mac_address: mac.to_owned(),
        ip_address: address.to_owned(),
        ..AllowedAddressPair::default()
    }
}

fn pair(mac: &str, prefix: &str) -> AddressPair {
    AddressPair { mac: mac.parse().unwrap(), prefix: prefix.parse().unwrap() }
}

fn port() -> Port {
    Port {
        id: PORT.to_owned(),
        network_id: NETWORK.to_owned(),
        mac_address: "fa:16:3e:00:00:01".to_owned(),
        admin_state_up: true,
        device_owner: "compute:nova".to_owned(),
        fixed_ips: vec![fixed("10.0.0.8"), fixed("fd00::8")],
        allowed_address_pairs: vec![
            allowed("fa:16:3e:00:00:02", "10.1.0.7/24"),
            allowed("fa:16:3e:00:00:02", "0.0.0.0/0"),
        ],
        security_group_ids: vec![GROUP.to_owned()],
        ..Port::default()
    }
}

fn rule() -> SecurityGroupRule {
    SecurityGroupRule {
        id: RULE.to_owned(),
        security_group_id: GROUP.to_owned(),
        direction: "ingress".to_owned(),
        ethertype: "IPv4".to_owned(),
        ..SecurityGroupRule::default()
    }
}

fn matching(
    ethertype: &str,
    protocol: Option<&str>,
    min: Option<u32>,
    max: Option<u32>,
) -> SecurityGroupRule {
    SecurityGroupRule {
        ethertype: ethertype.to_owned(),
        protocol: protocol.map(str::to_owned),
        port_range_min: min,
        port_range_max: max,
        ..rule()
    }
}

/// The error and its reason, as a log shows them.
fn chain<T: std::fmt::Debug>(result: Result<T, ConvertError>) -> String {
    let error = result.unwrap_err();
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[test]
fn a_port_converts() {
    let made = port().to_model().unwrap();
    assert_eq!(made.id.to_string(), PORT);
    assert_eq!(made.network.to_string(), NETWORK);
    assert_eq!(made.mac.to_string(), "fa:16:3e:00:00:01");
    assert_eq!(
        made.pairs.into_iter().collect::<Vec<_>>(),
        [
            pair("fa:16:3e:00:00:01", "10.0.0.8/32"),
            pair("fa:16:3e:00:00:01", "fd00::8/128"),
            pair("fa:16:3e:00:00:02", "0.0.0.0/0"),
            pair("fa:16:3e:00:00:02", "10.1.0.0/24"),
        ]
    );
    assert_eq!(made.groups.into_iter().map(|id| id.to_string()).collect::<Vec<_>>(), [GROUP]);
    assert!(made.admin_up);
    assert!(!Port { admin_state_up: false, ..port() }.to_model().unwrap().admin_up);
}

#[test]
fn port_security_is_on_unless_it_is_off_or_the_owner_is_trusted() {
    let security = |owner: &str, enabled: Option<bool>| {
        let security = enabled.map(|port_security_enabled| PortSecurity {
            port_security_enabled,
            ..PortSecurity::default()
        });
        Port { device_owner: owner.to_owned(), security, ..port() }.to_model().unwrap().security
    };
    assert_eq!(security("compute:nova", None), model::PortSecurity::Enabled);
    assert_eq!(security("", Some(true)), model::PortSecurity::Enabled);
    assert_eq!(security("compute:nova", Some(false)), model::PortSecurity::Disabled);
    assert_eq!(security("network:dhcp", Some(true)), model::PortSecurity::Disabled);
    assert_eq!(security("networker", None), model::PortSecurity::Enabled);
}

#[test]
fn a_port_that_does_not_convert_says_why() {
    let prefix = format!("Port {PORT}: ");
    assert_eq!(
        chain(Port { id: "x".into(), ..port() }.to_model()),
        "Port x: id is 'x': 'x' is not a UUID"
    );
    for (broken, reason) in [
        (Port { network_id: String::new(), ..port() }, "network_id is '': '' is not a UUID"),
        (
            Port { mac_address: "fa:16".into(), ..port() },
            "mac_address is 'fa:16': 'fa:16' is not a MAC address",
        ),
        (
            Port { fixed_ips: vec![fixed("10.0.0.8/24")], ..port() },
            "fixed_ips.ip_address is '10.0.0.8/24': invalid IP address syntax",
        ),
        (
            Port { allowed_address_pairs: vec![allowed("", "10.0.0.1")], ..port() },
            "allowed_address_pairs.mac_address is '': '' is not a MAC address",
        ),
        (
            Port { allowed_address_pairs: vec![allowed("fa:16:3e:00:00:02", "ten")], ..port() },
            "allowed_address_pairs.ip_address is 'ten': 'ten' is not an IP address or prefix",
        ),
        (
            Port { security_group_ids: vec!["web".into()], ..port() },
            "security_group_ids is 'web': 'web' is not a UUID",
        ),
    ] {
        assert_eq!(chain(broken.to_model()), format!("{prefix}{reason}"));
    }
}

#[test]
fn members_tie_any_addresses_to_their_mac() {
    let membership = port().membership().unwrap();
    assert_eq!(membership.groups.iter().map(ToString::to_string).collect::<Vec<_>>(), [GROUP]);
    let addresses: Vec<_> = membership
        .addresses
        .iter()
        .map(|one| (one.prefix.to_string(), one.mac.map(|mac| mac.to_string())))
        .collect();
    assert_eq!(
        addresses,
        [
            ("0.0.0.0/0".to_owned(), Some("fa:16:3e:00:00:02".to_owned())),
            ("10.0.0.8/32".to_owned(), None),
            ("10.1.0.0/24".to_owned(), None),
            ("fd00::8/128".to_owned(), None),
        ]
    );
    assert!(Port { mac_address: "x".into(), ..port() }.membership().is_err());
    assert!(Port { security_group_ids: vec!["x".into()], ..port() }.membership().is_err());
}

#[test]
fn a_binding_is_active_or_on_standby() {
    let binding = |host: &str, status: Option<&str>| PortBinding {
        host: host.to_owned(),
        vif_type: "ovs".to_owned(),
        status: status.map(str::to_owned),
        ..PortBinding::default()
    };
    let bindings = vec![
        binding("old", Some("ACTIVE")),
        binding("next", Some("INACTIVE")),
        binding("bare", None),
    ];
    let port = Port { bindings, ..port() };
    let is_active = |host| port.binding_for(host).map(PortBinding::is_active);
    assert_eq!(is_active("old"), Some(true));
    assert_eq!(is_active("next"), Some(false));
    assert_eq!(is_active("bare"), Some(true), "a missing status is ACTIVE");
    assert_eq!(port.binding_for("elsewhere"), None);
}

#[test]
fn the_lowest_level_of_the_host_is_the_segment() {
    let level = |host: &str, level: u32, network_type: &str, id: Option<u32>| PortBindingLevel {
        host: host.to_owned(),
        level,
        segment: Some(NetworkSegment {
            id: NETWORK.to_owned(),
            network_type: network_type.to_owned(),
            physical_network: Some("physnet1".to_owned()),
            segmentation_id: id,
            ..NetworkSegment::default()
        }),
        ..PortBindingLevel::default()
    };
    let binding_levels = vec![
        level("node1", 1, "vlan", Some(7)),
        level("node1", 0, "vxlan", Some(77)),
        level("node2", 0, "token-ring", None),
        PortBindingLevel { host: "node3".to_owned(), ..PortBindingLevel::default() },
    ];
    let port = Port { binding_levels, ..port() };
    assert_eq!(
        port.segment_for("node1").unwrap(),
        Some(model::Segment {
            network_type: NetworkType::Vlan,
            physical_network: Some("physnet1".to_owned()),
            segmentation_id: Some(SegmentationId::new(7)),
        })
    );
    assert!(chain(port.segment_for("node2")).starts_with(&format!(
        "NetworkSegment {NETWORK}: network_type is 'token-ring': 'token-ring' is not a network type"
    )));
    assert_eq!(port.segment_for("node3").unwrap(), None);
    assert_eq!(port.segment_for("node4").unwrap(), None);
}

#[test]
fn network_details_have_a_segment() {
    let details = NetworkDetails {
        id: NETWORK.to_owned(),
        network_type: "vxlan".to_owned(),
        segmentation_id: Some(77),
        ..NetworkDetails::default()
    };
    let segment = details.segment().unwrap();
    assert_eq!(segment.network_type, NetworkType::Vxlan);
    assert_eq!(segment.segmentation_id, Some(SegmentationId::new(77)));
    let broken = NetworkDetails { network_type: String::new(), ..details };
    assert!(chain(broken.segment()).starts_with(&format!("Network {NETWORK}: network_type is ''")));
}

#[test]
fn transports() {
    let ports = |protocol, low, high| Transport::Ports {
        protocol,
        range: PortRange::new(low, high).unwrap(),
    };
    let icmp = |kind, code| Transport::Icmp { kind, code };
    let whole = Transport::Protocol;
    for (rule, wanted) in [
        (matching("IPv4", None, None, None), Transport::Any),
        (matching("IPv4", Some("tcp"), None, None), whole(IpProtocol::TCP)),
        (matching("IPv4", Some("6"), Some(22), Some(22)), ports(IpProtocol::TCP, 22, 22)),
        (matching("IPv6", Some("udp"), Some(0), Some(9)), ports(IpProtocol::UDP, 0, 9)),
        (matching("IPv4", Some("tcp"), Some(0), Some(65535)), whole(IpProtocol::TCP)),
        (matching("IPv4", Some("dccp"), Some(1), Some(2)), ports(IpProtocol::DCCP, 1, 2)),
        (matching("IPv4", Some("udplite"), Some(1), Some(2)), ports(IpProtocol::UDPLITE, 1, 2)),
        (matching("IPv4", Some("vrrp"), None, None), whole(IpProtocol(112))),
        (matching("IPv4", Some("255"), None, None), whole(IpProtocol(255))),
        (matching("IPv4", Some("icmp"), None, None), whole(IpProtocol::ICMP)),
        (matching("IPv4", Some("icmp"), Some(8), None), icmp(8, None)),
        (matching("IPv4", Some("icmp"), Some(8), Some(0)), icmp(8, Some(0))),
        (matching("IPv6", Some("icmp"), Some(128), None), icmp(128, None)),
        (matching("IPv6", Some("icmp"), None, None), whole(IpProtocol::ICMPV6)),
        (matching("IPv6", Some("ipv6-icmp"), Some(255), Some(255)), icmp(255, Some(255))),
        (matching("IPv6", Some("icmpv6"), Some(1), None), icmp(1, None)),
        (matching("IPv4", Some("icmpv6"), None, None), whole(IpProtocol::ICMPV6)),
    ] {
        assert_eq!(rule.to_model().unwrap().transport(), wanted, "{rule:?}");
    }
}

#[test]
fn transports_that_are_none_say_why() {
    for (rule, reason) in [
        (
            matching("IPv4", Some("tcpp"), None, None),
            "protocol is 'tcpp': 'tcpp' is not an IP protocol (a name, or a number from 0 to 255)",
        ),
        (
            matching("IPv4", Some("256"), None, None),
            "protocol is '256': '256' is not an IP protocol (a name, or a number from 0 to 255)",
        ),
        (
            matching("IPv4", None, Some(1), Some(2)),
            "port_range_min is '1': it means nothing without protocol",
        ),
        (
            matching("IPv4", None, None, Some(2)),
            "port_range_max is '2': it means nothing without protocol",
        ),
        (
            matching("IPv4", Some("tcp"), Some(1), None),
            "port_range_min is '1': it means nothing without port_range_max",
        ),
        (
            matching("IPv4", Some("tcp"), None, Some(1)),
            "port_range_max is '1': it means nothing without port_range_min",
        ),
        (
            matching("IPv4", Some("tcp"), Some(65536), Some(65536)),
            "port_range_min is '65536': it must lie between 0 and 65535",
        ),
        (
            matching("IPv4", Some("udp"), Some(1), Some(65536)),
            "port_range_max is '65536': it must lie between 0 and 65535",
        ),
        (
            matching("IPv4", Some("icmp"), Some(256), None),
            "port_range_min is '256': it must lie between 0 and 255",
        ),
        (
            matching("IPv4", Some("icmp"), Some(8), Some(256)),
            "port_range_max is '256': it must lie between 0 and 255",
        ),
        (
            matching("IPv4", Some("icmp"), None, Some(0)),
            "port_range_max is '0': it means nothing without port_range_min",
        ),
        (
            matching("IPv4", Some("ipv6-icmp"), Some(128), None),
            "protocol is 'ipv6-icmp': with a type it is not for IPv4",
        ),
    ] {
        assert_eq!(chain(rule.to_model()), format!("SecurityGroupRule {RULE}: {reason}"));
    }
    for (rule, reason) in [
        (matching("IPv4", Some("tcp"), Some(2), Some(1)), "port range 2-1 is reversed"),
        (matching("IPv4", Some("gre"), Some(1), Some(2)), "protocol gre has no ports"),
        (matching("IPv4", Some("51"), Some(1), None), "protocol ah has no ports"),
    ] {
        assert_eq!(
            chain(rule.to_model()),
            format!("SecurityGroupRule {RULE} is no rule: {reason}")
        );
    }
}

#[test]
fn remotes() {
    let remote = |rule: SecurityGroupRule| rule.to_model().unwrap().remote();
    let prefix = |text: &str| SecurityGroupRule { remote_ip_prefix: Some(text.into()), ..rule() };
    assert_eq!(remote(rule()), Remote::Any);
    assert_eq!(remote(prefix("0.0.0.0/0")), Remote::Any);
    assert_eq!(remote(prefix("192.0.2.9/24")), Remote::Prefix("192.0.2.0/24".parse().unwrap()));
    let group = SecurityGroupRule { remote_group_id: Some(GROUP.into()), ..rule() };
    assert_eq!(remote(group.clone()), Remote::Group(GROUP.parse().unwrap()));
    let address_group = SecurityGroupRule { remote_address_group_id: Some(GROUP.into()), ..rule() };
    assert_eq!(remote(address_group), Remote::AddressGroup(GROUP.parse().unwrap()));

    let both = SecurityGroupRule { remote_ip_prefix: Some("0.0.0.0/0".into()), ..group };
    let subject = format!("SecurityGroupRule {RULE}");
    assert_eq!(
        chain(both.to_model()),
        format!("{subject}: remote_ip_prefix is '0.0.0.0/0': remote_group_id is there too")
    );
    assert_eq!(
        chain(prefix("::/0").to_model()),
        format!("{subject} is no rule: remote prefix ::/0 is not IPv4")
    );
    assert_eq!(
        chain(prefix("any").to_model()),
        format!("{subject}: remote_ip_prefix is 'any': 'any' is not an IP address or prefix")
    );
    let broken = SecurityGroupRule { remote_group_id: Some("web".into()), ..rule() };
    assert_eq!(
        chain(broken.to_model()),
        format!("{subject}: remote_group_id is 'web': 'web' is not a UUID")
    );
    let broken = SecurityGroupRule { remote_address_group_id: Some("web".into()), ..rule() };
    assert_eq!(
        chain(broken.to_model()),
        format!("{subject}: remote_address_group_id is 'web': 'web' is not a UUID")
    );
}

#[test]
fn the_rest_of_a_rule() {
    let made = SecurityGroupRule { direction: "egress".into(), ..rule() };
    assert_eq!(made.to_model().unwrap().direction(), Direction::Egress);
    assert_eq!(made.to_model().unwrap().ethertype(), EtherType::Ipv4);
    assert_eq!(made.group().unwrap().to_string(), GROUP);
    let subject = format!("SecurityGroupRule {RULE}");
    assert_eq!(
        chain(SecurityGroupRule { direction: "in".into(), ..rule() }.to_model()),
        format!("{subject}: direction is 'in': 'in' is not ingress or egress")
    );
    assert_eq!(
        chain(SecurityGroupRule { ethertype: "ipv4".into(), ..rule() }.to_model()),
        format!("{subject}: ethertype is 'ipv4': 'ipv4' is not IPv4 or IPv6")
    );
    assert!(SecurityGroupRule { id: "x".into(), ..rule() }.to_model().is_err());
    assert!(SecurityGroupRule { security_group_id: "x".into(), ..rule() }.group().is_err());
}

#[test]
fn groups() {
    let group = SecurityGroup {
        id: GROUP.to_owned(),
        stateful: true,
        rules: vec![rule()],
        ..SecurityGroup::default()
    };
    let made = group.to_model().unwrap();
    assert!(made.stateful);
    assert_eq!(made.rules.len(), 1);
    let broken = SecurityGroup { rules: vec![matching("", None, None, None)], ..group };
    assert!(chain(broken.to_model()).starts_with(&format!("SecurityGroupRule {RULE}: ethertype")));
    assert!(SecurityGroup::default().to_model().is_err());

    let address = |text: &str| AddressAssociation {
        address: text.to_owned(),
        ..AddressAssociation::default()
    };
    let group = AddressGroup {
        id: GROUP.to_owned(),
        addresses: vec![address("203.0.113.9/24"), address("203.0.113.0/24"), address("::1")],
        ..AddressGroup::default()
    };
    let addresses = group.to_model().unwrap().addresses;
    assert_eq!(
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["203.0.113.0/24", "::1/128"]
    );
    let broken = AddressGroup { addresses: vec![address("here")], ..group };
    assert_eq!(
        chain(broken.to_model()),
        format!(
            "AddressGroup {GROUP}: addresses.address is 'here': 'here' is not an IP address or prefix"
        )
    );
}

#[test]
fn whose_qos_policy_a_port_has() {
    let (own, network) = (GROUP.parse().unwrap(), RULE.parse().unwrap());
    let with = |own: Option<&str>, network: Option<&str>, owner: &str| Port {
        qos_policy_id: own.map(str::to_owned),
        qos_network_policy_id: network.map(str::to_owned),
        device_owner: owner.to_owned(),
        ..port()
    };
    let applied = |port: Port| {
        let choice = port.qos().unwrap();
        choice.with_network(choice.network)
    };
    let guest = "compute:nova";
    assert_eq!(applied(with(None, None, guest)), None);
    assert_eq!(applied(with(Some(GROUP), Some(RULE), guest)), Some(own));
    assert_eq!(applied(with(None, Some(RULE), guest)), Some(network));
    assert_eq!(applied(with(None, Some(RULE), "")), Some(network));
    // A network's policy is not for its DHCP server and its routers, but for their way out.
    for (owner, applies) in [
        ("network:dhcp", false),
        ("network:router_interface", false),
        ("neutron:loadbalancer", false),
        ("network:router_gateway", true),
        ("network:floatingip_agent_gateway", true),
    ] {
        let expected = applies.then_some(network);
        assert_eq!(applied(with(None, Some(RULE), owner)), expected, "{owner}");
        assert_eq!(applied(with(Some(GROUP), Some(RULE), owner)), Some(own), "{owner}");
    }
    assert!(
        chain(with(Some("gold"), None, guest).qos())
            .starts_with(&format!("Port {PORT}: qos_policy_id"))
    );
}

#[test]
fn qos_policies() {
    let limit = |direction: &str, max_kbps, max_burst_kbps| {
        QosRule::BandwidthLimit(QosBandwidthLimitRule {
            max_kbps,
            max_burst_kbps,
            direction: direction.to_owned(),
            ..Default::default()
        })
    };
    let packets = |direction: &str, max_kpps, max_burst_kpps| {
        QosRule::PacketRateLimit(QosPacketRateLimitRule {
            max_kpps,
            max_burst_kpps,
            direction: direction.to_owned(),
            ..Default::default()
        })
    };
    let mark =
        |dscp_mark| QosRule::DscpMarking(QosDscpMarkingRule { dscp_mark, ..Default::default() });
    let least = QosRule::MinimumBandwidth(QosMinimumBandwidthRule {
        min_kbps: Some(7),
        direction: "egress".to_owned(),
        ..Default::default()
    });
    let policy = |rules| QosPolicy { id: GROUP.to_owned(), rules, ..Default::default() };
    let made = policy(vec![
        limit("egress", Some(1000), Some(0)),
        limit("ingress", Some(0), Some(9)),
        packets("ingress", Some(3), Some(1)),
        packets("egress", Some(u32::MAX), None),
        mark(46),
        least,
        QosRule::MinimumPacketRate(QosMinimumPacketRateRule::default()),
        QosRule::Other(serde_json::Value::Null),
    ]);
    let made = made.to_model().unwrap();
    let kbps = |number| model::Kbps::new(number).unwrap();
    let bandwidth = model::BandwidthLimit { rate: kbps(1000), burst: None };
    assert_eq!(made.bandwidth, [(Direction::Egress, bandwidth)].into());
    let few = model::PacketRateLimit { rate: 3000, burst: Some(1000) };
    let many = model::PacketRateLimit { rate: u32::MAX, burst: None };
    assert_eq!(made.packet_rate, [(Direction::Ingress, few), (Direction::Egress, many)].into());
    assert_eq!(made.minimum_bandwidth, [(Direction::Egress, kbps(7))].into());
    assert_eq!(made.dscp.map(model::Dscp::get), Some(46));

    let refused = chain(policy(vec![mark(64)]).to_model());
    assert!(
        refused.starts_with(&format!("QosPolicy {GROUP}: rules.dscp_mark is '64'")),
        "{refused}"
    );
    let refused = chain(policy(vec![limit("up", Some(1), None)]).to_model());
    assert!(refused.contains("'up' is not ingress or egress"), "{refused}");
}

#[test]
fn trunks() {
    let subport = |port: &str, tag| SubPort {
        port_id: port.to_owned(),
        trunk_id: RULE.to_owned(),
        segmentation_type: "vlan".to_owned(),
        segmentation_id: tag,
        ..SubPort::default()
    };
    let trunk = |status: &str, sub_ports: Vec<SubPort>| Trunk {
        id: RULE.to_owned(),
        port_id: PORT.to_owned(),
        status: status.to_owned(),
        sub_ports,
        ..Trunk::default()
    };
    let model = trunk("BUILD", vec![subport(NETWORK, 4094), subport(GROUP, 1)]).to_model().unwrap();
    assert_eq!((model.id, model.parent), (RULE.parse().unwrap(), PORT.parse().unwrap()));
    assert_eq!(model.status, model::TrunkStatus::Build);
    let tags = [(NETWORK, 4094), (GROUP, 1)].map(|(id, tag)| (id.parse().unwrap(), tag));
    let found = model.subports.iter().map(|(id, tag)| (*id, tag.get()));
    assert_eq!(found.collect::<Vec<_>>(), tags);

    let refused = |trunk: Trunk| {
        let error = trunk.to_model().unwrap_err();
        format!("{error}: {}", error.source().unwrap())
    };
    for (tag, says) in
        [(0, "it must lie between 0 and 4094"), (4095, "it must lie between 0 and 4094")]
    {
        let trunk = trunk("DOWN", vec![subport(GROUP, tag)]);
        assert_eq!(refused(trunk), format!("SubPort {GROUP}: segmentation_id is '{tag}': {says}"));
    }
    let twice = trunk("DOWN", vec![subport(GROUP, 7), subport(NETWORK, 7)]);
    let says = "sub_ports.segmentation_id is '7': it is there twice";
    assert_eq!(refused(twice), format!("Trunk {RULE}: {says}"));
    let other = SubPort { segmentation_type: "inherit".to_owned(), ..subport(GROUP, 7) };
    let says = "segmentation_type is 'inherit': only vlan can be wired";
    assert_eq!(refused(trunk("DOWN", vec![other])), format!("SubPort {GROUP}: {says}"));
    let says = "status is 'UP': 'UP' is not a status of a trunk";
    assert_eq!(refused(trunk("UP", vec![])), format!("Trunk {RULE}: {says}"));

    let made = subport(GROUP, 7);
    let (port, tag) = made.to_model().unwrap();
    assert_eq!(SubPort::new(made.trunk().unwrap(), port, tag), made);
}
