//! A port that is filtered elsewhere, as `ofproto/trace` of a real switch sees it.
#![expect(clippy::unwrap_used, reason = "a test may panic, also in what its tests share")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataplane::{Filter, LocalNetwork, LocalPort, PortQos, Snapshot, bridge};
use model::{
    AddressPair, MacAddr, NetworkId, NetworkType, OfPort, Port, PortId, PortSecurity, Prefix,
    Segment, SegmentationId, VlanTag,
};
use testkit::Switch;
use uuid::Uuid;

fn mac(n: u8) -> MacAddr {
    MacAddr::new([0xfa, 0x16, 0x3e, 0, 0, n])
}

/// Port `n` has ofport n, MAC fa:16:3e:00:00:n, addresses 10.0.0.n and fd00::n, and no groups.
fn port(n: u8, filter: Filter) -> LocalPort {
    let pair = |text: String| {
        let address: std::net::IpAddr = text.parse().unwrap();
        AddressPair { mac: mac(n), prefix: Prefix::host(address) }
    };
    let port = Port {
        id: PortId::new(Uuid::from_u128(n.into())),
        network: NetworkId::new(Uuid::from_u128(0x8000)),
        mac: mac(n),
        pairs: [pair(format!("10.0.0.{n}")), pair(format!("fd00::{n}"))].into(),
        security: PortSecurity::Enabled,
        groups: BTreeSet::new(),
        admin_up: true,
    };
    LocalPort {
        ofport: OfPort::new(n.into()).unwrap(),
        port: Arc::new(port),
        standby: false,
        filter,
        qos: PortQos::default(),
    }
}

/// Ports 1 and 2 are filtered elsewhere; port 3 is filtered here, and nothing is let in or out.
fn snapshot() -> Snapshot {
    let ports = [port(1, Filter::Netfilter), port(2, Filter::Nothing), port(3, Filter::Flows)];
    let segment = Segment {
        network_type: NetworkType::Vxlan,
        physical_network: None,
        segmentation_id: Some(SegmentationId::new(7)),
    };
    let network = LocalNetwork { vlan: VlanTag::new(5).unwrap(), segment };
    Snapshot {
        networks: BTreeMap::from([(NetworkId::new(Uuid::from_u128(0x8000)), network)]),
        ports: ports.into_iter().map(|local| (local.port.id, local)).collect(),
        ..Snapshot::default()
    }
}

#[test]
fn its_source_is_checked_and_nothing_else() {
    let switch = Switch::start().unwrap();
    switch.add_bridge("br-int").unwrap();
    for n in 1..=3 {
        let (name, request) = (format!("p{n}"), format!("ofport_request={n}"));
        let set = ["--", "set", "interface", &name, "type=internal", &request];
        switch.vsctl(&[&["add-port", "br-int", &name], &set[..]].concat()).unwrap();
    }
    let path = switch.run_dir().join("flows");
    let flows = bridge::desired(&snapshot()).flows;
    let lines: String = flows.iter().map(|flow| format!("{flow}\n")).collect();
    std::fs::write(&path, lines).unwrap();
    switch.ofctl(&["--bundle", "add-flows", "br-int", path.to_str().unwrap()]).unwrap();

    let passes = |from: u8, source: MacAddr, to: u8, packet: &str| {
        let flow = format!("in_port={from},dl_src={source},dl_dst={},{packet}", mac(to));
        let trace = switch.appctl(&["ofproto/trace", "br-int", &flow]).unwrap();
        let actions = trace.lines().rfind(|line| line.starts_with("Datapath actions:"));
        actions.map_or_else(|| panic!("{trace}"), |actions| actions != "Datapath actions: drop")
    };
    let anything = [
        "tcp,nw_src=10.0.0.99,nw_dst=10.0.0.2,tcp_dst=22",
        "udp,nw_src=10.0.0.1,nw_dst=255.255.255.255,udp_src=67,udp_dst=68",
        "icmp6,ipv6_src=fe80::1,ipv6_dst=ff02::1,icmpv6_type=134",
        "dl_type=0x88cc",
        "arp,arp_spa=10.0.0.1",
        "icmp6,icmpv6_type=136,icmpv6_code=0,nd_target=fd00::1",
    ];
    let forbidden = [
        "arp,arp_spa=10.0.0.2",
        "arp,arp_spa=0.0.0.0",
        "icmp6,icmpv6_type=136,icmpv6_code=0,nd_target=fd00::2",
        "icmp6,icmpv6_type=136,icmpv6_code=3",
        "dl_vlan=7,tcp,tcp_dst=22",
        "dl_vlan=0,tcp,tcp_dst=22",
    ];
    for packet in anything {
        assert!(passes(1, mac(1), 2, packet), "{packet}");
    }
    for packet in anything.iter().take(5) {
        assert!(!passes(1, mac(2), 2, packet), "with the MAC address of another: {packet}");
    }
    for packet in forbidden {
        assert!(!passes(1, mac(1), 2, packet), "{packet}");
    }
    assert!(passes(2, mac(2), 1, "dl_vlan=0,tcp,tcp_dst=22"), "nobody filters it anyway");
    // A port that is filtered here is filtered as ever.
    assert!(!passes(3, mac(3), 2, "tcp,nw_src=10.0.0.99,nw_dst=10.0.0.2,tcp_dst=22"));
    assert!(!passes(1, mac(1), 3, "dl_type=0x88cc"));
}
