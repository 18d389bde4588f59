//! Where a port is plugged into: the database, the bridge, the agent and the API.

use std::path::PathBuf;

use crate::{
    api::Endpoint,
    show::ServerOptions,
    state_dir::{StateDirError, Up},
};

/// Where, as a user says it. What is not said is as the `weir up` of the state directory has it.
#[derive(Debug, clap::Args)]
pub(super) struct PlaceOptions {
    #[command(flatten)]
    server: ServerOptions,
    /// The Open vSwitch database, as unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT [default: that
    /// of the 'weir up' of the state directory]
    #[arg(long, value_name = "REMOTE", env = "WEIR_OVSDB")]
    ovsdb: Option<ovsdb::Remote>,
    /// The bridge to plug into [default: that of the 'weir up' of the state directory, or br-int]
    #[arg(long, value_name = "NAME", env = "WEIR_INTEGRATION_BRIDGE")]
    integration_bridge: Option<String>,
}

/// Where.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) api: Endpoint,
    pub(super) ovsdb: ovsdb::Remote,
    pub(super) integration_bridge: String,
    /// The name of this host, where it is known.
    pub(super) host: Option<String>,
    /// The agent of this host, where there is one.
    pub(super) admin_socket: Option<PathBuf>,
}

impl PlaceOptions {
    /// Where exactly.
    ///
    /// # Errors
    /// When something is neither said nor known.
    pub(super) fn resolve(&self) -> anyhow::Result<Place> {
        let up = self.up()?;
        let known = |pick: fn(&Up) -> &String| up.as_ref().map(pick).cloned();
        let api = match (&self.server.api, &up) {
            (Some(api), _) => api.clone(),
            (None, Some(up)) => up.api()?,
            (None, None) => anyhow::bail!("there is no state directory to tell it; give --api"),
        };
        Ok(Place {
            api,
            ovsdb: self.ovsdb()?,
            integration_bridge: self
                .integration_bridge
                .clone()
                .or_else(|| known(|up| &up.integration_bridge))
                .unwrap_or_else(|| "br-int".to_owned()),
            host: known(|up| &up.host),
            admin_socket: up.map(|up| up.admin_socket),
        })
    }

    /// The database alone.
    ///
    /// # Errors
    /// When it is neither said nor known.
    pub(super) fn ovsdb(&self) -> anyhow::Result<ovsdb::Remote> {
        match &self.ovsdb {
            Some(remote) => Ok(remote.clone()),
            None => Ok(self.server.state_dir.up()?.ovsdb.parse()?),
        }
    }

    /// What `weir up` has written down. It says nothing about a database that it does not use.
    fn up(&self) -> anyhow::Result<Option<Up>> {
        match self.server.state_dir.up() {
            Ok(up) => {
                let elsewhere = self.ovsdb.as_ref().is_some_and(|it| it.to_string() != up.ovsdb);
                Ok(Some(up).filter(|_| !elsewhere))
            }
            Err(StateDirError::NeverUsed { .. })
                if self.server.api.is_some() && self.ovsdb.is_some() =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}
