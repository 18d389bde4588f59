//! What an agent is told because of some files.

use config::{File, Source, Sources};

use super::*;

/// The settings of a file with this text.
fn settings(text: &str) -> Settings {
    let file = File::parse("agent.ini".into(), text).unwrap();
    let sources = Sources { ordered: vec![Source::File(file)], ..Sources::default() };
    let (settings, errors) = Settings::read(&sources, table::agent());
    assert_eq!(errors, []);
    settings
}

fn host() -> Host {
    Host {
        name: "controller".to_owned(),
        canonical_name: "controller-1".to_owned(),
        addresses: ["127.0.0.2", "fd00::2"].map(|it| it.parse().unwrap()).into(),
        ovs_run_dir: "/var/run/openvswitch".into(),
        has_database_socket: false,
        is_run_dir_said: false,
        vswitchd_socket: None,
        admin_socket: "/var/lib/weir/agent.sock".into(),
    }
}

fn told(text: &str) -> agent::Config {
    config(&settings(text), &host()).unwrap()
}

/// The files of an agent whose report was recorded.
const RECORDED: &str = "\
[DEFAULT]
host = host-a
[ovs]
integration_bridge = a-int
bridge_mappings = Intnet1:a-phy
datapath_type = netdev
local_ip = 127.0.0.2
[AGENT]
tunnel_types = vxlan
l2_population = true
arp_responder = true
extensions = qos
";

#[test]
fn the_report_is_the_one_that_was_recorded() {
    let config = told(RECORDED);
    assert_eq!(config.host, "host-a");
    let identity = config.identity;
    assert!(config.extensions.qos);
    assert_eq!((&*identity.binary, &*identity.extensions), (PROGRAM, &["qos".to_owned()][..]));
    assert_eq!(identity.vhostuser_socket_dir.as_deref(), Some("/var/run/openvswitch"));
    assert!(!identity.log_heartbeats);
    let inventory =
        json!({ "allocation_ratio": 1.0, "min_unit": 1, "step_size": 1, "reserved": 0 });
    assert_eq!(
        Value::from(identity.further),
        json!({
            "resource_provider_bandwidths": {},
            "resource_provider_inventory_defaults": inventory,
            "resource_provider_packet_processing_without_direction": {},
            "resource_provider_packet_processing_with_direction": {},
            "resource_provider_packet_processing_inventory_defaults": inventory,
            "resource_provider_hypervisors":
                { "rp_tunnelled": "controller-1", "a-phy": "controller-1" },
            "baremetal_smartnic": false,
            "in_distributed_mode": false,
        })
    );
}

#[test]
fn without_a_word_everything_is_as_neutron_has_it() {
    let config = told("");
    assert_eq!(config.host, "controller");
    assert_eq!(config.ovsdb.to_string(), "tcp:127.0.0.1:6640");
    assert_eq!(config.ovs_run_dir, Path::new("/var/run/openvswitch"));
    assert_eq!((&*config.integration_bridge, &*config.datapath_type), ("br-int", "system"));
    assert_eq!((config.tunnel, config.forwarding), (None, Forwarding::default()));
    assert_eq!(config.report_interval, Duration::from_secs(30));
    assert!(config.bridge_mappings.is_empty() && config.permitted_ethertypes.is_empty());
    assert!(!config.drop_flows_on_start && !config.strict_equivalence);
    assert_eq!(config.extensions, Extensions { trunk: true, ..Extensions::default() });
}

