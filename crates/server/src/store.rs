//! The store: one SQLite file, one writer at a time, any number of readers.
//!
//! A change is a [`Unit`]: all of it is written, or nothing, and agents hear of it only once it is
//! written, in the order of the writes. A unit that is dropped leaves no trace. Units run in tasks
//! of their own, so that a client that hangs up stops none half-way.

mod row;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use neutron::bus::Caster;
use neutron::object::{Object, ResourceType};
use neutron::rpc::{Cast, EventType};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::config::Config;
use crate::error::ApiError;

/// The name of the database in the state directory.
const FILE: &str = "weir.sqlite";
const READERS: u32 = 2;
/// How long a writer waits for another process that has the file.
const PATIENCE: Duration = Duration::from_secs(2);

/// The store. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    turn: Arc<Mutex<()>>,
    caster: Caster,
    config: Arc<Config>,
}

/// A change in the making.
#[derive(Debug)]
pub(crate) struct Unit {
    transaction: Transaction<'static, Sqlite>,
    /// With the host of the agent that is told; every agent if there is none.
    casts: Vec<(Option<String>, Cast)>,
    caster: Caster,
    config: Arc<Config>,
    /// Held until agents have been told, so that they hear of changes in their order.
    _turn: OwnedMutexGuard<()>,
}

/// A consistent view of everything as it was at one moment.
pub(crate) type View = Transaction<'static, Sqlite>;

impl Store {
    /// Opens the database, makes it if it is missing, and brings its schema up to date.
    pub(crate) async fn open(config: Arc<Config>, caster: Caster) -> Result<Self, sqlx::Error> {
        let file = config.state_dir.join(FILE);
        let writer = pool(&file, 1).await?;
        sqlx::migrate!().run(&writer).await?;
        // Reading has no configuration at hand.
        sqlx::query("UPDATE agents SET down_after = ?")
            .bind(config.limits.down_after())
            .execute(&writer)
            .await?;
        let readers = pool(&file, READERS).await?;
        Ok(Self { writer, readers, turn: Arc::default(), caster, config })
    }

    /// Begins a change, when it is its turn.
    pub(crate) async fn unit(&self) -> Result<Unit, ApiError> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let (caster, config) = (self.caster.clone(), Arc::clone(&self.config));
        Ok(Unit { transaction, casts: Vec::new(), caster, config, _turn: turn })
    }

    /// Looks at everything as it is now.
    pub(crate) async fn view(&self) -> Result<View, ApiError> {
        Ok(self.readers.begin().await?)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

impl Unit {
    /// The open transaction.
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Agents are to hear of these objects, all of one type, new or changed.
    pub(crate) fn updated(&mut self, objects: Vec<Object>) {
        self.cast(Cast::Push { event: EventType::Updated, objects });
    }

    /// Agents are to hear that this object has gone.
    pub(crate) fn deleted(&mut self, resource: ResourceType, id: &str) {
        let objects = vec![Object::deleted(resource, id)];
        self.cast(Cast::Push { event: EventType::Deleted, objects });
    }

    /// Every agent is to be told.
    pub(crate) fn cast(&mut self, cast: Cast) {
        self.casts.push((None, cast));
    }

    /// The agent of this host is to be told.
    pub(crate) fn cast_to(&mut self, host: &str, cast: Cast) {
        self.casts.push((Some(host.to_owned()), cast));
    }

    /// Writes it all, then tells the agents.
    pub(crate) async fn commit(self) -> Result<(), ApiError> {
        let Self { transaction, casts, caster, .. } = self;
        transaction.commit().await?;
        for (host, cast) in casts {
            match host {
                Some(host) => caster.cast_to(&host, cast),
                None => caster.cast(cast),
            }
        }
        Ok(())
    }
}

/// Values as the JSON array that `IN (SELECT value FROM json_each(?))` takes.
pub(crate) fn json_list<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    let values: Vec<_> = values.into_iter().collect();
    serde_json::Value::from(values).to_string()
}

async fn pool(file: &Path, connections: u32) -> Result<SqlitePool, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .busy_timeout(PATIENCE)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal);
    SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(connections)
        // A connection is tested when it is given back; a file does not go away meanwhile.
        .test_before_acquire(false)
        // SQLite ends a transaction by itself when the disk is full, for instance. sqlx then
        // loses count of it and could begin no other, so such a connection is given up.
        .before_acquire(|connection, _| {
            let usable = !connection.is_in_transaction();
            Box::pin(async move { Ok(usable) })
        })
        .acquire_timeout(2 * PATIENCE)
        .connect_with(options)
        .await
}
