//! A private `ovsdb-server`, and what tests need to talk to it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ovsdb::{Client, Event, Events, Options, Remote, Replica, Row, RowId, Transaction};
use tokio::time::timeout;

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// How long anything may take on a busy machine before a test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// An `ovsdb-server` with a database `Open_vSwitch` in a directory of its own. Dropping it ends
/// the process and removes the directory.
pub(crate) struct Server {
    pub(crate) dir: PathBuf,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl Server {
    /// A running server with the real schema and one empty switch.
    pub(crate) async fn start() -> Self {
        Self::start_with(Database::Standalone, &[]).await
    }

    /// The same with another kind of database or more arguments.
    pub(crate) async fn start_with(database: Database, arguments: &[String]) -> Self {
        let dir = std::env::temp_dir().join(format!("ovsdb-test-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&dir).unwrap();
        let mut tool = Command::new("ovsdb-tool");
        match database {
            Database::Standalone => tool.arg("create").arg(dir.join("db")).arg(SCHEMA),
            Database::Clustered => {
                let address = format!("unix:{}", dir.join("raft").display());
                tool.arg("create-cluster").arg(dir.join("db")).arg(SCHEMA).arg(address)
            }
        };
        assert!(tool.stderr(Stdio::null()).status().unwrap().success());
        let mut server = Self { dir, arguments: arguments.to_vec(), process: None };
        server.resume();
        let (client, mut events) = server.client(server.remote());
        connected(&mut events).await;
        client.transact(Transaction::new().insert("Open_vSwitch", None, Row::new())).await.unwrap();
        server
    }

    /// Starts the process again on the database as it is.
    pub(crate) fn resume(&mut self) {
        let process = Command::new("ovsdb-server")
            .arg(format!("--remote={}", self.remote_argument()))
            .arg(format!("--unixctl={}", self.dir.join("ctl").display()))
            .arg("-vconsole:info")
            .args(&self.arguments)
            .arg(self.dir.join("db"))
            .stderr(File::create(self.dir.join("log")).unwrap())
            .spawn()
            .unwrap();
        self.process = Some(process);
    }

    /// Kills the process as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("db.sock")
    }

    pub(crate) fn remote(&self) -> Remote {
        Remote::Unix(self.socket())
    }

    /// The TCP port that the server chose for its `ptcp:0` or `pssl:0`, from its log.
    pub(crate) fn tcp_port(&self) -> u16 {
        let log = fs::read_to_string(self.dir.join("log")).unwrap();
        let (_, port) = log.split_once("listening on port ").expect("the server names its port");
        port.lines().next().unwrap().parse().unwrap()
    }

    /// A client for `remote` that gives up quickly.
    pub(crate) fn client(&self, remote: Remote) -> (Client, Events) {
        Client::start(remote, Options { transact_deadline: LIMIT, ..Options::default() })
    }

    /// A client that is connected.
    pub(crate) async fn connect(&self) -> (Client, Events) {
        let (client, mut events) = self.client(self.remote());
        connected(&mut events).await;
        (client, events)
    }

    fn remote_argument(&self) -> String {
        format!("punix:{}", self.socket().display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let removed = fs::remove_dir_all(&self.dir);
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

/// The kinds of database. Only a clustered one remembers transactions to resume from.
pub(crate) enum Database {
    Standalone,
    Clustered,
}

/// Waits until the client is connected.
pub(crate) async fn connected(events: &mut Events) {
    event(events, |event| *event == Event::Connected).await;
}

/// Waits until the client is disconnected and returns the reason.
pub(crate) async fn disconnected(events: &mut Events) -> String {
    match event(events, |event| matches!(event, Event::Disconnected { .. })).await {
        Event::Disconnected { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

/// Waits for an event and skips those before it.
async fn event(events: &mut Events, wanted: impl Fn(&Event) -> bool) -> Event {
    let search = async {
        loop {
            let event = events.next().await.expect("the client is there");
            if wanted(&event) {
                return event;
            }
        }
    };
    timeout(LIMIT, search).await.expect("the event comes")
}

/// Waits until the replica meets the condition; looks again only when an event says that
/// something changed.
pub(crate) async fn until(
    client: &Client,
    events: &mut Events,
    condition: impl Fn(&Replica) -> bool,
) {
    let search = async {
        while !condition(&client.replica()) {
            events.next().await.expect("the client is there");
        }
    };
    timeout(LIMIT, search).await.expect("the replica meets the condition");
}

/// Asks now and then until there is an answer, for what does not announce itself.
pub(crate) async fn poll<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "no {what} in time");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Adds a bridge and returns its identity.
pub(crate) async fn add_bridge(client: &Client, name: &str) -> RowId {
    let transaction = Transaction::new().add_bridge(name, "netdev", Some("secure"));
    client.transact(transaction).await.unwrap();
    client.replica().bridge(name).expect("the bridge is in the replica").0
}

/// The transaction with one more port.
pub(crate) fn add_port(transaction: Transaction, bridge: RowId, name: &str) -> Transaction {
    let external_ids = strings(&[("iface-id", name)]);
    transaction.add_port(bridge, name, "internal", &BTreeMap::new(), &external_ids)
}

pub(crate) fn strings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Runs a command of the server's control socket.
pub(crate) fn appctl(dir: &Path, command: &[&str]) {
    let status =
        Command::new("ovs-appctl").arg("-t").arg(dir.join("ctl")).args(command).status().unwrap();
    assert!(status.success());
}
