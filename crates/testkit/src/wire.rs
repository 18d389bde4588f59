//! A machine without a network stack of its own: it sends and hears frames, byte by byte.

use std::{
    io::{self, Read as _},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    sys::socket::{bind, setsockopt, sockopt::RcvBufForce},
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{Error, Namespace, Nic, Result, Switch, Vm};

/// Every protocol, in network order as the kernel wants it.
const EVERY_PROTOCOL: i32 = 0x0003_u16.to_be() as i32;
/// What may wait to be heard, in bytes.
const BUFFER: usize = 8 << 20;
/// No frame is longer.
const LONGEST: usize = 1 << 16;

/// A network namespace with one interface and a packet socket on it. Its kernel has no address
/// there, sends nothing and answers nothing.
///
/// A VLAN tag of a frame is sent as it is written, but not heard: the kernel takes it off before
/// sockets see the frame.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    vm: Vm,
}

impl Wire {
    /// As [`Vm::cabled`]: the other end is called `port` and waits in the switch's namespace.
    ///
    /// # Errors
    /// As [`Vm::cabled`], or when the socket cannot be opened.
    pub fn cabled(switch: &Switch, port: &str, mac: &str) -> Result<Self> {
        let nic = Nic { mac: Some(mac.to_owned()), ..Nic::default() };
        let namespace = Namespace::create(port)?;
        namespace.write_sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        let vm = Vm::cabled_in(namespace, switch, port, &nic)?;
        let socket = vm.namespace().inside(|| open(vm.device()))?;
        let socket = socket.map_err(|source| error("open a packet socket", &vm, source))?;
        Ok(Self { socket, vm })
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// When the interface does not take it.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let sent = self.socket.send(frame);
        sent.map(drop).map_err(|source| error("send a frame", &self.vm, source))
    }

    /// The next frame that came in, waiting for it until the deadline at most.
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn hear(&self, deadline: Instant) -> Result<Option<Vec<u8>>> {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut frame = vec![0; LONGEST];
        let heard = self
            .socket
            .set_read_timeout(Some(left.max(Duration::from_millis(1))))
            .and_then(|()| (&self.socket).read(&mut frame));
        match heard {
            Ok(length) => {
                frame.truncate(length);
                Ok(Some(frame))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(source) => Err(error("hear frames", &self.vm, source)),
        }
    }
}

/// A packet socket on an interface of the namespace that the calling thread is in.
pub(crate) fn open(device: &str) -> io::Result<Socket> {
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(EVERY_PROTOCOL)))?;
    setsockopt(&socket, RcvBufForce, &BUFFER)?;
    let link = getifaddrs()?
        .filter(|interface| interface.interface_name == device)
        .find_map(|interface| interface.address?.as_link_addr().copied())
        .ok_or(Errno::ENODEV)?;
    bind(socket.as_raw_fd(), &link)?;
    // Until now it has heard every interface of the namespace.
    socket.set_nonblocking(true)?;
    loop {
        match (&socket).read(&mut [0; 1]) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NetworkDown => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    socket.set_nonblocking(false)?;
    Ok(socket)
}

fn error(action: &str, vm: &Vm, source: io::Error) -> Error {
    Error::Socket { action: action.to_owned(), name: vm.namespace().name().to_owned(), source }
}
