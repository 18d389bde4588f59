//! The firewall of an agent: that which its files name, else its server's.

use std::time::Duration;

use agent::{Firewall, FirewallError};
use config::{Settings, table::securitygroup};
use neutron::{
    bus::{CallError, Caller},
    rpc::GetFirewallDriver,
};

/// How long it takes until a server is asked again that has gone while it was asked.
const PAUSE: Duration = Duration::from_secs(1);

/// Why an agent has no firewall.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoFirewall {
    /// Neutron's server has no such call.
    #[error(
        "no file says [securitygroup] firewall_driver, and this server does not tell its own, as \
         only Weir's does: set it to openvswitch, iptables_hybrid or noop in the agent's files"
    )]
    NotTold,
    /// Nobody knows what the server says.
    #[error("no file says [securitygroup] firewall_driver, and that of the server cannot be taken")]
    Unknown(#[from] FirewallError),
    /// The server could not tell.
    #[error("no file says [securitygroup] firewall_driver, and the server was asked in vain")]
    Failed(#[source] CallError),
}

/// The firewall that files name. An empty name is none, as for Neutron.
pub(crate) fn named(settings: &Settings) -> Option<String> {
    settings.get(&securitygroup::FIREWALL_DRIVER).filter(|name| !name.is_empty())
}

/// The firewall of the server, which is asked until it answers.
///
/// # Errors
/// When it does not tell, or names one that there is not.
pub(super) async fn of_server(caller: &Caller, host: &str) -> Result<Firewall, NoFirewall> {
    tracing::info!("no file says firewall_driver: the server is asked for its own");
    loop {
        let error = match caller.call(GetFirewallDriver { host: host.to_owned() }).await {
            Ok(name) => {
                tracing::info!(firewall_driver = name, "the server has said its firewall_driver");
                return Ok(Firewall::named(&name)?);
            }
            Err(CallError::Failure { failure, .. }) if failure.is_not_served() => {
                return Err(NoFirewall::NotTold);
            }
            Err(error @ CallError::Failure { .. }) => return Err(NoFirewall::Failed(error)),
            Err(error) => error,
        };
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "the server has not said its firewall_driver; it is asked again");
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use config::{File, Source, Sources, table};
    use neutron::{
        bus::local::LocalBus,
        rpc::{Failure, Request},
    };

    use super::*;

    #[test]
    fn an_empty_name_is_none() {
        let named = |text: &str| {
            let file = File::parse("agent.ini".into(), text).unwrap();
            let sources = Sources { ordered: vec![Source::File(file)], ..Sources::default() };
            named(&Settings::read(&sources, table::agent()).0)
        };
        assert_eq!(named(""), None);
        assert_eq!(named("[securitygroup]\nfirewall_driver =\n"), None);
        assert_eq!(named("[securitygroup]\nfirewall_driver = x\n").as_deref(), Some("x"));
    }

    /// What is made of these answers, one for each time that the server is asked. Where there is none the
    /// request is dropped.
    async fn told(answers: Vec<Option<Result<&str, Failure>>>) -> Result<Firewall, NoFirewall> {
        let (bus, mut end) = LocalBus::new();
        let caller = bus.join("node-1").caller();
        let server = async {
            for answer in answers {
                let Some(Request::GetFirewallDriver(call, responder)) = end.next_request().await
                else {
                    panic!("it asks for something else");
                };
                assert_eq!(call.host, "node-1");
                if let Some(answer) = answer {
                    responder.send(answer.map(str::to_owned));
                }
            }
        };
        tokio::join!(of_server(&caller, "node-1"), server).0
    }

    #[tokio::test]
    async fn the_server_is_asked_until_it_answers() {
        let hybrid = told(vec![None, Some(Ok("iptables_hybrid"))]).await;
        assert_eq!(hybrid.unwrap(), Firewall::IptablesHybrid);
        let unknown = told(vec![Some(Ok("nftables"))]).await.unwrap_err();
        assert!(matches!(unknown, NoFirewall::Unknown(_)), "{unknown}");
        for class in ["NoSuchMethod", "UnsupportedVersion"] {
            let error = told(vec![Some(Err(Failure::new(class, "")))]).await.unwrap_err();
            assert!(matches!(error, NoFirewall::NotTold), "{error}");
        }
        let error = told(vec![Some(Err(Failure::new("ServerError", "full")))]).await.unwrap_err();
        assert!(matches!(error, NoFirewall::Failed(_)), "{error}");
    }
}
