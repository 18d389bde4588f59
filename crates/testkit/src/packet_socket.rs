//! A packet socket (packet(7)) that hears one interface.
//!
//! The kernel lets such a socket hear every interface of its namespace until it is bound to one,
//! and what has come by then stays in its queue. So each frame is asked where it was heard.

use std::{io, os::fd::AsRawFd as _, time::Duration};

use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    sys::socket::{LinkAddr, bind, recvfrom, setsockopt, sockopt::RcvBufForce},
};
use socket2::{Domain, Protocol, Socket, Type};

/// No frame is longer.
pub(crate) const LONGEST: usize = 1 << 16;
/// Every protocol, in network order as the kernel wants it.
const EVERY_PROTOCOL: i32 = 0x0003_u16.to_be() as i32;
/// What may wait to be heard, in bytes.
const BUFFER: usize = 8 << 20;
/// `PACKET_OUTGOING` of packet(7).
const OUTGOING: u8 = 4;

/// A packet socket on an interface.
#[derive(Debug)]
pub(crate) struct PacketSocket {
    socket: Socket,
    /// The interface's number.
    index: usize,
}

/// A frame that was heard.
pub(crate) struct Heard {
    pub(crate) length: usize,
    /// It left by the interface.
    pub(crate) outgoing: bool,
}

impl PacketSocket {
    /// Opens one on an interface of the namespace that the calling thread is in.
    pub(crate) fn open(device: &str) -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(EVERY_PROTOCOL)))?;
        setsockopt(&socket, RcvBufForce, &BUFFER)?;
        let link = getifaddrs()?
            .filter(|interface| interface.interface_name == device)
            .find_map(|interface| interface.address?.as_link_addr().copied())
            .ok_or(Errno::ENODEV)?;
        bind(socket.as_raw_fd(), &link)?;
        // One that is down now is heard once it is up.
        socket.take_error()?;
        Ok(Self { socket, index: link.ifindex() })
    }

    /// How long [`PacketSocket::hear`] waits.
    pub(crate) fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(Some(patience))
    }

    /// From now on [`PacketSocket::hear`] waits for nothing.
    pub(crate) fn stop_waiting(&self) -> io::Result<()> {
        self.socket.set_nonblocking(true)
    }

    /// Sends a frame by the interface.
    pub(crate) fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.send(frame).map(drop)
    }

    /// The next frame that passes the interface. Nothing is an error that
    /// would block.
    pub(crate) fn hear(&self, buffer: &mut [u8]) -> io::Result<Heard> {
        loop {
            let (length, from) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), buffer)?;
            if let Some(from) = from
                && from.ifindex() == self.index
            {
                return Ok(Heard { length, outgoing: from.pkttype() == OUTGOING });
            }
        }
    }
}
