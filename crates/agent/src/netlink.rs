//! What all netlink messages have in common, and what the kernel tells of by itself.
//!
//! Headers are in the byte order of the machine. What a message means is for whoever asked for it.
//! Facts from the kernel's linux/netlink.h.

pub(crate) mod route;

use std::io;
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket,
};
use tokio::net::UnixDatagram;

/// The kernel gives no more than 32 KiB at once.
const PART: usize = 64 * 1024;
const HEADER: usize = 16;
const ALIGN: usize = 4;
/// Flags that come with the type of an attribute.
const TYPE_MASK: u16 = 0x3fff;

/// The kernel refuses, or acknowledges with the number 0.
pub(crate) const NLMSG_ERROR: u16 = 2;
/// A dump is complete.
pub(crate) const NLMSG_DONE: u16 = 3;
/// Flags of a message: it asks for something.
pub(crate) const REQUEST: u16 = 1;
/// It asks for an answer that says that it was done.
pub(crate) const ACK: u16 = 4;
/// It asks for all that there is.
pub(crate) const DUMP: u16 = 0x300;
/// It is of a dump during which something has changed.
pub(crate) const DUMP_INTERRUPTED: u16 = 0x10;

/// A message of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// Its type.
    pub(crate) kind: u16,
    /// Its flags.
    pub(crate) flags: u16,
    /// The number of the request that it answers; 0 where nobody asked.
    pub(crate) sequence: u32,
    /// What follows the header.
    pub(crate) body: &'a [u8],
}

/// The first message, and what follows it; nothing where it is not whole.
pub(crate) fn decode(bytes: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
    let message = bytes.get(..length)?;
    let rest = bytes.get(length.next_multiple_of(ALIGN)..).unwrap_or_default();
    let (header, body) = message.split_at_checked(HEADER)?;
    let kind = u16::from_ne_bytes(array(header.get(4..6)?)?);
    let flags = u16::from_ne_bytes(array(header.get(6..8)?)?);
    let sequence = u32::from_ne_bytes(array(header.get(8..12)?)?);
    Some((Message { kind, flags, sequence, body }, rest))
}

/// A message for the kernel, with this header of its family.
pub(crate) fn encode(
    kind: u16,
    flags: u16,
    sequence: u32,
    family_header: &[u8],
    attributes: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend(kind.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend([0; 4]);
    out.extend(family_header);
    attributes(&mut out);
    let length = u32::try_from(out.len()).unwrap_or(u32::MAX);
    if let Some(place) = out.first_chunk_mut() {
        *place = length.to_ne_bytes();
    }
    out
}

/// Appends an attribute, whose value may be attributes.
pub(crate) fn attribute(out: &mut Vec<u8>, kind: u16, value: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 2]);
    out.extend(kind.to_ne_bytes());
    value(out);
    let length = u16::try_from(out.len() - start).unwrap_or(u16::MAX);
    if let Some(place) = out.get_mut(start..start + 2) {
        place.copy_from_slice(&length.to_ne_bytes());
    }
    out.resize(out.len().next_multiple_of(ALIGN), 0);
}

/// The value of an attribute.
pub(crate) fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(*attributes.first_chunk()?));
        let attribute = attributes.get(..length)?;
        let (header, value) = attribute.split_at_checked(4)?;
        if u16::from_ne_bytes(array(header.get(2..4)?)?) & TYPE_MASK == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(ALIGN)..)?;
    }
}

/// All of the bytes, if they are so many.
pub(crate) fn array<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// A socket of the network namespace that its maker's thread is in. It listens to multicast groups.
///
/// Tokio has no type for netlink. All sockets of datagrams are read and written alike.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: UnixDatagram,
    buffer: Vec<u8>,
}

impl Listener {
    /// Listens to these groups, a bit each.
    ///
    /// # Errors
    /// The kernel does not have the family, or lets only others listen.
    pub(crate) fn open(protocol: SockProtocol, groups: u32) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        let socket = UnixDatagram::from_std(fd.into())?;
        Ok(Self { socket, buffer: vec![0; PART] })
    }

    /// Sends a request; what comes of it comes among the messages.
    ///
    /// # Errors
    /// The kernel does not take it.
    pub(crate) async fn ask(&self, request: &[u8]) -> io::Result<()> {
        self.socket.send(request).await.map(drop)
    }

    /// Waits for messages, and hands over all that have come. Tells whether none was lost before them.
    ///
    /// # Errors
    /// The socket broke.
    pub(crate) async fn listen(&mut self, mut take: impl FnMut(Message<'_>)) -> io::Result<bool> {
        let mut received = self.socket.recv(&mut self.buffer).await;
        loop {
            let length = match received {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {
                    return Ok(false);
                }
                Err(error) => return Err(error),
            };
            let mut rest = self.buffer.get(..length).unwrap_or_default();
            while let Some((message, after)) = decode(rest) {
                take(message);
                rest = after;
            }
            received = self.socket.try_recv(&mut self.buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let nested = |out: &mut Vec<u8>| attribute(out, 2 | 0x8000, |out| out.extend(*b"veth\0"));
        let bytes = encode(16, REQUEST | ACK, 7, &[1, 2, 3, 4], |out| {
            attribute(out, 3, |out| out.extend(*b"qbr1\0"));
            attribute(out, 18, nested);
        });
        let twice = [&*bytes, &bytes].concat();
        let (message, rest) = decode(&twice).unwrap();
        assert_eq!(rest, bytes);
        assert_eq!((message.kind, message.flags, message.sequence), (16, REQUEST | ACK, 7));
        let attributes = &message.body[4..];
        assert_eq!(find(attributes, 3), Some(&b"qbr1\0"[..]));
        assert_eq!(find(find(attributes, 18).unwrap(), 2), Some(&b"veth\0"[..]));
        assert_eq!(find(attributes, 4), None);
    }

    #[test]
    fn what_is_cut_off_is_no_message() {
        let bytes = encode(16, REQUEST, 7, &[], |out| attribute(out, 3, |out| out.extend([9; 5])));
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "{length}");
            let _ = find(&bytes[..length], 3);
        }
        assert!(decode(&[0; 32]).is_none(), "a message is not shorter than its header");
    }
}
