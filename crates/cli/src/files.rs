//! Configuration files of OpenStack's form, named on the command line or looked for where a service
//! looks for them. Reading is done here, meaning is given by `config`.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use config::{File, Source, Sources, search};

/// `--config-file` and `--config-dir`, in the order in which they were given.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConfigFiles {
    pub(crate) arguments: Vec<Argument>,
}

/// Something that says what options are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Argument {
    /// A file.
    File(PathBuf),
    /// A directory, of which all `*.conf` are read.
    Directory(PathBuf),
    /// An option of the command line that files have, too.
    Flag {
        /// Its name in files.
        name: String,
        /// Its value.
        value: String,
    },
}

const FILE: &str = "config-file";
const DIRECTORY: &str = "config-dir";

impl ConfigFiles {
    /// Whether none was given.
    pub(crate) fn is_empty(&self) -> bool {
        self.arguments.is_empty()
    }

    /// Reads what was given, and of a service (a project and its program) what it reads by itself
    /// where nothing was given.
    ///
    /// # Errors
    /// When a file cannot be read or has a line that cannot be taken.
    pub(crate) fn read(&self, service: Option<[&str; 2]>) -> anyhow::Result<Sources> {
        let environment = environment();
        let home = environment.get("HOME").map(PathBuf::from);
        let mut found = Vec::new();
        if let Some(names) = service {
            let is_given = |kind: fn(&Argument) -> bool| self.arguments.iter().any(kind);
            if !is_given(|it| matches!(it, Argument::File(_))) {
                let files = search::files(&environment, names, Path::exists);
                found.extend(files.into_iter().map(Argument::File));
            }
            if !is_given(|it| matches!(it, Argument::Directory(_))) {
                let directories = search::directories(&environment, names, Path::exists);
                found.extend(directories.into_iter().map(Argument::Directory));
            }
        }
        let mut ordered = Vec::new();
        for argument in found.iter().chain(&self.arguments) {
            match argument {
                Argument::File(path) => {
                    ordered.push(Source::File(read(&full(path, home.as_deref()))?))
                }
                Argument::Directory(path) => {
                    for path in files_of(&full(path, home.as_deref()))? {
                        ordered.push(Source::File(read(&path)?));
                    }
                }
                Argument::Flag { name, value } => {
                    ordered.push(Source::Flag { name: name.clone(), value: value.clone() });
                }
            }
        }
        Ok(Sources { ordered, environment })
    }

    /// What was given of these arguments, with the position of each.
    pub(crate) fn positions(matches: &ArgMatches) -> Vec<(usize, Argument)> {
        let values = |id| {
            let values = matches.get_many::<PathBuf>(id).into_iter().flatten().cloned();
            matches.indices_of(id).into_iter().flatten().zip(values)
        };
        let files = values(FILE).map(|(at, path)| (at, Argument::File(path)));
        let directories = values(DIRECTORY).map(|(at, path)| (at, Argument::Directory(path)));
        files.chain(directories).collect()
    }

    /// In the order of their positions.
    pub(crate) fn in_order(mut positions: Vec<(usize, Argument)>) -> Self {
        positions.sort_by_key(|(at, _)| *at);
        Self { arguments: positions.into_iter().map(|(_, argument)| argument).collect() }
    }
}

impl clap::Args for ConfigFiles {
    fn augment_args(command: Command) -> Command {
        let path = |name: &'static str| {
            let parser = clap::value_parser!(PathBuf);
            Arg::new(name).long(name).action(ArgAction::Append).value_parser(parser)
        };
        command
            .arg(
                path(FILE).value_name("PATH").help(
                    "A file in the form of neutron.conf; of several, a later one counts more",
                ),
            )
            .arg(
                path(DIRECTORY)
                    .value_name("DIR")
                    .help("A directory of such files: its *.conf, in the order of their names"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ConfigFiles {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self::in_order(Self::positions(matches)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The variables of the environment that are text.
fn environment() -> BTreeMap<String, String> {
    let text = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((key.into_string().ok()?, value.into_string().ok()?))
    };
    env::vars_os().filter_map(text).collect()
}

/// The path from the root, with the home directory in the place of `~`.
fn full(path: &Path, home: Option<&Path>) -> PathBuf {
    let path = match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    };
    std::path::absolute(&path).unwrap_or(path)
}

fn read(path: &Path) -> anyhow::Result<File> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text =
        String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(File::parse(path.to_owned(), &text)?)
}

/// The files of a directory that are read, in their order.
fn files_of(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read the directory {}", directory.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).with_context(cannot)? {
        let name = entry.with_context(cannot)?.file_name();
        let is_read = name.to_str().is_some_and(|it| it.ends_with(".conf") && !it.starts_with('.'));
        if is_read {
            files.push(directory.join(name));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Arguments {
        #[command(flatten)]
        files: ConfigFiles,
    }

    #[test]
    fn the_order_of_arguments_is_kept() {
        let arguments = ["weir", "--config-dir", "d", "--config-file=a", "--config-file", "b"];
        let files = Arguments::parse_from(arguments).files;
        assert_eq!(
            files.arguments,
            [
                Argument::Directory("d".into()),
                Argument::File("a".into()),
                Argument::File("b".into())
            ]
        );
    }

    #[test]
    fn a_home_directory_is_put_in() {
        let home = Some(Path::new("/home/x"));
        assert_eq!(full(Path::new("~/a"), home), Path::new("/home/x/a"));
        assert_eq!(full(Path::new("/a~/b"), home), Path::new("/a~/b"));
    }
}
