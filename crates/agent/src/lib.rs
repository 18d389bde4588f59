//! One node: inventory -> plan -> execute.
//!
//! ```text
//!       OVSDB replica ─┐                         ┌─> OVSDB transaction (tags, patch ports)
//! bus (ports, groups) ─┼─> inventory ──> plan ───┼─> OpenFlow bundle for each bridge
//!     installed flows ─┘                (pure)   └─> device up and down on the bus
//! ```
//!
//! [`inventory`] holds what is, [`plan`] decides what to do as a function of it, and the event
//! loop does it and feeds the results back. Nothing here names a table, a register or a cookie
//! bit (that is `dataplane`), or a field of Neutron's (that is `neutron`).

pub mod admin;
pub mod bridge;
pub mod bridged;
mod cache;
mod clock;
mod config;
mod conntrack;
mod control;
pub mod device;
mod event;
mod firewall;
#[cfg(test)]
mod fixture;
pub mod foreign;
mod identity;
pub mod inventory;
pub mod journal;
pub mod links;
mod linux_bridge;
pub mod meter;
pub mod netfilter;
mod netlink;
mod node;
pub mod overlay;
pub mod path;
pub mod plan;
pub mod plugged;
mod probe;
pub mod rewire;
pub mod show;
pub mod status;
mod switch;
mod thread;
pub mod trace;
pub mod trunks;
pub mod tunnel;
pub mod verify;
pub mod vlan;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use neutron::bus::AgentEnd;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

pub use cache::{Binding, Cache, KnownPort, Query, Question};
pub use config::{Config, Extensions, Forwarding};
pub use dataplane::{PermittedError, PermittedEtherType};
pub use firewall::{Firewall, FirewallError};
pub use identity::Identity;
pub use linux_bridge::{LinuxBridge, LinuxBridgeError};
pub use probe::{ParseStateError, State};
pub use tunnel::{Dscp, TunnelConfig};

use crate::node::Node;
use crate::thread::AgentThread;

/// How many events may wait.
const EVENTS: usize = 1024;

/// A running agent. Dropping it stops it; the data plane stays as it is.
#[derive(Debug)]
pub struct Agent {
    stop: oneshot::Sender<()>,
    node: JoinHandle<()>,
    tasks: JoinSet<()>,
    thread: AgentThread,
    socket: PathBuf,
}

/// An agent that could not start.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The admin socket could not be made.
    #[error("cannot listen on {socket}")]
    AdminSocket {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The thread of the agent could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

impl Agent {
    /// Starts an agent in a thread of its own, in the network namespace of the caller's thread. It
    /// waits by itself for what is not there yet: the database, the bridge, the server.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub fn start(config: Config, bus: AgentEnd) -> Result<Self, StartError> {
        let thread = AgentThread::start().map_err(StartError::Thread)?;
        // What is spawned from here on is spawned there.
        let entered = thread.handle().enter();
        let listener = admin::bind(&config.admin_socket).map_err(|source| {
            StartError::AdminSocket { socket: config.admin_socket.clone(), source }
        })?;
        let socket = config.admin_socket.clone();
        let config = Arc::new(config);
        let (events, queue) = mpsc::channel(EVENTS);
        let (database, changes) =
            ovsdb::Client::start(config.ovsdb.clone(), ovsdb::Options::default());
        let (caller, casts) = bus.split();

        let mut tasks = JoinSet::new();
        tasks.spawn(node::database(changes, events.clone()));
        tasks.spawn(node::casts(casts, events.clone()));
        tasks.spawn(path::watch(events.clone()));
        let node = Node::new(Arc::clone(&config), events.clone(), database, caller);
        for (bridge, name, again) in node.bridges() {
            let socket = config.management_socket(name);
            let drop_flows = config.drop_flows_on_start;
            tasks.spawn(switch::keep(bridge, socket, drop_flows, again, events.clone()));
        }
        tasks.spawn(admin::serve(listener, config, events));
        let (stop, stopped) = oneshot::channel();
        let node = tokio::spawn(node.run(queue, stopped));
        drop(entered);
        Ok(Self { stop, node, tasks, thread, socket })
    }

    /// Stops the agent, waits until it has let go of its sockets, and removes the admin socket: a
    /// process that was just forked may hold it open a moment longer, and would look like an
    /// agent to the next one. The data plane stays as it is.
    ///
    /// At most it waits for one plan, not for what is in the queue, and for no peer, unless a machine is
    /// being plugged in anew: that takes milliseconds, and 15 s where the switch does not answer.
    pub async fn stop(mut self) {
        // Where the loop has ended already, there is nothing to stop.
        let _ = self.stop.send(());
        let _ = self.node.await;
        self.tasks.shutdown().await;
        self.thread.stop().await;
        if let Err(error) = std::fs::remove_file(&self.socket) {
            tracing::debug!(%error, "the admin socket is gone already");
        }
    }
}
