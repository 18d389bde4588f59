//! What plugging changes in the Open vSwitch database.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, bail};
use model::VlanTag;
use ovsdb::{
    Client, Condition, Event, Events, Interface, OpResult, Options, Port, Remote, Replica, RowId,
    TableRow as _, Transaction,
};
use tokio::time::timeout;

use super::wish::Wish;

/// How long the database may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// The database, connected.
#[derive(Debug)]
pub(super) struct Database {
    client: Client,
}

impl Database {
    /// Connects.
    ///
    /// # Errors
    /// When the database does not answer in time.
    pub(super) async fn connect(remote: &Remote) -> anyhow::Result<Self> {
        let (client, mut events) = Client::start(remote.clone(), Options::default());
        match timeout(DEADLINE, connected(&mut events)).await {
            Ok(Ok(())) => Ok(Self { client }),
            Ok(Err(reason)) => bail!(
                "cannot reach the Open vSwitch database at {remote}; is ovsdb-server running?: \
                 {reason}"
            ),
            Err(_) => bail!("the Open vSwitch database at {remote} does not answer"),
        }
    }

    /// The names of the interfaces that carry a port of the API: one, unless somebody erred.
    pub(super) fn interfaces_of(&self, port_id: &str) -> Vec<String> {
        let replica = self.client.replica();
        // The ends of a trunk carry it, too, which are the agent's.
        let carrying = replica.interfaces.values().filter(|interface| {
            interface.kind != "patch"
                && interface.external_ids.get("iface-id").is_some_and(|id| id == port_id)
        });
        carrying.map(|interface| interface.name.clone()).collect()
    }

    /// Adds a port to the integration bridge with what the agent must know of it; the parent port of a
    /// trunk to the bridge of the trunk, which is made. Until the agent says otherwise it is in a VLAN
    /// that leads nowhere; that bridge leads nowhere by itself.
    ///
    /// # Errors
    /// When there is no such bridge, there is such a port, or the database refuses.
    pub(super) async fn add(
        &self,
        integration: &str,
        name: &str,
        kind: &str,
        wish: &Wish,
    ) -> anyhow::Result<()> {
        let bridge = match &wish.trunk_bridge {
            Some(bridge) => {
                self.make_bridge(bridge, integration).await?;
                bridge
            }
            None => integration,
        };
        let replica = self.client.replica();
        let (bridge_row, _) = replica.bridge(bridge).with_context(|| {
            format!("there is no bridge {bridge}; 'weir up' makes it, or --integration-bridge names another")
        })?;
        if replica.port(name).is_some() {
            bail!(
                "there is a port {name} already, which is not that of {}; \
                 'ovs-vsctl del-port {name}' removes it",
                wish.port_id
            );
        }
        let external_ids = [
            ("iface-id", &*wish.port_id),
            ("iface-status", "active"),
            ("attached-mac", &*wish.mac),
            ("vm-id", &*wish.vm_id),
        ];
        let external_ids: BTreeMap<String, String> =
            external_ids.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let this = || vec![Condition::equal("name", name)];
        let mut transaction = Transaction::new()
            .comment(&format!("weir plug {}", wish.port_id))
            .add_port(bridge_row, name, kind, &BTreeMap::new(), &external_ids);
        // By a trunk frames of every VLAN come.
        if wish.trunk_bridge.is_none() {
            let dead = ovsdb::Row::new().with("tag", VlanTag::DEAD);
            transaction = transaction.update(Port::TABLE, this(), dead);
        }
        if kind == "internal" {
            let row = ovsdb::Row::new()
                .with("mac", wish.mac.as_str())
                .with("mtu_request", i64::from(wish.mtu));
            transaction = transaction.update(Interface::TABLE, this(), row);
        }
        self.client
            .transact(transaction.bump_next_cfg())
            .await
            .with_context(|| format!("cannot add {name} to bridge {bridge}"))?;
        Ok(())
    }

    /// Makes a bridge in the datapath of the integration bridge, if it is not there.
    async fn make_bridge(&self, name: &str, integration: &str) -> anyhow::Result<()> {
        let replica = self.client.replica();
        if replica.bridge(name).is_some() {
            return Ok(());
        }
        let beside = replica.bridge(integration).map(|(_, bridge)| bridge.datapath_type.clone());
        let transaction = Transaction::new()
            .comment(&format!("weir plug: bridge {name}"))
            .add_bridge(name, &beside.unwrap_or_default(), None)
            .bump_next_cfg();
        let made = self.client.transact(transaction).await;
        made.with_context(|| format!("cannot make bridge {name}"))?;
        let is_there = || self.client.replica().bridge(name).is_some();
        if timeout(DEADLINE, until(is_there)).await.is_err() {
            bail!("the database does not show bridge {name}");
        }
        Ok(())
    }

    /// Removes the port with that interface from its bridge, if it is there, and waits for the
    /// switch to follow. The bridge of a trunk goes with it.
    ///
    /// # Errors
    /// When the database refuses.
    pub(super) async fn remove(&self, interface: &str) -> anyhow::Result<()> {
        let replica = self.client.replica();
        let Some((bridge, port)) = location(&replica, interface) else { return Ok(()) };
        let is_of_trunk = |bridge: &ovsdb::Bridge| bridge.name.starts_with(model::TRUNK_BRIDGE);
        let mut transaction =
            Transaction::new().comment(&format!("weir unplug {interface}")).del_port(bridge, port);
        if replica.bridges.get(&bridge).is_some_and(is_of_trunk) {
            transaction = transaction.del_bridge(bridge);
        }
        let transaction = transaction.bump_next_cfg();
        let results = self
            .client
            .transact(transaction)
            .await
            .with_context(|| format!("cannot remove {interface} from its bridge"))?;
        let Some(configuration) = configuration(&results) else { return Ok(()) };
        if timeout(DEADLINE, self.carried_out(configuration)).await.is_err() {
            tracing::warn!(
                interface,
                "removed from the database, but ovs-vswitchd has not followed; is it running?"
            );
        }
        Ok(())
    }

    /// Waits until ovs-vswitchd has carried a configuration out.
    async fn carried_out(&self, configuration: i64) {
        let done = || {
            let replica = self.client.replica();
            replica.switch().is_some_and(|(_, switch)| switch.cur_cfg >= configuration)
        };
        until(done).await;
    }
}

/// Looks again and again.
async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits for the connection, or for the reason why there is none.
async fn connected(events: &mut Events) -> Result<(), String> {
    loop {
        match events.next().await {
            Some(Event::Connected) => return Ok(()),
            Some(Event::Disconnected { reason, .. }) => return Err(reason),
            Some(Event::Changed) => {}
            None => return Err("the client has ended".to_owned()),
        }
    }
}

/// The bridge and the port that an interface belongs to.
fn location(replica: &Replica, interface: &str) -> Option<(RowId, RowId)> {
    let (interface, _) = replica.interface(interface)?;
    let (&port, _) = replica.ports.iter().find(|(_, port)| port.interfaces.contains(&interface))?;
    let (&bridge, _) = replica.bridges.iter().find(|(_, bridge)| bridge.ports.contains(&port))?;
    Some((bridge, port))
}

/// The configuration that `bump_next_cfg` has asked for.
fn configuration(results: &[OpResult]) -> Option<i64> {
    let Some(OpResult::Selected(rows)) = results.last() else { return None };
    rows.first()?.get("next_cfg").ok()
}
