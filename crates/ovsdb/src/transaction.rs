//! Transactions: operations that are carried out all together or not at all, and the ones that
//! changing a switch takes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::datum::{Atom, Datum, RowId};
use crate::operation::{Condition, Mutation, Operation, Until};
use crate::row::Row;
use crate::schema::{Bridge, Interface, OpenVswitch, Port, Qos, Queue, TableRow};

/// A list of operations, built step by step. One [`crate::OpResult`] comes back for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    operations: Vec<Operation>,
    names: usize,
}

/// A row that is there, or one to insert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowOr<T> {
    /// One that is there.
    Row(RowId),
    /// One to insert.
    New(T),
}

impl Transaction {
    /// A transaction that does nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds any operation.
    #[must_use]
    pub fn then(mut self, operation: Operation) -> Self {
        self.operations.push(operation);
        self
    }

    /// Leaves a remark in the database's log.
    #[must_use]
    pub fn comment(self, text: &str) -> Self {
        self.then(Operation::Comment(text.to_owned()))
    }

    /// Adds a row; with a name, other operations may refer to it by [`Datum::named`].
    #[must_use]
    pub fn insert(self, table: &str, name: Option<&str>, row: Row) -> Self {
        let (table, name) = (table.to_owned(), name.map(str::to_owned));
        self.then(Operation::Insert { table, name, row })
    }

    /// Sets the columns of `row` in all rows that meet the conditions.
    #[must_use]
    pub fn update(self, table: &str, conditions: Vec<Condition>, row: Row) -> Self {
        self.then(Operation::Update { table: table.to_owned(), conditions, row })
    }

    /// Changes all rows that meet the conditions.
    #[must_use]
    pub fn mutate(self, table: &str, conditions: Vec<Condition>, mutations: Vec<Mutation>) -> Self {
        self.then(Operation::Mutate { table: table.to_owned(), conditions, mutations })
    }

    /// Removes all rows that meet the conditions.
    #[must_use]
    pub fn delete(self, table: &str, conditions: Vec<Condition>) -> Self {
        self.then(Operation::Delete { table: table.to_owned(), conditions })
    }

    /// Fails the transaction when a row meets the conditions.
    #[must_use]
    pub fn wait_for_none(self, table: &str, column: &str, conditions: Vec<Condition>) -> Self {
        self.wait(table, column, conditions, Until::Equal)
    }

    /// Fails the transaction when no row meets the conditions.
    #[must_use]
    pub fn wait_for_some(self, table: &str, column: &str, conditions: Vec<Condition>) -> Self {
        self.wait(table, column, conditions, Until::NotEqual)
    }

    /// Reads columns of all rows that meet the conditions; every column where none is named.
    #[must_use]
    pub fn select(self, table: &str, conditions: Vec<Condition>, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        self.then(Operation::Select { table: table.to_owned(), conditions, columns })
    }

    /// Sets keys of a map column of one row; its other keys stay.
    #[must_use]
    pub fn set_keys<T: TableRow>(
        self,
        row: RowId,
        column: &str,
        pairs: &BTreeMap<String, String>,
    ) -> Self {
        // `insert` leaves the value of a key that is there already, so that key goes first.
        let keys: BTreeSet<String> = pairs.keys().cloned().collect();
        let mutations =
            vec![Mutation::delete(column, keys), Mutation::insert(column, pairs.clone())];
        self.mutate(T::TABLE, vec![Condition::row(row)], mutations)
    }

    /// Removes keys of a map column of one row.
    #[must_use]
    pub fn remove_keys<T: TableRow>(
        self,
        row: RowId,
        column: &str,
        keys: BTreeSet<String>,
    ) -> Self {
        self.mutate(T::TABLE, vec![Condition::row(row)], vec![Mutation::delete(column, keys)])
    }

    /// Puts a port into a VLAN and sets keys of its `other_config`. The keys that are not named
    /// stay. Both operations count no row when the port is gone.
    #[must_use]
    pub fn set_port_tag(
        self,
        port: RowId,
        tag: u16,
        other_config: &BTreeMap<String, String>,
    ) -> Self {
        self.update(Port::TABLE, vec![Condition::row(port)], Row::new().with("tag", tag))
            .set_keys::<Port>(port, "other_config", other_config)
    }

    /// Gives ports a QoS that has these queues and no others. Where a port is gone, its share counts
    /// no row.
    #[must_use]
    pub fn set_qos(
        self,
        ports: &BTreeSet<RowId>,
        qos: &RowOr<Qos>,
        queues: &BTreeMap<i64, RowOr<Queue>>,
    ) -> Self {
        let mut this = self;
        let mut named = BTreeMap::new();
        for (number, queue) in queues {
            let atom;
            (this, atom) = this.row_or(queue, Queue::to_row);
            named.insert(Atom::Integer(*number), atom);
        }
        let queues = Datum::Map(named);
        let reference;
        (this, reference) = match qos {
            RowOr::Row(row) => {
                let row_of_queues = Row::new().with("queues", queues);
                let this = this.update(Qos::TABLE, vec![Condition::row(*row)], row_of_queues);
                (this, Atom::Uuid(*row))
            }
            RowOr::New(_) => this.row_or(qos, |qos| qos.to_row().with("queues", queues.clone())),
        };
        for port in ports {
            let row = Row::new().with("qos", Datum::Set(BTreeSet::from([reference.clone()])));
            this = this.update(Port::TABLE, vec![Condition::row(*port)], row);
        }
        this
    }

