//! What an operator decides about tunnels. The names are those of Neutron's options.

use std::net::IpAddr;

use agent::{Dscp, TunnelConfig};
use model::NetworkType;

/// What an operator decides about tunnels.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Tunnels")]
pub(super) struct TunnelOptions {
    /// The address of this machine that its tunnels end at; without it there are none
    #[arg(long, value_name = "ADDRESS", env = "WEIR_LOCAL_IP")]
    local_ip: Option<IpAddr>,
    /// The tunnels of this machine: vxlan,gre,geneve
    #[arg(
        long,
        value_name = "TYPE",
        env = "WEIR_TUNNEL_TYPES",
        value_delimiter = ',',
        default_value = "vxlan,gre,geneve",
        value_parser = tunnel_type
    )]
    tunnel_types: Vec<NetworkType>,
    /// The bridge of the tunnels; made if it is not there
    #[arg(long, value_name = "NAME", env = "WEIR_TUNNEL_BRIDGE", default_value = "br-tun")]
    tunnel_bridge: String,
    /// The port of the integration bridge that leads to the tunnel bridge
    #[arg(long, value_name = "NAME", default_value = "patch-tun")]
    int_peer_patch_port: String,
    /// The port of the tunnel bridge that leads to the integration bridge
    #[arg(long, value_name = "NAME", default_value = "patch-int")]
    tun_peer_patch_port: String,
    /// Let the server say who is behind which tunnel, so that nothing is flooded that need not be
    #[arg(long, env = "WEIR_L2_POPULATION")]
    l2_population: bool,
    /// Answer ARP requests and neighbour solicitations on this machine for all whom the server has
    /// named
    #[arg(long, env = "WEIR_ARP_RESPONDER", requires = "l2_population")]
    arp_responder: bool,
    /// Checksums in the outer headers
    #[arg(long, env = "WEIR_TUNNEL_CSUM")]
    tunnel_csum: bool,
    /// Let routers fragment the outer packets
    #[arg(long, env = "WEIR_MAY_FRAGMENT")]
    may_fragment: bool,
    /// The DSCP of the outer packets, 0 to 63
    #[arg(long, value_name = "DSCP", env = "WEIR_DSCP", value_parser = clap::value_parser!(u8).range(0..=63))]
    dscp: Option<u8>,
    /// The outer packets have the DSCP of the inner ones
    #[arg(long, env = "WEIR_DSCP_INHERIT", conflicts_with = "dscp")]
    dscp_inherit: bool,
    /// The UDP port of VXLAN
    #[arg(long, value_name = "PORT", env = "WEIR_VXLAN_UDP_PORT", default_value_t = agent::tunnel::VXLAN_PORT)]
    vxlan_udp_port: u16,
}

impl TunnelOptions {
    /// What the agent is told; nothing without an address.
    pub(super) fn config(&self) -> Option<TunnelConfig> {
        let dscp = match (self.dscp_inherit, self.dscp) {
            (true, _) => Dscp::Inherit,
            (false, Some(dscp)) => Dscp::Fixed(dscp),
            (false, None) => Dscp::Unset,
        };
        Some(TunnelConfig {
            local_ip: self.local_ip?,
            types: self.tunnel_types.iter().copied().collect(),
            bridge: self.tunnel_bridge.clone(),
            int_peer_patch_port: self.int_peer_patch_port.clone(),
            tun_peer_patch_port: self.tun_peer_patch_port.clone(),
            l2_population: self.l2_population,
            arp_responder: self.arp_responder,
            csum: self.tunnel_csum,
            dont_fragment: !self.may_fragment,
            dscp,
            vxlan_udp_port: self.vxlan_udp_port,
        })
    }
}

/// A network type that tunnels carry.
fn tunnel_type(text: &str) -> Result<NetworkType, String> {
    match text.parse() {
        Ok(kind @ (NetworkType::Vxlan | NetworkType::Gre | NetworkType::Geneve)) => Ok(kind),
        Ok(NetworkType::Local | NetworkType::Flat | NetworkType::Vlan) | Err(_) => {
            Err("tunnels are vxlan, gre or geneve".to_owned())
        }
    }
}
