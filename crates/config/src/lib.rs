//! The configuration of OpenStack's services as oslo.config reads it, and what Weir does with each
//! option of Neutron's Open vSwitch agent.
//!
//! [`ini`] takes the text of a file apart. [`Sources`] are files, options of the command line and
//! the environment; [`Settings`] are the values that come of them, for the options of [`table`].
//! [`verdict`] says what a value means for Weir. [`search`] knows where files are looked for.
//!
//! Nothing here reads a file, knows a bridge, or says how an agent is told: that is for those who
//! call. `tests/oslo` has what oslo.config itself makes of many files.

pub mod ini;
mod kind;
mod option;
pub mod search;
mod settings;
mod source;
pub mod table;
mod template;
pub mod verdict;

pub use self::kind::{Kind, Value, ValueError};
pub use self::option::{Definition, FromValue, Opt, Part};
pub use self::settings::{Problem, Setting, SettingError, Settings};
pub use self::source::{File, FileError, Place, Source, Sources};
