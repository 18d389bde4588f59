//! The machines of the demo: one or more hosts, on each a private Open vSwitch and an agent of
//! Weir, on the first the server too. A trunk joins their physical bridges, or an underlay the ends
//! of their tunnels, and a network of its own lets everybody reach the API.

use std::{
    env,
    ffi::OsString,
    net::{IpAddr, SocketAddr},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use clap::Parser;
use serde_json::Value;
use server::Server;
use testkit::{Fabric, IpNet, Switch, Underlay};
use tokio::runtime::{Builder, Runtime};

use super::{
    api::Api,
    interrupt::Interrupt,
    scene::{Carrier, PHYSICAL_NETWORK},
};
use crate::up::{self, Joined};

/// The integration bridge, which the machines are plugged into.
const INTEGRATION_BRIDGE: &str = "br-int";
/// The bridge of the tunnels.
const TUNNEL_BRIDGE: &str = "br-tun";
/// The bridge that the physical network's wire is plugged into.
const PHYSICAL_BRIDGE: &str = "br-phys";
/// The wire of the physical network.
const TRUNK: &str = "trunk";
/// The wire that the API is reached by.
const MANAGEMENT: &str = "mgmt";
/// Every host has a namespace of its own, so Neutron's port is always free.
const PORT: u16 = 9696;

/// Running hosts with a running Weir. Dropping it ends everything and leaves nothing.
#[derive(Debug)]
pub(super) struct Cloud {
    // Dropped in this order.
    hosts: Vec<Host>,
    server: Option<Server>,
    /// The one that reaches the API, and the one that carries the network.
    fabrics: [Fabric; 2],
    carrier: Carrier,
    program: PathBuf,
}

/// A host: a network namespace with a switch and an agent.
#[derive(Debug)]
pub(super) struct Host {
    // Dropped in this order.
    joined: Joined,
    /// Carries the agent, and on the first host the server.
    _runtime: Runtime,
    switch: Switch,
    state_dir: PathBuf,
}

/// What `weir up` would be told on a host.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct Arguments {
    #[command(flatten)]
    options: up::Options,
}

impl Cloud {
    /// Starts the switches with their bridges, the server, and an agent for each switch.
    ///
    /// # Errors
    /// When we are not root, or Open vSwitch is not installed.
    pub(super) fn start(hosts: u8, carrier: Carrier) -> anyhow::Result<Self> {
        let program = env::current_exe().context("cannot find the program that runs")?;
        let fabrics = [Fabric::start()?, Fabric::start()?];
        let mut cloud = Self { hosts: Vec::new(), server: None, fabrics, carrier, program };
        let mut bus = None;
        for number in 1..=hosts {
            let switch = cloud.machine(number)?;
            let namespace = switch.namespace();
            // The kernel keeps connections for each namespace; a thread sees those of its own.
            let runtime = namespace
                .inside(|| Builder::new_multi_thread().worker_threads(1).enable_all().build())??;
            let state_dir = switch.run_dir().join("weir");
            let options = options(&switch, carrier, number, &state_dir)?;
            let lock = options.state_dir.claim()?;
            let bus = match &bus {
                Some(bus) => bus,
                None => {
                    let served = namespace.inside(|| runtime.block_on(up::serve(&options)))??;
                    cloud.server = Some(served.0);
                    bus.insert(served.1)
                }
            };
            let joined = namespace.inside(|| {
                runtime.block_on(async { up::join(&options, lock, bus, endpoint_address()) })
            })??;
            cloud.hosts.push(Host { joined, _runtime: runtime, switch, state_dir });
        }
        Ok(cloud)
    }

    /// Waits until the API answers and every agent has reported to it.
    ///
    /// # Errors
    /// When Weir does not come up in time.
    pub(super) fn wait_until_ready(&self, interrupt: &Interrupt) -> anyhow::Result<()> {
        let mut api = self.api()?;
        interrupt.until("every agent to report to the server", || {
            let agents = api.get("/v2.0/agents", "agents")?;
            let alive = |agent: &&Value| agent.get("alive").and_then(Value::as_bool) == Some(true);
            let alive = agents.as_array().into_iter().flatten().filter(alive).count();
            Ok((alive == self.hosts.len()).then_some(()))
        })
    }

