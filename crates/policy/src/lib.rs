//! Security groups to canonical policies, the reference verdict, and the proof that both are equal.
//!
//! What a port may receive and send is defined by [`allows`]: slow and obviously right. What is
//! put into a switch is a [`Policy`], made by [`compile()`]: few terms, the same whatever the order
//! of the rules. [`check()`] compares the two on every packet that rules or terms can tell apart,
//! so equality is proved for that policy and not sampled. [`Classes`] number the remote addresses
//! by the groups they belong to, so that terms need not list members, and follow these as they come
//! and go.
//!
//! Nothing here does I/O, reads a clock, draws randomness or panics, and nothing here knows
//! OpenFlow or iptables: both drivers lower the same terms.
//!
//! ```
//! use std::collections::BTreeSet;
//!
//! use model::*;
//!
//! let rule = |low, high, remote| {
//!     let protocol = IpProtocol::TCP;
//!     let transport = Transport::Ports { protocol, range: PortRange::new(low, high)? };
//!     let id = SecurityGroupRuleId::random();
//!     SecurityGroupRule::new(id, Direction::Ingress, EtherType::Ipv4, transport, remote)
//! };
//! let web = Remote::Prefix("10.0.0.0/8".parse()?);
//! let rules = [rule(80, 81, Remote::Any)?, rule(82, 83, Remote::Any)?, rule(80, 80, web)?];
//! let group = SecurityGroup {
//!     id: SecurityGroupId::random(),
//!     rules: BTreeSet::from(rules),
//!     stateful: true,
//! };
//!
//! let policy = policy::compile([&group], Direction::Ingress);
//! assert_eq!(policy.to_string(), "IPv4 anybody tcp 80/0xfffc\n");
//!
//! let nobody = policy::Members::default();
//! policy::check([&group], &nobody, Direction::Ingress, &policy)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod class;
mod compile;
mod cover;
mod demand;
mod halves;
mod member;
mod number;
mod packet;
mod range_set;
mod refusal;
#[cfg(test)]
mod sample;
mod shared_set;
mod space;
mod term;
mod verdict;

pub use check::{Counterexample, atoms, check};
pub use class::{Bit, Bits, ClassChanges, ClassEntry, ClassId, Classes, Selector};
pub use compile::compile;
pub use demand::Demand;
pub use member::{Member, Members, RemoteSet};
pub use number::{PolicyId, policy_ids};
pub use packet::{L4, Packet};
pub use refusal::Refusal;
pub use shared_set::SharedSet;
pub use term::{Policy, Term, TermMatch};
pub use verdict::{allows, are_stateless};
