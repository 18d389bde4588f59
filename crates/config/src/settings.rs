//! The value of every option, and where it comes from.

use std::collections::BTreeMap;

use crate::kind::{Value, ValueError};
use crate::option::{Definition, FromValue, Opt};
use crate::source::{Place, Source, Sources, normal};
use crate::template;

/// The values of options.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    entries: BTreeMap<(&'static str, &'static str), Setting>,
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The option.
    pub definition: &'static Definition,
    /// Its value, where it has one.
    pub value: Option<Value>,
    /// Where that comes from.
    pub place: Place,
    /// The group and name that were used, where the option has others now.
    pub former: Option<(&'static str, &'static str)>,
}

/// Why an option has no value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{place}: [{}] {}", definition.group, definition.name)]
pub struct SettingError {
    /// The option.
    pub definition: &'static Definition,
    /// Where its value is.
    pub place: Place,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It is none of the option's type.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// It names an option that there is not.
    #[error("${0} names no option; $$ is a dollar sign")]
    Unknown(String),
    /// It names options that name it.
    #[error("${0} goes round in a circle")]
    Circle(String),
}

/// Text for an option, before it is looked into.
struct Raw {
    texts: Vec<String>,
    place: Place,
    former: Option<(&'static str, &'static str)>,
}

impl Settings {
    /// Reads all of `definitions`. An option with an error has no value.
    pub fn read(
        sources: &Sources,
        definitions: impl IntoIterator<Item = &'static Definition>,
    ) -> (Self, Vec<SettingError>) {
        let reader = Reader::new(sources, definitions);
        let (mut settings, mut errors) = (Self::default(), Vec::new());
        for (name, definition) in &reader.definitions {
            match reader.setting(definition, &mut Vec::new()) {
                Ok(setting) => drop(settings.entries.insert(*name, setting)),
                // What an option that names this one fails with, too.
                Err(error) if errors.contains(&error) => {}
                Err(error) => errors.push(error),
            }
        }
        (settings, errors)
    }

    /// The value of an option.
    pub fn get<T: FromValue>(&self, option: &Opt<T>) -> T {
        T::from_value(self.setting(option).and_then(|setting| setting.value.as_ref()))
    }

    /// The value of an option, if somebody has said it.
    pub fn said<T: FromValue>(&self, option: &Opt<T>) -> Option<T> {
        let setting = self.setting(option)?;
        let is_said = setting.place != Place::Default && setting.value.is_some();
        is_said.then(|| T::from_value(setting.value.as_ref()))
    }

    /// Where the value of an option comes from.
    pub fn place<T>(&self, option: &Opt<T>) -> Place {
        self.setting(option).map_or(Place::Default, |setting| setting.place.clone())
    }

    /// All of them, by group and name.
    pub fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.entries.values()
    }

    fn setting<T>(&self, option: &Opt<T>) -> Option<&Setting> {
        self.entries.get(&(option.definition.group, option.definition.name))
    }
}

struct Reader<'a> {
    sources: &'a Sources,
    definitions: BTreeMap<(&'static str, &'static str), &'static Definition>,
}

impl<'a> Reader<'a> {
    fn new(
        sources: &'a Sources,
        definitions: impl IntoIterator<Item = &'static Definition>,
    ) -> Self {
        let definitions = definitions.into_iter();
        let named = definitions.map(|it| ((it.group, it.name), it)).collect();
        Self { sources, definitions: named }
    }

    /// `above` are the options whose values name this one.
    fn setting(
        &self,
        definition: &'static Definition,
        above: &mut Vec<&'static Definition>,
    ) -> Result<Setting, SettingError> {
        let Raw { texts, place, former } = self.raw(definition);
        let fail = |problem| SettingError { definition, place: place.clone(), problem };
        above.push(definition);
        let mut values = Vec::new();
        for text in texts {
            let text = template::expand(&text, |name| self.named(name, definition, above, &fail))?;
            values.extend(definition.kind.parse(&text).map_err(|error| fail(error.into()))?);
        }
        above.pop();
        let value = match definition.is_multiple {
            true => Some(Value::Many(values)),
            false => values.pop(),
        };
        Ok(Setting { definition, value, place, former })
    }

    /// What `$name` in a value of `user` stands for.
    fn named(
        &self,
        name: &str,
        user: &Definition,
        above: &mut Vec<&'static Definition>,
        fail: &impl Fn(Problem) -> SettingError,
    ) -> Result<String, SettingError> {
        let found = match name.split_once('.') {
            // The group of those that have none has no name here.
            Some(("DEFAULT", _)) => None,
            Some((group, option)) => self.find(&normal(group), option),
            None => self.find(user.group, name).or_else(|| self.find("DEFAULT", name)),
        };
        let found = found.ok_or_else(|| fail(Problem::Unknown(name.to_owned())))?;
        if above.contains(&found) {
            return Err(fail(Problem::Circle(name.to_owned())));
        }
        let value = self.setting(found, above)?.value;
        Ok(value.map(|value| value.to_string()).unwrap_or_default())
    }

    fn find(&self, group: &str, name: &str) -> Option<&'static Definition> {
        let mut all = self.definitions.values();
        let present = all.clone().find(|it| it.group == group && it.name == name);
        present
            .copied()
            .or_else(|| all.find(|it| it.names().any(|former| former == (group, name))).copied())
    }

    fn raw(&self, definition: &Definition) -> Raw {
        let variable = definition.variable();
        let environment = self.sources.environment.get(&variable).map(|text| Raw {
            texts: vec![text.clone()],
            place: Place::Environment(variable),
            former: None,
        });
        let said = self.said(definition);
        match said {
            Some(raw) if raw.place == Place::CommandLine => raw,
            said => environment.or(said).unwrap_or_else(|| Raw {
                texts: definition.default.iter().map(|text| (*text).to_owned()).collect(),
                place: Place::Default,
                former: None,
            }),
        }
    }

    /// What files and the command line say.
    fn said(&self, definition: &Definition) -> Option<Raw> {
        let mut many: Option<Raw> = None;
        for source in self.sources.ordered.iter().rev() {
            let file = match source {
                Source::Flag { name, value } if definition.is_flag && name == definition.name => {
                    let texts = vec![value.clone()];
                    return Some(Raw { texts, place: Place::CommandLine, former: None });
                }
                Source::Flag { .. } => continue,
                Source::File(file) => file,
            };
            for present in definition.names() {
                let (group, name) = (normal(present.0), present.1);
                let found = file.assignments.iter();
                let found = found.filter(|it| it.key == name && normal(&it.group) == group);
                let Some(last) = found.clone().next_back() else { continue };
                let texts: Vec<String> = found.map(|it| it.value.clone()).collect();
                let former = Some(present).filter(|it| *it != (definition.group, definition.name));
                if !definition.is_multiple {
                    let texts = texts.last().cloned().into_iter().collect();
                    return Some(Raw { texts, place: file.place(last), former });
                }
                let many = many.get_or_insert_with(|| Raw {
                    texts: Vec::new(),
                    place: file.place(last),
                    former,
                });
                many.texts.splice(0..0, texts);
            }
        }
        many
    }
}
