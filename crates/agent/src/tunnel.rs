//! Tunnels as the database has them: the name of a port, its type and its options, which are
//! Neutron's. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use blake2::digest::consts::U20;
use blake2::{Blake2b, Digest as _};
use model::NetworkType;
use ovsdb::Interface;

/// How this node takes part in tunnels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelConfig {
    /// The address of this node that its tunnels end at.
    pub local_ip: IpAddr,
    /// Which tunnels it has.
    pub types: BTreeSet<NetworkType>,
    /// The bridge that they are ports of; made if it is not there.
    pub bridge: String,
    /// The port of the integration bridge that leads to it.
    pub int_peer_patch_port: String,
    /// The port of the tunnel bridge that leads to the integration bridge.
    pub tun_peer_patch_port: String,
    /// Whether the server tells who is behind which tunnel.
    pub l2_population: bool,
    /// Whether ARP requests and neighbour solicitations for whom the server has told are answered
    /// on this node.
    pub arp_responder: bool,
    /// Whether the outer headers have checksums.
    pub csum: bool,
    /// Whether the outer packet may not be fragmented on its way.
    pub dont_fragment: bool,
    /// The outer packet's DSCP, and whether it is that of the inner one instead.
    pub dscp: Dscp,
    /// The UDP port of VXLAN.
    pub vxlan_udp_port: u16,
}

/// Which DSCP the outer packets have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dscp {
    /// None.
    Unset,
    /// This one, 0 to 63.
    Fixed(u8),
    /// That of the packet inside.
    Inherit,
}

/// The UDP port of VXLAN (RFC 7348), which needs no option.
pub const VXLAN_PORT: u16 = 4789;

/// How long the name of a network device may be.
const LONGEST_NAME: usize = 15;

impl TunnelConfig {
    /// Tunnels of these types, with everything else as Neutron has it by default.
    pub fn new(local_ip: IpAddr, types: impl IntoIterator<Item = NetworkType>) -> Self {
        Self {
            local_ip,
            types: types.into_iter().collect(),
            bridge: "br-tun".to_owned(),
            int_peer_patch_port: "patch-tun".to_owned(),
            tun_peer_patch_port: "patch-int".to_owned(),
            l2_population: false,
            arp_responder: false,
            csum: false,
            dont_fragment: true,
            dscp: Dscp::Unset,
            vxlan_udp_port: VXLAN_PORT,
        }
    }

