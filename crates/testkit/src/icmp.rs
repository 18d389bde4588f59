//! Echo requests and replies of ICMP (RFC 792) and ICMPv6 (RFC 4443 § 4), through a raw socket.

use std::{
    io::{self, Read as _},
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::probe::{REPEAT, is_early};

/// Asks one address, and knows its own replies by the identifier.
#[derive(Debug)]
pub(crate) struct Pinger {
    socket: Socket,
    to: IpAddr,
    id: u16,
}

impl Pinger {
    /// In the network namespace of the thread.
    pub(crate) fn open(to: IpAddr) -> io::Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let (domain, protocol) = match to {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
        socket.connect(&SocketAddr::new(to, 0).into())?;
        Ok(Self { socket, to, id })
    }

    /// Sends a request with this number.
    pub(crate) fn send(&self, number: u64) -> io::Result<()> {
        self.socket.send(&request(self.to, self.id, number)).map(drop)
    }

    /// Waits for a packet, and gives the number of the request if it is a reply to one of these.
    pub(crate) fn receive(&mut self, timeout: Duration) -> io::Result<Option<u64>> {
        self.socket.set_read_timeout(Some(timeout.max(Duration::from_millis(1))))?;
        let mut packet = [0; 2048];
        let length = self.socket.read(&mut packet)?;
        Ok(replied(self.to, packet.get(..length).unwrap_or(&[]), self.id))
    }
}

/// Whether a reply came within the timeout.
pub(crate) fn ping(to: IpAddr, timeout: Duration) -> io::Result<bool> {
    let mut pinger = Pinger::open(to)?;
    let deadline = Instant::now() + timeout;
    let mut repeat = Instant::now();
    loop {
        let now = Instant::now();
        if now >= deadline {
            return Ok(false);
        }
        if now >= repeat {
            pinger.send(0)?;
            repeat = now + REPEAT;
        }
        let wait = repeat.min(deadline).saturating_duration_since(now);
        match pinger.receive(wait) {
            Ok(Some(_)) => return Ok(true),
            Ok(None) => {}
            Err(error) if is_early(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn request(to: IpAddr, id: u16, number: u64) -> Vec<u8> {
    let kind = if to.is_ipv4() { 8 } else { 128 };
    let [high, low] = id.to_be_bytes();
    let mut message = vec![kind, 0, 0, 0, high, low, 0, 1];
    message.extend_from_slice(&number.to_be_bytes());
    if to.is_ipv4() {
        // For ICMPv6 the kernel does it, because the sum covers the IP addresses.
        let sum = checksum(&message).to_be_bytes();
        message.splice(2..4, sum);
    }
    message
}

/// The number of the request that the packet replies to.
fn replied(from: IpAddr, packet: &[u8], id: u16) -> Option<u64> {
    // A raw IPv4 socket gets the IP header too, an IPv6 one does not.
    let (header, kind) = match (from, packet.first()) {
        (IpAddr::V4(_), Some(first)) => (usize::from(first & 0x0f) * 4, 0),
        _ => (0, 129),
    };
    match packet.get(header..) {
        Some([found, 0, _, _, high, low, _, _, payload @ ..])
            if *found == kind && [*high, *low] == id.to_be_bytes() =>
        {
            payload.try_into().ok().map(u64::from_be_bytes)
        }
        _ => None,
    }
}

/// The Internet checksum (RFC 1071).
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let sum = bytes.chunks(2).fold(0u32, |sum, pair| match *pair {
        [high, low] => sum + u32::from(u16::from_be_bytes([high, low])),
        [high] => sum + u32::from(u16::from_be_bytes([high, 0])),
        _ => sum,
    });
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_sums_to_zero_and_is_no_reply() {
        let v4 = IpAddr::from([192, 0, 2, 1]);
        let request = request(v4, 0xabcd, 7);
        assert_eq!(checksum(&request), 0);
        let header = [&[0x45; 1][..], &[0; 19]].concat();
        let mut packet = [header, request].concat();
        assert_eq!(replied(v4, &packet, 0xabcd), None);
        packet[20] = 0;
        assert_eq!(replied(v4, &packet, 0xabcd), Some(7));
        assert_eq!(replied(v4, &packet, 0xabce), None);
        for length in 0..packet.len() {
            assert_eq!(replied(v4, &packet[..length], 0xabcd), None, "cut at {length}");
        }
    }
}
