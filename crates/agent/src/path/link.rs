//! The table of network devices that what rtnetlink says of them adds up to. Pure.

use std::collections::BTreeMap;

use super::Devices;
use crate::netlink::route::{self, DELETE, GET, HEADER, NAME, NEW};
use crate::netlink::{self, DUMP, Message, REQUEST, find};

/// Messages of other families, as that of bridges, tell of ports as such.
const ANY_FAMILY: u8 = 0;

const LINK_INFO: u16 = 18;
const KIND: u16 = 1;

/// What the names of such Linux bridges begin with, and of what is plugged into the integration bridge.
const BRIDGE: &str = "qbr";
const PLUGGED: &str = "qvo";

/// All devices, by their index.
#[derive(Debug, Default)]
pub(super) struct Links(BTreeMap<u32, Link>);

#[derive(Debug, PartialEq, Eq)]
struct Link {
    name: String,
    is_bridge: bool,
    /// The index of the device that it is a port of.
    master: Option<u32>,
}

/// Asks for all devices.
pub(super) fn list(sequence: u32) -> Vec<u8> {
    netlink::encode(GET, REQUEST | DUMP, sequence, &[0; HEADER], route::without_counters)
}

impl Links {
    /// Takes note of what the kernel says.
    pub(super) fn take(&mut self, message: Message<'_>) {
        let Some((header, index, attributes)) = route::device(message.body) else { return };
        if header.first() != Some(&ANY_FAMILY) {
            return;
        }
        match message.kind {
            NEW => {
                if let Some(link) = Link::read(attributes) {
                    self.0.insert(index, link);
                }
            }
            DELETE => {
                self.0.remove(&index);
            }
            _ => {}
        }
    }

    /// The devices that may be between a machine and the integration bridge.
    pub(super) fn devices(&self) -> Devices {
        let mut devices = Devices::default();
        let is_bridge = |link: &Link| link.is_bridge && link.name.starts_with(BRIDGE);
        for link in self.0.values() {
            if link.name.starts_with(PLUGGED) {
                devices.ends.insert(link.name.clone());
            }
            if is_bridge(link) {
                devices.bridges.entry(link.name.clone()).or_default();
            }
            let master = link.master.and_then(|master| self.0.get(&master));
            if let Some(master) = master.filter(|master| is_bridge(master)) {
                let ports = devices.bridges.entry(master.name.clone()).or_default();
                ports.insert(link.name.clone());
            }
        }
        devices
    }
}

impl Link {
    fn read(attributes: &[u8]) -> Option<Self> {
        let kind = find(attributes, LINK_INFO).and_then(|info| find(info, KIND));
        Some(Self {
            name: text(find(attributes, NAME)?),
            is_bridge: kind.is_some_and(|kind| text(kind) == "bridge"),
            master: route::master(attributes),
        })
    }
}

/// Text that ends with a zero.
fn text(bytes: &[u8]) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attribute;
    use crate::netlink::route::MASTER;

    fn header(family: u8, index: u32) -> Vec<u8> {
        let mut header = vec![0; HEADER];
        header[0] = family;
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        header
    }

    fn new(index: u32, name: &str, kind: &str, master: Option<u32>) -> Vec<u8> {
        netlink::encode(NEW, 0, 0, &header(0, index), |out| {
            attribute(out, NAME, |out| out.extend([name.as_bytes(), &[0]].concat()));
            attribute(out, LINK_INFO, |out| {
                attribute(out, KIND, |out| out.extend(kind.as_bytes()));
            });
            if let Some(master) = master {
                attribute(out, MASTER, |out| out.extend(master.to_ne_bytes()));
            }
        })
    }

    /// Whether something is another way then.
    fn take(links: &mut Links, bytes: &[u8]) -> bool {
        let before = links.devices();
        links.take(netlink::decode(bytes).unwrap().0);
        links.devices() != before
    }

    #[test]
    fn ports_come_and_go() {
        let mut links = Links::default();
        assert!(!take(&mut links, &new(7, "qvb1", "veth", Some(9))), "nobody knows number 9");
        assert!(!take(&mut links, &new(8, "br0", "bridge", None)), "another bridge");
        assert!(take(&mut links, &new(9, "qbr1", "bridge", None)));
        assert!(!take(&mut links, &new(9, "qbr1", "bridge", None)), "as before");
        let ports = |links: &Links| links.devices().bridges["qbr1"].clone();
        assert_eq!(ports(&links), ["qvb1".to_owned()].into());
        // That a port leaves a bridge is told of the port as such, too; the device stays.
        assert!(!take(&mut links, &netlink::encode(DELETE, 0, 0, &header(7, 7), |_| {})));
        assert!(take(&mut links, &new(7, "qvb1", "veth", None)));
        assert_eq!(ports(&links), [].into());
        assert!(!take(&mut links, &new(7, "qvb1", "veth", Some(8))), "a port of the other bridge");
        assert!(take(&mut links, &new(7, "eth0", "veth", Some(9))), "it has another name");
        assert_eq!(ports(&links), ["eth0".to_owned()].into());
        assert!(take(&mut links, &netlink::encode(DELETE, 0, 0, &header(0, 7), |_| {})));
        assert!(take(&mut links, &new(7, "qvo1", "veth", None)));
        assert_eq!(links.devices().ends, ["qvo1".to_owned()].into());
        assert!(take(&mut links, &netlink::encode(DELETE, 0, 0, &header(0, 9), |_| {})));
        assert_eq!(links.devices().bridges, BTreeMap::new());
        // What is too short says nothing.
        assert!(!take(&mut links, &netlink::encode(NEW, 0, 0, &[0; 3], |_| {})));
    }
}
