//! `docs/pipeline.md` says what `layout` says: every table, register field and reason.
#![expect(clippy::expect_used, reason = "a test without the page cannot go on")]

use std::collections::BTreeMap;

use dataplane::bridge::layout::{self, DropReason, FIELDS};
use openflow::Subfield;

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/pipeline.md");
    std::fs::read_to_string(path).expect("docs/pipeline.md")
}

fn rows(page: &str) -> Vec<Vec<&str>> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|row| row.split(" | ").collect())
        .collect()
}

fn place(field: Subfield) -> String {
    let register = field.field().name().to_owned();
    if field.is_whole() { register } else { format!("{register}[{}]", field.lo()) }
}

/// What is between a heading and the next one of its rank.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let start = page.find(&format!("\n## {heading}\n")).expect("the heading");
    let section = page.get(start + 1..).unwrap_or_default();
    section.find("\n## ").and_then(|end| section.get(..end)).unwrap_or(section)
}

#[test]
fn every_table_is_on_the_page() {
    let page = page();
    for (heading, tables) in [
        ("Tables", layout::TABLES),
        ("Physical bridges", layout::physical::TABLES),
        ("The tunnel bridge", layout::tunnel::TABLES),
    ] {
        let rows = rows(section(&page, heading));
        let on_page: BTreeMap<u8, &str> = rows
            .iter()
            .filter_map(|row| Some((row.first()?.parse().ok()?, *row.get(1)?)))
            .collect();
        let known = tables.iter().map(|table| (table.id.0, table.name));
        assert_eq!(on_page, known.collect(), "{heading}");
    }
}

#[test]
fn every_register_field_is_on_the_page() {
    let page = page();
    let rows = rows(&page);
    for (name, field) in FIELDS {
        let row = rows.iter().find(|row| row.first() == Some(name));
        let on_page = row.and_then(|row| row.get(1).copied());
        assert_eq!(on_page, Some(place(*field).as_str()), "{name}");
    }
}

#[test]
fn every_reason_is_on_the_page() {
    let page = page();
    let rows = rows(&page);
    for reason in DropReason::ALL {
        let wanted = [reason.number().to_string(), reason.text().to_owned()];
        assert!(rows.iter().any(|row| *row == wanted), "{wanted:?}");
    }
}
