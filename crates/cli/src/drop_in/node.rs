//! What an agent is told because of Neutron's options. Pure: what is known of the host comes in
//! [`Host`].

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use agent::{
    Dscp, Extensions, Firewall, FirewallError, Forwarding, Identity, PermittedError,
    PermittedEtherType, TunnelConfig,
};
use config::{Opt, Place, Settings, table};
use model::NetworkType;
use serde_json::{Map, Value, json};
use table::{agent as options, default, ovs, securitygroup, server};

use super::{PROGRAM, firewall, host::DATABASE, placement};

/// What is known of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// Its name.
    pub(crate) name: String,
    /// Its name with its domain.
    pub(crate) canonical_name: String,
    /// Its addresses that options may name.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// The directory of the switch's sockets.
    pub(crate) ovs_run_dir: PathBuf,
    /// Whether the database of the switch has a socket there.
    pub(crate) has_database_socket: bool,
    /// Whether `ovs_run_dir` is what an operator has said.
    pub(crate) is_run_dir_said: bool,
    /// The control socket of ovs-vswitchd, where that is not in the directory.
    pub(crate) vswitchd_socket: Option<PathBuf>,
    /// The control socket that the agent makes.
    pub(crate) admin_socket: PathBuf,
}

/// Why an option cannot be honoured on this host.
#[derive(Debug, thiserror::Error)]
#[error("{place}: [{group}] {name}")]
pub(crate) struct NodeError {
    place: Place,
    group: &'static str,
    name: &'static str,
    #[source]
    problem: Problem,
}

