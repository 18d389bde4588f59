//! What an operator decides of segments and MTU, by the names that Neutron's configuration has for
//! it: of an option in a section `ml2_type_…` the type stands in front.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    str::FromStr,
};

use anyhow::{Context as _, anyhow};
use config::{Opt, Settings, table::server as file};
use model::NetworkType;
use server::{FlatNetworks, IpVersion, KeyRange, MtuConfig, SegmentConfig, VlanRange, VniRange};

/// What an operator decides of segments and MTU.
#[derive(Debug, clap::Args)]
pub(super) struct SegmentOptions {
    /// What carries a network whose creator does not say: the first type that has a segment left
    /// [default: vlan,local]
    #[arg(
        long,
        value_name = "TYPE",
        env = "WEIR_PROJECT_NETWORK_TYPES",
        value_delimiter = ',',
        visible_alias = "tenant-network-types"
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
    /// headers of tunnels [default: 1500]
    #[arg(long, value_name = "BYTES", env = "WEIR_GLOBAL_PHYSNET_MTU", value_parser = mtu_parser())]
    global_physnet_mtu: Option<u32>,
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
    /// The version of IP that tunnels run over: 4 or 6 [default: 4]
    #[arg(long, value_name = "VERSION", env = "WEIR_OVERLAY_IP_VERSION")]
    overlay_ip_version: Option<IpVersion>,
    /// How long the headers of Geneve may be, in bytes: Ethernet, UDP, Geneve and its options
    /// [default: 30]
    #[arg(long, value_name = "BYTES", env = "WEIR_GENEVE_MAX_HEADER_SIZE",
        value_parser = clap::value_parser!(u32).range(30..=282))]
    geneve_max_header_size: Option<u32>,
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
    /// Which segments there are, with bridges for these physical networks. What no option says,
    /// the files say.
    ///
    /// # Errors
    /// When something in the files has another form.
    pub(super) fn segments<'a>(
        &self,
        bridged: impl Iterator<Item = &'a String>,
        files: &Settings,
    ) -> anyhow::Result<SegmentConfig> {
        // A physical network without a range has VLANs all the same, for those who name them.
        let vlan_networks: BTreeSet<_> = bridged.cloned().collect();
        let network_vlan_ranges =
            listed(&self.network_vlan_ranges, files, &file::NETWORK_VLAN_RANGES)?;
        let flat_networks =
            match self.flat_networks.clone().or_else(|| files.said(&file::FLAT_NETWORKS)) {
                Some(names) if names.iter().any(|name| name == "*") => FlatNetworks::Any,
                Some(names) => FlatNetworks::Only(
                    names.iter().filter(|name| !name.is_empty()).cloned().collect(),
                ),
                None => {
                    let ranged = network_vlan_ranges.iter();
                    let ranged = ranged.map(|range: &VlanRange| range.physical_network.clone());
                    FlatNetworks::Only(vlan_networks.iter().cloned().chain(ranged).collect())
                }
            };
        let mut project_network_types =
            listed(&self.project_network_types, files, &file::PROJECT_NETWORK_TYPES)?;
        if project_network_types.is_empty() && files.said(&file::PROJECT_NETWORK_TYPES).is_none() {
            project_network_types = vec![NetworkType::Vlan, NetworkType::Local];
        }
        Ok(SegmentConfig {
            project_network_types,
            network_vlan_ranges,
            vlan_networks,
            flat_networks,
            vxlan_vni_ranges: listed(&self.vxlan_vni_ranges, files, &file::VXLAN_VNI_RANGES)?,
            geneve_vni_ranges: listed(&self.geneve_vni_ranges, files, &file::GENEVE_VNI_RANGES)?,
            gre_tunnel_id_ranges: listed(
                &self.gre_tunnel_id_ranges,
                files,
                &file::TUNNEL_ID_RANGES,
            )?,
        })
    }

    /// How large packets may be. What no option says, the files say.
    ///
    /// # Errors
    /// When a physical network is named twice, or something in the files cannot be.
    pub(super) fn mtu(&self, files: &Settings) -> anyhow::Result<MtuConfig> {
        let mut physical_network_mtus = BTreeMap::new();
        let mut listed = self.physical_network_mtus.clone();
        if listed.is_empty() {
            for (name, bytes) in files.get(&file::PHYSICAL_NETWORK_MTUS) {
                let parsed = format!("{name}:{bytes}").parse();
                listed.push(parsed.with_context(|| at(files, &file::PHYSICAL_NETWORK_MTUS))?);
            }
        }
        for PhysicalNetworkMtu { physical_network, bytes } in listed {
            if physical_network_mtus.contains_key(&physical_network) {
                anyhow::bail!("--physical-network-mtus names {physical_network} twice");
            }
            physical_network_mtus.insert(physical_network, bytes);
        }
        let ordinary = MtuConfig::ethernet();
        // 0 is no limit of its own.
        let path_mtu = match (self.path_mtu, files.said(&file::PATH_MTU)) {
            (None, Some(0)) => None,
            (option, _) => bytes(option, files, &file::PATH_MTU, 68..=65_535)?,
        };
        let version = match files.said(&file::OVERLAY_IP_VERSION) {
            Some(6) => IpVersion::V6,
            _ => IpVersion::V4,
        };
        Ok(MtuConfig {
            global_physnet_mtu: bytes(
                self.global_physnet_mtu,
                files,
                &file::GLOBAL_PHYSNET_MTU,
                68..=65_535,
            )?
            .unwrap_or(ordinary.global_physnet_mtu),
            physical_network_mtus,
            path_mtu,
            overlay_ip_version: self.overlay_ip_version.unwrap_or(version),
            geneve_max_header_size: bytes(
                self.geneve_max_header_size,
                files,
                &file::MAX_HEADER_SIZE,
                30..=282,
            )?
            .unwrap_or(MtuConfig::GENEVE_HEADER_SIZE),
        })
    }
}

