//! The arguments of Neutron's agent: its files, and the options that oslo.config gives the command
//! line of every service. Their order counts, as it does for oslo.config.

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, parser::ValueSource};

use crate::files::{Argument, ConfigFiles};

/// What stands on the command line of a service.
#[derive(Debug, Clone)]
pub(crate) struct ServiceArguments(pub(crate) ConfigFiles);

/// An option that says yes or no: its name in files, and what saying yes and no is called.
const SWITCHES: &[(&str, [&str; 2], &str)] = &[
    ("debug", ["debug", "nodebug"], "Log everything that helps to find a mistake"),
    (
        "use_syslog",
        ["use-syslog", "nouse-syslog"],
        "Taken, but the log goes to standard error or its file",
    ),
    (
        "use_journal",
        ["use-journal", "nouse-journal"],
        "Taken, but the log goes to standard error or its file",
    ),
    ("use_json", ["use-json", "nouse-json"], "Taken, but the lines of the log are text"),
];

/// An option with a value: its name in files, what it is called now, and what it was called.
const VALUES: &[(&str, &str, &[&str], &str)] = &[
    ("log_file", "log-file", &["logfile"], "The file of the log"),
    ("log_dir", "log-dir", &["logdir"], "The directory of the log"),
    ("state_path", "state_path", &[], "What other options name as $state_path"),
    (
        "log_config_append",
        "log-config-append",
        &["log-config", "log_config"],
        "Taken, but not needed",
    ),
    ("log_date_format", "log-date-format", &[], "Taken, but not needed"),
    ("syslog_log_facility", "syslog-log-facility", &[], "Taken, but not needed"),
];

impl clap::Args for ServiceArguments {
    fn augment_args(command: Command) -> Command {
        let mut command = ConfigFiles::augment_args(command);
        for (_, [yes, no], help) in SWITCHES {
            let switch = |long: &'static str| Arg::new(long).long(long).action(ArgAction::Count);
            let short = yes.chars().next().filter(|_| *yes == "debug");
            command = command.arg(switch(yes).short(short).help(*help)).arg(switch(no).hide(true));
        }
        for (_, long, aliases, help) in VALUES {
            let value = Arg::new(*long).long(*long).visible_aliases(*aliases);
            command = command.arg(value.action(ArgAction::Append).value_name("VALUE").help(*help));
        }
        // Older unit files have it; nothing needs it.
        command
            .arg(Arg::new("verbose").long("verbose").short('v').action(ArgAction::Count).hide(true))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServiceArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut positions = ConfigFiles::positions(matches);
        let flag = |name: &str, value: &str| Argument::Flag {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        for (name, [yes, no], _) in SWITCHES {
            for (id, value) in [(*yes, "true"), (*no, "false")] {
                if matches.value_source(id) == Some(ValueSource::CommandLine) {
                    let last = matches.indices_of(id).into_iter().flatten().last();
                    positions.extend(last.map(|at| (at, flag(name, value))));
                }
            }
        }
        for (name, long, ..) in VALUES {
            let values = matches.get_many::<String>(long).into_iter().flatten();
            let indices = matches.indices_of(long).into_iter().flatten();
            positions.extend(indices.zip(values).map(|(at, value)| (at, flag(name, value))));
        }
        Ok(Self(ConfigFiles::in_order(positions)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        service: ServiceArguments,
    }

    fn arguments(line: &str) -> Vec<String> {
        let line = Line::parse_from(std::iter::once("agent").chain(line.split_whitespace()));
        let named = line.service.0.arguments.iter().map(|argument| match argument {
            Argument::File(path) => format!("file {}", path.display()),
            Argument::Directory(path) => format!("directory {}", path.display()),
            Argument::Flag { name, value } => format!("{name} {value}"),
        });
        named.collect()
    }

    #[test]
    fn the_command_line_is_that_of_a_service() {
        for (line, expected) in [
            ("", &[][..]),
            ("--config-file a --log-file=x --config-file b", &["file a", "log_file x", "file b"]),
            ("-d --config-dir d", &["debug true", "directory d"]),
            ("--debug --nodebug", &["debug true", "debug false"]),
            ("--nodebug --debug", &["debug false", "debug true"]),
            ("--logdir l --use-syslog -v --verbose", &["log_dir l", "use_syslog true"]),
            ("--state_path s --log-config c", &["state_path s", "log_config_append c"]),
        ] {
            assert_eq!(arguments(line), expected, "{line}");
        }
    }
}
