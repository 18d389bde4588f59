//! The path of a port through its Linux bridge: whether what it sends and gets passes one here, where
//! netfilter sees it.
//!
//! Netfilter is one for each network namespace, and sees the Linux bridges of its own. An agent in
//! another one would put the rules of its ports where no packet comes by, and nobody would filter
//! them. So a port waits until the agent sees the port's Linux bridge. It does not wait for the
//! device of the machine: Nova starts a machine when its port is up.
//!
//! [`Devices`] is pure; `watch` has the kernel tell of them.

mod link;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use model::HybridDevices;

pub(crate) use self::watch::watch;

/// The devices of the agent's network namespace that may be between a machine and the integration
/// bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Devices {
    /// The devices that may be plugged into it.
    ends: BTreeSet<String>,
    /// The Linux bridges, with their ports.
    bridges: BTreeMap<String, BTreeSet<String>>,
}

/// What is known of the devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Sight {
    /// They have not been listed yet.
    #[default]
    Waiting,
    /// They cannot be listed.
    Blind(String),
    /// They are these.
    Seen(Devices),
}

/// Why netfilter does not see what a port sends and gets, or not all of it.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    /// Its Linux bridge is not here.
    #[error(
        "there is no Linux bridge {0} in the network namespace of the agent, which must run in the \
         one where such bridges are made"
    )]
    Bridge(String),
    /// The device that leads to the integration bridge is not a port of it.
    #[error(
        "{qvb} is no port of Linux bridge {qbr}; 'ip link set {qvb} master {qbr}' makes it one"
    )]
    Port {
        /// The device.
        qvb: String,
        /// The bridge.
        qbr: String,
    },
    /// The other end of that device is not here.
    #[error(
        "there is no device {0} in the network namespace of the agent, which must run in that of \
         Open vSwitch"
    )]
    End(String),
    /// Something passes that no rule names.
    #[error(
        "{device} is a port of Linux bridge {qbr}, and rules filter {tap} alone; \
         'ip link set {device} nomaster' takes it off"
    )]
    Stranger {
        /// The device that is a port, too.
        device: String,
        /// The bridge.
        qbr: String,
        /// The device that the machine should have.
        tap: String,
    },
    /// It cannot be found out.
    #[error("cannot tell which network devices there are: {0}")]
    Blind(String),
}

impl Sight {
    /// Takes note of it. What was seen counts until something else is. Tells whether it counts.
    pub(crate) fn take(&mut self, sight: Self) -> bool {
        let counts = match (&*self, &sight) {
            (Self::Seen(_), Self::Waiting | Self::Blind(_)) => false,
            (before, after) => before != after,
        };
        if counts {
            *self = sight;
        }
        counts
    }

    /// Whether it is known what there is, or that it cannot be known.
    pub(crate) fn is_settled(&self) -> bool {
        *self != Self::Waiting
    }

    /// The Linux bridge of one port, with these ports of its own.
    #[cfg(test)]
    pub(crate) fn of(port: &HybridDevices, ports: &[&str]) -> Self {
        let ports = ports.iter().map(|name| (*name).to_owned()).collect();
        let (ends, qbr) = (BTreeSet::from([port.qvo.clone()]), port.qbr.clone());
        Self::Seen(Devices { ends, bridges: BTreeMap::from([(qbr, ports)]) })
    }

    /// Whether a move may have left something half done at a port that is plugged in by way of its Linux
    /// bridge, or without: the bridge is there without the machine, or there at all.
    pub(crate) fn may_be_half(&self, port: &HybridDevices, is_bridged: bool) -> bool {
        match self {
            Self::Seen(devices) if !is_bridged => {
                devices.bridges.contains_key(&port.qbr) || devices.ends.contains(&port.qvo)
            }
            Self::Seen(_) => self.is_empty(port),
            // Whoever looks sees.
            Self::Waiting | Self::Blind(_) => true,
        }
    }

