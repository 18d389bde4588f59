//! Real packets while things change: a connection that is allowed all the time, of which nothing
//! may get lost, and a stranger who tries all the time and may never get through.

use std::{net::SocketAddr, ops::AddAssign, time::Duration};

use anyhow::Context as _;
use neutron::object::Port;
use serde::Serialize;
use testkit::{Nic, Pace, Steady, Switch, Vm};
use tokio::time::sleep;

use super::super::{cloud::SERVED, node::INTEGRATION_BRIDGE};

/// The pace of both senders.
const PACE: Pace =
    Pace { messages: 600_000, every: Duration::from_millis(1), grace: Duration::from_millis(500) };
/// How long they run before and after what is measured.
const MARGIN: Duration = Duration::from_millis(300);

/// Three virtual machines.
#[derive(Debug)]
pub(super) struct Machines {
    server: Vm,
    client: Vm,
    stranger: Vm,
}

/// The senders, under way.
#[derive(Debug)]
pub(super) struct Traffic {
    allowed: Steady,
    refused: Steady,
}

/// What became of the packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Passed {
    /// Packets of the open connection.
    pub(super) sent: usize,
    /// Those that were not answered.
    pub(super) lost: usize,
    /// Packets of the stranger.
    pub(super) tried: usize,
    /// Those that were answered.
    pub(super) admitted: usize,
}

impl AddAssign for Passed {
    fn add_assign(&mut self, more: Self) {
        self.sent += more.sent;
        self.lost += more.lost;
        self.tried += more.tried;
        self.admitted += more.admitted;
    }
}

impl Machines {
    /// Boots them with these ports, and plugs them in.
    ///
    /// # Errors
    /// When the kernel or the switch refuses.
    pub(super) fn boot(
        switch: &Switch,
        server: &Port,
        client: &Port,
        stranger: &Port,
    ) -> anyhow::Result<Self> {
        let server = boot(switch, "server", server)?;
        server.listen_udp(SERVED)?;
        let client = boot(switch, "client", client)?;
        Ok(Self { server, client, stranger: boot(switch, "stranger", stranger)? })
    }

    /// Starts the traffic and waits until it flows.
    ///
    /// # Errors
    /// When nothing can be sent.
    pub(super) async fn start(&self) -> anyhow::Result<Traffic> {
        let to: SocketAddr = self.server.v4(SERVED).context("the server has no address")?;
        let allowed = self.client.steady_udp(to, PACE)?;
        let refused = self.stranger.steady_udp(to, PACE)?;
        sleep(MARGIN).await;
        Ok(Traffic { allowed, refused })
    }
}

impl Traffic {
    /// Lets it flow on for a moment, stops it, and counts.
    ///
    /// # Errors
    /// When a sender has panicked.
    pub(super) async fn stop(self) -> anyhow::Result<Passed> {
        sleep(MARGIN).await;
        let Self { allowed, refused } = self;
        let stop = move || (allowed.stop(), refused.stop());
        let (allowed, refused) = tokio::task::spawn_blocking(stop).await?;
        Ok(Passed {
            sent: allowed.sent,
            lost: allowed.lost,
            tried: refused.sent,
            admitted: refused.sent.saturating_sub(refused.lost),
        })
    }
}

/// A virtual machine with the addresses of the port.
fn boot(switch: &Switch, device: &str, port: &Port) -> anyhow::Result<Vm> {
    let addresses = port.fixed_ips.iter().map(|fixed| format!("{}/16", fixed.ip_address).parse());
    let nic = Nic {
        mac: Some(port.mac_address.clone()),
        addresses: addresses.collect::<Result<_, _>>()?,
        ..Nic::default()
    };
    let vm = Vm::cabled(switch, device, &nic)?;
    let iface_id = format!("external_ids:iface-id={}", port.id);
    let add = ["add-port", INTEGRATION_BRIDGE, device, "tag=4095"];
    switch.vsctl(&[&add[..], &["--", "set", "Interface", device, &iface_id]].concat())?;
    Ok(vm)
}
