//! `[DEFAULT]`: identity, bus and log.

use crate::kind::Kind;
use crate::option::{Definition, Opt, Part};

options! {
    HOST: Option<String> = Definition::new("DEFAULT", "host", Kind::Host),
        Part::Honoured,
        "The name under which the server knows this node, and to which ports are bound; the host \
         name where it is not set.";

    TRANSPORT_URL: String = Definition::new("DEFAULT", "transport_url", Kind::Text)
        .default("rabbit://")
        .secret(),
        Part::Honoured,
        "The broker: user, password, hosts and virtual host.";

    CONTROL_EXCHANGE: String = Definition::new("DEFAULT", "control_exchange", Kind::Text)
        .default("neutron"),
        Part::Honoured,
        "The exchange of the topics.";

    RPC_RESPONSE_TIMEOUT: i64 = Definition::new("DEFAULT", "rpc_response_timeout", Kind::INT)
        .default("60"),
        Part::Honoured,
        "How many seconds a call waits for its answer. A heartbeat waits 30.";

    STATE_PATH: String = Definition::new("DEFAULT", "state_path", Kind::Text)
        .default("/var/lib/neutron")
        .flag(),
        Part::Differs,
        "Other options name it. Weir has its control socket in its own state directory.";

    DEBUG: bool = Definition::new("DEFAULT", "debug", Kind::Bool).default("False").flag(),
        Part::Honoured,
        "Whether everything is logged that helps to find a mistake. SIGHUP changes it.";

    LOG_FILE: Option<String> = Definition::new("DEFAULT", "log_file", Kind::Text)
        .former(&[(None, Some("logfile"))])
        .flag(),
        Part::Honoured,
        "The file of the log, in `log_dir` if it is relative; standard error where neither is set.";

    LOG_DIR: Option<String> = Definition::new("DEFAULT", "log_dir", Kind::Text)
        .former(&[(None, Some("logdir"))])
        .flag(),
        Part::Honoured,
        "The directory of the log; the file is named after the program where `log_file` does not \
         say.";

    USE_STDERR: bool = Definition::new("DEFAULT", "use_stderr", Kind::Bool).default("False"),
        Part::Honoured,
        "Whether standard error has the log even if there is a file.";

    USE_SYSLOG: bool = Definition::new("DEFAULT", "use_syslog", Kind::Bool)
        .default("False")
        .flag(),
        Part::Differs,
        "The log goes to standard error, which systemd hands on.";

    USE_JSON: bool = Definition::new("DEFAULT", "use_json", Kind::Bool).default("False").flag(),
        Part::Differs,
        "The lines of the log are text.";

    LOG_CONFIG_APPEND: Option<String> = Definition::new("DEFAULT", "log_config_append", Kind::Text)
        .former(&[(None, Some("log_config"))])
        .flag(),
        Part::Differs,
        "A configuration of Python's logging, which Weir cannot take.";
}

/// How oslo.log has a line of the log.
const LOG_LINE: &str = "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s \
    [%(global_request_id)s %(request_id)s %(user_identity)s] \
    %(instance)s%(message)s";

/// The same where there is no request.
const LOG_PLAIN: &str = "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s \
    [-] %(instance)s%(message)s";

/// How it names a user.
const LOG_USER: &str = "%(user)s %(project)s %(domain)s %(system_scope)s \
    %(user_domain)s %(project_domain)s";

/// What it says of loggers of Python.
const LOG_LEVELS: &str = "amqp=WARN,boto=WARN,sqlalchemy=WARN,suds=INFO,\
    oslo.messaging=INFO,oslo_messaging=INFO,\
    iso8601=WARN,requests.packages.urllib3.connectionpool=WARN,urllib3.connectionpool=WARN,\
    websocket=WARN,requests.packages.urllib3.util.retry=WARN,urllib3.util.retry=WARN,\
    keystonemiddleware=WARN,routes.middleware=WARN,stevedore=WARN,taskflow=WARN,\
    keystoneauth=WARN,oslo.cache=INFO,oslo_policy=INFO,dogpile.core.dogpile=INFO";

