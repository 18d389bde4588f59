//! `docs/pipeline.md` says what `layout` says: every table, register field and reason.
#![expect(clippy::expect_used, reason = "a test without the page cannot go on")]

use dataplane::bridge::layout::{DropReason, FIELDS, TABLES};
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

#[test]
fn every_table_is_on_the_page() {
    let page = page();
    let rows = rows(&page);
    for table in TABLES {
        let number = table.id.0.to_string();
        let row = rows.iter().find(|row| row.first() == Some(&number.as_str()) && row.len() == 3);
        let name = row.and_then(|row| row.get(1).copied());
        assert_eq!(name, Some(table.name), "table {number}");
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
