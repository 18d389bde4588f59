//! The options of oslo.messaging, as the bus is told of them. Pure.

use std::{path::PathBuf, time::Duration};

use amqp::{Identity, Mechanism, ParseUrlError, TransportUrl};
use config::{File, Opt, Place, Settings, Source, Sources, ini::Assignment, table};
use neutron::{
    bus::rabbit::{RabbitOptions, TlsOptions},
    oslo::{Memory, QueueNames, QueueOptions, QueueOptionsError},
};
use table::{default, messaging as options};

/// Why the bus cannot be reached with these options.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BusError {
    /// `transport_url` is none.
    #[error("{place}: [DEFAULT] transport_url")]
    Url {
        place: Place,
        #[source]
        source: ParseUrlError,
    },
    /// Nobody but oslo.messaging logs in like that.
    #[error("{place}: [oslo_messaging_rabbit] rabbit_login_method: Weir does not have {method}")]
    Mechanism { place: Place, method: String },
    /// A key without a certificate, or the other way round.
    #[error(
        "{place}: [oslo_messaging_rabbit] ssl_cert_file and ssl_key_file belong together: one is \
         not set"
    )]
    Identity { place: Place },
    /// Queues cannot be like that.
    #[error("[oslo_messaging_rabbit]")]
    Queues(#[from] QueueOptionsError),
}

/// The sources with the options that stand in `transport_url` after the question mark: they count
/// more than those of the group.
pub(crate) fn with_url_options(sources: &Sources, settings: &Settings) -> Option<Sources> {
    let url: TransportUrl = settings.get(&default::TRANSPORT_URL).parse().ok()?;
    let line = match settings.place(&default::TRANSPORT_URL) {
        Place::File { line, .. } => line,
        _ => 1,
    };
    with_options_of(sources, &url, line)
}

/// The same for a URL that stands in that line.
pub(crate) fn with_options_of(
    sources: &Sources,
    url: &TransportUrl,
    line: usize,
) -> Option<Sources> {
    let assignment = |(key, value): &(String, String)| Assignment {
        group: options::SSL.definition.group.to_owned(),
        key: key.clone(),
        value: value.clone(),
        line,
    };
    let assignments: Vec<_> = url.options.iter().map(assignment).collect();
    if assignments.is_empty() {
        return None;
    }
    let mut sources = sources.clone();
    sources.ordered.push(Source::File(File { path: "transport_url".into(), assignments }));
    Some(sources)
}

/// Who is on the bus, where the options do not say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process<'a> {
    /// The name of the host.
    pub(crate) host: &'a str,
    /// The name of the program.
    pub(crate) program: &'a str,
}

/// What the bus is told by the files alone.
///
/// # Errors
/// When it cannot be told so.
pub(crate) fn options(
    settings: &Settings,
    process: Process<'_>,
) -> Result<RabbitOptions, BusError> {
    let url = settings.get(&default::TRANSPORT_URL).parse().map_err(|source| BusError::Url {
        place: settings.place(&default::TRANSPORT_URL),
        source,
    })?;
    options_at(settings, url, process)
}

/// What the bus is told of the brokers at this URL.
///
/// # Errors
/// When it cannot be told so.
pub(crate) fn options_at(
    settings: &Settings,
    url: TransportUrl,
    process: Process<'_>,
) -> Result<RabbitOptions, BusError> {
    let seconds = |option: &Opt<i64>| {
        Duration::from_secs(u64::try_from(settings.get(option)).unwrap_or_default())
    };
    let queues = queues(settings, process);
    queues.check()?;
    Ok(RabbitOptions {
        url,
        tls: tls(settings)?,
        mechanism: mechanism(settings)?,
        queues,
        heartbeat: seconds(&options::HEARTBEAT_TIMEOUT_THRESHOLD),
        first_retry: seconds(&options::RABBIT_RETRY_INTERVAL),
        retry_step: seconds(&options::RABBIT_RETRY_BACKOFF),
        longest_retry: seconds(&options::RABBIT_INTERVAL_MAX),
        shuffle: settings.get(&options::KOMBU_FAILOVER_STRATEGY) == "shuffle",
        program: process.program.to_owned(),
    })
}

