//! What takes the place of Neutron's agent: its files, and what an agent is told because of them.
//!
//! [`service`] are its arguments, [`reading`] is what its files say, [`host`] what is known of the
//! host, [`node`] what the agent is told, [`firewall`] who filters where no file says, [`placement`] what
//! the server hears of resources, [`bus`] how the broker is reached, and [`run`] the agent that runs.

pub(crate) mod bus;
pub(crate) mod firewall;
pub(crate) mod host;
pub(crate) mod node;
mod placement;
pub(crate) mod reading;
pub(crate) mod run;
pub(crate) mod service;

/// The names under which a service looks for its files: the project, and the program.
pub(crate) const SERVICE: [&str; 2] = ["neutron", PROGRAM];
/// The program whose place is taken.
pub(crate) const PROGRAM: &str = "neutron-openvswitch-agent";
