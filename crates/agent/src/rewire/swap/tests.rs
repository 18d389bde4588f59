//! On a real switch.

use std::collections::BTreeSet;

use serde_json::Value;
use testkit::{Nic, Outcome, Switch, Vm, eventually};
use tokio::runtime::Runtime;

use super::place::REQUESTED;
use super::*;

const BRIDGE: &str = "br-int";
const TAP: &str = "tap1";
const QVO: &str = "qvo1";
const TCP: u16 = 7;
/// How long a packet may take that gets there.
const SOON: Duration = Duration::from_secs(20);
/// How long nothing is waited for.
const NEVER: Duration = Duration::from_millis(300);

/// A switch with a machine by `tap1`; a Linux bridge whose other end `qvo1` is not plugged in; another
/// machine in its VLAN, and one in a VLAN of its own.
struct Scene {
    switch: Switch,
    machine: Vm,
    other: Vm,
    stranger: Vm,
    runtime: Runtime,
    database: Client,
}

impl Scene {
    fn start() -> Self {
        let switch = Switch::start().unwrap();
        switch.add_bridge(BRIDGE).unwrap();
        switch.ofctl(&["add-flow", BRIDGE, "actions=NORMAL"]).unwrap();
        let nic = |n| Nic {
            addresses: vec![format!("10.0.0.{n}/24").parse().unwrap()],
            ..Nic::default()
        };
        let other = Vm::cabled(&switch, "other", &nic(2)).unwrap();
        let stranger = Vm::cabled(&switch, "stranger", &nic(3)).unwrap();
        // They come first, so that the number of the next one is not the first.
        for (device, tag) in [("other", "tag=7"), ("stranger", "tag=8")] {
            switch.vsctl(&["add-port", BRIDGE, device, tag]).unwrap();
        }
        let machine = Vm::behind_bridge(&switch, "1", &nic(1)).unwrap();
        // The kernel's datapath takes no port of a bridge.
        switch.namespace().ip("link set dev tap1 nomaster").unwrap();
        let ids = "external_ids:iface-id=a-port";
        switch
            .vsctl(&["add-port", BRIDGE, TAP, "tag=7", "--", "set", "Interface", TAP, ids])
            .unwrap();
        other.listen_tcp(TCP).unwrap();
        let runtime = switch.namespace().inside(Runtime::new).unwrap().unwrap();
        let remote = switch.db_remote().parse().unwrap();
        let (database, _) =
            runtime.block_on(async { Client::start(remote, ovsdb::Options::default()) });
        runtime.block_on(database.find(|replica| replica.interface(TAP).map(drop)));
        Self { switch, machine, other, stranger, runtime, database }
    }

