//! How often nftables has changed, by which it is known that nobody but us has changed anything.
//!
//! Each transaction of `iptables-restore` in its nft form counts one, whoever makes it. The legacy
//! form and sets of addresses do not count.
//!
//! Facts from the kernel's linux/netfilter/nf_tables.h.

use std::os::fd::AsRawFd as _;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt::ReceiveTimeout,
};
use nix::sys::time::TimeVal;

use crate::netlink::{self, REQUEST, array, find};

/// Of subsystem nftables: what tells the generation, and what asks for it.
const NEW: u16 = (10 << 8) | 15;
const GET: u16 = (10 << 8) | 16;
const ID: u16 = 1;
/// Any family, version 0, and no resource.
const HEADER: [u8; 4] = [0; 4];
/// How long the kernel may keep silent, in seconds. It answers at once.
const SILENCE: i64 = 5;
const ANSWER: usize = 4096;

/// The number of a transaction. It starts anew behind the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation(u32);

impl Generation {
    /// The last one, in the network namespace of this thread; none where the kernel has no nftables.
    /// Blocks.
    pub(super) fn read() -> Option<Self> {
        let (protocol, flags) = (SockProtocol::NetlinkNetFilter, SockFlag::SOCK_CLOEXEC);
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol).ok()?;
        setsockopt(&fd, ReceiveTimeout, &TimeVal::new(SILENCE, 0)).ok()?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).ok()?;
        let request = netlink::encode(GET, REQUEST, 1, &HEADER, |_| {});
        send(fd.as_raw_fd(), &request, MsgFlags::empty()).ok()?;
        let mut buffer = vec![0; ANSWER];
        let length = recv(fd.as_raw_fd(), &mut buffer, MsgFlags::empty()).ok()?;
        Self::decode(buffer.get(..length)?)
    }

    /// The one that is so many later.
    pub(super) fn later(self, transactions: u32) -> Self {
        Self(self.0.wrapping_add(transactions))
    }

    fn decode(answer: &[u8]) -> Option<Self> {
        let (message, _) = netlink::decode(answer)?;
        let attributes = message.body.get(HEADER.len()..).filter(|_| message.kind == NEW)?;
        find(attributes, ID).and_then(array).map(u32::from_be_bytes).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::Stdio;

    use testkit::Namespace;

    use super::*;
    use crate::netlink::{NLMSG_ERROR, attribute};

    #[test]
    fn what_the_kernel_does_not_know_is_none() {
        let answer = netlink::encode(NEW, 0, 1, &HEADER, |out| {
            attribute(out, ID, |out| out.extend(u32::MAX.to_be_bytes()));
        });
        let last = Generation::decode(&answer).unwrap();
        assert_eq!((last, last.later(2)), (Generation(u32::MAX), Generation(1)));
        for cut in 0..answer.len() {
            assert_eq!(Generation::decode(&answer[..cut]), None);
        }
        let refused = netlink::encode(NLMSG_ERROR, 0, 1, &(-95_i32).to_ne_bytes(), |_| {});
        assert_eq!(Generation::decode(&refused), None);
    }

    #[test]
    fn a_transaction_of_each_table_counts_one_and_nothing_else_does() {
        let namespace = Namespace::create("generation").unwrap();
        let run = |program: &str, input: &str| {
            let mut command = namespace.command(program);
            command.arg("--noflush").stdin(Stdio::piped());
            let mut child = command.spawn().unwrap();
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            assert!(child.wait().unwrap().success());
        };
        let read = || namespace.inside(Generation::read).unwrap().unwrap();
        let mut before = read();
        assert_eq!(read(), before);
        let many: String = (1..2000).map(|n| format!("-A ours -p udp --dport {n}\n")).collect();
        for (input, transactions) in [
            ("*raw\n-A PREROUTING -j ACCEPT\nCOMMIT\n*filter\n:ours - [0:0]\nCOMMIT\n", 2),
            ("*filter\n-I FORWARD 1 -j ours\n-A ours -j DROP\nCOMMIT\n", 1),
            (&*format!("*filter\n{many}COMMIT\n"), 1),
            ("*filter\n-D ours 1\n-I ours 1 -j RETURN\nCOMMIT\n", 1),
            ("*filter\n-F FORWARD\n-F ours\n-X ours\nCOMMIT\n*raw\n-F PREROUTING\nCOMMIT\n", 2),
        ] {
            for program in ["iptables-nft-restore", "ip6tables-nft-restore"] {
                run(program, input);
                let after = read();
                assert_eq!(after, before.later(transactions), "{program}: {input:.200}");
                before = after;
            }
        }
        run("iptables-legacy-restore", "*filter\n-A FORWARD -j ACCEPT\nCOMMIT\n");
        assert_eq!(read(), before);
    }
}
