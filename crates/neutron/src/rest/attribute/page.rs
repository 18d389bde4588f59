//! `docs/api.md` has every attribute of every resource, by who may set it.

use std::fmt::Write as _;

use expect_test::expect_file;

use super::{Attribute, Post, Resource};
use crate::rest::version::RESOURCES;

const BEGIN: &str = "cargo test -p weir-neutron -->\n";
const END: &str = "<!-- end -->";

/// The attributes that `select` picks, those in bold that a POST must have.
fn names(resource: &Resource, select: impl Fn(&Attribute) -> bool) -> String {
    let names = resource.attributes.iter().filter(|attribute| select(attribute));
    let names = names.map(|Attribute { name, post, .. }| match post {
        Post::Required => format!("**`{name}`**"),
        Post::Refused | Post::Optional => format!("`{name}`"),
    });
    names.collect::<Vec<_>>().join(", ")
}

fn table(resource: &Resource) -> String {
    let mut table = format!("\n### {}\n\n| | |\n| --- | --- |\n", resource.path);
    let posted = |attribute: &Attribute| attribute.post != Post::Refused;
    let rows = [
        ("create", names(resource, |it| posted(it) && !it.put)),
        ("create and set", names(resource, |it| posted(it) && it.put)),
        ("set", names(resource, |it| !posted(it) && it.put)),
        ("shown", names(resource, |it| !posted(it) && !it.put)),
    ];
    for (who, names) in rows.iter().filter(|(_, names)| !names.is_empty()) {
        writeln!(table, "| {who} | {names} |").unwrap();
    }
    table
}

#[test]
fn the_page_has_every_attribute() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let tables: String = RESOURCES.into_iter().map(table).collect();
    expect_file![path].assert_eq(&format!("{before}{BEGIN}{tables}\n{END}{after}"));
}
