//! Which firewall the agent of the machine has.

use agent::{Firewall, FirewallError};
use config::{Settings, table::securitygroup as file};

use crate::drop_in::firewall;

/// Which firewall the agent of the machine has.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct FirewallOptions {
    /// Who applies security groups on this machine: openvswitch, iptables_hybrid, or noop for nobody
    /// [default: that of the server's files, else openvswitch; agents on other hosts whose files name
    /// none take that, too]
    #[arg(long, value_name = "DRIVER", env = "WEIR_FIREWALL_DRIVER")]
    firewall_driver: Option<String>,
}

impl FirewallOptions {
    /// What the agent is told. The command line counts more than the files of the server.
    ///
    /// # Errors
    /// When there is no such firewall.
    pub(super) fn config(&self, files: &Settings) -> Result<Firewall, FirewallError> {
        self.firewall_driver.as_deref().map_or_else(|| of_server(files), Firewall::named)
    }
}

/// That of the server, for agents that are told none: what its files name.
///
/// # Errors
/// When there is no such firewall.
pub(super) fn of_server(files: &Settings) -> Result<Firewall, FirewallError> {
    firewall::named(files).map_or_else(|| Ok(Firewall::default()), |name| Firewall::named(&name))
}

/// Whether netfilter is to have sets of addresses, by the files of the server.
pub(super) fn enable_ipset(files: &Settings) -> bool {
    files.said(&file::ENABLE_IPSET).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use config::{File, Source, Sources, table};

    use super::*;

    fn told(option: Option<&str>, text: &str) -> Result<Firewall, FirewallError> {
        let file = File::parse("ml2_conf.ini".into(), text).unwrap();
        let sources = Sources { ordered: vec![Source::File(file)], ..Sources::default() };
        let options = FirewallOptions { firewall_driver: option.map(str::to_owned) };
        options.config(&Settings::read(&sources, table::server()).0)
    }

    #[test]
    fn the_command_line_counts_more_than_the_files() {
        let noop = "[securitygroup]\nfirewall_driver = noop\n";
        assert_eq!(told(None, noop), Ok(Firewall::Noop));
        assert_eq!(told(Some("openvswitch"), noop), Ok(Firewall::OpenVswitch));
        assert_eq!(told(None, ""), Ok(Firewall::OpenVswitch));
        let unknown = FirewallError::Unknown("x".to_owned());
        assert_eq!(told(Some("x"), noop), Err(unknown.clone()));
        assert_eq!(told(None, "[securitygroup]\nfirewall_driver = x\n"), Err(unknown));
        let options = FirewallOptions { firewall_driver: None };
        assert_eq!(options.config(&Settings::default()), Ok(Firewall::OpenVswitch));
    }
}
