//! The interfaces of virtual machines, and their network namespaces.

use std::path::Path;

use agent::device::{DeviceError, exists, ip, run};
use anyhow::bail;
use tokio::fs;

use super::wish::Wish;

/// A network namespace that was made here.
#[derive(Debug)]
pub(super) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes the namespace, or nothing when it is there.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub(super) async fn ensure(name: &str) -> anyhow::Result<Option<Self>> {
        if fs::try_exists(Path::new("/run/netns").join(name)).await.unwrap_or(false) {
            return Ok(None);
        }
        ip(&["netns", "add", name]).await?;
        ip(&["-netns", name, "link", "set", "dev", "lo", "up"]).await?;
        Ok(Some(Self { name: name.to_owned() }))
    }

    /// Deletes it.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub(super) async fn delete(self) -> anyhow::Result<()> {
        ip(&["netns", "delete", &self.name]).await?;
        Ok(())
    }
}

/// An interface here, for the bridge, whose other end is in a namespace, or held by a hypervisor.
#[derive(Debug)]
pub(super) struct Cable {
    name: String,
}

impl Cable {
    /// Makes a pair of interfaces and configures both.
    ///
    /// # Errors
    /// When `ip` or `ethtool` refuses. Nothing is left then.
    pub(super) async fn pair(
        name: &str,
        netns: &str,
        device: &str,
        wish: &Wish,
    ) -> anyhow::Result<Self> {
        refuse_taken(name, wish).await?;
        let mtu = wish.mtu.to_string();
        let near = ["link", "add", "name", name, "mtu", &mtu, "type", "veth"];
        let far = ["peer", "name", device, "netns", netns, "mtu", &mtu, "address", &wish.mac];
        ip(&[&near[..], &far[..]].concat()).await?;
        let cable = Self { name: name.to_owned() };
        match cable.configure(netns, device, wish).await {
            Ok(()) => Ok(cable),
            Err(error) => Err(cable.delete_after(error.into()).await),
        }
    }

    /// The one with that name, if there is one.
    ///
    /// # Errors
    /// When the list of interfaces cannot be read.
    pub(super) async fn find(name: &str) -> anyhow::Result<Option<Self>> {
        Ok(exists(name).await?.then(|| Self { name: name.to_owned() }))
    }

    /// A tap device with that name, for a hypervisor to open.
    ///
    /// # Errors
    /// When there is an interface of that name, or `ip` refuses. Nothing is left then.
    pub(super) async fn tap(name: &str, wish: &Wish) -> anyhow::Result<Self> {
        refuse_taken(name, wish).await?;
        ip(&["tuntap", "add", "dev", name, "mode", "tap"]).await?;
        let tap = Self { name: name.to_owned() };
        let mtu = wish.mtu.to_string();
        match ip(&["link", "set", "dev", name, "mtu", &mtu, "up"]).await {
            Ok(_) => Ok(tap),
            Err(error) => Err(tap.delete_after(error.into()).await),
        }
    }

    /// Deletes it, both ends.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub(super) async fn delete(self) -> anyhow::Result<()> {
        ip(&["link", "delete", "dev", &self.name]).await?;
        Ok(())
    }

    /// Deletes it because of this error, and says whether that failed, too.
    async fn delete_after(self, error: anyhow::Error) -> anyhow::Error {
        let name = self.name.clone();
        match self.delete().await {
            Ok(()) => error,
            Err(left) => error.context(format!("{name} is left behind ({left:#})")),
        }
    }

    async fn configure(&self, netns: &str, device: &str, wish: &Wish) -> Result<(), DeviceError> {
        // A userspace datapath passes packets on as they are, so their checksums must be there.
        run("ethtool", &["-K", &self.name, "tx", "off"]).await?;
        run("ip", &["netns", "exec", netns, "ethtool", "-K", device, "tx", "off"]).await?;
        ip(&["link", "set", "dev", &self.name, "up"]).await?;
        ip(&["-netns", netns, "link", "set", "dev", device, "up"]).await?;
        for address in &wish.addresses {
            let add = ["-netns", netns, "address", "add", address, "dev", device];
            // The server sees to it that nobody else has the address.
            let nodad: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
            ip(&[&add[..], nodad].concat()).await?;
        }
        for gateway in &wish.gateways {
            let family = if gateway.is_ipv6() { "-6" } else { "-4" };
            let gateway = gateway.to_string();
            let add = ["-netns", netns, family, "route", "add", "default", "via", &gateway];
            ip(&[&add[..], &["dev", device, "onlink"]].concat()).await?;
        }
        Ok(())
    }
}

/// Refuses a name that an interface has.
async fn refuse_taken(name: &str, wish: &Wish) -> anyhow::Result<()> {
    if exists(name).await? {
        bail!(
            "there is an interface {name} already, of a 'weir plug' that was cut off or of somebody \
             else; 'weir unplug {}' removes it",
            wish.port_id
        );
    }
    Ok(())
}
