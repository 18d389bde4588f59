//! `[oslo_messaging_rabbit]`: the broker.

use crate::kind::Kind;
use crate::option::{Definition, Opt, Part};

const LOGIN_METHOD: Kind = Kind::Choice(&["PLAIN", "AMQPLAIN", "EXTERNAL", "RABBIT-CR-DEMO"]);
const FAILOVER_STRATEGY: Kind = Kind::Choice(&["round-robin", "shuffle"]);

options! {
    ENABLE_CANCEL_ON_FAILOVER: bool =
        Definition::new("oslo_messaging_rabbit", "enable_cancel_on_failover", Kind::Bool)
        .default("False"),
        Part::Honoured,
        "Whether consumers are told when a mirrored queue fails over.";

    AMQP_DURABLE_QUEUES: bool =
        Definition::new("oslo_messaging_rabbit", "amqp_durable_queues", Kind::Bool)
        .default("False"),
        Part::Honoured,
        "Whether queues and exchanges outlive the broker.";

    AMQP_AUTO_DELETE: bool =
        Definition::new("oslo_messaging_rabbit", "amqp_auto_delete", Kind::Bool)
        .default("False"),
        Part::Honoured,
        "Whether queues go with their last consumer.";

    RABBIT_QUORUM_QUEUE: bool =
        Definition::new("oslo_messaging_rabbit", "rabbit_quorum_queue", Kind::Bool)
        .default("False"),
        Part::Honoured,
        "Whether queues are quorum queues.";

    RABBIT_TRANSIENT_QUORUM_QUEUE: bool =
        Definition::new("oslo_messaging_rabbit", "rabbit_transient_quorum_queue", Kind::Bool)
        .default("False"),
        Part::Honoured,
        "Whether reply and fanout queues are quorum queues, too.";

    RABBIT_QUORUM_DELIVERY_LIMIT: i64 =
        Definition::new("oslo_messaging_rabbit", "rabbit_quorum_delivery_limit", Kind::INT)
        .default("0"),
        Part::Honoured,
        "How often a quorum queue delivers a message that nobody takes.";

    RABBIT_QUORUM_MAX_MEMORY_LENGTH: i64 =
        Definition::new("oslo_messaging_rabbit", "rabbit_quorum_max_memory_length", Kind::INT)
        .default("0"),
        Part::Honoured,
        "How many messages a quorum queue has in memory.";

    RABBIT_QUORUM_MAX_MEMORY_BYTES: i64 =
        Definition::new("oslo_messaging_rabbit", "rabbit_quorum_max_memory_bytes", Kind::INT)
        .default("0"),
        Part::Honoured,
        "How many bytes a quorum queue has in memory.";

    RABBIT_HA_QUEUES: bool =
        Definition::new("oslo_messaging_rabbit", "rabbit_ha_queues", Kind::Bool)
        .default("False"),
        Part::Honoured,
        "Whether queues are mirrored (RabbitMQ before 4).";

    RABBIT_STREAM_FANOUT: bool =
        Definition::new("oslo_messaging_rabbit", "rabbit_stream_fanout", Kind::Bool)
        .default("False"),
        Part::Honoured,
        "Whether fanouts are streams.";

    RABBIT_TRANSIENT_QUEUES_TTL: i64 =
        Definition::new("oslo_messaging_rabbit", "rabbit_transient_queues_ttl", Kind::at_least(0))
        .default("1800"),
        Part::Honoured,
        "After how many seconds an unused reply or fanout queue goes.";

    RABBIT_QOS_PREFETCH_COUNT: i64 =
        Definition::new("oslo_messaging_rabbit", "rabbit_qos_prefetch_count", Kind::INT)
        .default("0"),
        Part::Honoured,
        "How many messages are on their way to a consumer.";

    USE_QUEUE_MANAGER: bool =
        Definition::new("oslo_messaging_rabbit", "use_queue_manager", Kind::Bool)
        .default("False"),
        Part::Honoured,
        "Whether queues have names that a restart of the process keeps.";

    HOSTNAME: Option<String> = Definition::new("oslo_messaging_rabbit", "hostname", Kind::Text),
        Part::Honoured,
        "The host in the names of queues, with `use_queue_manager`.";

    PROCESSNAME: Option<String> =
        Definition::new("oslo_messaging_rabbit", "processname", Kind::Text),
        Part::Honoured,
        "The program in the names of queues, with `use_queue_manager`.";

    HEARTBEAT_TIMEOUT_THRESHOLD: i64 =
        Definition::new("oslo_messaging_rabbit", "heartbeat_timeout_threshold", Kind::INT)
        .default("60"),
        Part::Honoured,
        "After how many seconds of silence the broker is taken for gone; 0 is never.";

    RABBIT_LOGIN_METHOD: String =
        Definition::new("oslo_messaging_rabbit", "rabbit_login_method", LOGIN_METHOD)
        .default("AMQPLAIN"),
        Part::Honoured,
        "How the password is sent; Weir does not start with `RABBIT-CR-DEMO`.";

    RABBIT_RETRY_INTERVAL: i64 =
        Definition::new("oslo_messaging_rabbit", "rabbit_retry_interval", Kind::at_least(1))
        .default("1"),
        Part::Honoured,
        "How many seconds to wait before the first further attempt to connect.";

    RABBIT_RETRY_BACKOFF: i64 =
        Definition::new("oslo_messaging_rabbit", "rabbit_retry_backoff", Kind::at_least(0))
        .default("2"),
        Part::Honoured,
        "How many seconds the wait grows with each attempt.";

    RABBIT_INTERVAL_MAX: i64 =
        Definition::new("oslo_messaging_rabbit", "rabbit_interval_max", Kind::at_least(1))
        .default("30"),
        Part::Honoured,
        "How many seconds the wait grows to.";

    KOMBU_FAILOVER_STRATEGY: String =
        Definition::new("oslo_messaging_rabbit", "kombu_failover_strategy", FAILOVER_STRATEGY)
        .default("round-robin"),
        Part::Honoured,
        "Which host of `transport_url` is next.";

    SSL: bool = Definition::new("oslo_messaging_rabbit", "ssl", Kind::Bool).default("False"),
        Part::Honoured,
        "Whether the broker is reached by TLS.";

    SSL_CA_FILE: String = Definition::new("oslo_messaging_rabbit", "ssl_ca_file", Kind::Text)
        .default(""),
        Part::Honoured,
        "Whom to trust.";

    SSL_CERT_FILE: String = Definition::new("oslo_messaging_rabbit", "ssl_cert_file", Kind::Text)
        .default(""),
        Part::Honoured,
        "The certificate of this node.";

    SSL_KEY_FILE: String = Definition::new("oslo_messaging_rabbit", "ssl_key_file", Kind::Text)
        .default(""),
        Part::Honoured,
        "Its key.";

    SSL_ENFORCE_HOSTNAME_VERIFICATION: bool =
        Definition::new("oslo_messaging_rabbit", "ssl_enforce_hostname_verification", Kind::Bool)
        .default("True"),
        Part::Honoured,
        "Whether the name in the broker's certificate must be the host's.";

    SSL_ENFORCE_FIPS_MODE: bool =
        Definition::new("oslo_messaging_rabbit", "ssl_enforce_fips_mode", Kind::Bool)
        .default("False"),
        Part::Only(&["False"]),
        "Weir cannot promise FIPS mode.";
}

