//! The files of Neutron's agent, read, and what Weir makes of each option.

use config::{
    SettingError, Settings, Sources, table,
    verdict::{self, Finding, Stray},
};

/// What the files say.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) settings: Settings,
    /// Values that are none.
    pub(crate) errors: Vec<SettingError>,
    /// Keys that are no options.
    pub(crate) strays: Vec<Stray>,
}

impl Reading {
    /// Reads all options of an agent.
    pub(crate) fn of(sources: &Sources) -> Self {
        let (settings, errors) = Settings::read(sources, table::agent());
        Self { settings, errors, strays: verdict::strays(sources) }
    }

    /// What is set, and what is refused.
    pub(crate) fn findings(&self) -> impl Iterator<Item = Finding<'_>> {
        verdict::findings(&self.settings)
    }
}
