//! A Linux bridge between a virtual machine and the integration bridge, so that netfilter sees what
//! passes: `tap -> qbr -> qvb -> qvo -> integration bridge`, as os-vif makes it in OpenStack.
//!
//! The bridge is a wire with two ends and must add nothing of its own: it learns no addresses (while
//! a machine migrates, the old place would go on getting its frames), speaks no spanning tree, hides
//! no multicast, has no IPv6 address, and does not answer ARP for addresses of the host.

use std::{io, path::Path};

use anyhow::{Context as _, bail};
use model::HybridDevices;
use tokio::fs;

use super::device::{exists, ip};

/// The Linux bridge of a port, with the pair of interfaces that joins it to the integration bridge.
#[derive(Debug)]
pub(super) struct Hybrid {
    devices: HybridDevices,
}

impl Hybrid {
    /// Makes the bridge and the pair. The tap is for the caller to make, and to [`Self::attach`].
    ///
    /// # Errors
    /// When one of the names is taken, or `ip` refuses. Nothing is left then.
    pub(super) async fn make(devices: HybridDevices, mtu: u32) -> anyhow::Result<Self> {
        for name in [&devices.qbr, &devices.qvb, &devices.qvo] {
            if exists(name).await? {
                bail!(
                    "there is an interface {name} already, of a 'weir plug' that was cut off or of \
                     somebody else; 'weir unplug' removes it"
                );
            }
        }
        let hybrid = Self { devices };
        match hybrid.build(&mtu.to_string()).await {
            Ok(()) => Ok(hybrid),
            Err(error) => match hybrid.delete().await {
                Ok(_) => Err(error),
                Err(left) => Err(error.context(format!("not all could be undone ({left:#})"))),
            },
        }
    }

    /// What there is of it, if there is anything.
    ///
    /// # Errors
    /// When the list of interfaces cannot be read.
    pub(super) async fn find(devices: HybridDevices) -> anyhow::Result<Option<Self>> {
        let mut is_there = false;
        for name in [&devices.qbr, &devices.qvb, &devices.qvo] {
            is_there |= exists(name).await?;
        }
        Ok(is_there.then_some(Self { devices }))
    }

    /// Makes an interface a port of the bridge.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub(super) async fn attach(&self, device: &str) -> anyhow::Result<()> {
        silence(device).await?;
        ip(&["link", "set", "dev", device, "master", &self.devices.qbr]).await
    }

    /// Deletes what there is of it, and goes on where something cannot be deleted. Gives the names.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub(super) async fn delete(self) -> anyhow::Result<Vec<String>> {
        let mut deleted = Vec::new();
        let mut outcome = Ok(());
        // With one end of the pair the other goes.
        for name in [self.devices.qvb, self.devices.qvo, self.devices.qbr] {
            if exists(&name).await? {
                outcome = outcome.and(ip(&["link", "delete", "dev", &name]).await);
                deleted.push(name);
            }
        }
        outcome.map(|()| deleted)
    }

    async fn build(&self, mtu: &str) -> anyhow::Result<()> {
        let HybridDevices { qbr, qvb, qvo, .. } = &self.devices;
        let bridge = ["link", "add", "name", qbr, "type", "bridge"];
        let quiet = ["ageing_time", "0", "stp_state", "0", "mcast_snooping", "0"];
        ip(&[&bridge[..], &quiet[..]].concat()).await?;
        let near = ["link", "add", "name", qvb, "mtu", mtu, "type", "veth"];
        ip(&[&near[..], &["peer", "name", qvo, "mtu", mtu]].concat()).await?;
        for name in [qbr, qvb, qvo] {
            silence(name).await?;
        }
        sysctl("ipv4", qbr, "arp_ignore", "1").await?;
        sysctl("ipv4", qbr, "arp_announce", "2").await?;
        ip(&["link", "set", "dev", qvb, "master", qbr]).await?;
        ip(&["link", "set", "dev", qbr, "mtu", mtu]).await?;
        for name in [qvb, qvo] {
            ip(&["link", "set", "dev", name, "promisc", "on", "up"]).await?;
        }
        ip(&["link", "set", "dev", qbr, "up"]).await
    }
}

/// The host must not speak by itself through an interface that is a part of a machine's wire.
async fn silence(device: &str) -> anyhow::Result<()> {
    sysctl("ipv6", device, "disable_ipv6", "1").await
}

/// Sets a parameter of an interface, where the kernel has it: not every one speaks IPv6.
async fn sysctl(family: &str, device: &str, key: &str, value: &str) -> anyhow::Result<()> {
    let path = Path::new("/proc/sys/net").join(family).join("conf").join(device).join(key);
    match fs::write(&path, value).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.with_context(|| format!("cannot write {}", path.display())),
    }
}