/// Those that nobody here reads.
pub(super) static OTHERS: &[Definition] = &[
    Definition::new("DEFAULT", "use_journal", Kind::Bool)
        .default("False")
        .flag()
        .part(Part::NotNeeded, "The log goes to standard error, which systemd hands to journald."),
    Definition::new("DEFAULT", "syslog_log_facility", Kind::Text)
        .default("LOG_USER")
        .flag()
        .part(Part::NotNeeded, "The log goes to standard error, which systemd hands on."),
    Definition::new("DEFAULT", "rpc_response_max_timeout", Kind::at_least(1)).default("600").part(
        Part::NotNeeded,
        "A call that was not answered in time waits no longer the next time.",
    ),
    Definition::new("DEFAULT", "rpc_resources_processing_step", Kind::at_least(1))
        .default("20")
        .part(Part::NotNeeded, "Weir asks for ports as they come, many in one call."),
    Definition::new("DEFAULT", "rpc_ping_enabled", Kind::Bool)
        .default("False")
        .part(Part::NotNeeded, "Weir answers no pings."),
    Definition::new("DEFAULT", "executor_thread_pool_size", Kind::INT)
        .default("64")
        .former(&[(None, Some("rpc_thread_pool_size"))])
        .part(Part::NotNeeded, "Weir has no pool of threads."),
    Definition::new("DEFAULT", "log_date_format", Kind::Text)
        .default("%Y-%m-%d %H:%M:%S")
        .flag()
        .part(Part::NotNeeded, "Of Python's logging; Weir's lines have a form of their own."),
    Definition::new("DEFAULT", "default_log_levels", Kind::List)
        .default(LOG_LEVELS)
        .part(Part::NotNeeded, "Of Python's logging; Weir's lines have a form of their own."),
    Definition::new("DEFAULT", "instance_format", Kind::Text)
        .default("[instance: %(uuid)s] ")
        .part(Part::NotNeeded, "Of Python's logging; Weir's lines have a form of their own."),
    Definition::new("DEFAULT", "instance_uuid_format", Kind::Text)
        .default("[instance: %(uuid)s] ")
        .part(Part::NotNeeded, "Of Python's logging; Weir's lines have a form of their own."),
    Definition::new("DEFAULT", "log_color", Kind::Bool)
        .default("False")
        .part(Part::NotNeeded, "Of Python's logging; Weir's lines have a form of their own."),
    Definition::new("DEFAULT", "logging_context_format_string", Kind::Text)
        .default(LOG_LINE)
        .part(Part::NotNeeded, "Of Python's logging; Weir's lines have a form of their own."),
    Definition::new("DEFAULT", "logging_debug_format_suffix", Kind::Text)
        .default("%(funcName)s %(pathname)s:%(lineno)d")
        .part(Part::NotNeeded, "Of Python's logging; Weir's lines have a form of their own."),
    Definition::new("DEFAULT", "logging_default_format_string", Kind::Text)
        .default(LOG_PLAIN)
        .part(Part::NotNeeded, "Of Python's logging; Weir's lines have a form of their own."),
    Definition::new("DEFAULT", "logging_exception_prefix", Kind::Text)
        .default("%(asctime)s.%(msecs)03d %(process)d ERROR %(name)s %(instance)s")
        .part(Part::NotNeeded, "Of Python's logging; Weir's lines have a form of their own."),
    Definition::new("DEFAULT", "logging_user_identity_format", Kind::Text)
        .default(LOG_USER)
        .part(Part::NotNeeded, "Of Python's logging; Weir's lines have a form of their own."),
    Definition::new("DEFAULT", "fatal_deprecations", Kind::Bool)
        .default("False")
        .part(Part::NotNeeded, "Of Python's logging; Weir's lines have a form of their own."),
    Definition::new("DEFAULT", "publish_errors", Kind::Bool)
        .default("False")
        .part(Part::NotNeeded, "Of Python's logging; Weir's lines have a form of their own."),
    Definition::new("DEFAULT", "rate_limit_burst", Kind::INT)
        .default("0")
        .part(Part::NotNeeded, "Of Python's logging; Weir's lines have a form of their own."),
    Definition::new(
        "DEFAULT",
        "rate_limit_except_level",
        Kind::Choice(&["CRITICAL", "ERROR", "INFO", "WARNING", "DEBUG", ""]),
    )
    .default("CRITICAL")
    .part(Part::NotNeeded, "Of Python's logging; Weir's lines have a form of their own."),
    Definition::new("DEFAULT", "rate_limit_interval", Kind::INT)
        .default("0")
        .part(Part::NotNeeded, "Of Python's logging; Weir's lines have a form of their own."),
    Definition::new("DEFAULT", "log_rotate_interval", Kind::INT)
        .default("1")
        .part(Part::NotNeeded, "Weir does not rotate its log: logrotate or journald does."),
    Definition::new(
        "DEFAULT",
        "log_rotate_interval_type",
        Kind::ChoiceAnyCase(&["Seconds", "Minutes", "Hours", "Days", "Weekday", "Midnight"]),
    )
    .default("days")
    .part(Part::NotNeeded, "Weir does not rotate its log: logrotate or journald does."),
    Definition::new(
        "DEFAULT",
        "log_rotation_type",
        Kind::ChoiceAnyCase(&["interval", "size", "none"]),
    )
    .default("none")
    .part(Part::NotNeeded, "Weir does not rotate its log: logrotate or journald does."),
    Definition::new("DEFAULT", "max_logfile_count", Kind::INT)
        .default("30")
        .part(Part::NotNeeded, "Weir does not rotate its log: logrotate or journald does."),
    Definition::new("DEFAULT", "max_logfile_size_mb", Kind::INT)
        .default("200")
        .part(Part::NotNeeded, "Weir does not rotate its log: logrotate or journald does."),
    Definition::new("DEFAULT", "my_ip", Kind::Text)
        .part(Part::NotNeeded, "Other options may name it."),
    Definition::new("DEFAULT", "my_ipv6", Kind::Text)
        .part(Part::NotNeeded, "Other options may name it."),
];
