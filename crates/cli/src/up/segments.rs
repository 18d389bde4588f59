//! What an operator decides of segments and MTU, by the names that Neutron's configuration has for
//! it: of an option in a section `ml2_type_…` the type stands in front.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use model::NetworkType;
use server::{FlatNetworks, IpVersion, KeyRange, MtuConfig, SegmentConfig, VlanRange, VniRange};

/// What an operator decides of segments and MTU.
#[derive(Debug, clap::Args)]
pub(super) struct SegmentOptions {
    /// What carries a network whose creator does not say: the first type that has a segment left
    #[arg(
        long,
        value_name = "TYPE",
        env = "WEIR_PROJECT_NETWORK_TYPES",
        value_delimiter = ',',
        visible_alias = "tenant-network-types",
        default_value = "vlan,local"
    )]
    project_network_types: Vec<NetworkType>,
    /// The VLANs that networks are given whose creator does not say: physnet1:100:199,...; all of a
    /// physical network where there are no numbers
    #[arg(
        long,
        value_name = "PHYSICAL_NETWORK[:LOW:HIGH]",
        env = "WEIR_NETWORK_VLAN_RANGES",
        value_delimiter = ','
    )]
    network_vlan_ranges: Vec<VlanRange>,
    /// The physical networks that may carry a flat network, or * for any [default: those with a
    /// bridge or VLANs]
    #[arg(
        long,
        value_name = "PHYSICAL_NETWORK",
        env = "WEIR_FLAT_NETWORKS",
        value_delimiter = ','
    )]
    flat_networks: Option<Vec<String>>,
    /// The VNIs that VXLAN networks are given whose creator does not say: 1:1000,...
    #[arg(long, value_name = "LOW:HIGH", env = "WEIR_VXLAN_VNI_RANGES", value_delimiter = ',')]
    vxlan_vni_ranges: Vec<VniRange>,
    /// The VNIs that Geneve networks are given whose creator does not say: 1:1000,...
    #[arg(long, value_name = "LOW:HIGH", env = "WEIR_GENEVE_VNI_RANGES", value_delimiter = ',')]
    geneve_vni_ranges: Vec<VniRange>,
    /// The keys that GRE networks are given whose creator does not say: 1:1000,...
    #[arg(long, value_name = "LOW:HIGH", env = "WEIR_GRE_TUNNEL_ID_RANGES", value_delimiter = ',')]
    gre_tunnel_id_ranges: Vec<KeyRange>,
    /// The largest IP packet that the underlay carries, in bytes: the MTU of networks, less the
    /// headers of tunnels
    #[arg(long, value_name = "BYTES", env = "WEIR_GLOBAL_PHYSNET_MTU", default_value_t = 1500,
        value_parser = mtu_parser())]
    global_physnet_mtu: u32,
    /// The same of physical networks that carry less: physnet1:1400,...
    #[arg(
        long,
        value_name = "PHYSICAL_NETWORK:BYTES",
        env = "WEIR_PHYSICAL_NETWORK_MTUS",
        value_delimiter = ','
    )]
    physical_network_mtus: Vec<PhysicalNetworkMtu>,
    /// The same between the ends of tunnels, where that is less
    #[arg(long, value_name = "BYTES", env = "WEIR_PATH_MTU", value_parser = mtu_parser())]
    path_mtu: Option<u32>,
    /// The version of IP that tunnels run over: 4 or 6
    #[arg(long, value_name = "VERSION", env = "WEIR_OVERLAY_IP_VERSION", default_value = "4")]
    overlay_ip_version: IpVersion,
    /// How long the headers of Geneve may be, in bytes: Ethernet, UDP, Geneve and its options
    #[arg(long, value_name = "BYTES", env = "WEIR_GENEVE_MAX_HEADER_SIZE",
        default_value_t = MtuConfig::GENEVE_HEADER_SIZE,
        value_parser = clap::value_parser!(u32).range(30..=282))]
    geneve_max_header_size: u32,
}

/// What a physical network carries: `physnet1:1400`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PhysicalNetworkMtu {
    physical_network: String,
    bytes: u32,
}

/// Text that is no [`PhysicalNetworkMtu`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not PHYSICAL_NETWORK:BYTES, from 68 to 65535")]
struct ParsePhysicalNetworkMtuError {
    text: String,
}

/// From the least that can carry IPv4.
fn mtu_parser() -> impl clap::builder::TypedValueParser<Value = u32> {
    clap::value_parser!(u32).range(68..=65535)
}

impl FromStr for PhysicalNetworkMtu {
    type Err = ParsePhysicalNetworkMtuError;

    fn from_str(text: &str) -> Result<Self, ParsePhysicalNetworkMtuError> {
        let parsed = text.trim().split_once(':').and_then(|(name, bytes)| {
            let bytes = bytes.parse().ok().filter(|bytes| (68..=65535).contains(bytes))?;
            let physical_network = Some(name.to_owned()).filter(|name| !name.is_empty())?;
            Some(Self { physical_network, bytes })
        });
        parsed.ok_or_else(|| ParsePhysicalNetworkMtuError { text: text.to_owned() })
    }
}

