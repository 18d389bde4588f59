//! How the ports of the node are plugged, and what the firewall makes of that. Pure.

use agent::{Config, Firewall};
use ovsdb::Replica;

use super::{Check, Outlook};

/// How os-vif names the interface of a port that has a Linux bridge of its own.
const BEHIND_A_BRIDGE: &str = "qvo";

/// Which of the ports of the integration bridge the firewall reaches. `name` is what the files call it.
pub(super) fn check(name: &str, config: &Config, replica: &Replica) -> Vec<Check> {
    let bridge = replica.bridge(&config.integration_bridge);
    let ports = bridge.iter().flat_map(|(_, bridge)| &bridge.ports);
    let interfaces = ports.filter_map(|row| replica.ports.get(row)).flat_map(|it| &it.interfaces);
    let plugged = interfaces
        .filter_map(|row| replica.interfaces.get(row))
        .filter(|interface| interface.external_ids.contains_key("iface-id"));
    let (bridged, direct): (Vec<_>, Vec<_>) =
        plugged.partition(|interface| interface.name.starts_with(BEHIND_A_BRIDGE));
    let (bridged, direct) = (bridged.len(), direct.len());

    let what = format!("firewall {name}");
    let check = |outlook, says: String| Check::new(what.clone(), outlook, says);
    let is_plain =
        name == "iptables" || name.ends_with("IptablesFirewallDriver") && !is_hybrid(name);
    let mut checks = Vec::new();
    if is_plain {
        let says = "Neutron's agent filters nothing with it on a node with Open vSwitch; Weir takes \
                    it for iptables_hybrid";
        checks.push(check(Outlook::Differs, says.to_owned()));
    }
    match config.firewall {
        Firewall::OpenVswitch if bridged > 0 => {
            let says = format!(
                "{bridged} ports have a Linux bridge of their own; they keep it, and flows filter \
                 them"
            );
            checks.push(check(Outlook::Fine, says));
        }
        Firewall::IptablesHybrid if direct > 0 => {
            let says = format!(
                "{direct} ports have no Linux bridge of their own, where netfilter would not see \
                 them; flows filter them, until 'weir migrate-driver --to iptables_hybrid' \
                 puts one before each"
            );
            checks.push(check(Outlook::Differs, says));
        }
        Firewall::Noop => {
            let says = "security groups are not applied; only who a port sends as is looked at";
            checks.push(check(Outlook::Fine, says.to_owned()));
        }
        Firewall::OpenVswitch | Firewall::IptablesHybrid => {}
    }
    checks
}

/// What it means that no file names a firewall. Whose server it is, is not looked at: most likely
/// Neutron's.
pub(super) fn not_said() -> Check {
    let says = "no file says firewall_driver: Neutron's agent filters nothing then; Weir's takes that of \
                a Weir server, and does not start with Neutron's, which tells none";
    Check::new("firewall", Outlook::WouldNotStart, says)
}

fn is_hybrid(name: &str) -> bool {
    name.ends_with("OVSHybridIptablesFirewallDriver")
}
