//! The options `resource_provider_…`, as the server is told of them. The forms are those of
//! `neutron_lib.placement.utils`. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// Text of which nothing can be reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlacementError {
    /// Not as many parts as there must be.
    #[error("'{0}' does not have {1} parts between colons")]
    Parts(String, usize),
    /// A rate that is none.
    #[error("'{0}' is not a rate: an integer from 0")]
    Rate(String),
    /// Something that is there twice.
    #[error("'{0}' is there twice")]
    Twice(String),
    /// A device that leads nowhere.
    #[error("'{0}' is not a bridge of bridge_mappings")]
    Device(String),
    /// An inventory has no such value.
    #[error("'{0}' is none of allocation_ratio, min_unit, max_unit, reserved and step_size")]
    Inventory(String),
    /// A value of an inventory that is none.
    #[error("'{0}' is not a number from 0")]
    Number(String),
}

/// `NAME[:RATE…]` with a rate for each direction: the rates of each name.
pub(crate) fn rates(
    items: &[String],
    directions: &[&str],
) -> Result<Map<String, Value>, PlacementError> {
    let mut rates = Map::new();
    for item in items {
        let mut parts = item.split(':');
        let name = parts.next().unwrap_or_default();
        let parts: Vec<&str> = parts.collect();
        let parts = match parts.is_empty() {
            true => vec![""; directions.len()],
            false => parts,
        };
        if parts.len() != directions.len() {
            return Err(PlacementError::Parts(item.clone(), directions.len() + 1));
        }
        let mut of_name = Map::new();
        for (direction, rate) in directions.iter().zip(parts) {
            of_name.insert((*direction).to_owned(), self::rate(rate)?);
        }
        if rates.insert(name.to_owned(), of_name.into()).is_some() {
            return Err(PlacementError::Twice(name.to_owned()));
        }
    }
    Ok(rates)
}

/// Rates of hypervisors: the one without a name is this host.
pub(crate) fn of_hypervisors(
    mut rates: Map<String, Value>,
    host: &str,
) -> Result<Map<String, Value>, PlacementError> {
    if let Some(unnamed) = rates.remove("")
        && rates.insert(host.to_owned(), unnamed).is_some()
    {
        return Err(PlacementError::Twice(host.to_owned()));
    }
    Ok(rates)
}

/// Refuses rates of anything but these devices.
pub(crate) fn only_of(
    rates: &Map<String, Value>,
    devices: &BTreeSet<String>,
) -> Result<(), PlacementError> {
    match rates.keys().find(|name| !devices.contains(*name)) {
        Some(name) => Err(PlacementError::Device(name.clone())),
        None => Ok(()),
    }
}

/// What an inventory is like where nothing else is said.
pub(crate) fn inventory(
    defaults: &BTreeMap<String, String>,
) -> Result<Map<String, Value>, PlacementError> {
    let mut inventory = Map::new();
    for (name, text) in defaults {
        let no_number = || PlacementError::Number(text.clone());
        let value = match name.as_str() {
            "allocation_ratio" => {
                let ratio = text.parse::<f64>().ok().filter(|ratio| *ratio >= 0.0);
                json!(ratio.ok_or_else(no_number)?)
            }
            "min_unit" | "max_unit" | "reserved" | "step_size" => {
                json!(text.parse::<u32>().map_err(|_| no_number())?)
            }
            _ => return Err(PlacementError::Inventory(name.clone())),
        };
        inventory.insert(name.clone(), value);
    }
    Ok(inventory)
}

/// The hypervisor of each device.
pub(crate) fn hypervisors(
    named: &BTreeMap<String, String>,
    devices: &BTreeSet<String>,
    otherwise: &str,
) -> Map<String, Value> {
    let of = |device: &String| {
        let name = named.get(device).map(String::as_str).filter(|name| !name.is_empty());
        (device.clone(), json!(name.unwrap_or(otherwise)))
    };
    devices.iter().map(of).collect()
}

fn rate(text: &str) -> Result<Value, PlacementError> {
    match (text.is_empty(), text.parse::<u64>()) {
        (true, _) => Ok(Value::Null),
        (false, Ok(rate)) => Ok(json!(rate)),
        (false, Err(_)) => Err(PlacementError::Rate(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn rates_are_those_of_neutron() {
        let both = ["egress", "ingress"];
        assert_eq!(
            Value::from(rates(&items("a:1:2,b::3,c::,d"), &both).unwrap()),
            json!({
                "a": { "egress": 1, "ingress": 2 },
                "b": { "egress": null, "ingress": 3 },
                "c": { "egress": null, "ingress": null },
                "d": { "egress": null, "ingress": null },
            })
        );
        let any = rates(&items(":5,x:"), &["any"]).unwrap();
        assert_eq!(
            Value::from(of_hypervisors(any, "here").unwrap()),
            json!({ "here": { "any": 5 }, "x": { "any": null } })
        );
        for (text, error) in [
            ("a:1", PlacementError::Parts("a:1".to_owned(), 3)),
            ("a:x:1", PlacementError::Rate("x".to_owned())),
            ("a:-1:1", PlacementError::Rate("-1".to_owned())),
            ("a,a", PlacementError::Twice("a".to_owned())),
        ] {
            assert_eq!(rates(&items(text), &both).unwrap_err(), error);
        }
        let twice = rates(&items(":5,here:1"), &["any"]).unwrap();
        assert_eq!(
            of_hypervisors(twice, "here").unwrap_err(),
            PlacementError::Twice("here".to_owned())
        );
    }

    #[test]
    fn inventories_are_numbers() {
        let defaults = |name: &str, value: &str| {
            inventory(&BTreeMap::from([(name.to_owned(), value.to_owned())])).map(Value::from)
        };
        assert_eq!(
            defaults("allocation_ratio", "1.5").unwrap(),
            json!({ "allocation_ratio": 1.5 })
        );
        assert_eq!(defaults("min_unit", "1").unwrap(), json!({ "min_unit": 1 }));
        for (name, value) in [("allocation_ratio", "-1"), ("reserved", "1.0"), ("other", "1")] {
            assert!(defaults(name, value).is_err(), "{name}");
        }
    }
}
