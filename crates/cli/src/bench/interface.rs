//! Interfaces that stand for virtual machines: plugged in, never booted.

use neutron::object::Port;
use testkit::Switch;

use super::progress::Step;

/// How many interfaces are plugged with one command.
const BATCH: usize = 50;

/// An interface of the integration bridge.
#[derive(Debug, Clone)]
pub(super) struct Interface {
    /// The port that it is for.
    pub(super) port: String,
    /// Its MAC address.
    pub(super) mac: String,
}

impl Interface {
    /// The interface of this port.
    pub(super) fn of(port: &Port) -> Self {
        Self { port: port.id.clone(), mac: port.mac_address.clone() }
    }

    /// The name of its device, as os-vif would give it.
    pub(super) fn device(&self) -> String {
        format!("tap{}", self.port.get(..11).unwrap_or(&self.port))
    }
}

/// Plugs internal interfaces into the bridge, each in the dead VLAN.
///
/// # Errors
/// When the switch refuses.
pub(super) fn plug(switch: &Switch, bridge: &str, interfaces: &[Interface]) -> anyhow::Result<()> {
    let step = Step::begin("plugging interfaces", interfaces.len());
    let mut plugged = 0;
    for batch in interfaces.chunks(BATCH) {
        vsctl(switch, batch, |interface| {
            let Interface { port, mac } = interface;
            let device = interface.device();
            let external_ids = format!(
                "external_ids={{iface-id=\"{port}\",iface-status=active,attached-mac=\"{mac}\"}}"
            );
            vec![
                format!("add-port {bridge} {device} tag=4095"),
                format!("set Interface {device} type=internal mac=\"{mac}\" {external_ids}"),
            ]
        })?;
        plugged += batch.len();
        step.reached(plugged);
    }
    Ok(())
}

/// Puts them back into the dead VLAN, with nothing that an agent has written.
///
/// # Errors
/// When the switch refuses.
pub(super) fn forget(switch: &Switch, interfaces: &[Interface]) -> anyhow::Result<()> {
    for batch in interfaces.chunks(BATCH) {
        vsctl(switch, batch, |interface| {
            let device = interface.device();
            vec![format!("set Port {device} tag=4095"), format!("clear Port {device} other_config")]
        })?;
    }
    Ok(())
}

/// Runs ovs-vsctl once for many interfaces.
fn vsctl(
    switch: &Switch,
    interfaces: &[Interface],
    commands: impl Fn(&Interface) -> Vec<String>,
) -> anyhow::Result<()> {
    let mut args = Vec::new();
    for command in interfaces.iter().flat_map(commands) {
        args.push("--".to_owned());
        args.extend(command.split(' ').map(str::to_owned));
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    switch.vsctl(&args)?;
    Ok(())
}
