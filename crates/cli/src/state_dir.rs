//! The state directory of `weir up`: what lies in it, and what other commands learn from it.

use std::{
    fs::{self, DirBuilder, File, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::api::Endpoint;

/// The directory, for commands that ask `weir up`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct StateDir {
    /// The directory in which 'weir up' keeps its state
    #[arg(
        id = "state_dir",
        long = "state-dir",
        value_name = "DIR",
        env = "WEIR_STATE_DIR",
        default_value = "/var/lib/weir"
    )]
    path: PathBuf,
}

/// Where the parts of `weir up` are: the file `up.json`, written when it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Up {
    /// The process.
    pub(crate) pid: u32,
    /// The API, as an URL; none of an agent alone.
    #[serde(default)]
    pub(crate) api: Option<String>,
    /// The Open vSwitch database, as `unix:`, `tcp:` or `ssl:`.
    pub(crate) ovsdb: String,
    /// The bridge that ports are plugged into.
    pub(crate) integration_bridge: String,
    /// The host name under which ports are bound here.
    pub(crate) host: String,
    /// The admin socket of the agent.
    pub(crate) admin_socket: PathBuf,
}

impl Up {
    /// The API.
    ///
    /// # Errors
    /// When an agent runs here without one.
    pub(crate) fn api(&self) -> anyhow::Result<Endpoint> {
        match &self.api {
            Some(api) => Ok(api.parse()?),
            None => anyhow::bail!("the agent of this machine has no API of its own; give --api"),
        }
    }
}

/// Keeps others from running on the same directory while it lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// A state directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateDirError {
    /// Somebody else uses it.
    #[error(
        "another 'weir up' runs on {}; stop it, or give this one a --state-dir of its own",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Nobody has used it yet.
    #[error(
        "no 'weir up' has run on {}; start it, or name its --state-dir",
        path.display()
    )]
    NeverUsed {
        /// The directory.
        path: PathBuf,
    },
    /// A file in it cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// `up.json` has another form; `weir up` may be of another version.
    #[error("{} is not what 'weir up' of this version writes; start it again", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        #[source]
        source: serde_json::Error,
    },
}

impl StateDir {
    /// The directory at `path`.
    pub(crate) const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Makes the directory where it is missing, for its owner alone, and locks it.
    ///
    /// # Errors
    /// When it cannot be made, or another process holds the lock.
    pub(crate) fn claim(&self) -> Result<Lock, StateDirError> {
        let failed = |action, path: &Path, source| StateDirError::File {
            action,
            path: path.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .and_then(|()| fs::set_permissions(&self.path, Permissions::from_mode(0o700)))
            .map_err(|source| failed("make", &self.path, source))?;
        let path = self.path.join("lock");
        let open = File::options().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(|source| failed("open", &path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StateDirError::InUse { path: self.path.clone() }),
            Err(TryLockError::Error(source)) => Err(failed("lock", &path, source)),
        }
    }

    /// Writes down where everything is. Readers see the old file or the new one, never half of it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn publish(&self, _lock: &Lock, up: &Up) -> Result<(), StateDirError> {
        let path = self.up_file();
        let draft = path.with_extension("json.new");
        serde_json::to_vec_pretty(up)
            .map_err(io::Error::from)
            .and_then(|text| fs::write(&draft, text))
            .and_then(|()| fs::rename(&draft, &path))
            .map_err(|source| StateDirError::File { action: "write", path, source })
    }

    /// Where everything is of the `weir up` that runs here, or ran here last.
    ///
    /// # Errors
    /// When none has, or the file cannot be read.
    pub(crate) fn up(&self) -> Result<Up, StateDirError> {
        let path = self.up_file();
        match fs::read(&path) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|source| StateDirError::Form { path, source })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StateDirError::NeverUsed { path: self.path.clone() })
            }
            Err(source) => Err(StateDirError::File { action: "read", path, source }),
        }
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The admin socket of the agent.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.path.join("agent.sock")
    }

    fn up_file(&self) -> PathBuf {
        self.path.join("up.json")
    }
}
