//! A private MariaDB.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::Duration,
};

use crate::{
    Daemon, Error, Result,
    daemon::{finish, guarded, lock},
    leftover::{RunDir, Token},
};

/// How long it may take until it answers.
const START: Duration = Duration::from_secs(60);
/// The one database in it.
const NAME: &str = "neutron";

/// A private mariadbd with one empty database. It is reached by a Unix socket alone, and believes
/// everybody; whether what it says it has stored survives a power failure does not matter.
#[derive(Debug)]
pub(super) struct Database {
    daemon: Mutex<Option<Daemon>>,
    run_dir: RunDir,
}

impl Database {
    /// Starts one on the data of another that has been stopped, or on none, and waits until it
    /// answers.
    ///
    /// # Errors
    /// When mariadbd is missing or does not come up.
    pub(super) fn start(data: Option<&Path>) -> Result<Self> {
        let run_dir = RunDir::create(&Token::next(), false)?;
        let database = Self { daemon: Mutex::new(None), run_dir };
        match data {
            Some(data) => copy(data, &database.data())?,
            None => create_dir(&database.data())?,
        }
        database.run()?;
        Ok(database)
    }

    /// Starts it again, after [`Database::stop`].
    ///
    /// # Errors
    /// When it does not come up.
    pub(super) fn run(&self) -> Result<()> {
        let mut command = guarded("/usr/sbin/mariadbd");
        let option = |name: &str, file: PathBuf| format!("--{name}={}", file.display());
        let init = self.run_dir.path().join("init.sql");
        let sql = format!("CREATE DATABASE IF NOT EXISTS {NAME} CHARACTER SET utf8mb3;\n");
        fs::write(&init, sql).map_err(|source| Error::File { path: init.clone(), source })?;
        command
            .args(["--no-defaults", "--user=root", "--skip-networking", "--skip-grant-tables"])
            .args(["--skip-log-bin", "--innodb-flush-log-at-trx-commit=0"])
            .args(["--innodb-doublewrite=0", "--innodb-log-file-size=8M"])
            .args(["--innodb-buffer-pool-size=64M", "--performance-schema=off"])
            .arg(option("datadir", self.data()))
            .arg(option("tmpdir", self.run_dir.path().to_owned()))
            .arg(option("socket", self.socket()))
            .arg(option("pid-file", self.run_dir.path().join("mariadb.pid")))
            .arg(option("init-file", init));
        let log = self.run_dir.path().join("mariadb.log");
        let mut daemon = Daemon::spawn_logged("mariadbd", command, log)?;
        daemon.wait_until(START, || UnixStream::connect(self.socket()).is_ok())?;
        *lock(&self.daemon) = Some(daemon);
        Ok(())
    }

    /// Asks it to end, and waits until it has written everything.
    ///
    /// # Errors
    /// When it does not end in time.
    pub(super) fn stop(&self) -> Result<()> {
        lock(&self.daemon).take().map_or(Ok(()), Daemon::stop)
    }

    /// Copies its data to a directory that is not there yet. It must have been stopped.
    ///
    /// # Errors
    /// When the copy fails.
    pub(super) fn save(&self, to: &Path) -> Result<()> {
        copy(&self.data(), to)
    }

    /// Where it is, as SQLAlchemy says it.
    pub(super) fn url(&self) -> String {
        format!("mysql+pymysql://root@localhost/{NAME}?unix_socket={}", self.socket().display())
    }

    fn data(&self) -> PathBuf {
        self.run_dir.path().join("data")
    }

    fn socket(&self) -> PathBuf {
        self.run_dir.path().join("mariadb.sock")
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    finish(Command::new("cp").arg("--archive").arg(from).arg(to), None).map(drop)
}

fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir(path).map_err(|source| Error::File { path: path.to_owned(), source })
}
