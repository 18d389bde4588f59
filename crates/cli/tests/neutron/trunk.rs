//! Trunks of a real Neutron, on a host of its own agent and on one of Weir's: both make the same of
//! them, and each goes on with what the other has made.

use serde_json::{Value, json};
use testkit::{Guest, Nic, Outcome, Probe, Question, Switch, Vm, eventually, probe_all};

use crate::cloud::{Cloud, Host, WAIT, addresses};
use crate::database::Database;

/// What everybody serves.
const ECHO: u16 = 7;
/// The device of a virtual machine.
const DEVICE: &str = "vm";

/// What is in one network: parent ports, or the subports with one tag.
struct Kind {
    network: &'static str,
    tag: Option<u16>,
    /// What the group of its ports allows to come: pings, or TCP connections to the served port.
    pings: bool,
}

/// A parent port and two subports, in places of the arrays below.
const KINDS: [Kind; 3] = [
    Kind { network: "plain", tag: None, pings: true },
    Kind { network: "red", tag: Some(101), pings: false },
    Kind { network: "blue", tag: Some(102), pings: true },
];
const RED: usize = 1;
const BLUE: usize = 2;

/// A virtual machine with a trunk.
struct Trunked {
    /// One for each kind, whether it has such a subport or not.
    interfaces: Vec<Vm>,
    trunk: String,
    /// As the API gives them, in the order of kinds.
    ports: Vec<Value>,
    host: usize,
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// A virtual machine with an interface for each of the ports, as the API gives them: the first for
/// frames without a tag. Its device is plugged in as Nova does it.
pub(crate) fn plug(switch: &Switch, bridge: &str, ports: &[(&Value, Option<u16>)]) -> Vec<Vm> {
    let guest = Guest::cabled(switch, DEVICE).unwrap();
    let interface = |(place, (port, tag)): (usize, &(&Value, Option<u16>))| {
        let nic = Nic {
            mac: Some(text(&port["mac_address"]).to_owned()),
            addresses: addresses(port).iter().map(|it| it.parse().unwrap()).collect(),
            ..Nic::default()
        };
        let vm = guest.interface(switch, &format!("nic{place}"), *tag, &nic).unwrap();
        vm.listen_tcp(ECHO).unwrap();
        vm
    };
    let interfaces = ports.iter().enumerate().map(interface).collect();
    let (parent, _) = ports[0];
    let external = |key: &str, value: &Value| format!("external_ids:{key}={value}");
    let (id, mac) =
        (external("iface-id", &parent["id"]), external("attached-mac", &parent["mac_address"]));
    let kind = format!("datapath_type={}", switch.datapath_type());
    let add = ["add-br", bridge, "--", "set", "Bridge", bridge, &kind];
    let port = ["--", "add-port", bridge, DEVICE, "--", "set", "Interface", DEVICE, &id, &mac];
    switch.vsctl(&[&add[..], &port].concat()).unwrap();
    interfaces
}

impl Trunked {
    /// One on each of the first two hosts, whose agents are alive, with their red subports.
    fn pair(cloud: &Cloud) -> [Self; 2] {
        let mut commands = [
            "security group create pings",
            "security group rule create --protocol icmp pings",
            "security group create asks",
            "security group rule create --protocol tcp --dst-port 7 asks",
        ]
        .map(str::to_owned)
        .to_vec();
        for (place, Kind { network, pings, .. }) in KINDS.iter().enumerate() {
            commands.push(format!(
                "network create {network} --provider-network-type vlan \
                 --provider-physical-network physnet1"
            ));
            let range = format!("10.0.{place}.0/24");
            commands.push(format!(
                "subnet create {network} --network {network} --subnet-range {range}"
            ));
            let group = if *pings { "pings" } else { "asks" };
            commands.extend((1..=2).map(|host| {
                format!("port create --network {network} --security-group {group} {network}{host}")
            }));
        }
        commands.extend((1..=2).map(|host| {
            format!(
                "network trunk create trunk{host} --parent-port plain{host} \
                 --subport port=red{host},segmentation-type=vlan,segmentation-id=101"
            )
        }));
        let commands: [&str; 18] =
            commands.iter().map(String::as_str).collect::<Vec<_>>().try_into().unwrap();
        cloud.openstack.all(commands);
        change(cloud, |host| {
            format!("port set --host host{host} --device-owner compute:nova plain{host}")
        });
        [0, 1].map(|host| Self::plug(cloud, host))
    }

