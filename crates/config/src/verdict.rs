//! What the values of options mean for Weir.

use std::fmt;

use crate::kind::Value;
use crate::option::{Definition, Part};
use crate::settings::{Setting, Settings};
use crate::source::{Place, Sources};
use crate::table::{self, Known};

/// What Weir does with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The same as Neutron.
    Honoured,
    /// Nothing: it is not needed.
    NotNeeded,
    /// Something alike, but not the same.
    Differs,
    /// It cannot be honoured: Weir does not start.
    Refused,
}

/// An option and what its value means.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding<'a> {
    /// The option.
    pub definition: &'static Definition,
    /// Its value as one may show it.
    pub value: String,
    /// Where that comes from.
    pub place: &'a Place,
    /// The group and name that were used, where the option has others now.
    pub former: Option<(&'static str, &'static str)>,
    /// What Weir does with it.
    pub verdict: Verdict,
}

/// A key of a file that is no option of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Where it is.
    pub place: Place,
    /// The group, as it is written.
    pub group: String,
    /// The key.
    pub key: String,
    /// Whether it was an option once.
    pub is_removed: bool,
}

/// What the settings mean: of every option that somebody has set, and of every one that is refused.
pub fn findings(settings: &Settings) -> impl Iterator<Item = Finding<'_>> {
    all(settings)
        .filter(|finding| *finding.place != Place::Default || finding.verdict == Verdict::Refused)
}

/// What the settings mean: of every option.
pub fn all(settings: &Settings) -> impl Iterator<Item = Finding<'_>> {
    settings.iter().map(|setting| {
        let Setting { definition, place, former, .. } = setting;
        let verdict = verdict(setting);
        let value = shown(setting);
        Finding { definition, value, place, former: *former, verdict }
    })
}

/// The keys of files that are no options.
pub fn strays(sources: &Sources) -> Vec<Stray> {
    let assignments =
        sources.files().flat_map(|file| file.assignments.iter().map(move |it| (file, it)));
    let strays = assignments.filter_map(|(file, assignment)| {
        let known = table::known(&assignment.group, &assignment.key);
        let is_removed = known == Known::Removed;
        (is_removed || known == Known::Unknown).then(|| Stray {
            place: file.place(assignment),
            group: assignment.group.clone(),
            key: assignment.key.clone(),
            is_removed,
        })
    });
    strays.collect()
}

fn verdict(setting: &Setting) -> Verdict {
    match setting.definition.part {
        Part::Honoured => Verdict::Honoured,
        Part::Differs => Verdict::Differs,
        Part::NotNeeded => Verdict::NotNeeded,
        Part::Only(possible) => {
            let is_possible = |text: &str| possible.contains(&text);
            let is_honoured = match &setting.value {
                None => is_possible(""),
                Some(Value::List(items)) => items.iter().all(|item| is_possible(item)),
                Some(value) => is_possible(&value.to_string()),
            };
            if is_honoured { Verdict::Honoured } else { Verdict::Refused }
        }
    }
}

/// The value as a file would have it.
fn shown(setting: &Setting) -> String {
    match &setting.value {
        None => String::new(),
        Some(_) if setting.definition.is_secret => "(not shown)".to_owned(),
        Some(Value::List(items)) => items.join(","),
        Some(Value::Many(values)) => {
            values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        }
        Some(Value::Dict(pairs)) => {
            pairs.iter().map(|(key, value)| format!("{key}:{value}")).collect::<Vec<_>>().join(",")
        }
        Some(value) => value.to_string(),
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Honoured => "honoured",
            Self::NotNeeded => "not needed",
            Self::Differs => "differs",
            Self::Refused => "refused",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::source::{File, Source};

    fn sources(text: &str) -> Sources {
        let file = File::parse(PathBuf::from("a.conf"), text).unwrap();
        Sources { ordered: vec![Source::File(file)], ..Sources::default() }
    }

    fn told(text: &str) -> Vec<String> {
        let (settings, errors) = Settings::read(&sources(text), table::agent());
        assert_eq!(errors, []);
        let told = findings(&settings).map(|finding| {
            let Finding { definition, value, place, verdict, .. } = finding;
            format!("{place} {}={value} {verdict}", definition.name)
        });
        told.collect()
    }

    #[test]
    fn what_changes_the_meaning_is_refused() {
        let driver = "[securitygroup]\nfirewall_driver = openvswitch\n";
        assert!(told("").is_empty());
        for (text, expected) in [
            (
                "[securitygroup]\nfirewall_driver = nftables",
                "a.conf:2 firewall_driver=nftables refused",
            ),
            ("[agent]\nextensions = qos,log", "a.conf:2 extensions=qos,log refused"),
            (
                "[AGENT]\nenable_distributed_routing = on",
                "a.conf:2 enable_distributed_routing=True refused",
            ),
            ("[AGENT]\nbaremetal_smartnic = on", "a.conf:2 baremetal_smartnic=True refused"),
            (
                "[SECURITYGROUP]\nenable_security_group = no",
                "a.conf:2 enable_security_group=False refused",
            ),
            ("[agent]\nextensions = qos", "a.conf:2 extensions=qos honoured"),
            ("[agent]\nextensions =", "a.conf:2 extensions= honoured"),
            ("[agent]\npolling_interval = 3", "a.conf:2 polling_interval=3 not needed"),
            ("[DEFAULT]\nuse_json = true", "a.conf:2 use_json=True differs"),
            (
                "[DEFAULT]\ntransport_url = rabbit://u:p@h/",
                "a.conf:2 transport_url=(not shown) honoured",
            ),
        ] {
            assert!(told(text).contains(&expected.to_owned()), "{text} {:?}", told(text));
        }
        assert_eq!(told(driver), ["a.conf:2 firewall_driver=openvswitch honoured"]);
    }

    #[test]
    fn only_what_nobody_knows_is_stray() {
        let text = "[DEFAULT]\nverbose = 1\ncore_plugin = ml2\nlogdir = /x\nhots = a\n[nova]\nx = 1\n\
                    [OVS]\nof_interface = native\nlocal_ip = 192.0.2.1\n[ovs ]\na = b\n";
        let strays = strays(&sources(text));
        let strays: Vec<_> =
            strays.iter().map(|it| (it.place.to_string(), &*it.key, it.is_removed)).collect();
        let expected = [
            ("a.conf:2", "verbose", true),
            ("a.conf:5", "hots", false),
            ("a.conf:9", "of_interface", true),
            ("a.conf:12", "a", false),
        ];
        assert_eq!(strays, expected.map(|(place, key, removed)| (place.to_owned(), key, removed)));
    }
}