#[test]
fn tunnels_are_those_of_the_files() {
    let config = told(
        "[ovs]\nlocal_ip = fd00::2\ntunnel_bridge = t\nint_peer_patch_port = a\n\
         tun_peer_patch_port = b\n[agent]\ntunnel_types = gre,geneve\nvxlan_udp_port = 8472\n\
         l2_population = on\narp_responder = on\ntunnel_csum = on\ndont_fragment = off\n\
         dscp = 46\nreport_interval = 0.5\ndrop_flows_on_start = yes\nlog_agent_heartbeats = 1\n",
    );
    let tunnel = config.tunnel.unwrap();
    let expected = TunnelConfig {
        bridge: "t".to_owned(),
        int_peer_patch_port: "a".to_owned(),
        tun_peer_patch_port: "b".to_owned(),
        l2_population: true,
        arp_responder: true,
        csum: true,
        dont_fragment: false,
        dscp: Dscp::Fixed(46),
        vxlan_udp_port: 8472,
        ..TunnelConfig::new("fd00::2".parse().unwrap(), [NetworkType::Gre, NetworkType::Geneve])
    };
    assert_eq!(tunnel, expected);
    assert_eq!(config.report_interval, Duration::from_millis(500));
    assert!(config.drop_flows_on_start && config.identity.log_heartbeats);
    // An ARP responder knows nobody without l2population, and a DSCP of 0 is none.
    let tunnels = "[ovs]\nlocal_ip = 127.0.0.2\n[agent]\ntunnel_types = vxlan\n";
    let tunnel = told(&format!("{tunnels}arp_responder = on\ndscp = 0\n")).tunnel.unwrap();
    assert_eq!((tunnel.arp_responder, tunnel.dscp), (false, Dscp::Unset));
    let tunnel = told(&format!("{tunnels}dscp_inherit = on\ndscp = 3\n")).tunnel.unwrap();
    assert_eq!(tunnel.dscp, Dscp::Inherit);
}