    fn plug(cloud: &Cloud, host: usize) -> Self {
        let named = |kind: &Kind| {
            let path = format!("/v2.0/ports?name={}{}", kind.network, host + 1);
            cloud.get(&path)["ports"][0].take()
        };
        let ports: Vec<Value> = KINDS.iter().map(named).collect();
        let trunk = text(&ports[0]["trunk_details"]["trunk_id"]).to_owned();
        let bridge = text(&ports[0]["binding:vif_details"]["bridge_name"]);
        assert_eq!(bridge, format!("tbr-{trunk:.10}"));
        let tagged: Vec<_> = ports.iter().zip(KINDS.iter().map(|kind| kind.tag)).collect();
        let interfaces = plug(&cloud.hosts[host].switch, bridge, &tagged);
        Self { interfaces, trunk, ports, host }
    }

    fn id(&self, kind: usize) -> &str {
        text(&self.ports[kind]["id"])
    }

    fn status(&self, cloud: &Cloud, kind: usize) -> Value {
        cloud.get(&format!("/v2.0/ports/{}", self.id(kind)))["port"]["status"].take()
    }

    /// Waits until the server says that the trunk is active with these subports, and they too.
    fn wait_active(&self, cloud: &Cloud, subports: &[usize]) {
        let trunk = || cloud.get(&format!("/v2.0/trunks/{}", self.trunk))["trunk"].take();
        let waited = eventually(WAIT, || {
            let trunk = trunk();
            let members = trunk["sub_ports"].as_array().unwrap();
            let is_member = |kind| members.iter().any(|it| it["port_id"] == *self.id(kind));
            trunk["status"] == "ACTIVE"
                && members.len() == subports.len()
                && subports.iter().all(|&kind| is_member(kind))
                && [&[0], subports].concat().iter().all(|&it| self.status(cloud, it) == "ACTIVE")
        });
        assert!(waited.is_ok(), "{:#}\n{}", trunk(), cloud.hosts[self.host].log());
    }

    /// What the database says of the ends of the trunk and of the device. What differs by nature
    /// between two trunks is left out: identities, and the tags of local VLANs.
    fn rows(&self, host: &Host) -> String {
        let database = Database::of(&host.switch);
        let mut rows = Vec::new();
        for (table, columns) in [
            ("Interface", &["name", "type", "options", "external_ids"][..]),
            ("Port", &["name", "vlan_mode", "trunks"]),
        ] {
            rows.extend(database.rows(table).iter().filter_map(|row| {
                let name = text(&row["name"]);
                let ends = ["tpi-", "tpt-", "spi-", "spt-"];
                let is_own = name == DEVICE || ends.iter().any(|it| name.starts_with(it));
                let mut columns: Vec<Value> =
                    columns.iter().map(|&column| self.sorted(row[column].clone())).collect();
                if table == "Port" && !name.contains("pi-") {
                    columns.push(row["tag"].clone());
                }
                is_own.then(|| json!([table, columns]).to_string())
            }));
        }
        let mut rows = rows.join("\n").replace(&self.trunk, "TRUNK");
        rows = rows.replace(&self.trunk[..10], "TRUNK");
        for (port, Kind { network, .. }) in self.ports.iter().zip(&KINDS) {
            let id = text(&port["id"]);
            rows = rows.replace(id, network).replace(&id[..11], network);
            rows = rows.replace(text(&port["mac_address"]), &format!("MAC of {network}"));
        }
        let mut rows: Vec<_> = rows.lines().collect();
        rows.sort_unstable();
        rows.join("\n")
    }