fn queues(settings: &Settings, process: Process<'_>) -> QueueOptions {
    let limit = |option: &Opt<i64>| u32::try_from(settings.get(option)).unwrap_or_default();
    let bytes = settings.get(&options::RABBIT_QUORUM_MAX_MEMORY_BYTES);
    let names = match settings.get(&options::USE_QUEUE_MANAGER) {
        false => QueueNames::Random,
        true => QueueNames::Managed {
            host: settings.get(&options::HOSTNAME).unwrap_or_else(|| process.host.to_owned()),
            process: settings
                .get(&options::PROCESSNAME)
                .unwrap_or_else(|| process.program.to_owned()),
        },
    };
    let ttl = settings.get(&options::RABBIT_TRANSIENT_QUEUES_TTL);
    let prefetch = settings.get(&options::RABBIT_QOS_PREFETCH_COUNT);
    QueueOptions {
        control_exchange: settings.get(&default::CONTROL_EXCHANGE),
        durable: settings.get(&options::AMQP_DURABLE_QUEUES),
        auto_delete: settings.get(&options::AMQP_AUTO_DELETE),
        quorum: settings.get(&options::RABBIT_QUORUM_QUEUE),
        transient_quorum: settings.get(&options::RABBIT_TRANSIENT_QUORUM_QUEUE),
        memory: Memory {
            delivery_limit: limit(&options::RABBIT_QUORUM_DELIVERY_LIMIT),
            max_length: limit(&options::RABBIT_QUORUM_MAX_MEMORY_LENGTH),
            max_bytes: u64::try_from(bytes).unwrap_or_default(),
        },
        stream_fanout: settings.get(&options::RABBIT_STREAM_FANOUT),
        mirrored: settings.get(&options::RABBIT_HA_QUEUES),
        transient_ttl: Duration::from_secs(u64::try_from(ttl).unwrap_or_default()),
        prefetch: u16::try_from(prefetch).unwrap_or(if prefetch > 0 { u16::MAX } else { 0 }),
        cancel_on_failover: settings.get(&options::ENABLE_CANCEL_ON_FAILOVER),
        names,
    }
}

fn tls(settings: &Settings) -> Result<Option<TlsOptions>, BusError> {
    if !settings.get(&options::SSL) {
        return Ok(None);
    }
    let file = |option: &Opt<String>| {
        Some(settings.get(option)).filter(|path| !path.is_empty()).map(PathBuf::from)
    };
    let identity = match (file(&options::SSL_CERT_FILE), file(&options::SSL_KEY_FILE)) {
        (Some(cert), Some(key)) => Some(Identity { cert, key }),
        (None, None) => None,
        (Some(_), None) => {
            return Err(BusError::Identity { place: settings.place(&options::SSL_CERT_FILE) });
        }
        (None, Some(_)) => {
            return Err(BusError::Identity { place: settings.place(&options::SSL_KEY_FILE) });
        }
    };
    Ok(Some(TlsOptions {
        ca: file(&options::SSL_CA_FILE),
        identity,
        verify_name: settings.get(&options::SSL_ENFORCE_HOSTNAME_VERIFICATION),
    }))
}

