//! Two hosts with the flows of br-int and br-tun that are desired of them, on real switches.
#![expect(clippy::unwrap_used, reason = "a test may panic, also in what its tests share")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dataplane::bridge::layout::Owner;
use dataplane::bridge::tunnel::{self, Population, Responder, TunnelNetwork, Tunnels};
use dataplane::{Filter, FlowSet, LocalNetwork, LocalPort, PortQos, Snapshot, Underlay, bridge};
use model::{
    AddressPair, Direction, EtherType, MacAddr, NetworkId, NetworkType, OfPort, Port, PortId,
    PortSecurity, Prefix, Remote, SecurityGroup, SecurityGroupId, SecurityGroupRule,
    SecurityGroupRuleId, Segment, SegmentationId, Transport, VlanTag,
};
use testkit::{Fabric, Nic, Outcome, Sniffer, Switch, Vm, Way, eventually, frame};
use uuid::Uuid;

const WAIT: Duration = Duration::from_secs(10);
const KEY: u32 = 0x01_0203;
const TYPES: [NetworkType; 3] = [NetworkType::Vxlan, NetworkType::Gre, NetworkType::Geneve];

/// A host with one virtual machine, which is a managed port.
struct Host {
    switch: Switch,
    underlay: testkit::Underlay,
    number: u8,
    vm: Vm,
}

impl Host {
    /// Host 1 or 2. Its VM has MAC address fa:16:3e:00:00:<number> and IP addresses that end so.
    fn start(fabric: &Fabric, number: u8) -> Self {
        let switch = Switch::start().unwrap();
        switch.add_bridge("br-int").unwrap();
        switch.add_bridge("br-tun").unwrap();
        for (bridge, port, peer) in
            [("br-int", "patch-tun", "patch-int"), ("br-tun", "patch-int", "patch-tun")]
        {
            let peer = format!("options:peer={peer}");
            let set = ["--", "set", "interface", port, "type=patch", &peer];
            switch.vsctl_no_wait(&[&["add-port", bridge, port], &set[..]].concat()).unwrap();
        }
        let underlay = testkit::Underlay::of_host(number);
        fabric.underlay(&switch, &underlay).unwrap();
        let nic = Nic {
            mac: Some(mac(number).to_string()),
            addresses: vec![
                format!("10.0.0.{number}/24").parse().unwrap(),
                format!("fd00::{number}/64").parse().unwrap(),
            ],
            ..Nic::default()
        };
        let vm = Vm::plugged(&switch, "br-int", "vm", &nic).unwrap();
        let tag = format!("tag={}", local_vlan(number));
        switch.vsctl(&["set", "port", "vm", &tag]).unwrap();
        Self { switch, underlay, number, vm }
    }

    fn ofport(&self, interface: &str) -> OfPort {
        let text = self.switch.vsctl(&["get", "interface", interface, "ofport"]).unwrap();
        OfPort::new(text.trim().parse().unwrap()).unwrap()
    }

    /// A tunnel of a type to the other host.
    fn tunnel(&self, kind: NetworkType, family: IpAddr, other: &Self) {
        let [local, remote] = [self, other].map(|host| host.underlay.address(family).unwrap());
        self.switch
            .vsctl(&[
                "--may-exist",
                "add-port",
                "br-tun",
                "end",
                "--",
                "set",
                "interface",
                "end",
                &format!("type={kind}"),
                &format!("options:local_ip=\"{local}\""),
                &format!("options:remote_ip=\"{remote}\""),
                "options:in_key=flow",
                "options:out_key=flow",
            ])
            .unwrap();
    }

    /// Its network in tunnels of this type.
    fn tunnels(
        &self,
        network_type: NetworkType,
        remote: IpAddr,
        population: Option<Population>,
    ) -> Tunnels {
        let network = TunnelNetwork {
            network_type,
            segmentation_id: SegmentationId::new(KEY),
            population: population.map(Arc::new),
        };
        Tunnels {
            patch: Some(self.ofport("patch-int")),
            networks: BTreeMap::from([(local_vlan(self.number), network)]),
            ends: BTreeMap::from([((network_type, remote), self.ofport("end"))]),
            responder: Responder::ArpAndNd,
        }
    }

    fn integration(&self, network_type: NetworkType) -> FlowSet {
        let group = group();
        let [v4, v6] = self.vm.addresses().collect::<Vec<_>>().try_into().unwrap();
        let pair = |address| AddressPair { mac: mac(self.number), prefix: Prefix::host(address) };
        let link_local = IpAddr::V6(mac(self.number).link_local());
        let port = Port {
            id: PortId::new(Uuid::from_u128(self.number.into())),
            network: network(),
            mac: mac(self.number),
            pairs: BTreeSet::from([pair(v4), pair(v6), pair(link_local)]),
            security: PortSecurity::Enabled,
            groups: BTreeSet::from([group.id]),
            admin_up: true,
        };
        let segment = Segment {
            network_type,
            physical_network: None,
            segmentation_id: Some(SegmentationId::new(KEY)),
        };
        let local = LocalNetwork { vlan: local_vlan(self.number), segment };
        let here = LocalPort {
            ofport: self.ofport("vm"),
            port: Arc::new(port),
            standby: false,
            filter: Filter::Flows,
            qos: PortQos::default(),
        };
        let snapshot = Snapshot {
            networks: BTreeMap::from([(network(), local)]),
            uplinks: BTreeMap::from([(Underlay::Tunnels, self.ofport("patch-tun"))]),
            ports: BTreeMap::from([(here.port.id, here)]),
            groups: BTreeMap::from([(group.id, Arc::new(group))]),
            ..Snapshot::default()
        };
        bridge::desired(&snapshot).flows
    }

