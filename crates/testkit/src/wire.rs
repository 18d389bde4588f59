//! A machine without a network stack of its own: it sends and hears frames, byte by byte.

use std::{
    io,
    time::{Duration, Instant},
};

use crate::{
    Error, Namespace, Nic, Result, Switch, Vm,
    packet_socket::{LONGEST, PacketSocket},
};

/// A network namespace with one interface and a packet socket on it. Its kernel has no address
/// there, sends nothing and answers nothing.
///
/// A VLAN tag of a frame is sent as it is written, but not heard: the kernel takes it off before
/// sockets see the frame.
#[derive(Debug)]
pub struct Wire {
    socket: PacketSocket,
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
        let socket = vm.namespace().inside(|| PacketSocket::open(vm.device()))?;
        let socket = socket.map_err(|source| error("open a packet socket", &vm, source))?;
        Ok(Self { socket, vm })
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// When the interface does not take it.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let sent = self.socket.send(frame);
        sent.map_err(|source| error("send a frame", &self.vm, source))
    }

    /// The next frame that came in, waiting for it until the deadline at most.
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn hear(&self, deadline: Instant) -> Result<Option<Vec<u8>>> {
        let mut frame = vec![0; LONGEST];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let heard = self
                .socket
                .set_patience(left.max(Duration::from_millis(1)))
                .and_then(|()| self.socket.hear(&mut frame));
            match heard {
                Ok(heard) => {
                    frame.truncate(heard.length);
                    return Ok(Some(frame));
                }
                // The end of a child of this process, say.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(source) => return Err(error("hear frames", &self.vm, source)),
            }
        }
    }
}

fn error(action: &str, vm: &Vm, source: io::Error) -> Error {
    Error::Socket { action: action.to_owned(), name: vm.namespace().name().to_owned(), source }
}