    /// Does it in a thread that is where the switch is.
    fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.runtime.block_on(self.runtime.spawn(work)).unwrap()
    }

    fn swap(&self, from: &str, to: &str) -> Result<OfPort, SwapError> {
        self.swap_noting(from, to, &[])
    }

    fn swap_noting(
        &self,
        from: &str,
        to: &str,
        notes: &[(&str, &str)],
    ) -> Result<OfPort, SwapError> {
        let notes = notes.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let (database, from, to) = (self.database.clone(), from.to_owned(), to.to_owned());
        self.run(async move {
            let swapped = swap(&database, BRIDGE, &from, &to, &notes).await?;
            let number = swapped.number();
            swapped.settle(&database).await;
            Ok(number)
        })
    }

    /// The queueing disciplines of a device that somebody has given it.
    fn disciplines(&self, device: &str) -> Vec<String> {
        let mut tc = self.switch.namespace().command("tc");
        let shown = tc.args(["qdisc", "show", "dev", device]).output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        let kinds = shown.lines().filter_map(|line| line.split(' ').nth(1));
        kinds.filter(|kind| *kind != "noqueue").map(str::to_owned).collect()
    }

    fn get(&self, device: &str, column: &str) -> String {
        self.switch.vsctl(&["get", "Interface", device, column]).unwrap().trim().to_owned()
    }

    fn ofport(&self, device: &str) -> OfPort {
        OfPort::new(self.get(device, "ofport").parse().unwrap()).unwrap()
    }

    /// All columns of a row but those that the switch writes, the name and what refers to another row.
    fn row(&self, table: &str, name: &str) -> BTreeMap<String, Value> {
        let listed = self.switch.vsctl(&["--format=json", "list", table, name]).unwrap();
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let headings = listed["headings"].as_array().unwrap().iter();
        let names = headings.map(|name| name.as_str().unwrap().to_owned());
        let cells = listed["data"][0].as_array().unwrap().iter().cloned();
        let not_configured = BTreeSet::from([
            "_uuid",
            "_version",
            "admin_state",
            "error",
            "ifindex",
            "interfaces",
            "link_resets",
            "link_speed",
            "link_state",
            "duplex",
            "mac_in_use",
            "mtu",
            "name",
            "statistics",
            "status",
            "bfd_status",
        ]);
        names.zip(cells).filter(|(name, _)| !not_configured.contains(name.as_str())).collect()
    }

    fn rows(&self, device: &str) -> [BTreeMap<String, Value>; 2] {
        [self.row("Port", device), self.row("Interface", device)]
    }

    /// The ports of the bridge.
    fn ports(&self) -> BTreeSet<String> {
        let listed = self.switch.vsctl(&["list-ports", BRIDGE]).unwrap();
        listed.lines().map(str::to_owned).collect()
    }
}

fn ports(of_machine: &str) -> BTreeSet<String> {
    ["other", "stranger", of_machine].map(str::to_owned).into()
}

#[test]
fn packets_go_on_by_the_other_interface() {
    let scene = Scene::start();
    let number = scene.ofport(TAP);
    let mut stream = scene.machine.open_stream(scene.other.v4(TCP).unwrap(), SOON).unwrap();
    let elsewhere = scene.stranger.v4(TCP).unwrap().ip();
    let bridged =
        |is: &str| scene.switch.namespace().ip(&format!("link set dev tap1 {is}")).unwrap();
    for (from, to) in [(TAP, QVO), (QVO, TAP)] {
        assert_eq!(stream.exchange(SOON), Outcome::Reached);
        if to == TAP {
            bridged("nomaster");
        }
        assert_eq!(scene.swap(from, to).unwrap(), number);
        if to == QVO {
            bridged("master qbr1");
        }
        assert_eq!(scene.ports(), ports(to));
        assert_eq!((scene.ofport(to), scene.get(to, "ofport_request")), (number, "[]".into()));
        assert_eq!(scene.get(to, "external_ids"), "{iface-id=a-port}");
        assert_eq!(stream.exchange(SOON), Outcome::Reached);
        assert_eq!(scene.machine.ping(elsewhere, NEVER), Outcome::Filtered, "it is in its VLAN");
    }
}

