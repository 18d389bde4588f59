//! `weir show`: what the server has, beyond what the `openstack` client can list, and what the node
//! has, in words.

mod bridges;
mod flows;
mod networks;
mod segments;

use std::process::ExitCode;

use clap::Subcommand;

use crate::{
    api::{Api, Endpoint},
    state_dir::StateDir,
};

/// What to show.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Networks of this machine: local VLAN, segment, ports, and the bridge that they leave by
    Networks(networks::Options),
    /// Segments by type, physical network and number: which are free, and which network has the
    /// others
    Segments(segments::Options),
    /// Bridges of this machine: what each is for, and how it is
    Bridges(bridges::Options),
    /// The flows of a bridge table by table: whom each is there for, and what it does
    Flows(flows::Options),
}

/// Which server to ask.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServerOptions {
    #[command(flatten)]
    pub(crate) state_dir: StateDir,
    /// The API [default: that of the 'weir up' of the state directory]
    #[arg(long, value_name = "URL", env = "WEIR_API")]
    pub(crate) api: Option<Endpoint>,
}

/// Shows it.
///
/// # Errors
/// When nobody can be asked.
pub(crate) async fn run(what: What) -> anyhow::Result<ExitCode> {
    match what {
        What::Networks(options) => networks::run(options).await,
        What::Segments(options) => segments::run(options).await,
        What::Bridges(options) => bridges::run(options).await,
        What::Flows(options) => flows::run(options).await,
    }
}

impl ServerOptions {
    /// A client of that server.
    ///
    /// # Errors
    /// When nobody has said where it is.
    pub(crate) fn client(&self) -> anyhow::Result<Api> {
        let endpoint = match &self.api {
            Some(endpoint) => endpoint.clone(),
            None => self.state_dir.up()?.api()?,
        };
        Ok(Api::new(endpoint))
    }
}
