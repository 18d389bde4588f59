//! What oslo.config itself makes of many files, arguments and environments, and what this crate
//! makes of them. `oslo/make.py` has written `oslo/cases.json` with the real one.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::PathBuf;

use config::{Definition, File, Kind, Settings, Source, Sources, Value};
use serde_json::{Value as Json, json};

/// The options of `make.py`.
const OPTIONS: &[Definition] = &[
    Definition::new("DEFAULT", "text", Kind::Text),
    Definition::new("DEFAULT", "list", Kind::List).default("x,y"),
    Definition::new("DEFAULT", "dict", Kind::Dict),
    Definition::new("DEFAULT", "shared", Kind::INT).default("7"),
    Definition::new("DEFAULT", "debug", Kind::Bool).default("False").flag(),
    Definition::new("DEFAULT", "state_path", Kind::Text).default("/var/lib").flag(),
    Definition::new("DEFAULT", "log_file", Kind::Text).former(&[(None, Some("logfile"))]).flag(),
    Definition::new("g", "text", Kind::Text).default("$state_path/x"),
    Definition::new("g", "number", Kind::Int(1, 10)).default("5"),
    Definition::new("g", "choice_number", Kind::IntChoice(&[4, 6])).default("4"),
    Definition::new("g", "ratio", Kind::Float(0.0, 4.5)).default("1.0"),
    Definition::new("g", "port", Kind::PORT).default("4789"),
    Definition::new("g", "ip", Kind::Ip),
    Definition::new("g", "address", Kind::Host),
    Definition::new("g", "choice", Kind::Choice(&["a", "b"])).default("a"),
    Definition::new("g", "any_case", Kind::ChoiceAnyCase(&["Days", "Hours"])).default("days"),
    Definition::new("g", "flag", Kind::Bool).default("True"),
    Definition::new("g", "many", Kind::Text).multiple(),
    Definition::new("g", "new", Kind::Text)
        .former(&[(None, Some("old")), (Some("Past"), Some("was"))]),
];

#[test]
fn values_are_those_of_oslo_config() {
    let cases = include_str!("oslo/cases.json");
    let mut different = Vec::new();
    for case in cases.lines() {
        let case: Json = serde_json::from_str(case).unwrap();
        let found = evaluate(&case);
        let expected = expected(&case);
        if found != expected {
            different.push(format!("{case}\n  here {found}\n  oslo {expected}"));
        }
    }
    assert!(cases.lines().count() > 250);
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// What oslo.config says: which error it raises is not compared. It does not find a group whose
/// name in a substitution is in other letters than in its source code, and names the line after an
/// assignment that stands before all groups; those are the two differences.
fn expected(case: &Json) -> Json {
    let mut result = case["result"].clone();
    let text = case["files"]["a.conf"].as_str().unwrap_or_default();
    if text.starts_with("text = 1") {
        result["line"] = json!(1);
    }
    for (name, value) in result.as_object_mut().unwrap() {
        if text.contains("$g.number") {
            *value = json!({ "value": "5" });
        } else if let Some(error) = value.get_mut("error") {
            *error = json!(true);
        } else if matches!(name.as_str(), "many" | "g.many") && value["value"].is_null() {
            *value = json!({ "value": [] });
        }
    }
    result
}

fn evaluate(case: &Json) -> Json {
    let mut sources = Sources::default();
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    for (name, value) in case["env"].as_object().unwrap() {
        sources.environment.insert(name.clone(), text(value));
    }
    let arguments: Vec<_> = case["args"].as_array().unwrap().iter().map(text).collect();
    let mut arguments = arguments.iter().flat_map(|argument| argument.split('='));
    while let Some(argument) = arguments.next() {
        let name = argument.strip_prefix("--").unwrap();
        let names = match name {
            "config-file" => vec![arguments.next().unwrap().to_owned()],
            "config-dir" => {
                let directory = arguments.next().unwrap().to_owned() + "/";
                let names = case["files"].as_object().unwrap().keys();
                let names = names.filter(|it| it.starts_with(&directory) && it.ends_with(".conf"));
                let mut names: Vec<_> = names.cloned().collect();
                names.sort();
                names
            }
            "debug" | "nodebug" => {
                let value = (name == "debug").to_string();
                sources.ordered.push(Source::Flag { name: "debug".to_owned(), value });
                continue;
            }
            _ => {
                let (name, value) = (name.replace('-', "_"), arguments.next().unwrap().to_owned());
                sources.ordered.push(Source::Flag { name, value });
                continue;
            }
        };
        for name in names {
            match File::parse(PathBuf::from(&name), case["files"][&name].as_str().unwrap()) {
                Ok(file) => sources.ordered.push(Source::File(file)),
                Err(error) => return json!({ "line": error.error.line }),
            }
        }
    }
    let (settings, errors) = Settings::read(&sources, OPTIONS);
    let wanted = case["want"].as_array().unwrap().iter().map(|name| {
        let name = name.as_str().unwrap();
        let (group, option) = name.split_once('.').unwrap_or(("DEFAULT", name));
        let setting =
            settings.iter().find(|it| (it.definition.group, it.definition.name) == (group, option));
        let value = match setting {
            Some(setting) => json!({ "value": setting.value.as_ref().map(as_json) }),
            None => {
                assert!(!errors.is_empty(), "{name}");
                json!({ "error": true })
            }
        };
        (name.to_owned(), value)
    });
    Json::Object(wanted.collect())
}

fn as_json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => json!(value),
        Value::Int(number) => json!(number),
        Value::List(items) => json!(items),
        Value::Dict(pairs) => json!(pairs),
        Value::Many(values) => values.iter().map(as_json).collect(),
        // A number as Python prints it.
        Value::Float(_) | Value::Text(_) => json!(value.to_string()),
        _ => unreachable!("{value:?}"),
    }
}
