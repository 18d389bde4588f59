//! Where values come from, in the order in which they count.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::ini::{self, Assignment, SyntaxError};

/// Everything that says what options are.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Files and options of the command line, as they stand there; a later one counts more.
    pub ordered: Vec<Source>,
    /// The environment, of which only `OS_GROUP__OPTION` is looked at. It counts more than files
    /// and less than the command line.
    pub environment: BTreeMap<String, String>,
}

/// One of the things that say what options are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(File),
    /// An option of the command line; its group is `DEFAULT`.
    Flag {
        /// The option, with underscores.
        name: String,
        /// Its value.
        value: String,
    },
}

/// A file that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub assignments: Vec<Assignment>,
}

/// A file that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{}", path.display(), error.line)]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// Which line, and why.
    #[source]
    pub error: SyntaxError,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nobody has said anything.
    Default,
    /// A line of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line of the key.
        line: usize,
    },
    /// A variable of the environment.
    Environment(String),
    /// The command line.
    CommandLine,
}

impl File {
    /// Takes the text of a file.
    ///
    /// # Errors
    /// When a line cannot be taken.
    pub fn parse(path: PathBuf, text: &str) -> Result<Self, FileError> {
        match ini::parse(text) {
            Ok(assignments) => Ok(Self { path, assignments }),
            Err(error) => Err(FileError { path, error }),
        }
    }

    /// Where one of its assignments is.
    pub fn place(&self, assignment: &Assignment) -> Place {
        Place::File { path: self.path.clone(), line: assignment.line }
    }
}

impl Sources {
    /// The files, in their order.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.ordered.iter().filter_map(|source| match source {
            Source::File(file) => Some(file),
            Source::Flag { .. } => None,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// A group as it is compared: only `DEFAULT` has a case.
pub(crate) fn normal(group: &str) -> String {
    match group {
        "DEFAULT" => group.to_owned(),
        _ => group.to_lowercase(),
    }
}
