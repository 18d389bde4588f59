//! What is desired of netfilter, in a real one: both forms of iptables, in namespaces of their own.
#![expect(clippy::unwrap_used, reason = "a test may panic, also in what its tests share")]

mod packets;
mod sample;
mod text;
mod tools;
