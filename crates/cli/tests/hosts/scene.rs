//! What may be seen where: the judge of every frame that a sniffer has heard. It knows who is in
//! which network and on which host, and nothing of how Weir brings that about.

use std::net::IpAddr;

use server::IpVersion;
use testkit::{
    Underlay,
    frame::{Mac, Read, Tunnelled},
};

/// How the networks of a test are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// By VLANs of a physical network.
    Vlan,
    /// By VXLAN tunnels of hosts that learn who is where.
    Vxlan,
    /// By GRE tunnels of hosts that learn who is where.
    Gre,
    /// By Geneve tunnels of hosts that are told who is where, and answer for them.
    Geneve,
    /// As [`Kind::Vxlan`], between IPv6 addresses.
    VxlanOver6,
    /// As [`Kind::Geneve`], between IPv6 addresses.
    GeneveOver6,
}

impl Kind {
    /// As the API names it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Vlan => "vlan",
            Self::Vxlan | Self::VxlanOver6 => "vxlan",
            Self::Gre => "gre",
            Self::Geneve | Self::GeneveOver6 => "geneve",
        }
    }

    /// Whether tunnels carry them.
    pub(crate) fn is_tunnel(self) -> bool {
        self != Self::Vlan
    }

    /// Whether hosts are told who is where.
    pub(crate) fn is_told(self) -> bool {
        matches!(self, Self::Geneve | Self::GeneveOver6)
    }

    /// Of the addresses that tunnels end at.
    pub(crate) fn ip_version(self) -> IpVersion {
        match self {
            Self::Vlan | Self::Vxlan | Self::Gre | Self::Geneve => IpVersion::V4,
            Self::VxlanOver6 | Self::GeneveOver6 => IpVersion::V6,
        }
    }

    /// Where the tunnels of this underlay end.
    pub(crate) fn end(self, underlay: &Underlay) -> IpAddr {
        let like = match self.ip_version() {
            IpVersion::V4 => IpAddr::from([0; 4]),
            IpVersion::V6 => IpAddr::from([0; 16]),
        };
        underlay.address(like).expect("an underlay has both")
    }
}

/// Who is where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inhabitant {
    pub(crate) mac: Mac,
    /// The VLAN, VNI or key of its network, which is like no other network's.
    pub(crate) segment: u32,
    /// The number of its host.
    pub(crate) host: usize,
}

/// Everybody who may be heard.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scene {
    pub(crate) inhabitants: Vec<Inhabitant>,
}

impl Scene {
    /// What is wrong with this frame on its way to this machine.
    pub(crate) fn at_port(&self, to: &Inhabitant, frame: &Read) -> Result<(), &'static str> {
        let from = self.sender(frame)?;
        if !frame.vlans.is_empty() {
            return Err("a machine gets a VLAN tag");
        }
        if from.segment != to.segment {
            return Err("a machine gets a frame of another network");
        }
        if !frame.is_group() && frame.destination != to.mac {
            return Err("a machine gets unicast for somebody else");
        }
        Ok(())
    }

    /// What is wrong with this frame, put on the physical network's wire by this host.
    pub(crate) fn on_trunk(&self, host: usize, frame: &Read) -> Result<(), &'static str> {
        let from = self.sender(frame)?;
        if frame.vlans.iter().copied().map(u32::from).ne([from.segment]) {
            return Err("a frame is on the wire with a VLAN that is not its network's");
        }
        self.leaves(host, from, frame).map(drop)
    }

    /// What is wrong with this frame, put on the wire between the ends of tunnels by this host.
    /// `ends` are the addresses of all hosts.
    pub(crate) fn on_underlay(
        &self,
        host: usize,
        ends: &[IpAddr],
        frame: &Read,
    ) -> Result<(), &'static str> {
        let (Some(tunnelled), Some((_, end))) = (&frame.tunnelled, frame.addresses) else {
            // The hosts look for each other.
            return match self.find(frame.source) {
                Some(_) => Err("a machine's frame is on the wire without a tunnel"),
                None => Ok(()),
            };
        };
        let inner = &tunnelled.frame;
        let from = self.sender(inner)?;
        if tunnelled.id != Some(from.segment) || !inner.vlans.is_empty() {
            return Err("a frame is in a tunnel with an identifier that is not its network's");
        }
        let to = ends.iter().position(|address| *address == end).ok_or("a tunnel to nobody")?;
        match self.leaves(host, from, inner)? {
            Some(receiver) if receiver.host != to => Err("unicast is in a tunnel to another host"),
            None if !self.has(to, from.segment) => {
                Err("a host gets a frame that nobody there needs")
            }
            _ => Ok(()),
        }
    }

    /// Whether the host has a machine in the network.
    fn has(&self, host: usize, segment: u32) -> bool {
        self.inhabitants.iter().any(|it| it.host == host && it.segment == segment)
    }

    /// What is wrong with a frame of this sender that leaves the host. Gives for whom it is, if
    /// that is one machine.
    fn leaves(
        &self,
        host: usize,
        from: &Inhabitant,
        frame: &Read,
    ) -> Result<Option<&Inhabitant>, &'static str> {
        if from.host != host {
            return Err("a host sends a frame that is another's");
        }
        if frame.is_group() {
            return Ok(None);
        }
        match self.find(frame.destination) {
            Some(to) if to.segment != from.segment => Err("a frame is for another network"),
            Some(to) if to.host == host => Err("unicast between machines of a host leaves it"),
            Some(to) => Ok(Some(to)),
            None => Err("a frame is for nobody"),
        }
    }

    fn sender(&self, frame: &Read) -> Result<&Inhabitant, &'static str> {
        self.find(frame.source).ok_or("a frame is from nobody")
    }

    fn find(&self, mac: Mac) -> Option<&Inhabitant> {
        self.inhabitants.iter().find(|inhabitant| inhabitant.mac == mac)
    }
}

