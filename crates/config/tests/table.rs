//! The table of options: it is what Neutron registers, and `docs/configuration.md` is printed from
//! it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use config::table::{self, Section, elsewhere};
use config::{Definition, Kind, Part, Settings, Sources};

/// `oslo/neutron-29.tsv` is what Neutron 29.0.0 registers, written by `oslo/options.py`: group,
/// option, type, default.
#[test]
fn types_and_defaults_are_those_of_neutron() {
    let neutron: BTreeMap<(&str, &str), (&str, Option<&str>)> = include_str!("oslo/neutron-29.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let [group, name, kind, default] =
                line.split('\t').collect::<Vec<_>>().try_into().unwrap();
            ((group, name), (kind, Some(default).filter(|it| *it != "-")))
        })
        .collect();
    for definition in all() {
        let Definition { group, name, default, .. } = *definition;
        let (kind, of_neutron) = neutron[&(group, name)];
        assert_eq!(default, of_neutron, "[{group}] {name}");
        assert_eq!(kind, kind_of_neutron(definition.kind), "[{group}] {name}");
        assert!(!definition.says.is_empty(), "[{group}] {name}");
    }
    // Nothing is left out: what is not in the table is known to be of others.
    for (group, name) in neutron.keys() {
        assert_ne!(table::known(group, name), table::Known::Unknown, "[{group}] {name}");
    }
}

fn kind_of_neutron(kind: Kind) -> String {
    let bound = |number: i64| match number {
        i64::MIN | i64::MAX => String::new(),
        _ => number.to_string(),
    };
    match kind {
        Kind::Text => "String".to_owned(),
        Kind::Choice(valid) | Kind::ChoiceAnyCase(valid) => format!("String {}", valid.join(",")),
        Kind::Bool => "Boolean".to_owned(),
        Kind::Int(0, 65_535) => "Port 0..65535".to_owned(),
        Kind::Int(i64::MIN, i64::MAX) => "Integer".to_owned(),
        Kind::Int(min, max) => format!("Integer {}..{}", bound(min), bound(max)),
        Kind::IntChoice(valid) => {
            let valid: Vec<_> = valid.iter().map(ToString::to_string).collect();
            format!("Integer {}", valid.join(","))
        }
        Kind::Float(min, max) => match (min.is_finite(), max.is_finite()) {
            (false, _) => "Float".to_owned(),
            (true, false) => format!("Float {min:?}.."),
            (true, true) => format!("Float {min:?}..{max:?}"),
        },
        Kind::Ip => "IPAddress".to_owned(),
        Kind::Host => "HostAddress".to_owned(),
        Kind::List => "List".to_owned(),
        Kind::Dict => "Dict".to_owned(),
        _ => unreachable!("{kind:?}"),
    }
}

#[test]
fn defaults_are_values() {
    let (_, errors) = Settings::read(&Sources::default(), all());
    assert_eq!(errors, []);
}

#[test]
fn the_page_is_printed_from_the_table() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md"));
    let printed = print();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, &printed).unwrap();
    }
    let file = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        file == printed,
        "docs/configuration.md is not what the table says; UPDATE_EXPECT=1 rewrites it"
    );
}

fn all() -> impl Iterator<Item = &'static Definition> {
    table::AGENT.iter().chain([&table::SERVER]).flat_map(Section::all)
}

const HEAD: &str = "\
# Configuration files

Weir reads the files that Neutron's agent and server read, as oslo.config reads them: several
`--config-file`, of which a later one counts more, `--config-dir` with its `*.conf` in the order of
their names, `$option` and `${group.option}`, former names, and `OS_GROUP__OPTION` in the
environment, which counts more than files and less than the command line. Every mistake is named
with its file and line.

- **honoured**: it does what it does for Neutron.
- **differs**: it does something alike; the words say what.
- **not needed**: it is accepted, and Weir works without it. If a file sets it, the log says so once.
- Where values are named, others change what packets get or who looks after a port, so Weir does not
  start with them, and says where they are.

`weir agent` reads all of it but the last part. `weir up` reads *The server*, and *RabbitMQ* where
`--transport-url` tells it to answer agents there; the URL of the files alone does not, for they may
be those of a server that runs. Where its command line does not say which firewall its agent has,
`[securitygroup] firewall_driver` and `enable_ipset` do; agents on other hosts whose files name none take
that `firewall_driver`, too.

This page is printed from `crates/config/src/table/`, and a test compares types and defaults with
those of Neutron 29.0.0; `UPDATE_EXPECT=1 cargo test -p weir-config --test table` rewrites it.
";

fn print() -> String {
    let mut page = HEAD.to_owned();
    for section in table::AGENT {
        write_section(&mut page, section);
    }
    write_section(&mut page, &table::SERVER);
    page.push_str("\n## Of others\n\nAn agent does not look into these groups: ");
    page.push_str(&names(elsewhere::GROUPS.iter().map(|group| format!("[{group}]"))));
    page.push_str(". Nor into these options of `[DEFAULT]`: ");
    page.push_str(&names(elsewhere::DEFAULT.iter().map(|name| (*name).to_owned())));
    page.push_str(".\n\nThese are no options any more, and are named in the log: ");
    let removed = elsewhere::REMOVED.iter().map(|(group, name)| format!("[{group}] {name}"));
    page.push_str(&names(removed));
    page.push_str(". So is what nobody knows.\n");
    page
}

fn write_section(page: &mut String, section: &Section) {
    write!(page, "\n## {}\n\n", section.title).unwrap();
    page.push_str("| option | type | default | Weir | |\n| --- | --- | --- | --- | --- |\n");
    for definition in section.all() {
        let Definition { group, name, kind, says, .. } = definition;
        let default = definition.default.map(|it| format!("`{it}`")).unwrap_or_default();
        let part = match definition.part {
            Part::Honoured => "honoured".to_owned(),
            Part::Differs => "differs".to_owned(),
            Part::NotNeeded => "not needed".to_owned(),
            Part::Only([""]) => "must not be set".to_owned(),
            Part::Only(possible) => {
                let none = if possible.contains(&"") { " or nothing" } else { "" };
                let possible = possible.iter().filter(|it| !it.is_empty());
                let possible: Vec<_> = possible.map(|it| format!("`{it}`")).collect();
                format!("only {}{none}", possible.join(", "))
            }
        };
        let several = if definition.is_multiple { ", several times" } else { "" };
        let mut row = format!("`[{group}] {name}` | {kind}{several} | {default} | {part} | {says}");
        row = row.replace("``", "");
        writeln!(page, "| {row} |").unwrap();
    }
}

fn names(names: impl Iterator<Item = String>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
