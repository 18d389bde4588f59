//! A look at the switch: what an agent with these settings would find.

use std::time::Duration;

use agent::Config;
use ovsdb::{Client, Event, Replica};

use super::{Check, Outlook, firewall};

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at the database and the bridges. `firewall` is what the files call it, if they do.
pub(super) async fn look(config: &Config, firewall: Option<&str>) -> Vec<Check> {
    let what = format!("database {}", config.ovsdb);
    let (client, mut events) = Client::start(config.ovsdb.clone(), ovsdb::Options::default());
    let first = tokio::time::timeout(PATIENCE, events.next()).await;
    let unreachable = |why: String| vec![Check::new(&what, Outlook::WouldNotStart, why)];
    match first {
        Ok(Some(Event::Connected | Event::Changed)) => {}
        Ok(Some(Event::Disconnected { reason, .. })) => return unreachable(reason),
        Ok(None) | Err(_) => return unreachable("no answer".to_owned()),
    }
    let replica = client.replica();
    let version = replica.switch().and_then(|(_, switch)| switch.ovs_version.clone());
    let version = version.unwrap_or_else(|| "of an unknown version".to_owned());
    let mut checks = vec![Check::new(what, Outlook::Fine, format!("Open vSwitch {version}"))];
    checks.extend(datapath(config, &replica));
    checks.extend(bridges(config, &replica));
    if let Some(name) = firewall {
        checks.extend(firewall::check(name, config, &replica));
    }
    checks
}

fn datapath(config: &Config, replica: &Replica) -> Option<Check> {
    let (_, switch) = replica.switch()?;
    let known = &switch.datapath_types;
    // A switch that has not said is not asked.
    if known.is_empty() || known.contains(&config.datapath_type) {
        return None;
    }
    let known: Vec<_> = known.iter().cloned().collect();
    let says = format!("the switch has {}", known.join(", "));
    Some(Check::new(format!("datapath {}", config.datapath_type), Outlook::WouldNotStart, says))
}

fn bridges(config: &Config, replica: &Replica) -> Vec<Check> {
    let made = [Some(&config.integration_bridge), config.tunnel.as_ref().map(|it| &it.bridge)];
    let made = made.into_iter().flatten().map(|name| (name, None));
    let physical = config.bridge_mappings.iter().map(|(network, name)| (name, Some(network)));
    let check = |(name, network): (&String, Option<&String>)| {
        let what = format!("bridge {name}");
        let socket = config.management_socket(name);
        match (replica.bridge(name), network) {
            (Some((_, bridge)), _) if !is_same(&bridge.datapath_type, &config.datapath_type) => {
                let says = format!(
                    "it is in the datapath '{}', which stays as it is",
                    bridge.datapath_type
                );
                Check::new(what, Outlook::Fine, says)
            }
            (Some(_), _) if !socket.exists() => {
                let says =
                    format!("{} is not there: is ovs-vswitchd running here?", socket.display());
                Check::new(what, Outlook::WouldNotStart, says)
            }
            (Some(_), _) => Check::new(what, Outlook::Fine, "it is there"),
            (None, None) => Check::new(what, Outlook::Fine, "it is not there; Weir makes it"),
            (None, Some(network)) => {
                let says = format!(
                    "it is not there: Neutron's agent does not start, Weir waits for it, and ports \
                     of {network} are not up until then"
                );
                Check::new(what, Outlook::Differs, says)
            }
        }
    };
    made.chain(physical).map(check).collect()
}

/// An empty type is `system`.
fn is_same(found: &str, wanted: &str) -> bool {
    found == wanted || found.is_empty() && wanted == "system"
}