#[test]
fn everything_that_is_configured_is_carried_over() {
    let scene = Scene::start();
    let set = |table: &str, name: &str, settings: &[&str]| {
        scene.switch.vsctl(&[&["set", table, name], settings].concat()).unwrap();
    };
    set(
        "Port",
        TAP,
        &[
            "vlan_mode=native-untagged",
            "trunks=[7,9]",
            "cvlans=[3]",
            "protected=true",
            "other_config={net_uuid=n,tag=\"7\"}",
            "external_ids:who=somebody",
        ],
    );
    set(
        "Interface",
        TAP,
        &[
            "ingress_policing_rate=100000",
            "ingress_policing_burst=80000",
            "ingress_policing_kpkts_rate=100",
            "ingress_policing_kpkts_burst=10",
            "mtu_request=1400",
            "options:n_rxq=1",
            "other_config:tx-steering=hash",
            "external_ids:goes=away",
            "external_ids:nothing=\"\"",
            "lldp:enable=false",
            "bfd:min_rx=1000",
            "type=system",
        ],
    );
    scene
        .switch
        .vsctl(&[
            "--id=@qos",
            "create",
            "QoS",
            "type=linux-htb",
            "other_config:max-rate=1000000000",
            "external_ids:id=tap1",
            "--",
            "set",
            "Port",
            TAP,
            "qos=@qos",
            "--",
            "--id=@port",
            "get",
            "Port",
            TAP,
            "--",
            "--id=@mirror",
            "create",
            "Mirror",
            "name=mirror",
            "select_src_port=@port",
            "select_dst_port=@port",
            "output_vlan=100",
            "--",
            "set",
            "Bridge",
            BRIDGE,
            "mirrors=@mirror",
        ])
        .unwrap();
    let before = scene.rows(TAP);
    let mirrored = |column| scene.switch.vsctl(&["get", "Mirror", "mirror", column]).unwrap();
    let limited = || scene.switch.vsctl(&["--columns=external_ids", "list", "QoS"]).unwrap();

    scene.swap_noting(TAP, QVO, &[("goes", ""), ("came", "here")]).unwrap();
    let mut after = scene.rows(QVO);
    let ids = scene.get(QVO, "external_ids");
    assert_eq!(ids, "{came=here, iface-id=a-port, nothing=\"\"}");
    after[1].insert("external_ids".into(), before[1]["external_ids"].clone());
    assert_eq!(after, before);
    let row = scene.switch.vsctl(&["get", "Port", QVO, "_uuid"]).unwrap();
    for column in ["select_src_port", "select_dst_port"] {
        assert_eq!(mirrored(column).trim(), format!("[{}]", row.trim()));
    }
    assert!(limited().contains("{id=qvo1}"), "{}", limited());

    scene.swap_noting(QVO, TAP, &[("goes", "away"), ("came", "")]).unwrap();
    assert_eq!(scene.rows(TAP), before);
    assert!(limited().contains("{id=tap1}"), "{}", limited());
}

#[test]
fn limits_are_not_left_behind() {
    let scene = Scene::start();
    scene
        .switch
        .vsctl(&[
            "--id=@qos",
            "create",
            "QoS",
            "type=linux-htb",
            "other_config:max-rate=1000000000",
            "--",
            "set",
            "Port",
            TAP,
            "qos=@qos",
            "--",
            "set",
            "Interface",
            TAP,
            "ingress_policing_rate=100000",
        ])
        .unwrap();
    for (from, to) in [(TAP, QVO), (QVO, TAP)] {
        assert_eq!(scene.disciplines(from), ["htb", "ingress"]);
        assert_eq!(scene.disciplines(to), [""; 0]);
        scene.swap(from, to).unwrap();
        assert_eq!(scene.disciplines(from), [""; 0]);
        assert_eq!(scene.disciplines(to), ["htb", "ingress"]);
    }
    // Those of somebody else stay.
    scene.switch.vsctl(&["clear", "Port", TAP, "qos"]).unwrap();
    scene.switch.vsctl(&["set", "Interface", TAP, "ingress_policing_rate=0"]).unwrap();
    assert_eq!(scene.disciplines(TAP), [""; 0]);
    let mut tc = scene.switch.namespace().command("tc");
    let added = tc.args(["qdisc", "add", "dev", TAP, "root", "htb"]).status().unwrap();
    assert!(added.success());
    scene.swap(TAP, QVO).unwrap();
    assert_eq!(scene.disciplines(TAP), ["htb"]);
}

#[test]
fn what_it_asked_for_it_asks_for_again() {
    let scene = Scene::start();
    scene.switch.vsctl(&["set", "Interface", TAP, "ofport_request=77"]).unwrap();
    eventually(SOON, || scene.get(TAP, "ofport") == "77").unwrap();
    let before = scene.rows(TAP);
    assert_eq!(scene.swap(TAP, QVO).unwrap().get(), 77);
    assert_eq!(scene.rows(QVO), before);
}

