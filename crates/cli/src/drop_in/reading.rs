//! The files of Neutron's agent, read, and what Weir makes of each option.

use config::{
    SettingError, Settings, Sources, table,
    verdict::{self, Finding, Stray, Verdict},
};

use super::bus;

/// What the files say.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) settings: Settings,
    /// Values that are none.
    pub(crate) errors: Vec<SettingError>,
    /// Keys that are no options.
    pub(crate) strays: Vec<Stray>,
}

/// An option with a value that Weir cannot honour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: [{group}] {name} = {value}: {says}")]
pub(crate) struct Refusal {
    place: String,
    group: &'static str,
    name: &'static str,
    value: String,
    says: &'static str,
}

impl Reading {
    /// Reads all options of an agent.
    pub(crate) fn of(sources: &Sources) -> Self {
        let (mut settings, mut errors) = Settings::read(sources, table::agent());
        if let Some(sources) = bus::with_url_options(sources, &settings) {
            (settings, errors) = Settings::read(&sources, table::agent());
        }
        Self { settings, errors, strays: verdict::strays(sources) }
    }

    /// What is set, and what is refused.
    pub(crate) fn findings(&self) -> impl Iterator<Item = Finding<'_>> {
        verdict::findings(&self.settings)
    }

    /// What Weir cannot honour.
    pub(crate) fn refusals(&self) -> Vec<Refusal> {
        let refused = self.findings().filter(|finding| finding.verdict == Verdict::Refused);
        let refusals = refused.map(|finding| Refusal {
            place: finding.place.to_string(),
            group: finding.definition.group,
            name: finding.definition.name,
            value: finding.value,
            says: finding.definition.says,
        });
        refusals.collect()
    }

    /// Says every value, for those who look for a mistake.
    pub(crate) fn log_values(&self) {
        for Finding { definition, value, place, .. } in verdict::all(&self.settings) {
            let (group, name) = (definition.group, definition.name);
            tracing::debug!(%place, group, name, value, "an option");
        }
    }

    /// Says once what is not as somebody may think who wrote the files.
    pub(crate) fn log(&self) {
        for Finding { definition, place, former, verdict, .. } in self.findings() {
            let (group, name) = (definition.group, definition.name);
            if let Some((former_group, former_name)) = former {
                tracing::warn!(
                    %place, group, name, former_group, former_name,
                    "this option has another name now"
                );
            }
            match verdict {
                Verdict::Honoured | Verdict::Refused => {}
                Verdict::NotNeeded => tracing::info!(
                    %place, group, name, why = definition.says, "this option is not needed"
                ),
                Verdict::Differs => tracing::warn!(
                    %place, group, name, how = definition.says, "this option does something else"
                ),
            }
        }
        for Stray { place, group, key, is_removed } in &self.strays {
            match is_removed {
                true => tracing::warn!(%place, group, key, "this option is no more"),
                false => tracing::warn!(%place, group, key, "nobody knows this option"),
            }
        }
    }
}