#[test]
fn the_judge_finds_what_is_wrong() {
    let inhabitant =
        |number: u8, segment, host| Inhabitant { mac: [2, 0, 0, 0, 0, number], segment, host };
    let [here, beside, there, stranger] =
        [inhabitant(1, 10, 0), inhabitant(2, 10, 0), inhabitant(3, 10, 1), inhabitant(4, 20, 1)];
    let inhabitants = [&here, &beside, &there, &stranger].map(Clone::clone).to_vec();
    let scene = Scene { inhabitants };
    let frame = |from: &Inhabitant, to: Mac, vlans: &[u16]| Read {
        source: from.mac,
        destination: to,
        vlans: vlans.to_vec(),
        ethertype: 0x0800,
        addresses: None,
        tunnelled: None,
    };
    let group = [0xff; 6];

    let at_port = |from: &Inhabitant, to: Mac, vlans: &[u16]| {
        scene.at_port(&here, &frame(from, to, vlans)).is_ok()
    };
    assert!(at_port(&there, here.mac, &[]) && at_port(&there, group, &[]));
    assert!(!at_port(&there, here.mac, &[10]));
    assert!(!at_port(&there, beside.mac, &[]));
    assert!(!at_port(&stranger, group, &[]));
    assert!(!at_port(&inhabitant(9, 10, 1), group, &[]));

    let on_trunk = |from: &Inhabitant, to: Mac, vlans: &[u16]| {
        scene.on_trunk(0, &frame(from, to, vlans)).is_ok()
    };
    assert!(on_trunk(&here, there.mac, &[10]) && on_trunk(&here, group, &[10]));
    for vlans in [&[][..], &[20], &[10, 10], &[20, 10]] {
        assert!(!on_trunk(&here, there.mac, vlans), "{vlans:?}");
    }
    assert!(!on_trunk(&here, beside.mac, &[10]));
    assert!(!on_trunk(&here, stranger.mac, &[10]));
    assert!(!on_trunk(&here, [2; 6], &[10]));
    assert!(!on_trunk(&there, here.mac, &[10]));

    let ends = [1, 2, 3].map(|host| IpAddr::from([192, 0, 2, host]));
    let underlay = inhabitant(9, 0, 0);
    let in_tunnel = |from: &Inhabitant, to: Mac, id, end: usize| {
        let tunnelled = Tunnelled { kind: "vxlan", id: Some(id), frame: frame(from, to, &[]) };
        let outer = Read {
            addresses: Some((ends[0], ends[end])),
            tunnelled: Some(Box::new(tunnelled)),
            ..frame(&underlay, [2; 6], &[])
        };
        scene.on_underlay(0, &ends, &outer).is_ok()
    };
    assert!(in_tunnel(&here, there.mac, 10, 1) && in_tunnel(&here, group, 10, 1));
    assert!(!in_tunnel(&here, there.mac, 20, 1));
    assert!(!in_tunnel(&here, there.mac, 10, 2));
    assert!(!in_tunnel(&here, group, 10, 2));
    assert!(!in_tunnel(&here, beside.mac, 10, 1));
    assert!(scene.on_underlay(0, &ends, &frame(&underlay, group, &[])).is_ok());
    assert!(scene.on_underlay(0, &ends, &frame(&here, group, &[])).is_err());
}