/// Those that nobody here reads.
pub(super) static OTHERS: &[Definition] = &[
    Definition::new("oslo_messaging_rabbit", "ssl_version", Kind::Text)
        .default("")
        .part(Part::NotNeeded, "TLS 1.2 or 1.3, whichever the broker has."),
    Definition::new("oslo_messaging_rabbit", "heartbeat_rate", Kind::INT)
        .default("3")
        .part(Part::NotNeeded, "Heartbeats are sent at half the time."),
    Definition::new("oslo_messaging_rabbit", "kombu_compression", Kind::Text)
        .part(Part::Only(&[""]), "Weir cannot read compressed messages, which all then send."),
    Definition::new("oslo_messaging_rabbit", "kombu_missing_consumer_retry_timeout", Kind::INT)
        .default("60")
        .former(&[(None, Some("kombu_reconnect_timeout"))])
        .part(Part::NotNeeded, "A call has a deadline of its own."),
    Definition::new("oslo_messaging_rabbit", "kombu_reconnect_delay", Kind::Float(0.0, 4.5))
        .default("1.0")
        .part(Part::NotNeeded, "`rabbit_retry_interval` says it."),
    Definition::new(
        "oslo_messaging_rabbit",
        "kombu_reconnect_splay",
        Kind::Float(0.0, f64::INFINITY),
    )
    .default("0.0")
    .part(Part::NotNeeded, "Attempts are spread at random anyway."),
    Definition::new("oslo_messaging_rabbit", "conn_pool_min_size", Kind::INT)
        .default("2")
        .part(Part::NotNeeded, "One connection carries everything."),
    Definition::new("oslo_messaging_rabbit", "conn_pool_ttl", Kind::INT)
        .default("1200")
        .part(Part::NotNeeded, "One connection carries everything."),
    Definition::new("oslo_messaging_rabbit", "rpc_conn_pool_size", Kind::at_least(1))
        .default("30")
        .part(Part::NotNeeded, "One connection carries everything."),
    Definition::new("oslo_messaging_rabbit", "direct_mandatory_flag", Kind::Bool)
        .default("True")
        .part(Part::NotNeeded, "Of those who answer calls."),
];
