//! Connections that go on in another zone, because their port is filtered elsewhere from now on.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{CtZone, Port};
use openflow::CtTuple;

use super::decide::{Rules, retain_admitted, uses};
use super::{Connection, CutError, Datapath, kernel};

/// The IP protocol whose connections have a state of their own.
const TCP: u8 = 6;

/// The connections of a port that another zone is to know, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Carry {
    /// The port.
    pub(crate) port: Arc<Port>,
    /// The zone that has them.
    pub(crate) from: CtZone,
    /// The zone of the kernel that is to know them.
    pub(crate) to: CtZone,
}

/// Has the kernel know the connections that ports have in zones of the datapath in other zones,
/// too. What has just begun is not carried: its sender begins again. Neither is what the rules of the
/// port do not admit: where its network's zone knows a connection, somebody else's rules may have
/// admitted it, while those of the port were another firewall's business. Tells how many there were.
/// Blocks.
pub(crate) fn carry(
    datapath: &Datapath,
    carries: &[Carry],
    rules: &Rules,
) -> Result<usize, CutError> {
    let zones: BTreeSet<CtZone> = carries.iter().map(|carry| carry.from).collect();
    if zones.is_empty() {
        return Ok(0);
    }
    let there = datapath.connections(&zones)?;
    let mut carried = 0;
    let index = rules.index();
    for Carry { port, from, to } in carries {
        let there = there.get(from).into_iter().flatten();
        let mut connections: Vec<Connection> =
            there.filter(|it| goes_on(it, port)).cloned().collect();
        retain_admitted((rules, &index), port, *from, &mut connections);
        let inserted = kernel::insert(*to, &connections);
        inserted.map_err(|source| CutError::Kernel { action: "make", source })?;
        carried += connections.len();
    }
    Ok(carried)
}

/// Whether it is one of the port, and there is enough known of it.
fn goes_on(connection: &Connection, port: &Port) -> bool {
    let CtTuple { src, dst, protocol, .. } = connection.entry.original;
    let is_whole = connection.reply.is_some() && (protocol != TCP || connection.tcp.is_some());
    is_whole && (uses(port, src) || uses(port, dst))
}