impl SegmentOptions {
    /// Which segments there are, with bridges for these physical networks.
    pub(super) fn segments<'a>(&self, bridged: impl Iterator<Item = &'a String>) -> SegmentConfig {
        // A physical network without a range has VLANs all the same, for those who name them.
        let vlan_networks: BTreeSet<_> = bridged.cloned().collect();
        let flat_networks = match &self.flat_networks {
            Some(names) if names.iter().any(|name| name == "*") => FlatNetworks::Any,
            Some(names) => {
                FlatNetworks::Only(names.iter().filter(|name| !name.is_empty()).cloned().collect())
            }
            None => {
                let ranged = self.network_vlan_ranges.iter();
                let ranged = ranged.map(|range| range.physical_network.clone());
                FlatNetworks::Only(vlan_networks.iter().cloned().chain(ranged).collect())
            }
        };
        SegmentConfig {
            project_network_types: self.project_network_types.clone(),
            network_vlan_ranges: self.network_vlan_ranges.clone(),
            vlan_networks,
            flat_networks,
            vxlan_vni_ranges: self.vxlan_vni_ranges.clone(),
            geneve_vni_ranges: self.geneve_vni_ranges.clone(),
            gre_tunnel_id_ranges: self.gre_tunnel_id_ranges.clone(),
        }
    }

    /// How large packets may be.
    ///
    /// # Errors
    /// When a physical network is named twice.
    pub(super) fn mtu(&self) -> anyhow::Result<MtuConfig> {
        let mut physical_network_mtus = BTreeMap::new();
        for PhysicalNetworkMtu { physical_network, bytes } in &self.physical_network_mtus {
            if physical_network_mtus.insert(physical_network.clone(), *bytes).is_some() {
                anyhow::bail!("--physical-network-mtus names {physical_network} twice");
            }
        }
        Ok(MtuConfig {
            global_physnet_mtu: self.global_physnet_mtu,
            physical_network_mtus,
            path_mtu: self.path_mtu,
            overlay_ip_version: self.overlay_ip_version,
            geneve_max_header_size: self.geneve_max_header_size,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        segments: SegmentOptions,
    }

    fn options(arguments: &[&str]) -> SegmentOptions {
        Command::parse_from(std::iter::once(&"up").chain(arguments)).segments
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn physical_networks_with_a_bridge_or_vlans_may_be_flat() {
        let bridged = ["a".to_owned()];
        for (arguments, flat) in [
            (&["--network-vlan-ranges", "b:1:2"][..], FlatNetworks::Only(names(&["a", "b"]))),
            (&["--flat-networks", "c,d"], FlatNetworks::Only(names(&["c", "d"]))),
            (&["--flat-networks", "c,*"], FlatNetworks::Any),
            (&["--flat-networks", ""], FlatNetworks::Only(names(&[]))),
        ] {
            let config = options(arguments).segments(bridged.iter());
            assert_eq!(config.flat_networks, flat, "{arguments:?}");
            assert_eq!(config.vlan_networks, names(&["a"]));
        }
    }

    #[test]
    fn options_have_the_names_and_forms_of_neutron() {
        let options = options(&[
            "--tenant-network-types=vxlan,vlan",
            "--vxlan-vni-ranges=1:99,200:16777215",
            "--geneve-vni-ranges=7:7",
            "--gre-tunnel-id-ranges=1:4294967295",
            "--physical-network-mtus=a:1400,b:9000",
            "--path-mtu=1600",
            "--overlay-ip-version=6",
            "--geneve-max-header-size=38",
        ]);
        let config = options.segments(std::iter::empty());
        assert_eq!(config.project_network_types, [NetworkType::Vxlan, NetworkType::Vlan]);
        let ends: Vec<_> = config.vxlan_vni_ranges.iter().map(|range| range.ends()).collect();
        assert_eq!(ends, [(1, 99), (200, 16_777_215)]);
        assert_eq!((config.geneve_vni_ranges.len(), config.gre_tunnel_id_ranges.len()), (1, 1));
        let mtu = options.mtu().unwrap();
        assert_eq!((mtu.global_physnet_mtu, mtu.path_mtu), (1500, Some(1600)));
        assert_eq!((mtu.overlay_ip_version, mtu.geneve_max_header_size), (IpVersion::V6, 38));
        assert_eq!(mtu.physical_network_mtus["b"], 9000);
    }

    #[test]
    fn a_physical_network_has_one_mtu() {
        let twice = options(&["--physical-network-mtus=a:1400,a:1500"]).mtu().unwrap_err();
        assert_eq!(twice.to_string(), "--physical-network-mtus names a twice");
    }
}