    /// The server names subports in any order.
    fn sorted(&self, mut cell: Value) -> Value {
        if let Some(ids) = cell.get_mut("subport_ids") {
            let mut sorted: Vec<String> = serde_json::from_str(text(ids)).unwrap();
            sorted.sort_by_key(|id| self.ports.iter().position(|port| port["id"] == **id));
            *ids = json!(sorted);
        }
        cell
    }
}

/// The ends of trunks with the tags that they have.
fn tags(host: &Host) -> Vec<String> {
    let database = Database::of(&host.switch);
    let ends = database.rows("Port").iter().filter(|row| text(&row["name"]).contains("pi-"));
    let mut tags: Vec<_> = ends.map(|row| format!("{} {}", row["name"], row["tag"])).collect();
    tags.sort();
    tags
}

/// Waits until the virtual machines reach each other by exactly these interfaces, and by each as its
/// group says.
fn wait_reaching(pair: &[Trunked; 2], kinds: &[usize]) {
    let [one, two] = pair;
    let mut probes = Vec::new();
    let mut expected = Vec::new();
    for (place, kind) in KINDS.iter().enumerate() {
        for [from, to] in [[one, two], [two, one]].map(|way| way.map(|it| &it.interfaces[place])) {
            let served = to.v4(ECHO).unwrap();
            let questions = [Question::Ping(served.ip()), Question::Tcp(served)];
            probes.extend(questions.map(|question| Probe { from, question }));
            let reached = |is_allowed: bool| match is_allowed && kinds.contains(&place) {
                true => Outcome::Reached,
                false => Outcome::Filtered,
            };
            expected.extend([kind.pings, !kind.pings].map(reached));
        }
    }
    let waited = eventually(WAIT, || probe_all(&probes) == expected);
    assert!(waited.is_ok(), "{kinds:?}: {:?}, not {expected:?}", probe_all(&probes));
}

/// Both are active with these subports, which reach each other, and the rows of both hosts are alike.
fn assert_alike(cloud: &Cloud, pair: &[Trunked; 2], subports: &[usize]) {
    for trunked in pair {
        trunked.wait_active(cloud, subports);
    }
    wait_reaching(pair, &[&[0], subports].concat());
    let [one, two] = pair.each_ref().map(|it| it.rows(&cloud.hosts[it.host]));
    assert_eq!(one, two);
    // Of the device, and of both ends of each pair.
    assert_eq!(one.lines().count(), 2 * (1 + 2 * (1 + subports.len())), "{one}");
}

/// Does the same to the trunks of both hosts.
fn change(cloud: &Cloud, command: impl Fn(u8) -> String) {
    let commands = [1, 2].map(command);
    cloud.openstack.quiet(&commands.each_ref().map(String::as_str));
}

fn add(host: u8, name: &str, tag: u16) -> String {
    format!(
        "network trunk set trunk{host} \
         --subport port={name}{host},segmentation-type=vlan,segmentation-id={tag}"
    )
}

#[test]
fn both_agents_make_the_same_of_a_trunk_and_go_on_with_that_of_the_other() {
    let mut cloud = Cloud::start(2);
    cloud.start_neutron_agent(0);
    cloud.start_weir_agent(1);
    cloud.wait_alive();
    let pair = Trunked::pair(&cloud);
    assert_alike(&cloud, &pair, &[RED]);

    // Subports come and go.
    change(&cloud, |host| add(host, "blue", 102));
    assert_alike(&cloud, &pair, &[RED, BLUE]);
    change(&cloud, |host| format!("network trunk unset trunk{host} --subport red{host}"));
    assert_alike(&cloud, &pair, &[BLUE]);

    // The agents change places.
    let before = pair.each_ref().map(|it| it.rows(&cloud.hosts[it.host]));
    let tagged = cloud.hosts.iter().map(tags).collect::<Vec<_>>();
    for host in [0, 1] {
        cloud.stop_agent(host);
    }
    cloud.start_weir_agent(0);
    cloud.start_neutron_agent(1);
    cloud.wait_ready();
    assert_alike(&cloud, &pair, &[BLUE]);
    assert_eq!(pair.each_ref().map(|it| it.rows(&cloud.hosts[it.host])), before);
    assert_eq!(cloud.hosts.iter().map(tags).collect::<Vec<_>>(), tagged);
    let status = cloud.hosts[0].status();
    let [trunk] = status.trunks.as_slice() else { panic!("{status:#?}") };
    assert_eq!((trunk.id.as_ref(), trunk.up), (Some(&pair[0].trunk), true));

    // What they took over changes as before.
    change(&cloud, |host| add(host, "red", 101));
    assert_alike(&cloud, &pair, &[RED, BLUE]);

    // The virtual machine goes from the host that is Weir's now.
    let [gone, _] = &pair;
    let switch = &cloud.hosts[0].switch;
    switch.vsctl(&["del-port", DEVICE]).unwrap();
    eventually(WAIT, || gone.rows(&cloud.hosts[0]).is_empty()).unwrap();
    let are_down = || (0..KINDS.len()).all(|kind| gone.status(&cloud, kind) == "DOWN");
    eventually(WAIT, are_down).unwrap();
}
