//! A Linux bridge between a virtual machine and the integration bridge, so that netfilter sees what
//! passes: `tap -> qbr -> qvb -> qvo -> integration bridge`, as os-vif makes it in OpenStack.
//!
//! The bridge is a wire with two ends and must add nothing of its own: it learns no addresses (while
//! a machine migrates, the old place would go on getting its frames), speaks no spanning tree, hides
//! no multicast, has no IPv6 address, and does not answer ARP for addresses of the host.

mod port;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use model::HybridDevices;
use nix::errno::Errno;
use peer::chain;
use tokio::{
    fs,
    time::{Instant, sleep},
};

use self::port::Rtnetlink;
use crate::device::{DeviceError, exists, ip};

/// How often it is tried to make an interface a port that is still a port of something else: whose it is
/// is cut off meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// The Linux bridge of a port, with the pair of interfaces that joins it to the integration bridge.
#[derive(Debug)]
pub struct LinuxBridge {
    devices: HybridDevices,
}

/// What could not be done with a Linux bridge.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum LinuxBridgeError {
    /// One of its names is taken.
    #[error(
        "there is an interface {name} already, of a 'weir plug' that was cut off or of somebody else; \
         'weir unplug' removes it"
    )]
    Taken {
        /// The name.
        name: String,
    },
    /// An interface could not be made, changed or looked at.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A parameter of an interface could not be set.
    #[error("cannot write {path}")]
    Parameter {
        /// The file that stands for it.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An interface could not be made a port.
    #[error("cannot make {device} a port of {bridge}")]
    Attach {
        /// The interface.
        device: String,
        /// The bridge.
        bridge: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// An interface could not be taken out.
    #[error("cannot take {device} out of {bridge}")]
    Detach {
        /// The interface.
        device: String,
        /// The bridge.
        bridge: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// An interface could not be looked at.
    #[error("cannot tell which bridge {device} is a port of")]
    Look {
        /// The interface.
        device: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It could not be made, and what had been made could not be deleted.
    #[error("not all could be undone ({left})")]
    Left {
        /// Why it could not be deleted.
        left: String,
        /// Why it could not be made.
        #[source]
        source: Box<Self>,
    },
}

impl LinuxBridge {
    /// Makes the bridge and the pair. The tap is for the caller to make, and to [`Self::attach`].
    ///
    /// # Errors
    /// When one of the names is taken, or `ip` refuses. Nothing is left then.
    pub async fn make(devices: HybridDevices, mtu: u32) -> Result<Self, LinuxBridgeError> {
        for name in [&devices.qbr, &devices.qvb, &devices.qvo] {
            if exists(name).await? {
                return Err(LinuxBridgeError::Taken { name: name.clone() });
            }
        }
        let bridge = Self { devices };
        match bridge.build(&mtu.to_string()).await {
            Ok(()) => Ok(bridge),
            Err(error) => match bridge.delete().await {
                Ok(_) => Err(error),
                Err(left) => {
                    Err(LinuxBridgeError::Left { left: chain(&left), source: Box::new(error) })
                }
            },
        }
    }

    /// What there is of it, if there is anything.
    ///
    /// # Errors
    /// When the list of interfaces cannot be read.
    pub async fn find(devices: HybridDevices) -> Result<Option<Self>, LinuxBridgeError> {
        let mut is_there = false;
        for name in [&devices.qbr, &devices.qvb, &devices.qvo] {
            is_there |= exists(name).await?;
        }
        Ok(is_there.then_some(Self { devices }))
    }

    /// Makes an interface a port of the bridge.
    ///
    /// # Errors
    /// When there is no such interface, or the kernel refuses.
    pub async fn attach(&self, device: &str) -> Result<(), LinuxBridgeError> {
        let attach = async {
            let mut kernel = Rtnetlink::open()?;
            let bridge = kernel.device(&self.devices.qbr).await?.index;
            let index = kernel.device(device).await?.index;
            kernel.set_master(index, Some(bridge)).await
        };
        attach.await.map_err(|source| LinuxBridgeError::Attach {
            device: device.to_owned(),
            bridge: self.devices.qbr.clone(),
            source,
        })?;
        silence(device).await
    }

    /// Makes an interface a port of the bridge as soon as the kernel's datapath has let go of it.
    ///
    /// # Errors
    /// As of [`Self::attach`], and when it is still a port of something else at the end of this time.
    pub(crate) async fn attach_when_free(
        &self,
        device: &str,
        within: Duration,
    ) -> Result<(), LinuxBridgeError> {
        let deadline = Instant::now() + within;
        loop {
            match self.attach(device).await {
                Err(LinuxBridgeError::Attach { source, .. })
                    if is_in_use(&source) && Instant::now() < deadline =>
                {
                    sleep(LOOK_AGAIN).await;
                }
                attached => return attached,
            }
        }
    }

    /// Takes an interface out of the bridge; of one that is not in it, nothing changes.
    ///
    /// # Errors
    /// When there is no such interface, or the kernel refuses.
    pub async fn detach(&self, device: &str) -> Result<(), LinuxBridgeError> {
        let detach = async {
            let mut kernel = Rtnetlink::open()?;
            match self.port(&mut kernel, device).await? {
                Some(index) => kernel.set_master(index, None).await,
                None => Ok(()),
            }
        };
        detach.await.map_err(|source| LinuxBridgeError::Detach {
            device: device.to_owned(),
            bridge: self.devices.qbr.clone(),
            source,
        })
    }

    /// Whether an interface is a port of the bridge.
    ///
    /// # Errors
    /// When there is no such interface, or the kernel cannot be asked.
    pub async fn holds(&self, device: &str) -> Result<bool, LinuxBridgeError> {
        let look = async { self.port(&mut Rtnetlink::open()?, device).await };
        let look = look
            .await
            .map_err(|source| LinuxBridgeError::Look { device: device.to_owned(), source })?;
        Ok(look.is_some())
    }

    /// The index of an interface that is a port of the bridge.
    async fn port(&self, kernel: &mut Rtnetlink, device: &str) -> io::Result<Option<u32>> {
        let device = kernel.device(device).await?;
        let bridge = match kernel.device(&self.devices.qbr).await {
            Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => return Ok(None),
            bridge => bridge?.index,
        };
        Ok((device.master == Some(bridge)).then_some(device.index))
    }

    /// Deletes what there is of it, and goes on where something cannot be deleted. Gives the names.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub async fn delete(self) -> Result<Vec<String>, LinuxBridgeError> {
        let mut deleted = Vec::new();
        let mut outcome = Ok(());
        // With one end of the pair the other goes.
        for name in [self.devices.qvb, self.devices.qvo, self.devices.qbr] {
            if exists(&name).await? {
                outcome = outcome.and(ip(&["link", "delete", "dev", &name]).await.map(drop));
                deleted.push(name);
            }
        }
        outcome?;
        Ok(deleted)
    }

    async fn build(&self, mtu: &str) -> Result<(), LinuxBridgeError> {
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
        ip(&["link", "set", "dev", qbr, "up"]).await?;
        Ok(())
    }
}

/// Whether the kernel refuses because an interface is a port of something else.
fn is_in_use(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(number, Some(Errno::EBUSY | Errno::EOPNOTSUPP))
}

/// The host must not speak by itself through an interface that is a part of a machine's wire.
async fn silence(device: &str) -> Result<(), LinuxBridgeError> {
    sysctl("ipv6", device, "disable_ipv6", "1").await
}

/// Sets a parameter of an interface, where the kernel has it: not every one speaks IPv6.
async fn sysctl(
    family: &str,
    device: &str,
    key: &str,
    value: &str,
) -> Result<(), LinuxBridgeError> {
    let path = Path::new("/proc/sys/net").join(family).join("conf").join(device).join(key);
    match fs::write(&path, value).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.map_err(|source| LinuxBridgeError::Parameter { path, source }),
    }
}

#[cfg(test)]
mod tests;
