//! Whether netfilter sees what passes Linux bridges. Where it does not, nobody filters a port that is
//! behind one, however right its rules are.
//!
//! The kernel says so in parameters of each network namespace, `net.bridge.bridge-nf-call-…`, which are
//! there when its module `br_netfilter` is. That of arptables is no matter: ARP is looked at by flows of
//! the integration bridge.

use std::path::Path;
use std::{fs, io};

/// Where the parameters are. It shows those of the network namespace of whoever reads.
const PARAMETERS: &str = "/proc/sys/net/bridge";
const IPTABLES: &str = "bridge-nf-call-iptables";
const IP6TABLES: &str = "bridge-nf-call-ip6tables";

/// Whether packets that pass Linux bridges are shown to netfilter; `None` where the kernel does not
/// know how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bridged {
    /// IPv4.
    pub iptables: Option<bool>,
    /// IPv6.
    pub ip6tables: Option<bool>,
}

/// Why ports behind Linux bridges are not filtered.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfiltered {
    /// The kernel has no parameters for it.
    #[error(
        "netfilter does not see what passes Linux bridges, because the kernel module br_netfilter is \
         not loaded; 'modprobe br_netfilter' loads it"
    )]
    Module,
    /// Parameters say no.
    #[error(
        "netfilter does not see all that passes Linux bridges; 'sysctl {}' has it see that",
        .0.iter().map(|name| format!("net.bridge.{name}=1")).collect::<Vec<_>>().join(" ")
    )]
    Off(Vec<&'static str>),
    /// It could not be found out.
    #[error("cannot tell whether netfilter sees what passes Linux bridges: {0}")]
    Unknown(String),
}

impl Bridged {
    /// Reads the parameters of the network namespace that this thread is in.
    ///
    /// # Errors
    ///
    /// One of them cannot be read. That there is none is no error.
    pub fn read() -> io::Result<Self> {
        Ok(Self { iptables: read(IPTABLES)?, ip6tables: read(IP6TABLES)? })
    }

    /// Whether everything that passes a Linux bridge is seen.
    ///
    /// # Errors
    ///
    /// Why it is not.
    pub fn check(self) -> Result<(), Unfiltered> {
        let all = [(IPTABLES, self.iptables), (IP6TABLES, self.ip6tables)];
        if all.iter().all(|(_, is_on)| is_on.is_none()) {
            return Err(Unfiltered::Module);
        }
        let off: Vec<_> = all
            .into_iter()
            .filter(|(_, is_on)| *is_on != Some(true))
            .map(|(name, _)| name)
            .collect();
        if off.is_empty() { Ok(()) } else { Err(Unfiltered::Off(off)) }
    }
}

/// Whether everything that passes a Linux bridge in the network namespace of this thread is seen by
/// netfilter.
///
/// # Errors
///
/// Why it is not. What cannot be found out is taken for a no.
pub fn check() -> Result<(), Unfiltered> {
    Bridged::read().map_err(|error| Unfiltered::Unknown(error.to_string()))?.check()
}

fn read(name: &str) -> io::Result<Option<bool>> {
    match fs::read_to_string(Path::new(PARAMETERS).join(name)) {
        Ok(text) => Ok(Some(text.trim() != "0")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_must_be_seen() {
        let told = |iptables, ip6tables| {
            let outcome = Bridged { iptables, ip6tables }.check();
            outcome.map_err(|unfiltered| unfiltered.to_string())
        };
        assert_eq!(told(Some(true), Some(true)), Ok(()));
        let error = told(Some(false), Some(false)).unwrap_err();
        assert!(
            error.contains(
                "'sysctl net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1'"
            ),
            "{error}"
        );
        for (iptables, ip6tables, family) in [
            (Some(false), Some(true), "'sysctl net.bridge.bridge-nf-call-iptables=1'"),
            (Some(true), Some(false), "'sysctl net.bridge.bridge-nf-call-ip6tables=1'"),
            // A kernel without IPv6 in netfilter.
            (Some(true), None, "'sysctl net.bridge.bridge-nf-call-ip6tables=1'"),
            (None, None, "'modprobe br_netfilter'"),
        ] {
            let error = told(iptables, ip6tables).unwrap_err();
            assert!(error.contains(family), "{error}");
        }
    }
}
