//! What options need to know of the host.

use std::{
    fs,
    net::{IpAddr, UdpSocket},
    path::PathBuf,
};

use config::Settings;

use super::node::{self, Host};
use crate::{state_dir::StateDir, up};

/// Where Open vSwitch has its sockets when nothing else is said.
const OVS_RUN_DIR: &str = "/var/run/openvswitch";
/// The socket of the database.
pub(super) const DATABASE: &str = "db.sock";

/// Where things of this host are that Neutron's files do not say.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct HostOptions {
    /// The directory with the sockets of Open vSwitch [default: /var/run/openvswitch]
    #[arg(long, value_name = "DIR", env = "WEIR_OVS_RUN_DIR")]
    ovs_run_dir: Option<PathBuf>,
    /// The control socket of ovs-vswitchd, ovs-vswitchd.PID.ctl [default: that in the directory]
    #[arg(long, value_name = "PATH", env = "WEIR_VSWITCHD_SOCKET")]
    vswitchd_socket: Option<PathBuf>,
}

impl HostOptions {
    /// Looks at the host.
    ///
    /// # Errors
    /// When it has no name, or nobody can tell where the state directory is.
    pub(crate) fn look(&self, settings: &Settings, state_dir: &StateDir) -> anyhow::Result<Host> {
        let name = up::host_name()?;
        let ovs_run_dir = self.ovs_run_dir.clone().unwrap_or_else(|| OVS_RUN_DIR.into());
        Ok(Host {
            canonical_name: canonical_name(
                &name,
                &fs::read_to_string("/etc/hosts").unwrap_or_default(),
            ),
            name,
            addresses: node::addresses(settings).into_iter().filter(|it| is_local(*it)).collect(),
            has_database_socket: ovs_run_dir.join(DATABASE).exists(),
            is_run_dir_said: self.ovs_run_dir.is_some(),
            ovs_run_dir,
            vswitchd_socket: self.vswitchd_socket.clone(),
            admin_socket: std::path::absolute(state_dir.admin_socket())?,
        })
    }
}

/// Whether this host has the address: only then can something listen there.
fn is_local(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// The name with its domain, as `/etc/hosts` has it.
fn canonical_name(name: &str, hosts: &str) -> String {
    if name.contains('.') || name.starts_with("localhost") {
        return name.to_owned();
    }
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let names = lines.map(|line| line.split_whitespace().skip(1));
    let found = names.filter_map(|mut names| {
        let first = names.next()?;
        (first == name || names.any(|alias| alias == name)).then_some(first)
    });
    let named = found.filter(|found| !found.starts_with("localhost"));
    named.map(str::to_owned).next().unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_name_is_the_first_of_its_line() {
        let hosts = "127.0.0.1 localhost c\n192.0.2.1\ta.example a # b\n\n192.0.2.2 b\n";
        for (name, canonical) in
            [("a", "a.example"), ("b", "b"), ("x", "x"), ("a.test", "a.test"), ("c", "c")]
        {
            assert_eq!(canonical_name(name, hosts), canonical);
        }
    }
}