    /// Adds flows, in one bundle.
    fn add(&self, bridge: &str, flows: &FlowSet) {
        let path = self.switch.run_dir().join("flows");
        let lines = flows.iter().map(|flow| format!("{flow}\n"));
        std::fs::write(&path, lines.collect::<String>()).unwrap();
        let path = path.display().to_string();
        self.switch.ofctl(&["--bundle", "add-flows", bridge, &path]).unwrap();
    }

    /// What br-tun has learned.
    fn learned(&self) -> Vec<String> {
        let dump = ["--no-stats", "--no-names", "dump-flows", "br-tun"];
        let owner = Owner::learned_from_tunnels(local_vlan(self.number), SegmentationId::new(KEY));
        let learned = format!("cookie={}/-1", owner.cookie());
        let text = self.switch.ofctl(&[&dump[..], &[&learned]].concat()).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }
}

fn mac(number: u8) -> MacAddr {
    MacAddr::new([0xfa, 0x16, 0x3e, 0, 0, number])
}

/// Another one on each host.
fn local_vlan(number: u8) -> VlanTag {
    VlanTag::new(u32::from(number) + 10).unwrap()
}

fn network() -> NetworkId {
    NetworkId::new(Uuid::from_u128(0x8000))
}

/// Lets everything pass.
fn group() -> SecurityGroup {
    let mut rules = BTreeSet::new();
    for direction in [Direction::Ingress, Direction::Egress] {
        for ethertype in [EtherType::Ipv4, EtherType::Ipv6] {
            let id = SecurityGroupRuleId::random();
            let any = Transport::Any;
            rules.insert(
                SecurityGroupRule::new(id, direction, ethertype, any, Remote::Any).unwrap(),
            );
        }
    }
    let id = SecurityGroupId::new(Uuid::from_u128(0x9000));
    SecurityGroup { id, rules, stateful: true }
}

/// Both hosts, with tunnels to each other and flows.
fn join(kind: NetworkType, family: IpAddr, [one, two]: &[Host; 2], populated: bool) {
    for [host, other] in [[one, two], [two, one]] {
        host.tunnel(kind, family, other);
        let remote = other.underlay.address(family).unwrap();
        let population = Population {
            flood: BTreeSet::from([remote]),
            unicast: BTreeMap::from([(mac(other.number), remote)]),
            neighbours: other.vm.addresses().map(|address| (address, mac(other.number))).collect(),
        };
        let tunnels = host.tunnels(kind, remote, populated.then_some(population));
        host.add("br-tun", &tunnel::desired(&tunnels));
        host.add("br-int", &host.integration(kind));
    }
}

const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);

#[test]
fn hosts_that_know_nobody_learn_who_is_where() {
    for (kind, family) in [(TYPES[0], V4), (TYPES[1], V6), (TYPES[2], V4)] {
        let fabric = Fabric::start().unwrap();
        let pair = [1, 2].map(|number| Host::start(&fabric, number));
        join(kind, family, &pair, false);
        let [one, other] = &pair;
        for address in other.vm.addresses() {
            assert_eq!(one.vm.ping(address, WAIT), Outcome::Reached, "{kind} {family} {address}");
        }
        let [learned] = one.learned().try_into().unwrap();
        assert!(learned.contains(&format!("dl_dst={}", mac(2))), "{learned}");

        // With another key nothing of it is left.
        let remote = other.underlay.address(family).unwrap();
        let mut tunnels = one.tunnels(kind, remote, None);
        for network in tunnels.networks.values_mut() {
            network.segmentation_id = SegmentationId::new(KEY + 1);
        }
        one.add("br-tun", &tunnel::desired(&tunnels));
        eventually(WAIT, || one.learned().is_empty()).unwrap();
    }
}

#[test]
fn whoever_is_known_is_answered_for() {
    for (kind, family) in [(TYPES[0], V6), (TYPES[1], V4), (TYPES[2], V6)] {
        let fabric = Fabric::start().unwrap();
        let pair = [1, 2].map(|number| Host::start(&fabric, number));
        let [one, other] = &pair;
        let wire = Sniffer::start(one.switch.namespace(), &one.underlay.wire).unwrap();
        join(kind, family, &pair, true);
        for address in other.vm.addresses() {
            assert_eq!(one.vm.ping(address, WAIT), Outcome::Reached, "{kind} {family} {address}");
        }
        let seen: Vec<frame::Read> = wire
            .seen()
            .iter()
            .filter(|sighting| sighting.way == Way::Out)
            .filter_map(|sighting| Some(frame::read(&sighting.frame)?.tunnelled?.frame))
            .collect();
        let is_question = |frame: &frame::Read| match frame.addresses {
            None => frame.ethertype == frame::number::ARP,
            // Detection of duplicates has no source.
            Some((IpAddr::V6(from), IpAddr::V6(to))) => {
                !from.is_unspecified() && to.segments()[..7] == [0xff02, 0, 0, 0, 0, 1, 0xff00]
            }
            Some(_) => false,
        };
        assert!(!seen.iter().any(is_question), "{seen:?}");
        assert!(seen.iter().any(|frame| frame.destination == mac(2).octets()), "{seen:?}");
    }
}
