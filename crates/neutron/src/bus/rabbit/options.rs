//! What a process is told of its broker.

use std::path::PathBuf;
use std::time::Duration;

use amqp::{Endpoint, Identity, Login, Mechanism, Tls, TransportHost, TransportUrl, Trust};

use crate::oslo::QueueOptions;

/// What a process is told of its broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RabbitOptions {
    /// `transport_url`: where brokers are, who logs in, and which virtual host it is.
    pub url: TransportUrl,
    /// `ssl` and its companions; without TLS if there is nothing.
    pub tls: Option<TlsOptions>,
    /// `rabbit_login_method`.
    pub mechanism: Mechanism,
    /// How exchanges and queues are declared.
    pub queues: QueueOptions,
    /// `heartbeat_timeout_threshold`: how long the other side may be silent. Zero for ever.
    pub heartbeat: Duration,
    /// `rabbit_retry_interval`: how long to wait after all hosts have failed for the first time.
    pub first_retry: Duration,
    /// `rabbit_retry_backoff`: how much longer each time.
    pub retry_step: Duration,
    /// `rabbit_interval_max`: how long at most.
    pub longest_retry: Duration,
    /// Whether to begin with any host, not the first (`kombu_failover_strategy = shuffle`).
    pub shuffle: bool,
    /// The name of the program, for the broker's list of connections.
    pub program: String,
}

/// How TLS is spoken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsOptions {
    /// `ssl_ca_file`: the authority that brokers' certificates come from. Without it any broker is
    /// believed, as oslo.messaging does.
    pub ca: Option<PathBuf>,
    /// `ssl_cert_file` and `ssl_key_file`.
    pub identity: Option<Identity>,
    /// `ssl_enforce_hostname_verification`: whether the name must be right, too.
    pub verify_name: bool,
}

impl RabbitOptions {
    /// The defaults of oslo.messaging, for the broker at this URL.
    pub fn new(url: TransportUrl, program: impl Into<String>) -> Self {
        Self {
            url,
            tls: None,
            mechanism: Mechanism::AmqPlain,
            queues: QueueOptions::neutron(),
            heartbeat: Duration::from_mins(1),
            first_retry: Duration::from_secs(1),
            retry_step: Duration::from_secs(2),
            longest_retry: Duration::from_secs(30),
            shuffle: false,
            program: program.into(),
        }
    }

    /// Where a host is, and how it is reached.
    pub(super) fn endpoint(&self, host: &TransportHost) -> Endpoint {
        let tls = self.tls.as_ref().map(|tls| Tls {
            trust: match tls.ca.clone() {
                None => Trust::Anybody,
                Some(ca) if tls.verify_name => Trust::Named { ca, name: host.host.clone() },
                Some(ca) => Trust::Authority { ca },
            },
            identity: tls.identity.clone(),
        });
        Endpoint { host: host.host.clone(), port: host.port, tls }
    }

    /// Who logs in there.
    pub(super) fn login(&self, host: &TransportHost) -> Login {
        Login {
            user: host.user.clone(),
            password: host.password.clone(),
            vhost: self.url.virtual_host.clone(),
            mechanism: self.mechanism,
        }
    }

    /// How long to wait after so many rounds in which every host has failed: at least half of what
    /// the options say. `chance` is from 0 to 255.
    pub(super) fn wait(&self, rounds: u32, chance: u8) -> Duration {
        let longer = self.retry_step.saturating_mul(rounds);
        let wait = self.first_retry.saturating_add(longer).min(self.longest_retry);
        wait.mul_f64(0.5 + f64::from(chance) / 510.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> RabbitOptions {
        RabbitOptions::new("rabbit://u:p@one:1,v:q@[fd00::2]/cloud".parse().unwrap(), "agent")
    }

    #[test]
    fn every_host_has_its_own_login() {
        let options = options();
        let [one, two] = options.url.hosts.as_slice() else { panic!("two hosts") };
        assert_eq!(options.endpoint(one).to_string(), "one:1");
        assert_eq!(options.endpoint(two).to_string(), "[fd00::2]:5672");
        let logins = [options.login(one), options.login(two)];
        assert_eq!(logins.each_ref().map(|login| login.user.as_str()), ["u", "v"]);
        assert_eq!(logins.each_ref().map(|login| login.password.reveal()), ["p", "q"]);
        assert!(logins.iter().all(|login| login.vhost == "cloud"));
    }

    #[test]
    fn brokers_are_believed_as_oslo_messaging_does() {
        let trust = |ca: Option<&str>, verify_name| {
            let ca = ca.map(PathBuf::from);
            let tls = Some(TlsOptions { ca, identity: None, verify_name });
            let options = RabbitOptions { tls, ..options() };
            options.endpoint(&options.url.hosts[0]).tls.unwrap().trust
        };
        let (ca, name) = (PathBuf::from("/ca"), "one".to_owned());
        assert_eq!(trust(None, true), Trust::Anybody);
        assert_eq!(trust(Some("/ca"), false), Trust::Authority { ca: ca.clone() });
        assert_eq!(trust(Some("/ca"), true), Trust::Named { ca, name });
        assert_eq!(options().endpoint(&options().url.hosts[0]).tls, None);
    }

    #[test]
    fn waits_grow_to_a_limit_and_are_never_the_same() {
        let wait = |rounds, chance| options().wait(rounds, chance).as_millis();
        assert_eq!([wait(0, 255), wait(1, 255), wait(2, 255)], [1000, 3000, 5000]);
        assert_eq!([wait(0, 0), wait(1, 0), wait(100, 0)], [500, 1500, 15_000]);
        assert_eq!(wait(u32::MAX, 255), 30_000);
    }
}
