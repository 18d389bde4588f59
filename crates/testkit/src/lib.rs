//! Private Open vSwitches, the fabric between them, namespaces that play virtual machines, probes
//! and sniffers; private RabbitMQ brokers; and a private Neutron with everything that it needs.
//!
//! For tests against the real thing, many at once, and for `weir demo` and `weir bench`, which
//! need the same. Everything made here carries the process id of its maker in its name, dies with
//! its maker (also by SIGKILL) and is removed when its value is dropped (also after a panic);
//! [`remove_leftovers`] takes away what a killed maker could not.
//!
//! The kit knows nothing of Weir: no other crate of the workspace is used here. It needs root,
//! iproute2, util-linux, ethtool and the Open vSwitch programs, for a [`Broker`] rabbitmq-server, and
//! for a [`Neutron`] what `scripts/neutron` installs; the kernel module is not needed.
//!
//! ```no_run
//! # fn main() -> Result<(), testkit::Error> {
//! let switch = testkit::Switch::start()?;
//! switch.add_bridge("br0")?; // same name in every test: each switch has its own namespace
//! switch.ofctl(&["add-flow", "br0", "actions=NORMAL"])?;
//! # Ok(()) }
//! ```
//!
//! Each switch is a host of its own. A [`Fabric`] joins any number of them, by a trunk that
//! carries 802.1Q or by addresses for tunnels, and a [`Sniffer`] tells what passed an interface.

mod broker;
mod daemon;
mod echo;
mod error;
mod fabric;
pub mod frame;
mod guest;
mod icmp;
mod leftover;
mod namespace;
mod neutron;
mod packet_socket;
mod probe;
mod relay;
mod sniffer;
mod stream;
mod switch;
mod vm;
mod wait;
mod wire;

pub use broker::{Broker, BrokerOptions, BrokerTls};
pub use daemon::{Daemon, guarded};
pub use error::{Error, Result};
pub use fabric::{Fabric, Underlay};
pub use guest::Guest;
pub use ipnet::IpNet;
pub use leftover::{Token, made_by, remove_leftovers};
pub use namespace::Namespace;
pub use neutron::{AgentOptions, Neutron, NeutronAgent, NeutronOptions};
pub use probe::{Outcome, PATIENCE, Probe, Question, probe_all, probe_all_within};
pub use relay::{Carried, Relay, Toward};
pub use sniffer::{Sighting, Sniffer, Way};
pub use stream::{Delivery, Gap, Pace, Steady, Stream};
pub use switch::{Options, Switch};
pub use vm::{Nic, Vm};
pub use wait::{Ready, eventually};
pub use wire::Wire;