#[test]
fn what_cannot_be_opened_is_undone() {
    let scene = Scene::start();
    let (before, number) = (scene.rows(TAP), scene.ofport(TAP));
    let error = scene.swap(TAP, "nowhere").unwrap_err();
    assert!(matches!(&error, SwapError::Unopened { name, .. } if name == "nowhere"), "{error}");
    assert_eq!(scene.ports(), ports("nowhere"));
    assert_eq!(scene.swap("nowhere", TAP).unwrap(), number);
    assert_eq!(scene.rows(TAP), before);
    let to = scene.other.v4(TCP).unwrap();
    assert_eq!(scene.machine.connect_tcp(to, SOON), Outcome::Reached);
}

#[test]
fn without_a_switch_the_database_counts() {
    let scene = Scene::start();
    let (before, number) = (scene.rows(TAP), scene.ofport(TAP));
    scene.switch.stop_vswitchd().unwrap();
    for (from, to) in [(TAP, QVO), (QVO, TAP)] {
        let error = scene.swap(from, to).unwrap_err();
        assert!(matches!(error, SwapError::Silent { .. }), "{error}");
        assert!(scene.database.replica().interface(to).is_some());
        assert!(scene.database.replica().interface(from).is_none());
    }
    let noted = scene.database.replica().interface(TAP).unwrap().1.external_ids.clone();
    assert_eq!(noted.get(REQUESTED).map(String::as_str), Some(""));
    scene.switch.start_vswitchd().unwrap();
    eventually(SOON, || scene.get(TAP, "ofport") == number.get().to_string()).unwrap();
    // The next swap knows what there was at first.
    scene.swap(TAP, QVO).unwrap();
    assert_eq!(scene.rows(QVO), before);
}

#[test]
fn what_is_no_device_of_the_system_stays() {
    let scene = Scene::start();
    let vsctl = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        scene.switch.vsctl(&words).unwrap();
    };
    vsctl("add-port br-int inside -- set Interface inside type=internal");
    vsctl("add-br br-other");
    vsctl("add-bond br-int bond qvb1 qbr1");
    vsctl("add-port br-other elsewhere -- set Interface elsewhere type=internal");
    let before = scene.switch.vsctl(&["show"]).unwrap();
    let refused = |from: &str, to: &str| scene.swap(from, to).unwrap_err();
    let error = refused("inside", QVO);
    assert!(matches!(error, SwapError::Kind { .. }), "{error}");
    let error = refused("bond", QVO);
    assert!(matches!(error, SwapError::Bond { .. }), "{error}");
    for name in ["nobody", "elsewhere"] {
        let error = refused(name, QVO);
        assert!(matches!(error, SwapError::Missing { .. }), "{error}");
    }
    for taken in ["other", "elsewhere", "qvb1", TAP] {
        let error = refused(TAP, taken);
        assert!(matches!(error, SwapError::Taken { .. }), "{error}");
    }
    assert_eq!(scene.switch.vsctl(&["show"]).unwrap(), before);
}

#[test]
fn what_has_changed_since_it_was_read_is_not_carried_over() {
    let scene = Scene::start();
    let question = || Place::question(BRIDGE, TAP, QVO);
    let rows = scene.runtime.block_on(scene.database.transact(question())).unwrap();
    let place = Place::parse(rows, BRIDGE, TAP, QVO).unwrap();
    for (table, setting, back) in [
        ("Port", "tag=9", "tag=7"),
        ("Interface", "external_ids:iface-id=other", "external_ids:iface-id=a-port"),
        ("Interface", "ofport_request=55", "ofport_request=[]"),
    ] {
        scene.switch.vsctl(&["set", table, TAP, setting]).unwrap();
        let outdated = place.swap(QVO, &BTreeMap::new());
        let result = scene.runtime.block_on(scene.database.transact(outdated));
        assert!(matches!(result, Err(TransactError::WaitFailed { .. })), "{setting}: {result:?}");
        assert_eq!(scene.ports(), ports(TAP));
        scene.switch.vsctl(&["set", table, TAP, back]).unwrap();
    }
}
