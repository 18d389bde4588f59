//! A client of the Open vSwitch database: RFC 7047 with the extensions of `ovsdb-server(7)`.
//!
//! A [`Client`] keeps one connection, and with it a [`Replica`] of the rows that describe the
//! switch. It reconnects by itself and resumes where it stopped; the replica is never seen half
//! filled. [`Transaction`]s change the database.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use ovsdb::{Client, Event, Options, Transaction};
//!
//! let remote = "unix:/run/openvswitch/db.sock".parse()?;
//! let (client, mut events) = Client::start(remote, Options::default());
//! while let Some(event) = events.next().await {
//!     if event == Event::Connected {
//!         break;
//!     }
//! }
//! for bridge in client.replica().bridges.values() {
//!     println!("{}", bridge.name);
//! }
//! client.transact(Transaction::new().add_bridge("br0", "netdev", Some("secure"))).await?;
//! # Ok(())
//! # }
//! ```
//!
//! From the wire inwards: `transport` (bytes), `framing` (texts), `message` (JSON-RPC), `session`
//! (one connection, without I/O), `client` (the task that owns the connection), and beside them
//! the data: `datum`, `row`, `schema`, `update`, `replica`, `operation`, `transaction`, `outcome`.
//! Only `transport` and `client` do I/O.

mod client;
mod datum;
mod framing;
mod message;
mod operation;
mod outcome;
mod remote;
mod replica;
mod row;
mod schema;
mod session;
mod transaction;
mod transport;
mod update;

pub use client::{Client, Event, Events, Options};
pub use datum::{Atom, Datum, DatumError, ParseRowIdError, Real, RowId};
pub use operation::{Condition, Function, Mutation, Mutator, Operation, Until};
pub use outcome::{OpResult, TransactError};
pub use remote::{ParseRemoteError, Remote, TlsFiles};
pub use replica::{Replica, ReplicaError};
pub use row::{AtomType, ColumnError, ColumnKind, ColumnType, Row};
pub use schema::{Bridge, Interface, OpenVswitch, Port, Qos, Queue, TableRow};
pub use transaction::{RowOr, Transaction};
pub use update::{RowChange, Update, UpdateError};
