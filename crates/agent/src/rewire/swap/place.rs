//! What one interface leaves to the other, and the transactions that hand it over. Pure.

use std::collections::{BTreeMap, BTreeSet};

use ovsdb::{
    Bridge, Condition, Datum, Interface, Mutation, OpResult, Operation, Port, Qos, Row, RowId,
    TableRow as _, Transaction, Until,
};

use super::SwapError;

/// In `external_ids` while a swap is under way: the number that the interface before had asked for, or
/// nothing.
pub(super) const REQUESTED: &str = "weir-ofport-request";

/// The port whose limit a QoS is, in `external_ids`.
const QOS_OF: &str = "id";

const MIRROR: &str = "Mirror";

/// What has Open vSwitch police what comes in by an interface.
const POLICED: [&str; 2] = ["ingress_policing_rate", "ingress_policing_kpkts_rate"];

/// Columns of interfaces that are not copied: what ovs-vswitchd writes, and what is the interface's own.
const NOT_OF_INTERFACE: [&str; 24] = [
    "_uuid",
    "_version",
    "admin_state",
    "bfd_status",
    "cfm_fault",
    "cfm_fault_status",
    "cfm_flap_count",
    "cfm_health",
    "cfm_remote_mpids",
    "cfm_remote_opstate",
    "duplex",
    "error",
    "ifindex",
    "lacp_current",
    "link_resets",
    "link_speed",
    "link_state",
    "mac_in_use",
    "mtu",
    "name",
    "ofport",
    "ofport_request",
    "statistics",
    "status",
];

/// The same of ports.
const NOT_OF_PORT: [&str; 9] = [
    "_uuid",
    "_version",
    "bond_active_slave",
    "interfaces",
    "name",
    "rstp_statistics",
    "rstp_status",
    "statistics",
    "status",
];

/// The place of an interface in a bridge, as it was read.
#[derive(Debug)]
pub(super) struct Place {
    from: String,
    bridge: RowId,
    port: RowId,
    interface: RowId,
    of_port: Row,
    of_interface: Row,
    external_ids: BTreeMap<String, String>,
    qos: Option<RowId>,
    ofport: Option<i64>,
    ofport_request: Option<i64>,
}

impl Place {
    /// Asks for everything at one moment.
    pub(super) fn question(bridge: &str, from: &str, to: &str) -> Transaction {
        let named = |name| vec![Condition::equal("name", name)];
        Transaction::new()
            .select(Bridge::TABLE, named(bridge), &["_uuid", "ports"])
            .select(Port::TABLE, named(from), &[])
            .select(Interface::TABLE, named(from), &[])
            .select(Port::TABLE, named(to), &["_uuid"])
            .select(Interface::TABLE, named(to), &["_uuid"])
    }

    /// Reads the answer.
    pub(super) fn parse(
        answer: Vec<OpResult>,
        bridge: &str,
        from: &str,
        to: &str,
    ) -> Result<Self, SwapError> {
        let mut rows = answer.into_iter().map(|result| match result {
            OpResult::Selected(rows) => rows.into_iter().next(),
            OpResult::Done | OpResult::Inserted(_) | OpResult::Counted(_) => None,
        });
        let mut next = || rows.next().flatten();
        let (of_bridge, of_port, of_interface) = (next(), next(), next());
        if next().is_some() || next().is_some() {
            return Err(SwapError::Taken { name: to.into() });
        }
        let missing = || SwapError::Missing { bridge: bridge.into(), name: from.into() };
        let bond = || SwapError::Bond { name: from.into() };
        let unreadable = |source| SwapError::Row { name: from.into(), source };
        let id = |row: &Row| row.get::<Option<RowId>>("_uuid").map_err(unreadable);
        let ids = |row: &Row, column| row.get::<BTreeSet<RowId>>(column).map_err(unreadable);
        let number = |row: &Row, column| row.get::<Option<i64>>(column).map_err(unreadable);

        let (of_bridge, of_port) = of_bridge.zip(of_port).ok_or_else(missing)?;
        let (bridge, port) = id(&of_bridge)?.zip(id(&of_port)?).ok_or_else(missing)?;
        if !ids(&of_bridge, "ports")?.contains(&port) {
            return Err(missing());
        }
        let of_interface = of_interface.ok_or_else(bond)?;
        let interface = id(&of_interface)?.ok_or_else(bond)?;
        if ids(&of_port, "interfaces")? != BTreeSet::from([interface]) {
            return Err(bond());
        }
        let kind: String = of_interface.get("type").map_err(unreadable)?;
        if !matches!(kind.as_str(), "" | "system") {
            return Err(SwapError::Kind { name: from.into(), kind });
        }
        Ok(Self {
            from: from.into(),
            bridge,
            port,
            interface,
            external_ids: of_interface.get("external_ids").map_err(unreadable)?,
            qos: of_port.get("qos").map_err(unreadable)?,
            ofport: number(&of_interface, "ofport")?,
            ofport_request: number(&of_interface, "ofport_request")?,
            of_port,
            of_interface,
        })
    }

