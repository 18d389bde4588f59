//! Connections of the kernel, by netlink (ctnetlink).
//!
//! Kernels before 6.8 read the zone of a dump or of a flush and ignore it. So the zone of every
//! entry that is listed is looked at here, and nothing is ever flushed: entries are deleted one by
//! one, each by its original direction, its zone and its number, so that nobody else's can be hit.
//!
//! Facts from the kernel's linux/netfilter/nfnetlink_conntrack.h and linux/netlink.h.

mod message;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use model::CtZone;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt::ReceiveTimeout,
};
use nix::sys::time::TimeVal;

use super::{Connection, Connections, Entries, Entry};
use message::{Message, Request};

/// How long the kernel may keep silent, in seconds. It answers at once.
const SILENCE: i64 = 10;
/// The kernel fills 32 KiB at most with one part of a dump.
const PART: usize = 64 * 1024;

/// Why the kernel did not do it.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetlinkError {
    /// The socket broke.
    #[error("the netlink socket fails")]
    Io(#[from] Errno),
    /// It refused.
    #[error("the kernel refuses")]
    Refused(#[source] io::Error),
    /// What it said is no message.
    #[error("the kernel's answer ends early")]
    Answer,
}

/// The connections of each zone, in the network namespace of this thread. Blocks.
pub(crate) fn list(
    zones: impl ExactSizeIterator<Item = CtZone> + Clone,
) -> Result<Entries, NetlinkError> {
    of_zones(zones, |connection| connection.entry)
}

/// The same with all that is known of them. Blocks.
pub(crate) fn connections(
    zones: impl ExactSizeIterator<Item = CtZone> + Clone,
) -> Result<Connections, NetlinkError> {
    of_zones(zones, |connection| connection)
}

/// What matters of the connections of each zone.
fn of_zones<T>(
    zones: impl ExactSizeIterator<Item = CtZone> + Clone,
    matters: impl Fn(Connection) -> T,
) -> Result<BTreeMap<CtZone, Vec<T>>, NetlinkError> {
    let only = if zones.len() == 1 { zones.clone().next() } else { None };
    let mut found: BTreeMap<_, _> = zones.map(|zone| (zone, Vec::new())).collect();
    each_of(only, |zone, connection| {
        if let Some(of_zone) = found.get_mut(&zone) {
            of_zone.push(matters(connection));
        }
    })?;
    Ok(found)
}

/// Takes every connection; of newer kernels only those of this zone.
fn each_of(only: Option<CtZone>, take: impl FnMut(CtZone, Connection)) -> Result<(), NetlinkError> {
    Socket::open()?.ask(|sequence| message::list(sequence, only), take)
}

/// Makes connections in a zone, in the network namespace of this thread; those that are there
/// already are no error, and stay as they are. Blocks.
pub(crate) fn insert(zone: CtZone, connections: &[Connection]) -> Result<(), NetlinkError> {
    let make = |sequence, connection: &Connection| message::insert(sequence, zone, connection);
    each(connections, Errno::EEXIST, make)
}

/// Deletes connections of a zone, in the network namespace of this thread; those that have gone
/// by themselves are no error. Blocks.
pub(crate) fn delete(zone: CtZone, entries: &[Entry]) -> Result<(), NetlinkError> {
    each(entries, Errno::ENOENT, |sequence, entry| message::delete(sequence, zone, entry))
}

/// Sets bits of the marks of connections of a zone, those that the mask has, in the network
/// namespace of this thread; those that have gone by themselves are no error. Blocks.
pub(crate) fn mark(
    zone: CtZone,
    entries: &[Entry],
    value: u32,
    mask: u32,
) -> Result<(), NetlinkError> {
    each(entries, Errno::ENOENT, |sequence, entry| {
        message::mark(sequence, zone, entry, value, mask)
    })
}

/// Asks for something for each item. One answer is no error.
fn each<T>(
    items: &[T],
    passed_over: Errno,
    request: impl Fn(u32, &T) -> Request,
) -> Result<(), NetlinkError> {
    let mut socket = Socket::open()?;
    for item in items {
        match socket.ask(|sequence| request(sequence, item), |_, _| {}) {
            Err(NetlinkError::Refused(error))
                if error.raw_os_error() == Some(passed_over as i32) => {}
            result => result?,
        }
    }
    Ok(())
}

struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    fn open() -> Result<Self, NetlinkError> {
        let protocol = SockProtocol::NetlinkNetFilter;
        let flags = SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        setsockopt(&fd, ReceiveTimeout, &TimeVal::new(SILENCE, 0))?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self { fd, sequence: 0 })
    }

    /// Sends a request and takes what comes of it until the kernel says that this was all.
    fn ask(
        &mut self,
        request: impl FnOnce(u32) -> Request,
        mut take: impl FnMut(CtZone, Connection),
    ) -> Result<(), NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let Request(bytes) = request(self.sequence);
        send(self.fd.as_raw_fd(), &bytes, MsgFlags::empty())?;
        let mut buffer = vec![0; PART];
        loop {
            let length = recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            while !rest.is_empty() {
                let (message, sequence, after) =
                    message::decode(rest).ok_or(NetlinkError::Answer)?;
                rest = after;
                if sequence != self.sequence {
                    continue;
                }
                match message {
                    Message::Connection(zone, connection) => take(zone, connection),
                    Message::Other => {}
                    Message::Done => return Ok(()),
                    Message::Refused(errno) => {
                        return Err(NetlinkError::Refused(io::Error::from_raw_os_error(errno)));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
