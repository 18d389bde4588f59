//! Connections that go on in another zone, because their port is filtered elsewhere from now on.

use model::{CtZone, Port};
use openflow::CtTuple;

use super::decide::uses;
use super::{Connection, CutError, Datapath, kernel};

/// The IP protocol whose connections have a state of their own.
const TCP: u8 = 6;

/// Has the kernel know the connections that this port has in a zone of the datapath in another zone,
/// too. What has just begun is not carried: its sender begins again. Tells how many there were.
/// Blocks.
pub(crate) fn carry(
    datapath: &Datapath,
    from: CtZone,
    to: CtZone,
    port: &Port,
) -> Result<usize, CutError> {
    let mut connections = datapath.connections(from)?;
    connections.retain(|connection| goes_on(connection, port));
    let inserted = kernel::insert(to, &connections);
    inserted.map_err(|source| CutError::Kernel { action: "make", source })?;
    Ok(connections.len())
}

/// Whether it is one of the port, and there is enough known of it.
fn goes_on(connection: &Connection, port: &Port) -> bool {
    let CtTuple { src, dst, protocol, .. } = connection.entry.original;
    let is_whole = connection.reply.is_some() && (protocol != TCP || connection.tcp.is_some());
    is_whole && (uses(port, src) || uses(port, dst))
}