/// What the option says, or the files.
fn listed<T: Clone + FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    option: &[T],
    files: &Settings,
    file: &Opt<Vec<String>>,
) -> anyhow::Result<Vec<T>> {
    if !option.is_empty() {
        return Ok(option.to_vec());
    }
    let items = files.said(file).unwrap_or_default();
    let parsed: Result<_, _> = items.iter().map(|item| item.parse()).collect();
    parsed.with_context(|| at(files, file))
}

/// What the option says, or the files; nothing where neither does.
fn bytes(
    option: Option<u32>,
    files: &Settings,
    file: &Opt<i64>,
    possible: RangeInclusive<u32>,
) -> anyhow::Result<Option<u32>> {
    let Some(said) = option.is_none().then(|| files.said(file)).flatten() else {
        return Ok(option);
    };
    match u32::try_from(said).ok().filter(|bytes| possible.contains(bytes)) {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(anyhow!("{said} is not from {} to {}", possible.start(), possible.end()))
            .with_context(|| at(files, file)),
    }
}

/// Where the files say it, and what.
fn at<T>(files: &Settings, file: &Opt<T>) -> String {
    format!("{}: [{}] {}", files.place(file), file.definition.group, file.definition.name)
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
            let config = options(arguments).segments(bridged.iter(), &Settings::default()).unwrap();
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
        let config = options.segments(std::iter::empty(), &Settings::default()).unwrap();
        assert_eq!(config.project_network_types, [NetworkType::Vxlan, NetworkType::Vlan]);
        let ends: Vec<_> = config.vxlan_vni_ranges.iter().map(|range| range.ends()).collect();
        assert_eq!(ends, [(1, 99), (200, 16_777_215)]);
        assert_eq!((config.geneve_vni_ranges.len(), config.gre_tunnel_id_ranges.len()), (1, 1));
        let mtu = options.mtu(&Settings::default()).unwrap();
        assert_eq!((mtu.global_physnet_mtu, mtu.path_mtu), (1500, Some(1600)));
        assert_eq!((mtu.overlay_ip_version, mtu.geneve_max_header_size), (IpVersion::V6, 38));
        assert_eq!(mtu.physical_network_mtus["b"], 9000);
    }

    #[test]
    fn a_physical_network_has_one_mtu() {
        let twice = options(&["--physical-network-mtus=a:1400,a:1500"])
            .mtu(&Settings::default())
            .unwrap_err();
        assert_eq!(twice.to_string(), "--physical-network-mtus names a twice");
    }

    /// What `ml2_conf.ini` and `neutron.conf` say.
    fn files(text: &str) -> Settings {
        let file = config::File::parse("ml2_conf.ini".into(), text).unwrap();
        let ordered = vec![config::Source::File(file)];
        let sources = config::Sources { ordered, ..config::Sources::default() };
        let (settings, errors) = Settings::read(&sources, config::table::server());
        assert_eq!(errors, []);
        settings
    }

    const ML2: &str = "\
[DEFAULT]
global_physnet_mtu = 9000
[ml2]
tenant_network_types = vxlan,flat
path_mtu = 8900
physical_network_mtus = a:1400, b:9000
overlay_ip_version = 6
[ml2_type_vlan]
network_vlan_ranges = a:100:199,b
[ml2_type_flat]
flat_networks = c
[ml2_type_vxlan]
vni_ranges = 1:99,200:300
[ml2_type_gre]
tunnel_id_ranges = 5:6
[ml2_type_geneve]
vni_ranges = 7:8
max_header_size = 38
";

    #[test]
    fn files_say_what_no_option_says() {
        let files = files(ML2);
        let config = options(&[]).segments(std::iter::empty(), &files).unwrap();
        assert_eq!(config.project_network_types, [NetworkType::Vxlan, NetworkType::Flat]);
        assert_eq!(config.network_vlan_ranges.len(), 2);
        assert_eq!(config.flat_networks, FlatNetworks::Only(names(&["c"])));
        assert_eq!((config.vxlan_vni_ranges.len(), config.geneve_vni_ranges.len()), (2, 1));
        assert_eq!(config.gre_tunnel_id_ranges[0].ends(), (5, 6));
        let mtu = options(&[]).mtu(&files).unwrap();
        assert_eq!((mtu.global_physnet_mtu, mtu.path_mtu), (9000, Some(8900)));
        assert_eq!((mtu.overlay_ip_version, mtu.geneve_max_header_size), (IpVersion::V6, 38));
        assert_eq!(
            mtu.physical_network_mtus,
            BTreeMap::from([("a".to_owned(), 1400), ("b".to_owned(), 9000)])
        );
    }

    #[test]
    fn options_count_more_than_files() {
        let files = files(ML2);
        let options = options(&[
            "--project-network-types=gre",
            "--network-vlan-ranges=z",
            "--flat-networks=*",
            "--vxlan-vni-ranges=4:5",
            "--global-physnet-mtu=1600",
            "--path-mtu=1500",
            "--physical-network-mtus=a:1000",
            "--overlay-ip-version=4",
            "--geneve-max-header-size=40",
        ]);
        let config = options.segments(std::iter::empty(), &files).unwrap();
        assert_eq!(config.project_network_types, [NetworkType::Gre]);
        assert_eq!(config.network_vlan_ranges[0].physical_network, "z");
        assert_eq!(config.flat_networks, FlatNetworks::Any);
        assert_eq!(config.vxlan_vni_ranges[0].ends(), (4, 5));
        let mtu = options.mtu(&files).unwrap();
        assert_eq!((mtu.global_physnet_mtu, mtu.path_mtu), (1600, Some(1500)));
        assert_eq!((mtu.overlay_ip_version, mtu.geneve_max_header_size), (IpVersion::V4, 40));
        assert_eq!(mtu.physical_network_mtus.len(), 1);
    }

    #[test]
    fn what_files_cannot_say_is_named_with_its_line() {
        for (text, at) in [
            (
                "[ml2_type_vlan]\nnetwork_vlan_ranges = a:9:1",
                "ml2_conf.ini:2: [ml2_type_vlan] network_vlan_ranges",
            ),
            ("[ml2_type_vxlan]\nvni_ranges = 1", "ml2_conf.ini:2: [ml2_type_vxlan] vni_ranges"),
            (
                "[ml2]\nproject_network_types = vlan,token",
                "ml2_conf.ini:2: [ml2] project_network_types",
            ),
            ("[ml2]\nphysical_network_mtus = a:5", "ml2_conf.ini:2: [ml2] physical_network_mtus"),
            ("[DEFAULT]\nglobal_physnet_mtu = 5", "ml2_conf.ini:2: [DEFAULT] global_physnet_mtu"),
            (
                "[ml2_type_geneve]\n\nmax_header_size = 29",
                "ml2_conf.ini:3: [ml2_type_geneve] max_header_size",
            ),
        ] {
            let files = files(text);
            let segments = options(&[]).segments(std::iter::empty(), &files).map(drop);
            let error = segments.and_then(|()| options(&[]).mtu(&files).map(drop)).unwrap_err();
            assert_eq!(error.to_string(), at, "{text}");
        }
        // 0 is what Neutron has for none.
        let none = files("[ml2]\npath_mtu = 0\nproject_network_types =");
        assert_eq!(options(&[]).mtu(&none).unwrap().path_mtu, None);
        let config = options(&[]).segments(std::iter::empty(), &none).unwrap();
        assert_eq!(config.project_network_types, []);
    }
}
