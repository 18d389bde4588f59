//! `l2population` after anything: agents that only do what they are told know, of every network
//! that they have, where everybody else is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use neutron::rpc::{Cast, FdbEntries, PortInfo};
use serde_json::json;
use support::{Client, FakeAgent, Fixture, id};

const HOSTS: [&str; 3] = ["host-a", "host-b", "host-c"];
const STEPS: u32 = 250;

/// What there is of a network behind each tunnel end.
type Known = BTreeMap<String, BTreeSet<PortInfo>>;

/// An agent that keeps what it is told of the networks that it has ports of.
struct Listener<'a> {
    agent: FakeAgent<'a>,
    tunnel_ip: String,
    known: BTreeMap<String, Known>,
}

impl Listener<'_> {
    /// Takes what it has been told. Of a network that it gets it knows nothing, and one that it
    /// has no more it forgets.
    fn listen(&mut self, networks: &BTreeSet<String>) {
        self.known.retain(|network, _| networks.contains(network));
        for network in networks {
            self.known.entry(network.clone()).or_default();
        }
        for cast in self.agent.all() {
            match cast {
                Cast::AddFdbEntries(entries) => self.each(entries, |known, info| {
                    known.insert(info);
                }),
                // As Neutron's agent: whoever is told to be gone is.
                Cast::RemoveFdbEntries(entries) => self.each(entries, |known, info| {
                    assert!(known.remove(&info), "{info:?} is not known");
                }),
                Cast::UpdateFdbEntries(update) => {
                    for (network, hosts) in update.chg_ip {
                        let Some(known) = self.known.get_mut(&network) else { continue };
                        for (tunnel_ip, changed) in hosts {
                            let known = known.entry(tunnel_ip).or_default();
                            assert!(changed.before.iter().all(|info| known.remove(info)));
                            known.extend(changed.after);
                        }
                    }
                }
                Cast::Push { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn each(
        &mut self,
        entries: FdbEntries,
        mut apply: impl FnMut(&mut BTreeSet<PortInfo>, PortInfo),
    ) {
        for (network, told) in entries.fdb_entries {
            let Some(known) = self.known.get_mut(&network) else { continue };
            for (tunnel_ip, infos) in told.ports {
                let known = known.entry(tunnel_ip).or_default();
                infos.into_iter().for_each(|info| apply(known, info));
            }
        }
    }

    /// What it knows of a network and other hosts.
    fn knows(&self, network: &str) -> Known {
        let known = self.known[network].iter();
        let others = known.filter(|(ip, infos)| **ip != self.tunnel_ip && !infos.is_empty());
        others.map(|(ip, infos)| (ip.clone(), infos.clone())).collect()
    }
}

/// The numbers of a sequence that is the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// What there is: by network and by host, as the API shows it.
fn truth(api: &mut Client) -> BTreeMap<String, BTreeMap<String, BTreeSet<PortInfo>>> {
    let mut truth: BTreeMap<_, BTreeMap<_, BTreeSet<_>>> = BTreeMap::new();
    for port in api.get("ports?status=ACTIVE").body["ports"].as_array().unwrap() {
        let text = |name: &str| port[name].as_str().unwrap().to_owned();
        let hosts = truth.entry(text("network_id")).or_default();
        let infos = hosts.entry(text("binding:host_id")).or_default();
        infos.insert(PortInfo::flood());
        for ip in port["fixed_ips"].as_array().unwrap() {
            infos.insert(PortInfo::new(text("mac_address"), ip["ip_address"].as_str().unwrap()));
        }
    }
    truth
}

/// One thing that may happen. Gives its name.
fn step(
    numbers: &mut Numbers,
    api: &mut Client,
    listeners: &mut [Listener<'_>; 3],
    networks: &[String],
) -> &'static str {
    let wire = |listeners: &[Listener<'_>; 3], host: &str, up: &[&str], down: &[&str]| {
        let listener = listeners.iter().find(|listener| listener.agent.host == host).unwrap();
        listener.agent.wire(up, down, false);
    };
    let ports = api.get("ports").body["ports"].as_array().unwrap().clone();
    if ports.len() < 3 || (ports.len() < 8 && numbers.below(4) == 0) {
        let port = json!({
            "network_id": numbers.pick(networks), "device_owner": "compute:nova",
            "binding:host_id": numbers.pick(&HOSTS),
        });
        assert_eq!(api.post("ports", json!({ "port": port })).status, 201);
        return "create";
    }
    let port = numbers.pick(&ports);
    let (id, host) = (id(&port), port["binding:host_id"].as_str().unwrap());
    let path = format!("ports/{id}");
    match numbers.below(9) {
        0..3 => {
            wire(listeners, host, &[&id], &[]);
            "up"
        }
        3 => {
            wire(listeners, host, &[], &[&id]);
            "down"
        }
        4 => {
            // One in the whole subnet, or two next to each other, if nobody else has them.
            let first = 20 + 2 * numbers.below(100);
            let ips = (first..=first + numbers.below(2))
                .map(|octet| json!({ "ip_address": format!("10.0.0.{octet}") }));
            let ips = json!({ "port": { "fixed_ips": ips.collect::<Vec<_>>() } });
            assert!([200, 409].contains(&api.put(&path, ips).status));
            "addresses"
        }
        5 => {
            let host = json!({ "port": { "binding:host_id": numbers.pick(&HOSTS) } });
            assert_eq!(api.put(&path, host).status, 200);
            "move"
        }
        6 => {
            let target = numbers.pick(&HOSTS);
            let binding = json!({ "binding": { "host": target } });
            let made = api.post(&format!("{path}/bindings"), binding).status;
            assert_eq!(made, if target == host { 409 } else { 201 });
            if made == 201 {
                wire(listeners, target, &[&id], &[]);
                let activate = format!("{path}/bindings/{target}/activate");
                assert_eq!(api.request("PUT", &activate, "").status, 200);
                wire(listeners, host, &[], &[&id]);
                wire(listeners, target, &[&id], &[]);
                assert_eq!(api.delete(&format!("{path}/bindings/{host}")).status, 204);
            }
            "migrate"
        }
        7 => {
            assert_eq!(api.delete(&path).status, 204);
            "delete"
        }
        _ => {
            let index = numbers.below(3);
            let listener = &mut listeners[index];
            listener.tunnel_ip = format!("192.0.2.{}", 10 * index + numbers.below(10));
            listener.agent.report_tunnels(&listener.tunnel_ip, &["vxlan"]);
            "another tunnel end"
        }
    }
}

#[test]
fn agents_that_do_what_they_are_told_know_where_everybody_is() {
    let mut fixture = Fixture::new();
    let networks = [90, 91].map(|vni| fixture.vxlan_network(vni));
    let mut api = fixture.client();
    let mut listeners = [0, 1, 2].map(|index| {
        let (agent, tunnel_ip) = (fixture.agent(HOSTS[index]), format!("192.0.2.{}", 10 * index));
        agent.report_tunnels(&tunnel_ip, &["vxlan"]);
        Listener { agent, tunnel_ip, known: BTreeMap::new() }
    });
    let mut numbers = Numbers(1);
    let mut happened: BTreeMap<&str, u32> = BTreeMap::new();
    let mut compared = 0;
    for number in 0..STEPS {
        let what = step(&mut numbers, &mut api, &mut listeners, &networks);
        *happened.entry(what).or_default() += 1;
        let truth = truth(&mut api);
        let ends: BTreeMap<_, _> = listeners
            .iter()
            .map(|listener| (listener.agent.host.clone(), listener.tunnel_ip.clone()))
            .collect();
        for listener in &mut listeners {
            let host = &listener.agent.host;
            let own = truth.iter().filter(|(_, hosts)| hosts.contains_key(host));
            let own: BTreeSet<_> = own.map(|(network, _)| network.clone()).collect();
            listener.listen(&own);
            for network in &own {
                let others =
                    truth[network].iter().filter(|(host, _)| **host != listener.agent.host);
                let wanted: Known =
                    others.map(|(host, infos)| (ends[host].clone(), infos.clone())).collect();
                let host = &listener.agent.host;
                assert_eq!(listener.knows(network), wanted, "{host} after {number}, {what}");
                compared += wanted.len();
            }
        }
    }
    assert!(happened.len() == 8 && compared > 100, "{happened:?}, {compared} ends");
}
