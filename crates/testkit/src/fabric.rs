//! What lies between hosts: the cables, and the switch that joins them.
//!
//! A [`Switch`] is a host: it has a network namespace, a database and a switch of its own. A fabric
//! gives any number of them one physical wire each. It carries frames as they are, also those with
//! an 802.1Q tag, and learns who is where as the switch in a rack does: for all VLANs together.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;

use crate::{Namespace, Result, Switch, daemon::run, eventually};

/// The fabric's bridge, in its own namespace.
const BRIDGE: &str = "fabric";
/// How long a cable may take until it carries frames.
const CARRIES: Duration = Duration::from_secs(10);

/// A Linux bridge in a network namespace of its own. Dropping it takes the cables away.
#[derive(Debug)]
pub struct Fabric {
    namespace: Namespace,
}

impl Fabric {
    /// A fabric without cables.
    ///
    /// # Errors
    /// When `ip` refuses, for example because we are not root.
    pub fn start() -> Result<Self> {
        let namespace = Namespace::create("fabric")?;
        // It must say nothing by itself: whoever sniffs wants to hear the hosts.
        namespace.write_sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        namespace.ip(&format!(
            "link add name {BRIDGE} type bridge forward_delay 0 stp_state 0 mcast_snooping 0\n\
             link set dev {BRIDGE} up\n"
        ))?;
        Ok(Self { namespace })
    }

    /// A cable from the fabric to the host. The host's end is called `wire`, is up and waits in
    /// the host's namespace to be added to a bridge, as the trunk of a physical network is.
    ///
    /// Tags of frames that leave by it are in the frame, not beside it, so that a
    /// [`Sniffer`](crate::Sniffer) finds them there. It carries frames when this returns: the kernel
    /// lets a new port of a bridge forward when it gets to it, on a busy machine a second later,
    /// and a switch may ask only once in that time who its neighbour is.
    ///
    /// # Errors
    /// When the host has an interface of that name, or the name has more than 15 characters.
    pub fn trunk(&self, host: &Switch, wire: &str) -> Result<()> {
        let (inside, fabric) = (host.namespace(), self.namespace.name());
        let port = host.unique();
        inside.ip(&format!(
            "link add name {wire} type veth peer name {port}{wire} netns {fabric}\n\
             link set dev {wire} addrgenmode none\n"
        ))?;
        ethtool(inside, wire, &["tx", "off", "txvlan", "off"])?;
        inside.ip(&format!("link set dev {wire} up\n"))?;
        let port = format!("{port}{wire}");
        self.namespace.ip(&format!("link set dev {port} master {BRIDGE} up\n"))?;
        eventually(CARRIES, || match self.forwards(&port) {
            Ok(false) => None,
            known => Some(known.map(drop)),
        })?
    }

    /// Whether the bridge forwards frames from and to the port.
    fn forwards(&self, port: &str) -> Result<bool> {
        let show = ["-netns", self.namespace.name(), "link", "show", "dev", port];
        run("bridge", &show).map(|shown| shown.contains("state forwarding"))
    }

    /// A host's addresses for tunnels, on the internal port of a bridge of their own, which has a
    /// cable to the fabric: there the userspace datapath finds the route to the other hosts. The
    /// cable is a [`Fabric::trunk`].
    ///
    /// The bridge forwards by itself also after a restart of the switch, which leaves the
    /// addresses alone too: nothing has to be set up again.
    ///
    /// # Errors
    /// When the host has such a bridge or interface, or refuses an address.
    pub fn underlay(&self, host: &Switch, underlay: &Underlay) -> Result<()> {
        let Underlay { bridge, wire, addresses } = underlay;
        self.trunk(host, wire)?;
        let datapath_type = format!("datapath_type={}", host.datapath_type());
        let set = ["set", "bridge", bridge, &datapath_type, "fail_mode=standalone"];
        let add = ["--", "add-port", bridge, wire];
        host.vsctl(&[&["add-br", bridge, "--"], &set[..], &add].concat())?;
        // The kernel sees what comes in by wires, beside the switch, and would answer there too for
        // addresses that it has on the bridge.
        host.namespace().write_sysctl("net/ipv4/conf/all/arp_ignore", "1")?;
        // The userspace datapath passes packets on as they are, so their checksums must be there.
        ethtool(host.namespace(), bridge, &["tx", "off"])?;
        let mut batch = format!("link set dev {bridge} addrgenmode none up\n");
        for address in addresses {
            let nodad = if address.addr().is_ipv6() { " nodad" } else { "" };
            batch += &format!("address add {address} dev {bridge}{nodad}\n");
        }
        host.namespace().ip(&batch)
    }
}

/// Where a host's tunnels end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Underlay {
    /// The bridge that has the addresses.
    pub bridge: String,
    /// The host's end of its cable.
    pub wire: String,
    /// The addresses with their prefix lengths.
    pub addresses: Vec<IpNet>,
}

impl Underlay {
    /// The underlay of host `number` on the bridge `br-ul` with the wire `ul`: 192.0.2.number/24
    /// and 2001:db8::number/64.
    pub fn of_host(number: u8) -> Self {
        let v4 = IpNet::new_assert(IpAddr::from([192, 0, 2, number]), 24);
        let v6 = [0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()];
        let v6 = IpNet::new_assert(IpAddr::from(v6), 64);
        Self { bridge: "br-ul".to_owned(), wire: "ul".to_owned(), addresses: vec![v4, v6] }
    }

    /// Its first address of the family of `like`.
    pub fn address(&self, like: IpAddr) -> Option<IpAddr> {
        self.addresses.iter().map(IpNet::addr).find(|own| own.is_ipv4() == like.is_ipv4())
    }
}

pub(crate) fn ethtool(namespace: &Namespace, device: &str, features: &[&str]) -> Result<()> {
    let enter = ["netns", "exec", namespace.name(), "ethtool", "-K", device];
    run("ip", &[&enter, features].concat()).map(drop)
}
