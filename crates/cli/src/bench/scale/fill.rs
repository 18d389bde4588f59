//! Filling the store through the API: the network, the groups with their rules, the ports.

use std::time::Instant;

use anyhow::Context as _;
use neutron::rest::Port;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    super::{interface::Interface, progress::Step},
    Size,
    scene::HOST,
    shape::Shape,
};
use crate::api::Api;

/// How many rules, or members, are created with one request, where it is not one by one.
const LIST: u16 = 1000;
/// How many members each remote group has.
const MEMBERS: u16 = 25;

/// What the API has.
#[derive(Debug)]
pub(super) struct Made {
    /// The ports of this host, not plugged in yet.
    pub(super) interfaces: Vec<Interface>,
    /// What creating all rules took.
    pub(super) rules_seconds: f64,
    /// What creating these ports took.
    pub(super) ports_seconds: f64,
}

/// Creates it all.
///
/// # Errors
/// When the API refuses or does not answer.
pub(super) async fn fill(api: &mut Api, size: Size) -> anyhow::Result<Made> {
    let Size { shape, ports, rules } = size;
    let network: Value = create(
        api,
        "network",
        json!({
            "name": "bench",
            "provider:network_type": "vlan",
            "provider:physical_network": "physnet1",
            "provider:segmentation_id": 100,
        }),
    )
    .await?;
    let network = id(&network)?;
    let subnet = json!({ "network_id": network, "ip_version": 4, "cidr": "10.20.0.0/16" });
    let _subnet: Value = create(api, "subnet", subnet).await?;
    let remotes = groups(api, "remote", shape.remote_groups()).await?;
    for group in &remotes {
        members(api, &network, group).await?;
    }
    let groups = groups(api, "bench", shape.groups(ports)).await?;
    let rules_seconds = create_rules(api, shape, rules, &groups, &remotes).await?;

    let step = Step::begin("creating ports", ports.into());
    let start = Instant::now();
    let mut interfaces = Vec::new();
    for (number, group) in (0..ports).zip(groups.iter().cycle()) {
        let port = json!({
            "name": format!("bench-{number}"),
            "network_id": network,
            "security_groups": [group],
            "device_owner": "compute:bench",
            "binding:host_id": HOST,
        });
        let port: Port = create(api, "port", port).await?;
        interfaces.push(Interface { port: port.id, mac: port.mac_address });
        step.reached(interfaces.len());
    }
    Ok(Made { interfaces, rules_seconds, ports_seconds: start.elapsed().as_secs_f64() })
}

/// Creates the rules of all groups: those of a known scenario one by one, as its users did it,
/// the many others in lists.
async fn create_rules(
    api: &mut Api,
    shape: Shape,
    rules: u16,
    groups: &[String],
    remotes: &[String],
) -> anyhow::Result<f64> {
    let step = Step::begin("creating rules", usize::from(rules) * groups.len());
    let start = Instant::now();
    let mut made = 0;
    for group in (0..).zip(groups.iter().map(String::as_str)) {
        let rules = (0..rules).map(|number| shape.rule(group, remotes, number));
        if shape == Shape::Merged {
            for rule in rules {
                let _rule: Value = create(api, "security_group_rule", rule).await?;
                made += 1;
                step.reached(made);
            }
        } else {
            let rules: Vec<Value> = rules.collect();
            for list in rules.chunks(LIST.into()) {
                create_list(api, "security_group_rule", list).await?;
                made += list.len();
                step.reached(made);
            }
        }
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Creates groups.
async fn groups(api: &mut Api, name: &str, count: u16) -> anyhow::Result<Vec<String>> {
    let mut groups = Vec::new();
    for number in 0..count {
        let group = json!({ "name": format!("{name}-{number}") });
        let group: Value = create(api, "security_group", group).await?;
        groups.push(id(&group)?);
    }
    Ok(groups)
}

/// Creates ports that are nowhere, as members of this group.
async fn members(api: &mut Api, network: &str, group: &str) -> anyhow::Result<()> {
    let member = json!({ "network_id": network, "security_groups": [group] });
    create_list(api, "port", &vec![member; MEMBERS.into()]).await
}

async fn create<T: DeserializeOwned>(
    api: &mut Api,
    kind: &str,
    resource: Value,
) -> anyhow::Result<T> {
    Ok(api.create(&path(kind), kind, &resource).await?)
}

async fn create_list(api: &mut Api, kind: &str, resources: &[Value]) -> anyhow::Result<()> {
    let _made: Value = api.create(&path(kind), &format!("{kind}s"), &resources).await?;
    Ok(())
}

fn path(kind: &str) -> String {
    format!("/v2.0/{}s", kind.replace('_', "-"))
}

fn id(resource: &Value) -> anyhow::Result<String> {
    let id = resource.get("id").and_then(Value::as_str);
    Ok(id.with_context(|| format!("no id in {resource}"))?.to_owned())
}