fn mechanism(settings: &Settings) -> Result<Mechanism, BusError> {
    match settings.get(&options::RABBIT_LOGIN_METHOD).as_str() {
        "AMQPLAIN" => Ok(Mechanism::AmqPlain),
        "PLAIN" => Ok(Mechanism::Plain),
        "EXTERNAL" => Ok(Mechanism::External),
        method => Err(BusError::Mechanism {
            place: settings.place(&options::RABBIT_LOGIN_METHOD),
            method: method.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drop_in::{PROGRAM, reading::Reading};

    fn told(text: &str) -> Result<RabbitOptions, BusError> {
        let file = File::parse("neutron.conf".into(), text).unwrap();
        let sources = Sources { ordered: vec![Source::File(file)], ..Sources::default() };
        let reading = Reading::of(&sources);
        assert_eq!(reading.errors, []);
        options(&reading.settings, Process { host: "node-1", program: PROGRAM })
    }

    #[test]
    fn without_a_word_everything_is_as_oslo_messaging_has_it() {
        let options = told("[DEFAULT]\ntransport_url = rabbit://u:p@one,two/v\n").unwrap();
        let url = "rabbit://u:p@one,two/v".parse().unwrap();
        assert_eq!(options, RabbitOptions::new(url, PROGRAM));
    }

    #[test]
    fn queues_are_those_of_the_files() {
        let options = told(
            "[DEFAULT]\ntransport_url = rabbit://h/\ncontrol_exchange = cloud\n[oslo_messaging_rabbit]\n\
             rabbit_quorum_queue = true\nrabbit_transient_quorum_queue = true\n\
             rabbit_stream_fanout = true\nrabbit_qos_prefetch_count = 10\n\
             use_queue_manager = true\nprocessname = p\nrabbit_transient_queues_ttl = 60\n\
             rabbit_quorum_delivery_limit = 3\nrabbit_login_method = PLAIN\n\
             heartbeat_timeout_threshold = 0\nkombu_failover_strategy = shuffle\n",
        )
        .unwrap();
        let names = QueueNames::Managed { host: "node-1".to_owned(), process: "p".to_owned() };
        assert_eq!((options.queues.names, options.queues.prefetch), (names, 10));
        assert!(options.queues.quorum && options.queues.transient_quorum);
        assert_eq!(options.queues.control_exchange, "cloud");
        assert_eq!(options.queues.memory.delivery_limit, 3);
        assert_eq!(options.queues.transient_ttl, Duration::from_secs(60));
        assert_eq!((options.mechanism, options.shuffle), (Mechanism::Plain, true));
        assert_eq!(options.heartbeat, Duration::ZERO);
    }

    #[test]
    fn options_of_the_url_count_more() {
        let url =
            "[DEFAULT]\ntransport_url = rabbit://h/?ssl=1&ssl_ca_file=/ca&rabbit_quorum_queue=1\n";
        let options = told(&format!("{url}[oslo_messaging_rabbit]\nrabbit_quorum_queue = 0\n"));
        let options = options.unwrap();
        let tls = TlsOptions { ca: Some("/ca".into()), identity: None, verify_name: true };
        assert_eq!((options.tls, options.queues.quorum), (Some(tls), true));
    }

    const URL: &str = "[DEFAULT]\ntransport_url = rabbit://h/\n";

    #[test]
    fn what_cannot_be_is_named_with_its_line() {
        for (text, expected) in [
            ("", "default: [DEFAULT] transport_url: a transport URL needs a host"),
            ("[DEFAULT]\ntransport_url = kafka://h/", "neutron.conf:2: [DEFAULT] transport_url: "),
            (
                "[oslo_messaging_rabbit]\nrabbit_login_method = RABBIT-CR-DEMO",
                "neutron.conf:2: [oslo_messaging_rabbit] rabbit_login_method: Weir does not",
            ),
            (
                "[oslo_messaging_rabbit]\nssl = 1\nssl_key_file = /k",
                "neutron.conf:3: [oslo_messaging_rabbit] ssl_cert_file and ssl_key_file belong",
            ),
            (
                "[oslo_messaging_rabbit]\nrabbit_ha_queues = 1\nrabbit_quorum_queue = 1",
                "[oslo_messaging_rabbit]: rabbit_ha_queues cannot",
            ),
        ] {
            let text = format!(
                "{text}\n{}",
                if text.contains("rabbit_") || text.contains("ssl") { URL } else { "" }
            );
            let error = format!("{:#}", anyhow::Error::from(told(&text).unwrap_err()));
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