    /// Puts `to` there, unless something is not as it was read.
    pub(super) fn swap(&self, to: &str, notes: &BTreeMap<String, String>) -> Transaction {
        let (port, interface) = ("the_port", "the_interface");
        let mut external_ids = self.external_ids.clone();
        external_ids.retain(|key, _| key != REQUESTED && !notes.contains_key(key));
        let notes = notes.iter().filter(|(_, value)| !value.is_empty());
        external_ids.extend(notes.map(|(key, value)| (key.clone(), value.clone())));
        if let Some(before) = self.to_withdraw() {
            let before = before.map(|number| number.to_string()).unwrap_or_default();
            external_ids.insert(REQUESTED.to_owned(), before);
        }
        let of_interface = without(&self.of_interface, &NOT_OF_INTERFACE)
            .with("name", to)
            .with("ofport_request", self.number())
            .with("external_ids", external_ids);
        let of_port = without(&self.of_port, &NOT_OF_PORT)
            .with("name", to)
            .with("interfaces", Datum::named(interface));
        let named = || vec![Condition::equal("name", to)];
        let in_bridge = || {
            let holds = Condition::includes("ports", BTreeSet::from([self.port]));
            vec![Condition::row(self.bridge), holds]
        };
        let transaction = Transaction::new()
            .comment(&format!("weir: {to} in the place of {}", self.from))
            .wait_for_some(Bridge::TABLE, "name", in_bridge())
            .wait_for_none(Port::TABLE, "name", named())
            .wait_for_none(Interface::TABLE, "name", named())
            .then(unchanged(Port::TABLE, self.port, &self.of_port, &NOT_OF_PORT, &["interfaces"]))
            .then(unchanged(
                Interface::TABLE,
                self.interface,
                &self.of_interface,
                &NOT_OF_INTERFACE,
                &["ofport", "ofport_request"],
            ))
            .insert(Interface::TABLE, Some(interface), of_interface)
            .insert(Port::TABLE, Some(port), of_port)
            .mutate(
                Bridge::TABLE,
                vec![Condition::row(self.bridge)],
                vec![
                    Mutation::delete("ports", BTreeSet::from([self.port])),
                    Mutation::insert("ports", Datum::named(port)),
                ],
            );
        self.hand_over(transaction, port, to).bump_next_cfg()
    }

    /// Has what refers to the port refer to the new one: mirrors, and by its name the limit that an
    /// agent has given it.
    fn hand_over(&self, transaction: Transaction, port: &str, to: &str) -> Transaction {
        let this = BTreeSet::from([self.port]);
        let mut transaction = transaction;
        for column in ["select_src_port", "select_dst_port"] {
            transaction = transaction.mutate(
                MIRROR,
                vec![Condition::includes(column, this.clone())],
                vec![Mutation::insert(column, Datum::named(port))],
            );
        }
        transaction = transaction.update(
            MIRROR,
            vec![Condition::equal("output_port", this)],
            Row::new().with("output_port", Datum::named(port)),
        );
        let Some(qos) = self.qos else { return transaction };
        let of = |name: &str| BTreeMap::from([(QOS_OF.to_owned(), name.to_owned())]);
        transaction.mutate(
            Qos::TABLE,
            vec![Condition::row(qos), Condition::includes("external_ids", of(&self.from))],
            vec![
                Mutation::delete("external_ids", of(&self.from)),
                Mutation::insert("external_ids", of(to)),
            ],
        )
    }

    /// What is left to do when `to` has its number: it asks for what the interface before did, and the
    /// note goes. Nothing if it asks for that already.
    pub(super) fn withdrawal(&self, to: &str) -> Option<Transaction> {
        let before = self.to_withdraw()?;
        let named = || vec![Condition::equal("name", to)];
        let note = Mutation::delete("external_ids", BTreeSet::from([REQUESTED.to_owned()]));
        Some(
            Transaction::new()
                .comment(&format!("weir: {to} has its port number"))
                .update(Interface::TABLE, named(), Row::new().with("ofport_request", before))
                .mutate(Interface::TABLE, named(), vec![note])
                .bump_next_cfg(),
        )
    }

    /// The name of the interface that was there.
    pub(super) fn from(&self) -> &str {
        &self.from
    }

    /// Where Open vSwitch has given it queueing disciplines, in the words of `tc`.
    pub(super) fn disciplines(&self) -> Vec<&'static str> {
        let polices = |column| self.of_interface.get(column).is_ok_and(|rate: i64| rate > 0);
        let ingress = POLICED.iter().any(|column| polices(column)).then_some("ingress");
        self.qos.map(|_| "root").into_iter().chain(ingress).collect()
    }

    /// What is to be asked for again when `to` has its number; `None` if nothing else is asked for.
    fn to_withdraw(&self) -> Option<Option<i64>> {
        let before = match self.external_ids.get(REQUESTED) {
            Some(noted) => noted.parse().ok(),
            None => self.ofport_request,
        };
        (before != self.number()).then_some(before)
    }

    /// The number that the interface has, or where it has none is to have.
    fn number(&self) -> Option<i64> {
        self.ofport.filter(|number| *number > 0).or(self.ofport_request)
    }
}

fn without(row: &Row, columns: &[&str]) -> Row {
    columns.iter().fold(row.clone(), |row, column| row.without(column))
}

/// Fails the transaction if a row is no longer as it was read, without `state` but for `but`.
fn unchanged(table: &str, id: RowId, row: &Row, state: &[&str], but: &[&str]) -> Operation {
    let looked_at = but.iter().filter_map(|column| Some((*column, row.datum(column)?.clone())));
    let row = looked_at.fold(without(row, state), |row, (column, value)| row.with(column, value));
    Operation::Wait {
        table: table.to_owned(),
        conditions: vec![Condition::row(id)],
        columns: row.columns().map(str::to_owned).collect(),
        until: Until::Equal,
        rows: vec![row],
    }
}
