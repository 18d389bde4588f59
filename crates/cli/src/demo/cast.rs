//! The network and its machines, brought about through the API and `weir plug`.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::{Value, json};
use testkit::{Namespace, Nic, Vm};

use super::{
    api::{Api, text},
    cloud::{Cloud, Host},
    interrupt::Interrupt,
    scene::{
        Carrier, GROUPS, MACHINES, Machine, PHYSICAL_NETWORK, RULES, Rule, SERVICES, SUBNET,
        Service,
    },
};

/// The machines, up and serving, and what the API calls the rules.
#[derive(Debug)]
pub(super) struct Cast {
    vms: BTreeMap<&'static str, Vm>,
    groups: BTreeMap<&'static str, String>,
    rules: Vec<(Rule, String)>,
    /// Which host each machine runs on.
    hosts: BTreeMap<&'static str, String>,
    segment: u64,
}

impl Cast {
    /// Makes network, groups, rules and ports, plugs the machines and waits until every port is
    /// active. `doing` is told what is going on.
    ///
    /// # Errors
    /// When the API refuses, or a port does not become active.
    pub(super) fn call(
        cloud: &Cloud,
        api: &mut Api<'_>,
        interrupt: &Interrupt,
        doing: impl Fn(&str),
    ) -> anyhow::Result<Self> {
        doing("making the network, its groups and rules");
        let carrier = cloud.carrier();
        let kind = carrier.name();
        let network = match carrier {
            Carrier::Vlan => json!({
                "name": "demo",
                "provider:network_type": kind,
                "provider:physical_network": PHYSICAL_NETWORK,
            }),
            Carrier::Vxlan | Carrier::Gre | Carrier::Geneve => {
                json!({ "name": "demo", "provider:network_type": kind })
            }
        };
        let network = api.create("network", &network)?;
        let network_id = text(&network, "id")?;
        let subnet = json!({
            "network_id": network_id,
            "name": "demo",
            "ip_version": 4,
            "cidr": SUBNET,
            "enable_dhcp": false,
        });
        let subnet = api.create("subnet", &subnet)?;
        let segment = network.get("provider:segmentation_id").and_then(Value::as_u64);
        let mut cast = Self {
            vms: BTreeMap::new(),
            groups: BTreeMap::new(),
            rules: Vec::new(),
            hosts: BTreeMap::new(),
            segment: segment.with_context(|| format!("no segment in {network}"))?,
        };
        for name in GROUPS {
            let group = api.create("security_group", &json!({ "name": name }))?;
            cast.groups.insert(name, text(&group, "id")?.to_owned());
        }
        for rule in RULES {
            cast.add_rule(api, rule)?;
        }

        let mut ports = Vec::new();
        for (place, machine) in MACHINES.iter().enumerate() {
            interrupt.check()?;
            let host = cloud.host_of(place)?;
            doing(&format!("plugging {}", machine.name));
            let port = json!({
                "name": machine.name,
                "network_id": network_id,
                "device_owner": "compute:demo",
                "device_id": machine.name,
                "binding:host_id": host.name(),
                "fixed_ips": [{
                    "subnet_id": text(&subnet, "id")?,
                    "ip_address": machine.address,
                }],
                "security_groups": [cast.group_id(machine.group)],
            });
            let port = api.create("port", &port)?;
            cast.vms.insert(machine.name, plug(cloud, host, machine, text(&port, "id")?)?);
            cast.hosts.insert(machine.name, host.name().to_owned());
            ports.push(text(&port, "id")?.to_owned());
        }
        let mut waiting = Vec::new();
        let active = interrupt.until("every port to become ACTIVE", || {
            waiting.clear();
            for port in &ports {
                let port = api.get(&format!("/v2.0/ports/{port}"), "port")?;
                if text(&port, "status")? != "ACTIVE" {
                    waiting.push(text(&port, "name")?.to_owned());
                }
            }
            doing(&format!("{} of {} ports are not yet active", waiting.len(), ports.len()));
            Ok(waiting.is_empty().then_some(()))
        });
        active.with_context(|| format!("not ACTIVE: {}", waiting.join(", ")))?;
        Ok(cast)
    }

    /// Adds a rule through the API.
    ///
    /// # Errors
    /// When the API refuses.
    pub(super) fn add_rule(&mut self, api: &mut Api<'_>, rule: Rule) -> anyhow::Result<()> {
        let resource = rule.resource(|group| self.group_id(group));
        let made = api.create("security_group_rule", &resource)?;
        self.rules.push((rule, text(&made, "id")?.to_owned()));
        Ok(())
    }

    /// Deletes a rule through the API.
    ///
    /// # Errors
    /// When the API refuses, or there is no such rule.
    pub(super) fn delete_rule(&mut self, api: &mut Api<'_>, rule: Rule) -> anyhow::Result<()> {
        let index = self.rules.iter().position(|(known, _)| *known == rule);
        let index = index.with_context(|| format!("there is no rule: {rule}"))?;
        let (_, id) = self.rules.remove(index);
        api.delete(&format!("/v2.0/security-group-rules/{id}"))
    }

    /// The machine of that name.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn vm(&self, name: &str) -> anyhow::Result<&Vm> {
        self.vms.get(name).with_context(|| format!("there is no machine {name}"))
    }

    /// The host that the machine runs on.
    pub(super) fn host(&self, machine: &Machine) -> &str {
        self.hosts.get(machine.name).map_or("", String::as_str)
    }

    /// The VLAN, VNI or key that the server chose for the network.
    pub(super) fn segment(&self) -> u64 {
        self.segment
    }

    fn group_id(&self, name: &str) -> String {
        self.groups.get(name).cloned().unwrap_or_default()
    }
}

/// Plugs the port into a new namespace and makes a serving machine of it.
fn plug(cloud: &Cloud, host: &Host, machine: &Machine, port: &str) -> anyhow::Result<Vm> {
    let namespace = Namespace::create(machine.name)?;
    cloud.plug(host, port, namespace.name())?;
    let interfaces = namespace.interfaces()?;
    let device = interfaces.first().context("weir plug put no interface into the namespace")?;
    // Addresses and MAC are those that weir plug has set.
    let vm = Vm::adopt(namespace, device, &Nic::default())?;
    for service in SERVICES {
        if let Service::Tcp(port) = service {
            vm.listen_tcp(port)?;
        }
    }
    Ok(vm)
}