    /// A user of the API.
    ///
    /// # Errors
    /// When the system refuses what a client needs.
    pub(super) fn api(&self) -> anyhow::Result<Api<'_>> {
        let first = self.hosts.first().context("there is no host")?;
        Api::new(first.switch.namespace(), &endpoint())
    }

    /// The hosts.
    pub(super) fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The host that the machine at this place of the list runs on: they take turns.
    ///
    /// # Errors
    /// When there is no host.
    pub(super) fn host_of(&self, place: usize) -> anyhow::Result<&Host> {
        let host = place.checked_rem(self.hosts.len()).and_then(|number| self.hosts.get(number));
        host.context("there is no host")
    }

    /// Plugs a port into a namespace on the host, as a user does.
    ///
    /// # Errors
    /// What `weir plug` says when it refuses.
    pub(super) fn plug(&self, host: &Host, port: &str, namespace: &str) -> anyhow::Result<()> {
        let mut plug = host.switch.namespace().command(&self.program);
        plug.args(["plug", port, "--netns", namespace])
            .arg("--state-dir")
            .arg(&host.state_dir)
            // A terminal's Ctrl-C is for us, who clean up.
            .process_group(0);
        run(plug).with_context(|| format!("weir plug {port}"))
    }

    /// Makes the datapaths follow the flows as they are now.
    ///
    /// # Errors
    /// When a switch does not run.
    pub(super) fn settle(&self) -> anyhow::Result<()> {
        self.hosts.iter().try_for_each(|host| Ok(host.switch.settle()?))
    }

    /// What carries the network.
    pub(super) fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// The program that runs, by its whole path.
    pub(super) fn program(&self) -> String {
        self.program.display().to_string()
    }

    /// A machine with a switch, and its wires.
    fn machine(&self, number: u8) -> anyhow::Result<Switch> {
        let switch = Switch::start().context("cannot start a private Open vSwitch")?;
        switch.add_bridge(INTEGRATION_BRIDGE)?;
        let [management, physical] = &self.fabrics;
        management.trunk(&switch, MANAGEMENT)?;
        let address = management_address(number);
        switch.namespace().ip(&format!("address add {address}/24 dev {MANAGEMENT}"))?;
        match self.carrier {
            Carrier::Vlan => {
                switch.add_bridge(PHYSICAL_BRIDGE)?;
                physical.trunk(&switch, TRUNK)?;
                switch.vsctl(&["add-port", PHYSICAL_BRIDGE, TRUNK])?;
            }
            Carrier::Vxlan | Carrier::Gre | Carrier::Geneve => {
                switch.add_bridge(TUNNEL_BRIDGE)?;
                physical.underlay(&switch, &Underlay::of_host(number))?;
            }
        }
        Ok(switch)
    }
}

impl Host {
    /// The name that ports are bound to.
    pub(super) fn name(&self) -> &str {
        &self.joined.up.host
    }

    /// Its switch.
    pub(super) fn switch(&self) -> &Switch {
        &self.switch
    }

    /// Where Weir keeps its state.
    pub(super) fn state_dir(&self) -> &Path {
        &self.state_dir
    }
}

/// Where the API is.
pub(super) fn endpoint() -> String {
    format!("http://{}", endpoint_address())
}

fn endpoint_address() -> SocketAddr {
    SocketAddr::new(management_address(1), PORT)
}

fn management_address(host: u8) -> IpAddr {
    IpAddr::from([198, 51, 100, host])
}

/// What `weir up` would be told on this host.
fn options(
    switch: &Switch,
    carrier: Carrier,
    host: u8,
    state_dir: &Path,
) -> anyhow::Result<up::Options> {
    let mut text = vec![
        ("--ovsdb", switch.db_remote()),
        ("--listen", endpoint_address().to_string()),
        ("--host", format!("host{host}")),
    ];
    let ids = "1:999".to_owned();
    match carrier {
        Carrier::Vlan => text.extend([
            ("--bridge-mappings", format!("{PHYSICAL_NETWORK}:{PHYSICAL_BRIDGE}")),
            ("--network-vlan-ranges", format!("{PHYSICAL_NETWORK}:100:199")),
        ]),
        Carrier::Vxlan => text.push(("--vxlan-vni-ranges", ids)),
        Carrier::Gre => text.push(("--gre-tunnel-id-ranges", ids)),
        Carrier::Geneve => text.push(("--geneve-vni-ranges", ids)),
    }
    let mut arguments: Vec<OsString> =
        text.into_iter().flat_map(|(flag, value)| [flag.into(), value.into()]).collect();
    if carrier != Carrier::Vlan {
        let end = Underlay::of_host(host).addresses.first().map(IpNet::addr);
        let end = end.context("the underlay has no address")?.to_string();
        let flags = ["--tunnel-types", carrier.name(), "--l2-population", "--arp-responder"];
        arguments.extend(["--local-ip", &end].into_iter().chain(flags).map(OsString::from));
    }
    arguments.extend(["--state-dir".into(), state_dir.as_os_str().to_owned()]);
    Ok(Arguments::try_parse_from(arguments)?.options)
}

fn run(mut command: Command) -> anyhow::Result<()> {
    let output = command.output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
