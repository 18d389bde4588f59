//! `weir plug`: what a hypervisor does when it starts a virtual machine. It asks the API what the
//! port is like, makes an interface of that kind, plugs it into the integration bridge (the parent
//! port of a trunk into the bridge of the trunk), and waits until the agent has wired it.
//!
//! `wish` is what the API says, `device` makes interfaces, `database` writes to Open vSwitch, and
//! `place` says where all of that is; the Linux bridge between is [`LinuxBridge`]. The keys in
//! `external_ids` are those of Open vSwitch's integration guide, which Nova and libvirt write too.

mod database;
mod device;
mod place;
pub(crate) mod unplug;
mod wish;

use std::{process::ExitCode, time::Duration};

use agent::LinuxBridge;
use anyhow::bail;
use model::{HybridDevices, PortId};
use serde::Serialize;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use self::{
    database::Database,
    device::{Cable, Namespace},
    place::{Place, PlaceOptions},
    wish::Wish,
};
use crate::{
    api::Api,
    output::Format,
    signal::{Interrupted, Termination},
};

/// How often the agent is asked meanwhile.
const POLL: Duration = Duration::from_millis(20);

/// Which port, and where to.
#[derive(Debug, clap::Args)]
#[command(after_help = "Plugging a port twice is no error. If the port does not come up in \
                        seconds, everything is undone.")]
pub(crate) struct Options {
    /// The port's id
    port_id: Uuid,
    /// Put the interface into this network namespace, made if it is not there, with the port's
    /// addresses and a default route; without it an internal interface of the bridge is made and
    /// left to you to configure, or with a Linux bridge a tap device, for a hypervisor to open
    #[arg(long, value_name = "NAME")]
    netns: Option<String>,
    /// The interface's name in the namespace
    #[arg(long, value_name = "NAME", default_value = "eth0", requires = "netns")]
    interface: String,
    /// Put a Linux bridge between the interface and the integration bridge, for netfilter to see what
    /// passes; done anyhow where the API says so, as for hosts with the iptables_hybrid driver
    #[arg(long)]
    hybrid: bool,
    /// How long the port may take to come up
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u16,
    /// Do not wait until the port is up
    #[arg(long, conflicts_with = "timeout")]
    no_wait: bool,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    format: Format,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Plugged {
    port_id: String,
    /// The interface in the bridge.
    interface: String,
    bridge: String,
    /// The Linux bridge that is between.
    linux_bridge: Option<String>,
    /// The namespace and the interface in it.
    netns: Option<String>,
    device: Option<String>,
    mac_address: String,
    /// With their prefix lengths.
    addresses: Vec<String>,
    mtu: u32,
    /// Whether it was plugged before.
    already: bool,
    /// Whether the port is known to be up.
    up: bool,
}

/// What has been made so far, so that it can be undone.
#[derive(Debug, Default)]
struct Made {
    namespace: Option<Namespace>,
    cable: Option<Cable>,
    hybrid: Option<LinuxBridge>,
    /// Whether the database was asked to add the port.
    asked: bool,
}

/// Plugs the port.
///
/// # Errors
/// When a part of it fails, or the port does not come up. What was made has been removed then.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let mut termination = Termination::listen()?;
    let place = options.place.resolve()?;
    let wish = Wish::read(&mut Api::new(place.api.clone()), options.port_id).await?;
    if !options.no_wait {
        wish.check(&place)?;
    }
    let database = Database::connect(&place.ovsdb).await?;

