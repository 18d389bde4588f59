//! Groups of extensions that Weir does not have.

use crate::kind::Kind;
use crate::option::{Definition, Part};

/// Those that nobody here reads.
pub(super) static OTHERS: &[Definition] = &[
    Definition::new("network_log", "burst_limit", Kind::at_least(25))
        .default("25")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("network_log", "local_output_log_base", Kind::Text)
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("network_log", "rate_limit", Kind::at_least(100))
        .default("100")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("dhcp", "dhcp_rebinding_time", Kind::at_least(0))
        .default("0")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("dhcp", "dhcp_renewal_time", Kind::at_least(0))
        .default("0")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("dhcp", "enable_ipv6", Kind::Bool)
        .default("True")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("metadata", "auth_ca_cert", Kind::Text)
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("metadata", "host_proxy_listen_port", Kind::Int(1, 65_535))
        .default("80")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("metadata", "metadata_proxy_shared_secret", Kind::Text)
        .default("")
        .secret()
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("metadata", "nova_client_cert", Kind::Text)
        .default("")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("metadata", "nova_client_priv_key", Kind::Text)
        .default("")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("metadata", "nova_metadata_host", Kind::Host)
        .default("127.0.0.1")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("metadata", "nova_metadata_insecure", Kind::Bool)
        .default("False")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("metadata", "nova_metadata_port", Kind::PORT)
        .default("8775")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("metadata", "nova_metadata_protocol", Kind::Choice(&["http", "https"]))
        .default("http")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("metadata", "provider_base_mac", Kind::Text)
        .default("fa:16:ee:00:00:00")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("metadata", "provider_cidr", Kind::Text)
        .default("240.0.0.0/16")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("metadata", "provider_vlan_id", Kind::Int(1, 4_094))
        .default("1")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("local_ip", "static_nat", Kind::Bool)
        .default("False")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("dns_forwarder", "client_dns_server_ports", Kind::List)
        .default("169.254.169.254:53,[fd00::254]:53")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("dns_forwarder", "upstream_dns_query_timeout", Kind::at_least(1))
        .default("5")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("dns_forwarder", "upstream_dns_server_ports", Kind::List)
        .default("")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
    Definition::new("fdb", "shared_physical_device_mappings", Kind::List)
        .default("")
        .part(Part::NotNeeded, "The extension is not there: `[agent] extensions` refuses it."),
];
