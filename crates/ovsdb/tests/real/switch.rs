//! Rows as a real `ovs-vswitchd` fills them in, with its dummy datapath.

use std::fs::File;
use std::process::{Child, Command};

use ovsdb::{OpResult, Transaction};

use crate::server::{Server, add_port, strings, until};

/// An `ovs-vswitchd` on a server's database, ended when dropped.
struct Switch(Child);

impl Switch {
    fn start(server: &Server) -> Self {
        let process = Command::new("ovs-vswitchd")
            .arg(format!("unix:{}", server.socket().display()))
            .arg("--enable-dummy")
            .arg("--disable-system")
            .arg(format!("--unixctl={}", server.dir.join("vswitchd.ctl").display()))
            .env("OVS_RUNDIR", &server.dir)
            .stderr(File::create(server.dir.join("vswitchd.log")).unwrap())
            .spawn()
            .unwrap();
        Self(process)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn a_transaction_can_be_followed_until_the_switch_has_carried_it_out() {
    let server = Server::start().await;
    let (client, mut events) = server.connect().await;
    let _switch = Switch::start(&server);
    until(&client, &mut events, |replica| {
        let (_, switch) = replica.switch().unwrap();
        ["dummy", "netdev"].iter().all(|&kind| switch.datapath_types.contains(kind))
            && ["patch", "vxlan"].iter().all(|&kind| switch.iface_types.contains(kind))
    })
    .await;

    let transaction = Transaction::new().add_bridge("br0", "dummy", Some("secure"));
    client.transact(transaction).await.unwrap();
    let bridge = client.replica().bridge("br0").unwrap().0;
    let patch = strings(&[("peer", "nobody")]);
    let transaction = add_port(Transaction::new(), bridge, "p1")
        .add_port(bridge, "p2", "patch", &patch, &strings(&[]))
        .bump_next_cfg();
    let results = client.transact(transaction).await.unwrap();
    let Some(OpResult::Selected(rows)) = results.last() else { panic!("{results:?}") };
    let asked: i64 = rows[0].get("next_cfg").unwrap();
    until(&client, &mut events, |replica| replica.switch().unwrap().1.cur_cfg >= asked).await;

    let replica = client.replica();
    assert_eq!(replica.bridges[&bridge].datapath_id.as_ref().map(String::len), Some(16));
    for name in ["br0", "p1"] {
        let (_, interface) = replica.interface(name).unwrap();
        assert!(interface.ofport.is_some_and(|port| port > 0), "{interface:?}");
        assert_eq!(interface.mac_in_use.as_ref().map(String::len), Some(17));
        assert_eq!(interface.error, None);
    }
    let (_, interface) = replica.interface("p2").unwrap();
    assert_eq!((interface.kind.as_str(), &interface.options), ("patch", &patch));
}