#[test]
fn bridges_forward_as_the_files_say() {
    let config = told(
        "[ovs]\nbridge_mappings = a:br-a, b : br-b\nbridge_mac_table_size = 7\n\
         igmp_snooping_enable = 1\nigmp_flood = 1\nigmp_flood_reports = 0\n\
         igmp_flood_unregistered = 1\n[securitygroup]\npermitted_ethertypes = 0x88cc,0X8899,x,9\n",
    );
    let mappings: Vec<_> = config.bridge_mappings.iter().collect();
    assert_eq!(format!("{mappings:?}"), r#"[("a", "br-a"), ("b", "br-b")]"#);
    let forwarding = Forwarding {
        mac_table_size: 7,
        igmp_snooping: true,
        igmp_flood: true,
        igmp_flood_reports: false,
        igmp_flood_unregistered: true,
    };
    assert_eq!(config.forwarding, forwarding);
    let permitted: Vec<_> = config.permitted_ethertypes.iter().map(|it| it.get()).collect();
    assert_eq!(permitted, [0x8899, 0x88cc]);
}

#[test]
fn the_database_is_where_the_files_say() {
    let local = Host { has_database_socket: true, ..host() };
    let said = Host { ovs_run_dir: "/run/x".into(), is_run_dir_said: true, ..local.clone() };
    let tls = "[ovs]\novsdb_connection = ssl:192.0.2.1:6640\nssl_key_file = k\n\
               ssl_cert_file = c\nssl_ca_cert_file = a";
    for (host, text, remote, run_dir) in [
        (&local, "", "unix:/var/run/openvswitch/db.sock", "/var/run/openvswitch"),
        (&said, "", "unix:/run/x/db.sock", "/run/x"),
        (&local, "[ovs]\novsdb_connection = unix:/a/b.sock", "unix:/a/b.sock", "/a"),
        (&said, "[ovs]\novsdb_connection = unix:/a/b.sock", "unix:/a/b.sock", "/run/x"),
        (&local, "[ovs]\novsdb_connection = tcp:[::1]:1", "tcp:[::1]:1", "/var/run/openvswitch"),
        (&local, tls, "ssl:192.0.2.1:6640", "/var/run/openvswitch"),
    ] {
        let config = config(&settings(text), host).unwrap();
        assert_eq!(
            (&*config.ovsdb.to_string(), &*config.ovs_run_dir),
            (remote, Path::new(run_dir))
        );
    }
    let config = told(tls);
    let ovsdb::Remote::Tls { files, .. } = config.ovsdb else { panic!("{}", config.ovsdb) };
    assert_eq!(files, ovsdb::TlsFiles { ca: "a".into(), cert: "c".into(), key: "k".into() });
}

#[test]
fn resources_are_reported() {
    let config = told(
        "[ovs]\nbridge_mappings = a:br-a,b:br-b\n\
         resource_provider_bandwidths = br-a:10:20,rp_tunnelled::5\n\
         resource_provider_hypervisors = br-b:other\nresource_provider_default_hypervisor = mine\n\
         resource_provider_packet_processing_without_direction = :100\n\
         resource_provider_inventory_defaults = allocation_ratio:2\n",
    );
    let further = config.identity.further;
    assert_eq!(
        further["resource_provider_bandwidths"],
        json!({
            "br-a": { "egress": 10, "ingress": 20 },
            "rp_tunnelled": { "egress": null, "ingress": 5 },
        })
    );
    assert_eq!(
        further["resource_provider_hypervisors"],
        json!({ "br-a": "mine", "br-b": "other", "rp_tunnelled": "mine" })
    );
    assert_eq!(
        further["resource_provider_packet_processing_without_direction"],
        json!({ "controller": { "any": 100 } })
    );
    let defaults = &further["resource_provider_inventory_defaults"];
    assert_eq!(defaults, &json!({ "allocation_ratio": 2.0 }));
}

#[test]
fn what_cannot_be_honoured_is_named_with_its_line() {
    for (text, expected) in [
        ("[agent]\ntunnel_types = vxlan", "agent.ini:2: [agent] tunnel_types: tunnels need"),
        ("[agent]\ntunnel_types = stt", "agent.ini:2: [agent] tunnel_types: 'stt' is none of"),
        (
            "[ovs]\nlocal_ip = 192.0.2.9\n[agent]\ntunnel_types = gre",
            "agent.ini:2: [ovs] local_ip: no interface",
        ),
        ("[ovs]\nbridge_mappings = a", "agent.ini:2: [ovs] bridge_mappings: 'a' is not"),
        ("[ovs]\nbridge_mappings = a:b:c", "agent.ini:2: [ovs] bridge_mappings: 'a:b:c' is not"),
        ("[ovs]\nbridge_mappings = a:b,a:c", "agent.ini:2: [ovs] bridge_mappings: 'a:c' is there"),
        ("[ovs]\nbridge_mappings = a:b,c:b", "agent.ini:2: [ovs] bridge_mappings: 'c:b' is there"),
        ("[ovs]\novsdb_connection = x", "agent.ini:2: [ovs] ovsdb_connection: "),
        ("[ovs]\novsdb_connection = ssl:h:1", "agent.ini:2: [ovs] ovsdb_connection: ssl: needs"),
        ("[ovs]\nbridge_mac_table_size = -1", "agent.ini:2: [ovs] bridge_mac_table_size: "),
        ("[agent]\nreport_interval = 0", "agent.ini:2: [agent] report_interval: an agent"),
        ("[agent]\nreport_interval = -1", "agent.ini:2: [agent] report_interval: -1 is no"),
        (
            "[securitygroup]\npermitted_ethertypes = 0x0800",
            "agent.ini:2: [securitygroup] permitted_ethertypes: 0x0800 cannot",
        ),
        (
            "[ovs]\nresource_provider_bandwidths = br-x:1:1",
            "agent.ini:2: [ovs] resource_provider_bandwidths: 'br-x' is not a bridge",
        ),
        (
            "[ovs]\nresource_provider_packet_processing_with_direction = a:1:1\n\
             resource_provider_packet_processing_without_direction = a:1",
            "agent.ini:2: [ovs] resource_provider_packet_processing_with_direction: one of",
        ),
    ] {
        let errors = config(&settings(text), &host()).unwrap_err();
        let errors: Vec<_> =
            errors.into_iter().map(|it| format!("{:#}", anyhow::Error::from(it))).collect();
        assert!(matches!(&errors[..], [error] if error.starts_with(expected)), "{errors:?}");
    }
}

#[test]
fn every_firewall_that_files_may_name_is_known() {
    let config::Part::Only(names) = securitygroup::FIREWALL_DRIVER.definition.part else {
        panic!("any text is possible");
    };
    for name in names.iter().filter(|name| !name.is_empty()) {
        let text = format!("[securitygroup]\nfirewall_driver = {name}\n");
        let config = config(&settings(&text), &host()).unwrap();
        assert_eq!(Firewall::named(name), Ok(config.firewall), "{name}");
    }
}