    /// The type of the interface of a tunnel. GRE over IPv6 is a type of its own.
    pub fn interface_type(&self, kind: NetworkType) -> &'static str {
        match kind {
            NetworkType::Gre if self.local_ip.is_ipv6() => "ip6gre",
            _ => kind.name(),
        }
    }

    /// The options of the interface of a tunnel.
    pub fn options(&self, kind: NetworkType, end: IpAddr) -> BTreeMap<String, String> {
        let mut options: BTreeMap<&str, String> = BTreeMap::from([
            ("df_default", self.dont_fragment.to_string()),
            ("egress_pkt_mark", "0".to_owned()),
            ("in_key", "flow".to_owned()),
            ("local_ip", self.local_ip.to_string()),
            ("out_key", "flow".to_owned()),
            ("remote_ip", end.to_string()),
        ]);
        if kind == NetworkType::Vxlan && self.vxlan_udp_port != VXLAN_PORT {
            options.insert("dst_port", self.vxlan_udp_port.to_string());
        }
        if self.csum {
            options.insert("csum", true.to_string());
        }
        match self.dscp {
            Dscp::Unset => {}
            // The lower two bits of the octet are for congestion (RFC 3168).
            Dscp::Fixed(dscp) => drop(options.insert("tos", (u16::from(dscp) << 2).to_string())),
            Dscp::Inherit => drop(options.insert("tos", "inherit".to_owned())),
        }
        if self.interface_type(kind) == "ip6gre" {
            options.insert("packet_type", "legacy_l2".to_owned());
        }
        options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// The name of the port of a tunnel, as Neutron's agent derives it: the type and the hexadecimal
/// digits of an IPv4 address, or as much as there is room for of a hash of an IPv6 address.
pub fn port_name(kind: NetworkType, end: IpAddr) -> String {
    let prefix = format!("{kind}-");
    match end {
        IpAddr::V4(end) => format!("{prefix}{:08x}", end.to_bits()),
        IpAddr::V6(end) => {
            let digest = Blake2b::<U20>::digest(end.to_string());
            let room = LONGEST_NAME.saturating_sub(prefix.len());
            let hash: String = base32(&digest).take(room).collect();
            prefix + &hash
        }
    }
}

/// The end that an interface is a tunnel to; nothing for one that is no tunnel.
pub fn end(interface: &Interface) -> Option<(NetworkType, IpAddr)> {
    let kind = match interface.kind.as_str() {
        "vxlan" => NetworkType::Vxlan,
        "geneve" => NetworkType::Geneve,
        "gre" | "ip6gre" => NetworkType::Gre,
        _ => return None,
    };
    Some((kind, interface.options.get("remote_ip")?.parse().ok()?))
}

/// RFC 4648 § 6, in small letters and without padding.
fn base32(bytes: &[u8]) -> impl Iterator<Item = char> {
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let bits: Vec<u8> = bits.collect();
    let digits: Vec<u8> =
        bits.chunks(5).map(|five| five.iter().fold(0, |digit, bit| digit << 1 | bit)).collect();
    digits
        .into_iter()
        .map(|digit| char::from(if digit < 26 { b'a' + digit } else { b'2' + (digit - 26) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_those_of_neutron() {
        for (kind, end, name) in [
            (NetworkType::Vxlan, "192.0.2.7", "vxlan-c0000207"),
            (NetworkType::Gre, "10.0.0.1", "gre-0a000001"),
            (NetworkType::Vxlan, "2001:db8::1", "vxlan-xsyzhsi4u"),
            (NetworkType::Geneve, "fd00::2", "geneve-jahnh55s"),
        ] {
            assert_eq!(port_name(kind, ip(end)), name);
            assert!(name.len() <= LONGEST_NAME);
        }
    }

    fn options(config: &TunnelConfig, kind: NetworkType, end: &str) -> String {
        let options = config.options(kind, ip(end));
        let options: Vec<_> = options.iter().map(|(key, value)| format!("{key}={value}")).collect();
        options.join(" ")
    }

    #[test]
    fn options_are_those_of_neutron() {
        let mut config = TunnelConfig::new(ip("192.0.2.1"), []);
        assert_eq!(
            options(&config, NetworkType::Vxlan, "192.0.2.7"),
            "df_default=true egress_pkt_mark=0 in_key=flow local_ip=192.0.2.1 out_key=flow \
             remote_ip=192.0.2.7"
        );
        config.vxlan_udp_port = 8472;
        config.csum = true;
        config.dont_fragment = false;
        config.dscp = Dscp::Fixed(46);
        assert_eq!(
            options(&config, NetworkType::Vxlan, "192.0.2.7"),
            "csum=true df_default=false dst_port=8472 egress_pkt_mark=0 in_key=flow \
             local_ip=192.0.2.1 out_key=flow remote_ip=192.0.2.7 tos=184"
        );
        let mut config = TunnelConfig::new(ip("2001:db8::1"), []);
        config.dscp = Dscp::Inherit;
        assert_eq!(
            options(&config, NetworkType::Gre, "2001:db8::2"),
            "df_default=true egress_pkt_mark=0 in_key=flow local_ip=2001:db8::1 out_key=flow \
             packet_type=legacy_l2 remote_ip=2001:db8::2 tos=inherit"
        );
        assert_eq!(config.interface_type(NetworkType::Gre), "ip6gre");
        assert_eq!(config.interface_type(NetworkType::Geneve), "geneve");
    }
}