    let mut made = Made::default();
    let outcome = match make(&options, &place, &wish, &database, &mut made).await {
        Ok(plugged) if options.no_wait => Ok(plugged),
        Ok(plugged) => tokio::select! {
            outcome = wait_until_up(&place, &wish, options.timeout) => outcome.map(|()| Plugged { up: true, ..plugged }),
            () = termination.came() => Err(Interrupted.into()),
        },
        Err(error) => Err(error),
    };
    match outcome {
        Ok(plugged) => {
            options.format.print(&plugged, text)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => match made.undo(&wish, &database).await {
            Ok(()) => Err(error),
            Err(left) => Err(error.context(format!("not all could be undone ({left:#})"))),
        },
    }
}

/// Makes the interface and plugs it in, unless it is there.
async fn make(
    options: &Options,
    place: &Place,
    wish: &Wish,
    database: &Database,
    made: &mut Made,
) -> anyhow::Result<Plugged> {
    let there = database.interfaces_of(&wish.port_id).into_iter().next();
    let already = there.is_some();
    let mut linux_bridge = None;
    let interface = match there {
        Some(there) => there,
        None => {
            let devices = HybridDevices::of(PortId::new(options.port_id));
            let kind = make_devices(options, wish, &devices, made).await?;
            let is_hybrid = made.hybrid.is_some();
            let name = if is_hybrid { &devices.qvo } else { &devices.tap };
            made.asked = true;
            database.add(&place.integration_bridge, name, kind, wish).await?;
            linux_bridge = is_hybrid.then(|| devices.qbr.clone());
            name.clone()
        }
    };
    // A port that was plugged before may be elsewhere than this command says.
    let netns = options.netns.clone().filter(|_| !already);
    Ok(Plugged {
        port_id: wish.port_id.clone(),
        interface,
        bridge: wish.trunk_bridge.clone().unwrap_or_else(|| place.integration_bridge.clone()),
        linux_bridge,
        device: netns.as_ref().map(|_| options.interface.clone()),
        netns,
        mac_address: wish.mac.clone(),
        addresses: wish.addresses.clone(),
        mtu: wish.mtu,
        already,
        up: false,
    })
}

/// Makes what the system has of the port. Gives the kind of the interface in the switch.
async fn make_devices(
    options: &Options,
    wish: &Wish,
    devices: &HybridDevices,
    made: &mut Made,
) -> anyhow::Result<&'static str> {
    let is_hybrid = options.hybrid || wish.hybrid;
    if let Some(netns) = &options.netns {
        made.namespace = Namespace::ensure(netns).await?;
        made.cable = Some(Cable::pair(&devices.tap, netns, &options.interface, wish).await?);
    } else if is_hybrid {
        made.cable = Some(Cable::tap(&devices.tap, wish).await?);
    } else {
        return Ok("internal");
    }
    if is_hybrid {
        let hybrid = made.hybrid.insert(LinuxBridge::make(devices.clone(), wish.mtu).await?);
        hybrid.attach(&devices.tap).await?;
    }
    Ok("")
}

impl Made {
    /// Removes what was made, the last first, and goes on where something cannot be removed.
    async fn undo(self, wish: &Wish, database: &Database) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        if self.asked {
            for interface in database.interfaces_of(&wish.port_id) {
                outcome = outcome.and(database.remove(&interface).await);
            }
        }
        if let Some(hybrid) = self.hybrid {
            outcome = outcome.and(hybrid.delete().await.map(drop).map_err(Into::into));
        }
        if let Some(cable) = self.cable {
            outcome = outcome.and(cable.delete().await);
        }
        if let Some(namespace) = self.namespace {
            outcome = outcome.and(namespace.delete().await);
        }
        outcome
    }
}

/// Waits until the port is up.
async fn wait_until_up(place: &Place, wish: &Wish, seconds: u16) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(seconds.into());
    let mut api = Api::new(place.api.clone());
    loop {
        let why_not = match &place.admin_socket {
            Some(socket) => {
                let status = agent::admin::status(socket).await?;
                let port = status.ports.into_iter().find(|port| port.id == wish.port_id);
                let trunk = status.trunks.into_iter().find(|it| it.parent == wish.port_id);
                match port {
                    _ if trunk.as_ref().is_some_and(|trunk| !trunk.up) => {
                        trunk.map(|trunk| trunk.state).unwrap_or_default()
                    }
                    Some(port) if port.up => return Ok(()),
                    Some(port) => port.state,
                    None => "the agent has not seen its interface".to_owned(),
                }
            }
            // The agent is elsewhere; the server knows less.
            None => {
                let port: neutron::rest::Port = api.get(&wish::path(&wish.port_id), "port").await?;
                match port.status.as_str() {
                    "ACTIVE" => return Ok(()),
                    status => format!("its status is {status}; ask 'weir status' on its host"),
                }
            }
        };
        if Instant::now() >= deadline {
            bail!("port {} is not up after {seconds} s: {why_not}", wish.port_id);
        }
        sleep(POLL).await;
    }
}

fn text(plugged: &Plugged) -> String {
    let verb = if plugged.already { "is plugged already as" } else { "is plugged as" };
    let mut text =
        format!("port {} {verb} {} in {}", plugged.port_id, plugged.interface, plugged.bridge);
    if let Some(linux_bridge) = &plugged.linux_bridge {
        text += &format!(", behind {linux_bridge}");
    }
    if let (Some(netns), Some(device)) = (&plugged.netns, &plugged.device) {
        text += &format!(", {device} in namespace {netns}");
    }
    text += &format!(
        "\n{}, {}, mtu {}",
        plugged.mac_address,
        plugged.addresses.join(", "),
        plugged.mtu
    );
    text + if plugged.up { "; up" } else { "; not waited until it is up" }
}
