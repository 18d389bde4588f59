//! One interface of a bridge in the place of another: the same port number, and all that is configured.
//!
//! It is one transaction, and ovs-vswitchd carries it out in one go: it takes the old interface out of
//! the datapath and puts the new one in before it looks at anything else. So no flow has to change.
//!
//! What is copied is read as the database has it, every column but those that ovs-vswitchd writes, so
//! nothing is lost that this agent does not know. If somebody changes it meanwhile, all is read again.
//!
//! The new interface asks for the number of the old one. That wish is withdrawn when it has been
//! granted: after a restart of ovs-vswitchd it would take the number from whoever has it then. Until
//! then a note in `external_ids` says what the old interface had asked for, so that a swap back has it.

mod place;

use std::collections::BTreeMap;
use std::time::Duration;

use model::OfPort;
use ovsdb::{Client, ColumnError, OpResult, Replica, TransactError};
use peer::chain;
use tokio::time::timeout;

use self::place::Place;
use crate::device;
use crate::plugged::ofport;

/// How long ovs-vswitchd may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often everything is read again because somebody has changed it.
const ATTEMPTS: usize = 5;

/// Why an interface has not taken the place of another.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub(crate) enum SwapError {
    /// The database could not be asked, or refuses.
    #[error("cannot put {to} in the place of {from}")]
    Database {
        /// The interface that is there.
        from: String,
        /// The one that is to be there.
        to: String,
        /// Why not.
        #[source]
        source: Box<TransactError>,
    },
    /// What it says cannot be read.
    #[error("cannot read what the database says of {name}")]
    Row {
        /// The interface.
        name: String,
        /// What is wrong with it.
        #[source]
        source: ColumnError,
    },
    /// There is nothing to take the place of.
    #[error("bridge {bridge} has no port {name}")]
    Missing {
        /// The bridge.
        bridge: String,
        /// The interface that is not there.
        name: String,
    },
    /// The name is taken.
    #[error("there is a port {name} already; 'ovs-vsctl del-port {name}' removes it")]
    Taken {
        /// The name.
        name: String,
    },
    /// A port that cannot be carried over.
    #[error("port {name} has several interfaces, or one of another name")]
    Bond {
        /// The port.
        name: String,
    },
    /// An interface that cannot be carried over.
    #[error("interface {name} is no device of the system: its type is {kind}")]
    Kind {
        /// The interface.
        name: String,
        /// Its type.
        kind: String,
    },
    /// Others have changed it again and again.
    #[error("somebody changes the port of {name} again and again")]
    Restless {
        /// The interface.
        name: String,
    },
    /// It is in its place, and cannot be used.
    #[error("Open vSwitch cannot open {name}: {error}")]
    Unopened {
        /// The interface.
        name: String,
        /// Why not.
        error: String,
    },
    /// It is in its place in the database, and the switch has not followed.
    #[error("ovs-vswitchd has not taken {name} within {within:?}; is it running?")]
    Silent {
        /// The interface.
        name: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// Somebody has removed it since it was put there.
    #[error("somebody has removed port {name}")]
    Removed {
        /// The interface.
        name: String,
    },
}

/// An interface that is in the place of another.
#[must_use = "something is left to do"]
#[derive(Debug)]
pub(crate) struct Swapped {
    place: Place,
    to: String,
    number: OfPort,
}

/// An interface that is in the place of another in the database.
#[must_use = "the switch may not have followed"]
#[derive(Debug)]
pub(crate) struct Committed {
    place: Place,
    to: String,
    /// From which on the switch has.
    configuration: i64,
}

/// Puts interface `to` in the place of interface `from` of a bridge, with `notes` in its
/// `external_ids`, of which those without a value are removed, and waits until the switch has opened
/// it. Its packets pass then; what else is to do can wait for [`Swapped::settle`].
///
/// # Errors
/// After [`SwapError::Unopened`] and [`SwapError::Silent`] `to` is in the place of `from`, and a swap
/// the other way undoes it. After [`SwapError::Database`] it may be, if the connection is to blame.
/// After the others there is nothing to undo.
pub(crate) async fn swap(
    database: &Client,
    bridge: &str,
    from: &str,
    to: &str,
    notes: &BTreeMap<String, String>,
) -> Result<Swapped, SwapError> {
    commit(database, bridge, from, to, notes).await?.opened(database).await
}

