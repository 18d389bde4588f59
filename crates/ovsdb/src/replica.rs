//! A copy of the monitored tables, kept up to date by [`Update`]s. Pure.

use std::collections::BTreeMap;

use crate::datum::RowId;
use crate::row::{ColumnError, ColumnKind};
use crate::schema::{Bridge, Interface, OpenVswitch, Port, Qos, Queue, TableRow};
use crate::update::{RowChange, Update};

/// The monitored tables, row by row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replica {
    /// Table `Open_vSwitch`: one row, or none when the database was never initialised.
    pub open_vswitch: BTreeMap<RowId, OpenVswitch>,
    /// Table `Bridge`.
    pub bridges: BTreeMap<RowId, Bridge>,
    /// Table `Port`.
    pub ports: BTreeMap<RowId, Port>,
    /// Table `Interface`.
    pub interfaces: BTreeMap<RowId, Interface>,
    /// Table `QoS`.
    pub qos: BTreeMap<RowId, Qos>,
    /// Table `Queue`.
    pub queues: BTreeMap<RowId, Queue>,
}

impl Replica {
    /// The replica that holds what `update` sets and nothing else.
    ///
    /// # Errors
    /// As [`Replica::apply`].
    pub fn from_initial(update: &Update) -> Result<Self, ReplicaError> {
        let mut replica = Self::default();
        replica.apply(update)?;
        Ok(replica)
    }

    /// Applies all of `update`.
    ///
    /// # Errors
    /// When a row cannot be read or a modified row is not here; then nothing has changed.
    pub fn apply(&mut self, update: &Update) -> Result<(), ReplicaError> {
        let known = [
            OpenVswitch::TABLE,
            Bridge::TABLE,
            Port::TABLE,
            Interface::TABLE,
            Qos::TABLE,
            Queue::TABLE,
        ];
        if let Some(table) = update.tables.keys().find(|table| !known.contains(&table.as_str())) {
            return Err(ReplicaError::Table { table: table.clone() });
        }
        let open_vswitch = stage(&self.open_vswitch, update)?;
        let bridges = stage(&self.bridges, update)?;
        let ports = stage(&self.ports, update)?;
        let interfaces = stage(&self.interfaces, update)?;
        let qos = stage(&self.qos, update)?;
        let queues = stage(&self.queues, update)?;
        commit(&mut self.open_vswitch, open_vswitch);
        commit(&mut self.bridges, bridges);
        commit(&mut self.ports, ports);
        commit(&mut self.interfaces, interfaces);
        commit(&mut self.qos, qos);
        commit(&mut self.queues, queues);
        Ok(())
    }

    /// The row of the switch.
    pub fn switch(&self) -> Option<(RowId, &OpenVswitch)> {
        self.open_vswitch.iter().next().map(|(id, switch)| (*id, switch))
    }

    /// The bridge of that name.
    pub fn bridge(&self, name: &str) -> Option<(RowId, &Bridge)> {
        self.bridges.iter().find(|(_, bridge)| bridge.name == name).map(|(id, row)| (*id, row))
    }

    /// The port of that name.
    pub fn port(&self, name: &str) -> Option<(RowId, &Port)> {
        self.ports.iter().find(|(_, port)| port.name == name).map(|(id, row)| (*id, row))
    }

    /// The interface of that name.
    pub fn interface(&self, name: &str) -> Option<(RowId, &Interface)> {
        self.interfaces.iter().find(|(_, port)| port.name == name).map(|(id, row)| (*id, row))
    }
}

/// What is to become of a row: its new content, or nothing.
type Staged<T> = Vec<(RowId, Option<T>)>;

/// Reads everything that `update` says of a table, so that what follows cannot fail.
fn stage<T: TableRow>(
    current: &BTreeMap<RowId, T>,
    update: &Update,
) -> Result<Staged<T>, ReplicaError> {
    let Some(changes) = update.tables.get(T::TABLE) else { return Ok(Vec::new()) };
    let mut staged = Vec::with_capacity(changes.len());
    for (&row, change) in changes {
        let content = match change {
            RowChange::Delete => Ok(None),
            RowChange::Set(columns) => T::from_row(columns).map(Some),
            RowChange::Modify(difference) => {
                let Some(current) = current.get(&row) else {
                    return Err(ReplicaError::MissingRow { table: T::TABLE, row });
                };
                let mut columns = current.to_row();
                columns
                    .apply_difference(difference, kind::<T>)
                    .and_then(|()| T::from_row(&columns).map(Some))
            }
        };
        let content =
            content.map_err(|source| ReplicaError::Row { table: T::TABLE, row, source })?;
        staged.push((row, content));
    }
    Ok(staged)
}

fn commit<T>(current: &mut BTreeMap<RowId, T>, staged: Staged<T>) {
    for (row, content) in staged {
        match content {
            Some(content) => current.insert(row, content),
            None => current.remove(&row),
        };
    }
}

fn kind<T: TableRow>(column: &str) -> Option<ColumnKind> {
    T::COLUMNS.iter().find(|(name, _)| *name == column).map(|(_, kind)| *kind)
}

/// An update that does not fit the replica: the two have gone apart.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// A table that was not asked for.
    #[error("table {table} is not monitored")]
    Table {
        /// The table.
        table: String,
    },
    /// A difference to a row that is not here.
    #[error("row {row} of table {table} was modified but never seen")]
    MissingRow {
        /// The table.
        table: &'static str,
        /// The row.
        row: RowId,
    },
    /// A row that cannot be read.
    #[error("cannot read row {row} of table {table}")]
    Row {
        /// The table.
        table: &'static str,
        /// The row.
        row: RowId,
        /// What is wrong with it.
        source: ColumnError,
    },
}

#[cfg(test)]
mod tests;
