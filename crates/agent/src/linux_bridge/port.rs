//! Which bridge a device is a port of, asked and said by rtnetlink, in the network namespace of this
//! thread. While a machine moves, its packets wait for this, and to start a program would take longer
//! than all the rest.

use std::io;

use nix::sys::socket::SockProtocol;

use crate::netlink::route::{self, GET, HEADER, MASTER, NAME, NEW, SET};
use crate::netlink::{self, ACK, Listener, Message, NLMSG_ERROR, REQUEST, attribute};

/// A network device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Device {
    /// Its index, which is not 0.
    pub(super) index: u32,
    /// The index of the device that it is a port of.
    pub(super) master: Option<u32>,
}

/// A socket to ask the kernel by.
#[derive(Debug)]
pub(super) struct Rtnetlink {
    listener: Listener,
    sequence: u32,
}

impl Rtnetlink {
    /// # Errors
    /// The system has no more sockets.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { listener: Listener::open(SockProtocol::NetlinkRoute, 0)?, sequence: 0 })
    }

    /// The device of that name.
    ///
    /// # Errors
    /// There is none, or the kernel cannot be asked.
    pub(super) async fn device(&mut self, name: &str) -> io::Result<Device> {
        let found = self.ask(GET, 0, |out| {
            attribute(out, NAME, |out| out.extend([name.as_bytes(), &[0]].concat()));
            route::without_counters(out);
        });
        found.await?.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Makes a device a port of another one, or of none.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) async fn set_master(&mut self, index: u32, master: Option<u32>) -> io::Result<()> {
        let master = master.unwrap_or_default();
        let write = |out: &mut Vec<u8>| {
            attribute(out, MASTER, |out| out.extend(master.to_ne_bytes()));
        };
        self.ask(SET, index, write).await.map(drop)
    }

    /// Sends a request and waits until the kernel has done it. Gives the device that it tells of.
    async fn ask(
        &mut self,
        kind: u16,
        index: u32,
        attributes: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<Option<Device>> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let mut header = [0; HEADER];
        if let Some(place) = header.get_mut(4..8) {
            place.copy_from_slice(&index.to_ne_bytes());
        }
        let request = netlink::encode(kind, REQUEST | ACK, sequence, &header, attributes);
        self.listener.ask(&request).await?;
        let (mut device, mut done) = (None, None);
        loop {
            let take = |message: Message<'_>| match message.kind {
                _ if message.sequence != sequence => {}
                NEW => device = Device::read(message.body),
                NLMSG_ERROR => done = message.body.first_chunk().copied().map(i32::from_ne_bytes),
                _ => {}
            };
            let is_whole = self.listener.listen(take).await?;
            match done {
                Some(0) => return Ok(device),
                Some(error) => return Err(io::Error::from_raw_os_error(error.saturating_neg())),
                None if is_whole => {}
                None => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }
}

impl Device {
    fn read(body: &[u8]) -> Option<Self> {
        let (_, index, attributes) = route::device(body)?;
        Some(Self { index, master: route::master(attributes) })
    }
}