/// What is wrong with an option.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Remote(#[from] ovsdb::ParseRemoteError),
    #[error("ssl: needs ssl_key_file, ssl_cert_file and ssl_ca_cert_file")]
    TlsFiles,
    #[error("'{0}' is not PHYSICAL_NETWORK:BRIDGE")]
    Mapping(String),
    #[error("'{0}' is there twice")]
    Twice(String),
    #[error("'{0}' is none of vxlan, gre and geneve")]
    TunnelType(String),
    #[error("tunnels need [ovs] local_ip")]
    NoLocalIp,
    #[error("no interface of this host has the address {0}")]
    NotLocal(IpAddr),
    #[error(transparent)]
    Firewall(#[from] FirewallError),
    #[error(transparent)]
    EtherType(#[from] PermittedError),
    #[error("a bridge remembers no {0} addresses")]
    MacTable(i64),
    #[error("an agent that does not report is taken for dead")]
    NoReports,
    #[error("{0} is no number of seconds")]
    Seconds(f64),
    #[error(transparent)]
    Placement(#[from] placement::PlacementError),
    #[error("one of resource_provider_packet_processing_with_direction and _without_direction")]
    BothDirections,
}

#[cfg(test)]
mod tests;

/// The addresses that options name, which must be this host's.
pub(crate) fn addresses(settings: &Settings) -> Vec<IpAddr> {
    settings.get(&ovs::LOCAL_IP).into_iter().collect()
}

/// What the agent is told.
///
/// # Errors
/// Every option that cannot be honoured.
pub(crate) fn config(settings: &Settings, host: &Host) -> Result<agent::Config, Vec<NodeError>> {
    let mut mapping = Mapping { settings, host, errors: Vec::new() };
    let config = mapping.config();
    match mapping.errors.is_empty() {
        true => Ok(config),
        false => Err(mapping.errors),
    }
}

/// The name under which the server knows the node.
pub(crate) fn host_name(settings: &Settings, host: &Host) -> String {
    settings.get(&default::HOST).unwrap_or_else(|| host.name.clone())
}

struct Mapping<'a> {
    settings: &'a Settings,
    host: &'a Host,
    errors: Vec<NodeError>,
}

impl Mapping<'_> {
    fn config(&mut self) -> agent::Config {
        let settings = self.settings;
        let ovsdb = self.ovsdb();
        let ovs_run_dir = match (&ovsdb, self.host.is_run_dir_said) {
            (ovsdb::Remote::Unix(socket), false) => socket.parent().map(Path::to_owned),
            _ => None,
        };
        let bridge_mappings = self.bridge_mappings();
        let tunnel = self.tunnel();
        let further = self.further(&bridge_mappings);
        agent::Config {
            host: host_name(settings, self.host),
            ovsdb,
            ovs_run_dir: ovs_run_dir.unwrap_or_else(|| self.host.ovs_run_dir.clone()),
            vswitchd_socket: self.host.vswitchd_socket.clone(),
            integration_bridge: settings.get(&ovs::INTEGRATION_BRIDGE),
            datapath_type: settings.get(&ovs::DATAPATH_TYPE),
            bridge_mappings,
            tunnel,
            firewall: self.firewall(),
            enable_ipset: self.settings.get(&securitygroup::ENABLE_IPSET),
            permitted_ethertypes: self.permitted_ethertypes(),
            strict_equivalence: false,
            extensions: Extensions {
                meters_bandwidth: settings.get(&ovs::QOS_METER_BANDWIDTH),
                trunk: settings.get(&ovs::TRUNK_ENABLED),
                ..Extensions::named(&settings.get(&options::EXTENSIONS))
            },
            forwarding: self.forwarding(),
            drop_flows_on_start: settings.get(&options::DROP_FLOWS_ON_START),
            gather: crate::up::GATHER,
            report_interval: self.report_interval(),
            identity: Identity {
                binary: PROGRAM.to_owned(),
                extensions: settings.get(&options::EXTENSIONS),
                log_heartbeats: settings.get(&options::LOG_AGENT_HEARTBEATS),
                vhostuser_socket_dir: Some(settings.get(&ovs::VHOSTUSER_SOCKET_DIR)),
                further,
            },
            admin_socket: self.host.admin_socket.clone(),
        }
    }

    fn ovsdb(&mut self) -> ovsdb::Remote {
        let socket = self.host.ovs_run_dir.join(DATABASE);
        let option = &ovs::OVSDB_CONNECTION;
        // Neutron's agent opens the port of a local switch where it is closed.
        if self.host.has_database_socket && self.settings.said(option).is_none() {
            return ovsdb::Remote::Unix(socket);
        }
        let parsed = self.settings.get(option).parse::<ovsdb::Remote>();
        let remote = self.or_error(option, parsed).unwrap_or(ovsdb::Remote::Unix(socket));
        if !matches!(remote, ovsdb::Remote::Tls { .. }) {
            return remote;
        }
        let file = |option: &Opt<Option<String>>| self.settings.get(option).map(PathBuf::from);
        let [key, cert, ca] =
            [&ovs::SSL_KEY_FILE, &ovs::SSL_CERT_FILE, &ovs::SSL_CA_CERT_FILE].map(file);
        match (key, cert, ca) {
            (Some(key), Some(cert), Some(ca)) => {
                remote.with_tls_files(ovsdb::TlsFiles { ca, cert, key })
            }
            _ => {
                self.fail(option, Problem::TlsFiles);
                remote
            }
        }
    }

    fn bridge_mappings(&mut self) -> BTreeMap<String, String> {
        let option = &ovs::BRIDGE_MAPPINGS;
        let mut mappings = BTreeMap::new();
        for item in self.settings.get(option) {
            let item = item.trim();
            let pair = item.split_once(':').map(|(name, bridge)| (name.trim(), bridge.trim()));
            match pair {
                _ if item.is_empty() => {}
                Some((name, bridge))
                    if !name.is_empty() && !bridge.is_empty() && !bridge.contains(':') =>
                {
                    let is_used = mappings.values().any(|used| used == bridge);
                    if is_used || mappings.insert(name.to_owned(), bridge.to_owned()).is_some() {
                        self.fail(option, Problem::Twice(item.to_owned()));
                    }
                }
                _ => self.fail(option, Problem::Mapping(item.to_owned())),
            }
        }
        mappings
    }

    fn tunnel(&mut self) -> Option<TunnelConfig> {
        let settings = self.settings;
        let mut types = BTreeSet::new();
        for name in settings.get(&options::TUNNEL_TYPES) {
            match name.parse() {
                Ok(kind @ (NetworkType::Vxlan | NetworkType::Gre | NetworkType::Geneve)) => {
                    types.insert(kind);
                }
                _ => self.fail(&options::TUNNEL_TYPES, Problem::TunnelType(name)),
            }
        }
        if types.is_empty() {
            return None;
        }
        let Some(local_ip) = settings.get(&ovs::LOCAL_IP) else {
            self.fail(&options::TUNNEL_TYPES, Problem::NoLocalIp);
            return None;
        };
        if !self.host.addresses.contains(&local_ip) {
            self.fail(&ovs::LOCAL_IP, Problem::NotLocal(local_ip));
        }
        let l2_population = settings.get(&options::L2_POPULATION);
        let dscp = match (settings.get(&options::DSCP_INHERIT), settings.get(&options::DSCP)) {
            (true, _) => Dscp::Inherit,
            // 0 is no DSCP for Neutron, too.
            (false, None | Some(0)) => Dscp::Unset,
            (false, Some(dscp)) => u8::try_from(dscp).map_or(Dscp::Unset, Dscp::Fixed),
        };
        Some(TunnelConfig {
            local_ip,
            types,
            bridge: settings.get(&ovs::TUNNEL_BRIDGE),
            int_peer_patch_port: settings.get(&ovs::INT_PEER_PATCH_PORT),
            tun_peer_patch_port: settings.get(&ovs::TUN_PEER_PATCH_PORT),
            l2_population,
            arp_responder: l2_population && settings.get(&options::ARP_RESPONDER),
            csum: settings.get(&options::TUNNEL_CSUM),
            dont_fragment: settings.get(&options::DONT_FRAGMENT),
            dscp,
            vxlan_udp_port: settings.get(&options::VXLAN_UDP_PORT),
        })
    }

    /// Where no file says, the server is asked before the agent starts.
    fn firewall(&mut self) -> Firewall {
        let option = &securitygroup::FIREWALL_DRIVER;
        let named = firewall::named(self.settings).map(|name| Firewall::named(&name));
        named.and_then(|named| self.or_error(option, named)).unwrap_or_default()
    }

    fn permitted_ethertypes(&mut self) -> BTreeSet<PermittedEtherType> {
        let option = &securitygroup::PERMITTED_ETHERTYPES;
        let mut permitted = BTreeSet::new();
        for text in self.settings.get(option) {
            // Neutron leaves out what is not hexadecimal, and says so in its log.
            let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
            let Some(digits) = digits.filter(|digits| u64::from_str_radix(digits, 16).is_ok())
            else {
                continue;
            };
            permitted.extend(self.or_error(option, digits.parse::<PermittedEtherType>()));
        }
        permitted
    }

    fn forwarding(&mut self) -> Forwarding {
        let settings = self.settings;
        let size = settings.get(&ovs::BRIDGE_MAC_TABLE_SIZE);
        let mac_table_size = match u32::try_from(size) {
            Ok(size) if size > 0 => size,
            _ => {
                self.fail(&ovs::BRIDGE_MAC_TABLE_SIZE, Problem::MacTable(size));
                0
            }
        };
        Forwarding {
            mac_table_size,
            igmp_snooping: settings.get(&ovs::IGMP_SNOOPING_ENABLE),
            igmp_flood: settings.get(&ovs::IGMP_FLOOD),
            igmp_flood_reports: settings.get(&ovs::IGMP_FLOOD_REPORTS),
            igmp_flood_unregistered: settings.get(&ovs::IGMP_FLOOD_UNREGISTERED),
        }
    }

    fn report_interval(&mut self) -> Duration {
        let option = &options::REPORT_INTERVAL;
        let seconds = self.settings.get(option);
        if seconds == 0.0 {
            self.fail(option, Problem::NoReports);
        }
        let interval = Duration::try_from_secs_f64(seconds);
        self.or_error(option, interval.map_err(|_| Problem::Seconds(seconds))).unwrap_or_default()
    }

    /// What the server is told for Placement, and what Neutron's agent says of what Weir never is.
    fn further(&mut self, bridge_mappings: &BTreeMap<String, String>) -> Map<String, Value> {
        let settings = self.settings;
        let host = host_name(settings, self.host);
        let mut devices: BTreeSet<String> = bridge_mappings.values().cloned().collect();
        let tunnelled = settings.get(&server::TUNNELLED_NETWORK_RP_NAME);
        devices.extend(Some(tunnelled).filter(|name| !name.is_empty()));
        let both = ["egress", "ingress"];

        let option = &ovs::RESOURCE_PROVIDER_BANDWIDTHS;
        let bandwidths = placement::rates(&settings.get(option), &both)
            .and_then(|rates| placement::only_of(&rates, &devices).map(|()| rates));
        let bandwidths = self.or_error(option, bandwidths).unwrap_or_default();

        let mut of_hypervisors = |option: &Opt<Vec<String>>, directions: &[&str]| {
            let rates = placement::rates(&settings.get(option), directions)
                .and_then(|rates| placement::of_hypervisors(rates, &host));
            self.or_error(option, rates).unwrap_or_default()
        };
        let option = &ovs::RESOURCE_PROVIDER_PACKET_PROCESSING_WITH_DIRECTION;
        let directed = of_hypervisors(option, &both);
        let undirected =
            of_hypervisors(&ovs::RESOURCE_PROVIDER_PACKET_PROCESSING_WITHOUT_DIRECTION, &["any"]);
        if !directed.is_empty() && !undirected.is_empty() {
            self.fail(option, Problem::BothDirections);
        }
        let mut inventory = |option: &Opt<BTreeMap<String, String>>| {
            let inventory = placement::inventory(&settings.get(option));
            self.or_error(option, inventory).unwrap_or_default()
        };
        let defaults = inventory(&ovs::RESOURCE_PROVIDER_INVENTORY_DEFAULTS);
        let of_packets = inventory(&ovs::RESOURCE_PROVIDER_PACKET_PROCESSING_INVENTORY_DEFAULTS);
        let otherwise = settings.get(&ovs::RESOURCE_PROVIDER_DEFAULT_HYPERVISOR);
        let otherwise = otherwise.as_deref().unwrap_or(&self.host.canonical_name);
        let named = settings.get(&ovs::RESOURCE_PROVIDER_HYPERVISORS);
        let hypervisors = placement::hypervisors(&named, &devices, otherwise);

        [
            ("resource_provider_bandwidths", json!(bandwidths)),
            ("resource_provider_inventory_defaults", json!(defaults)),
            ("resource_provider_packet_processing_without_direction", json!(undirected)),
            ("resource_provider_packet_processing_with_direction", json!(directed)),
            ("resource_provider_packet_processing_inventory_defaults", json!(of_packets)),
            ("resource_provider_hypervisors", json!(hypervisors)),
            ("baremetal_smartnic", json!(false)),
            ("in_distributed_mode", json!(false)),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    fn or_error<T, V>(
        &mut self,
        option: &Opt<T>,
        value: Result<V, impl Into<Problem>>,
    ) -> Option<V> {
        value.map_err(|problem| self.fail(option, problem.into())).ok()
    }

    fn fail<T>(&mut self, option: &Opt<T>, problem: Problem) {
        self.errors.push(NodeError {
            place: self.settings.place(option),
            group: option.definition.group,
            name: option.definition.name,
            problem,
        });
    }
}