    /// Whether the Linux bridge is known to be there without a machine.
    pub(crate) fn is_empty(&self, port: &HybridDevices) -> bool {
        match self {
            Self::Waiting | Self::Blind(_) => false,
            Self::Seen(devices) => {
                devices.bridges.get(&port.qbr).is_some_and(|ports| !ports.contains(&port.tap))
            }
        }
    }

    /// Whether what passes these devices passes netfilter; nothing where that is not known yet.
    pub(crate) fn path(&self, port: &HybridDevices) -> Option<Result<(), Gap>> {
        match self {
            Self::Waiting => None,
            Self::Blind(reason) => Some(Err(Gap::Blind(reason.clone()))),
            Self::Seen(devices) => Some(devices.path(port)),
        }
    }
}

impl Devices {
    /// Whether what passes these devices passes netfilter.
    ///
    /// # Errors
    /// Why it does not.
    pub fn path(&self, port: &HybridDevices) -> Result<(), Gap> {
        let HybridDevices { tap, qbr, qvb, qvo } = port;
        let ports = self.bridges.get(qbr).ok_or_else(|| Gap::Bridge(qbr.clone()))?;
        if !ports.contains(qvb) {
            return Err(Gap::Port { qvb: qvb.clone(), qbr: qbr.clone() });
        }
        if !self.ends.contains(qvo) {
            return Err(Gap::End(qvo.clone()));
        }
        match ports.iter().find(|name| ![tap, qvb].contains(name)) {
            None => Ok(()),
            Some(device) => {
                let (device, qbr, tap) = (device.clone(), qbr.clone(), tap.clone());
                Err(Gap::Stranger { device, qbr, tap })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: &str = "ed8602cf-6514-4314-b53b-c91d7fe1c7e8";

    fn devices(ends: &[&str], bridges: &[(&str, &[&str])]) -> Devices {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let bridges = bridges.iter().map(|(name, ports)| ((*name).to_owned(), all(ports)));
        Devices { ends: all(ends), bridges: bridges.collect() }
    }

    #[test]
    fn what_was_seen_counts_until_something_else_is() {
        let mut sight = Sight::default();
        let seen = Sight::Seen(devices(&["qvo1"], &[]));
        assert!(
            !sight.is_settled() && sight.path(&HybridDevices::of(PORT.parse().unwrap())).is_none()
        );
        assert!(sight.take(Sight::Blind("no".to_owned())));
        assert!(sight.is_settled());
        assert!(sight.take(seen.clone()) && !sight.take(seen.clone()));
        assert!(!sight.take(Sight::Blind("no".to_owned())) && sight == seen);
        assert!(sight.take(Sight::Seen(Devices::default())));
    }

    #[test]
    fn a_path_is_whole_before_the_machine_has_started() {
        let port = HybridDevices::of(PORT.parse().unwrap());
        let [tap, qbr, qvb, qvo] = [&*port.tap, &*port.qbr, &*port.qvb, &*port.qvo];
        let ends = [qvo];
        assert_eq!(devices(&ends, &[(qbr, &[qvb])]).path(&port), Ok(()));
        assert_eq!(devices(&ends, &[(qbr, &[qvb, tap])]).path(&port), Ok(()));
        for (devices, expected) in [
            (devices(&[], &[]), Gap::Bridge(qbr.to_owned())),
            (devices(&ends, &[]), Gap::Bridge(qbr.to_owned())),
            (
                devices(&ends, &[(qbr, &[tap]), ("br0", &[qvb])]),
                Gap::Port { qvb: qvb.to_owned(), qbr: qbr.to_owned() },
            ),
            (devices(&["qvo1"], &[(qbr, &[qvb])]), Gap::End(qvo.to_owned())),
            (
                devices(&ends, &[(qbr, &["eth7", qvb])]),
                Gap::Stranger {
                    device: "eth7".to_owned(),
                    qbr: qbr.to_owned(),
                    tap: tap.to_owned(),
                },
            ),
        ] {
            assert_eq!(devices.path(&port), Err(expected));
        }
    }
}