    /// Inserts what is new. Gives the reference to it, or to what is there.
    fn row_or<T: TableRow>(self, it: &RowOr<T>, to_row: impl Fn(&T) -> Row) -> (Self, Atom) {
        match it {
            RowOr::Row(row) => (self, Atom::Uuid(*row)),
            RowOr::New(new) => {
                let (this, name) = self.fresh_name("row");
                (this.insert(T::TABLE, Some(&name), to_row(new)), Atom::NamedUuid(name))
            }
        }
    }

    /// Adds a bridge with its own internal port. Fails when there is a bridge of that name.
    #[must_use]
    pub fn add_bridge(self, name: &str, datapath_type: &str, fail_mode: Option<&str>) -> Self {
        let (this, bridge) = self.fresh_name("bridge");
        let (this, port) = this.fresh_name("port");
        let row = Row::new()
            .with("name", name)
            .with("datapath_type", datapath_type)
            .with("fail_mode", fail_mode.map_or_else(Datum::empty, Datum::from))
            .with("ports", Datum::named(&port));
        this.wait_for_none(Bridge::TABLE, "name", vec![Condition::equal("name", name)])
            .insert_port(&port, name, "internal", &BTreeMap::new(), &BTreeMap::new())
            .insert(Bridge::TABLE, Some(&bridge), row)
            .mutate(
                OpenVswitch::TABLE,
                Vec::new(),
                vec![Mutation::insert("bridges", Datum::named(&bridge))],
            )
    }

    /// Removes a bridge with all its ports. Counts no switch when there is none.
    #[must_use]
    pub fn del_bridge(self, bridge: RowId) -> Self {
        // Rows that nothing refers to any more are removed by the server.
        let members = BTreeSet::from([bridge]);
        self.mutate(OpenVswitch::TABLE, Vec::new(), vec![Mutation::delete("bridges", members)])
    }

    /// Adds a port with one interface to a bridge. `kind` is the interface's type, `external_ids`
    /// are the interface's. Fails when the bridge is gone or there is a port of that name.
    #[must_use]
    pub fn add_port(
        self,
        bridge: RowId,
        name: &str,
        kind: &str,
        options: &BTreeMap<String, String>,
        external_ids: &BTreeMap<String, String>,
    ) -> Self {
        let (this, port) = self.fresh_name("port");
        this.wait_for_some(Bridge::TABLE, "name", vec![Condition::row(bridge)])
            .wait_for_none(Port::TABLE, "name", vec![Condition::equal("name", name)])
            .insert_port(&port, name, kind, options, external_ids)
            .mutate(
                Bridge::TABLE,
                vec![Condition::row(bridge)],
                vec![Mutation::insert("ports", Datum::named(&port))],
            )
    }

    /// Removes a port with its interfaces from a bridge.
    #[must_use]
    pub fn del_port(self, bridge: RowId, port: RowId) -> Self {
        let members = BTreeSet::from([port]);
        self.mutate(
            Bridge::TABLE,
            vec![Condition::row(bridge)],
            vec![Mutation::delete("ports", members)],
        )
    }

    /// Asks ovs-vswitchd to say when it has carried out all that is in this transaction: it then
    /// sets `cur_cfg` to the `next_cfg` that the last operation, a select, reads.
    #[must_use]
    pub fn bump_next_cfg(self) -> Self {
        self.mutate(OpenVswitch::TABLE, Vec::new(), vec![Mutation::add("next_cfg", 1)]).select(
            OpenVswitch::TABLE,
            Vec::new(),
            &["next_cfg"],
        )
    }

    /// The operations, in order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The parameters of the request `transact`.
    pub(crate) fn to_params(&self, database: &str) -> Value {
        let operations = self.operations.iter().map(Operation::to_json);
        std::iter::once(json!(database)).chain(operations).collect()
    }

    fn wait(self, table: &str, column: &str, conditions: Vec<Condition>, until: Until) -> Self {
        self.then(Operation::Wait {
            table: table.to_owned(),
            conditions,
            columns: vec![column.to_owned()],
            until,
            rows: Vec::new(),
        })
    }

    /// Inserts a port under `port_name` with one interface of the same name.
    fn insert_port(
        self,
        port_name: &str,
        name: &str,
        kind: &str,
        options: &BTreeMap<String, String>,
        external_ids: &BTreeMap<String, String>,
    ) -> Self {
        let (this, interface_name) = self.fresh_name("interface");
        let interface = Row::new()
            .with("name", name)
            .with("type", kind)
            .with("options", options.clone())
            .with("external_ids", external_ids.clone());
        let port = Row::new().with("name", name).with("interfaces", Datum::named(&interface_name));
        this.insert(Interface::TABLE, Some(&interface_name), interface).insert(
            Port::TABLE,
            Some(port_name),
            port,
        )
    }

    /// A name for a row that no other row of this transaction has from here.
    fn fresh_name(mut self, what: &str) -> (Self, String) {
        self.names += 1;
        let name = format!("new_{what}_{}", self.names);
        (self, name)
    }
}

#[cfg(test)]
mod tests;