/// The first half of [`swap`]: what is in the database.
///
/// # Errors
/// As those of [`swap`].
pub(crate) async fn commit(
    database: &Client,
    bridge: &str,
    from: &str,
    to: &str,
    notes: &BTreeMap<String, String>,
) -> Result<Committed, SwapError> {
    let refused = |error| {
        let source = Box::new(error);
        SwapError::Database { from: from.into(), to: to.into(), source }
    };
    for _ in 0..ATTEMPTS {
        let rows = database.transact(Place::question(bridge, from, to)).await.map_err(refused)?;
        let place = Place::parse(rows, bridge, from, to)?;
        match database.transact(place.swap(to, notes)).await {
            Err(TransactError::WaitFailed { .. }) => {}
            Err(source) => return Err(refused(source)),
            Ok(results) => {
                let configuration = configuration(&results);
                return Ok(Committed { place, to: to.into(), configuration });
            }
        }
    }
    Err(SwapError::Restless { name: from.into() })
}

impl Committed {
    /// The second half of [`swap`]: waits until the switch has followed.
    ///
    /// # Errors
    /// As those of [`swap`].
    pub(crate) async fn opened(self, database: &Client) -> Result<Swapped, SwapError> {
        let Self { place, to, configuration } = self;
        let number = opened(database, &to, configuration).await?;
        Ok(Swapped { place, to, number })
    }
}

impl Swapped {
    /// Its port number: that of the interface before, unless another one has taken it meanwhile.
    pub(crate) fn number(&self) -> OfPort {
        self.number
    }

    /// Withdraws the wish for the number, and takes the limits of the other interface from it, which
    /// Open vSwitch leaves there. What fails is logged; packets pass anyhow.
    pub(crate) async fn settle(self, database: &Client) {
        let Self { place, to, .. } = self;
        if let Some(withdrawal) = place.withdrawal(&to)
            && let Err(error) = database.transact(withdrawal).await
        {
            let error = chain(&error);
            tracing::warn!(interface = to, error, "it goes on asking for its port number");
        }
        let from = place.from();
        // With a device that has gone its limits have.
        let is_there = device::exists(from).await.unwrap_or(true);
        for parent in place.disciplines().into_iter().filter(|_| is_there) {
            if let Err(error) = device::run("tc", &["qdisc", "delete", "dev", from, parent]).await {
                tracing::warn!(interface = from, error = chain(&error), "it keeps its limit");
            }
        }
    }
}

/// Waits until ovs-vswitchd has carried out this configuration, and tells what became of an interface.
async fn opened(database: &Client, name: &str, configuration: i64) -> Result<OfPort, SwapError> {
    let look = |replica: &Replica| {
        let (_, switch) = replica.switch()?;
        let Some((_, interface)) = replica.interface(name) else {
            return Some(Err(SwapError::Removed { name: name.into() }));
        };
        if switch.cur_cfg < configuration {
            return None;
        }
        let unopened = |error: String| Err(SwapError::Unopened { name: name.into(), error });
        match (ofport(interface), &interface.error) {
            (Some(number), _) => Some(Ok(number)),
            (None, Some(error)) => Some(unopened(error.clone())),
            (None, None) => interface.ofport.map(|_| unopened("it does not say why".into())),
        }
    };
    let silent = |_| SwapError::Silent { name: name.into(), within: PATIENCE };
    timeout(PATIENCE, database.find(look)).await.map_err(silent)?
}

/// The configuration that the transaction has asked for.
fn configuration(results: &[OpResult]) -> i64 {
    let Some(OpResult::Selected(rows)) = results.last() else { return i64::MAX };
    rows.first().and_then(|row| row.get("next_cfg").ok()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
