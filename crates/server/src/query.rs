//! The query of a list: filters, fields, order and pages, as Neutron understands them.
//!
//! Lists are filtered here, on what the API shows; the store only helps by not reading rows that
//! cannot match ([`Query::selection`]). So every resource is filtered by the same few lines.

use std::cmp::Ordering;

use neutron::rest;
use serde_json::{Map, Value};

use crate::resource::Selection;

/// One resource as the API shows it.
pub(crate) type Shown = Map<String, Value>;

/// What a client asks of a list.
#[derive(Debug, Default)]
pub(crate) struct Query {
    filters: Vec<(String, Vec<String>)>,
    fields: Vec<String>,
    sort: Vec<(String, Direction)>,
    limit: Option<usize>,
    marker: Option<String>,
    reverse: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ascending,
    Descending,
}

/// A page of a list, and which marker leads to the pages around it.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Shown>,
    pub(crate) next: Option<String>,
    pub(crate) previous: Option<String>,
}

/// Filters that are no attribute, and those on a part of one.
const TAG_FILTERS: [&str; 4] = ["tags", "tags-any", "not-tags", "not-tags-any"];

impl Query {
    /// Reads what stands behind the `?`.
    pub(crate) fn parse(text: &str, resource: &rest::Resource) -> Result<Self, rest::Error> {
        let mut query = Self::default();
        let (mut keys, mut directions) = (Vec::new(), Vec::new());
        for (key, value) in pairs(text) {
            match key.as_str() {
                "fields" => query.fields.push(value),
                "limit" => query.limit = Some(limit(&value)?),
                "marker" => query.marker = Some(value),
                "page_reverse" => query.reverse = value.eq_ignore_ascii_case("true"),
                "sort_key" => keys.push(value),
                "sort_dir" => directions.push(direction(&value)?),
                _ => query.filter(key, value),
            }
        }
        if !directions.is_empty() && directions.len() != keys.len() {
            return Err(rest::Error::SortPairs {});
        }
        let known = |name: &String| name == "tenant_id" || resource.attribute(name).is_some();
        if let Some(key) = keys.iter().find(|key| !known(key)) {
            return Err(rest::Error::InvalidSortKey { keys: key.clone() });
        }
        let is_filter = |name: &String| known(name) || TAG_FILTERS.contains(&name.as_str());
        let unknown: Vec<_> = query
            .filters
            .iter()
            .filter(|(name, _)| !is_filter(name))
            .map(|(name, _)| name)
            .collect();
        if let Some(key) = unknown.first() {
            return Err(rest::Error::InvalidFilter { keys: format!("'{key}'") });
        }
        let directions = directions.into_iter().chain(std::iter::repeat(Direction::Ascending));
        query.sort = keys.into_iter().zip(directions).collect();
        Ok(query)
    }

    /// The rows that can match, if the store can find them by one of these columns.
    pub(crate) fn selection(&self, indexed: &[&'static str]) -> Selection<'_> {
        let filter = indexed.iter().find_map(|column| {
            let (_, values) = self.filters.iter().find(|(name, _)| name == column)?;
            Some(Selection::Where { column, values })
        });
        filter.unwrap_or(Selection::All)
    }

    /// The resources that match, in order, as far as the page goes.
    pub(crate) fn page(&self, mut items: Vec<Shown>) -> Page {
        items.retain(|item| self.matches(item));
        items.sort_by(|a, b| self.compare(a, b));
        if self.reverse {
            items.reverse();
        }
        let start = match &self.marker {
            Some(marker) => items
                .iter()
                .position(|item| id(item) == Some(marker))
                .map_or(items.len(), |index| index + 1),
            None => 0,
        };
        let before = start > 0;
        let mut items = items.split_off(start.min(items.len()));
        let limit = self.limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        if self.reverse {
            items.reverse();
        }
        let (next, previous) = if self.reverse { (before, more) } else { (more, before) };
        let marker = |item: Option<&Shown>| item.and_then(id).cloned();
        Page {
            next: marker(items.last()).filter(|_| next),
            previous: marker(items.first()).filter(|_| previous),
            items,
        }
    }

    /// Leaves the fields that are asked for.
    pub(crate) fn project(&self, mut item: Shown) -> Shown {
        if !self.fields.is_empty() {
            item.retain(|key, _| self.fields.iter().any(|field| field == key));
        }
        item
    }

    /// The same query for another page, as text.
    pub(crate) fn link(text: &str, marker: &str, reverse: bool) -> String {
        let kept = text.split('&').filter(|pair| {
            !pair.is_empty() && !pair.starts_with("marker=") && !pair.starts_with("page_reverse=")
        });
        let mut parts: Vec<_> = kept.map(str::to_owned).collect();
        parts.push(format!("marker={marker}"));
        if reverse {
            parts.push("page_reverse=True".to_owned());
        }
        parts.join("&")
    }

    fn filter(&mut self, key: String, value: String) {
        match self.filters.iter_mut().find(|(name, _)| *name == key) {
            Some((_, values)) => values.push(value),
            None => self.filters.push((key, vec![value])),
        }
    }

    fn matches(&self, item: &Shown) -> bool {
        self.filters.iter().all(|(name, wanted)| match name.as_str() {
            "tags" => tags(wanted).all(|tag| has_tag(item, tag)),
            "tags-any" => tags(wanted).any(|tag| has_tag(item, tag)),
            "not-tags" => !tags(wanted).all(|tag| has_tag(item, tag)),
            "not-tags-any" => !tags(wanted).any(|tag| has_tag(item, tag)),
            "fixed_ips" => fixed_ips_match(item.get(name), wanted),
            _ => values(item, name).any(|value| wanted.iter().any(|wanted| equals(value, wanted))),
        })
    }

    fn compare(&self, a: &Shown, b: &Shown) -> Ordering {
        self.sort
            .iter()
            .map(|(key, direction)| {
                let order = order(a.get(key), b.get(key));
                if *direction == Direction::Descending { order.reverse() } else { order }
            })
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

/// What an attribute is; a network with several segments has as many values of those attributes that
/// a network with one has of it.
fn values<'a>(item: &'a Shown, name: &'a str) -> impl Iterator<Item = &'a Value> {
    let segments = item.get("segments").filter(|_| name.starts_with("provider:"));
    let segments = segments.and_then(Value::as_array).into_iter().flatten();
    item.get(name).into_iter().chain(segments.filter_map(move |segment| segment.get(name)))
}

/// Whether a value is what the client wrote; one member is enough for a list.
fn equals(value: &Value, wanted: &str) -> bool {
    match value {
        Value::Null => matches!(wanted, "" | "None" | "null"),
        Value::Bool(true) => matches!(wanted.to_lowercase().as_str(), "true" | "1"),
        Value::Bool(false) => matches!(wanted.to_lowercase().as_str(), "false" | "0"),
        Value::Number(number) => number.to_string() == wanted,
        Value::String(text) => text == wanted,
        Value::Array(members) => members.iter().any(|member| equals(member, wanted)),
        Value::Object(_) => false,
    }
}

/// `fixed_ips=ip_address=10.0.0.1`: of each part that is named, one of the values.
fn fixed_ips_match(value: Option<&Value>, wanted: &[String]) -> bool {
    let ips: Vec<_> = value.and_then(Value::as_array).into_iter().flatten().collect();
    let has = |part: &str, test: &dyn Fn(&str) -> bool| {
        ips.iter().filter_map(|ip| ip.get(part).and_then(Value::as_str)).any(test)
    };
    let values = |part: &str| -> Vec<&str> {
        wanted
            .iter()
            .filter_map(|text| text.split_once('='))
            .filter(|(name, _)| *name == part)
            .map(|(_, value)| value)
            .collect()
    };
    let (addresses, subnets, parts) =
        (values("ip_address"), values("subnet_id"), values("ip_address_substr"));
    (addresses.is_empty() || has("ip_address", &|address| addresses.contains(&address)))
        && (subnets.is_empty() || has("subnet_id", &|subnet| subnets.contains(&subnet)))
        && (parts.is_empty()
            || has("ip_address", &|address| parts.iter().any(|part| address.contains(part))))
}

fn tags(wanted: &[String]) -> impl Iterator<Item = &str> {
    wanted.iter().flat_map(|text| text.split(','))
}

fn has_tag(item: &Shown, tag: &str) -> bool {
    item.get("tags").is_some_and(|tags| equals(tags, tag))
}

fn order(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => a.as_i64().cmp(&b.as_i64()),
        (Some(Value::String(a)), Some(Value::String(b))) => a.cmp(b),
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a.cmp(b),
        (a, b) => a.map(Value::to_string).cmp(&b.map(Value::to_string)),
    }
}

fn id(item: &Shown) -> Option<&String> {
    match item.get("id") {
        Some(Value::String(id)) => Some(id),
        _ => None,
    }
}

fn limit(text: &str) -> Result<usize, rest::Error> {
    text.parse().map_err(|_| rest::Error::InvalidLimit { limit: text.to_owned() })
}

fn direction(text: &str) -> Result<Direction, rest::Error> {
    match text {
        "asc" => Ok(Direction::Ascending),
        "desc" => Ok(Direction::Descending),
        _ => Err(rest::Error::InvalidSortDirection { direction: text.to_owned() }),
    }
}

/// The pairs of a query, decoded. Keys may repeat, which is why axum's own extractor will not do.
fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key), decode(value))
    })
}

/// Undoes `+` and `%xx`; what is neither stays as it is.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let ahead: Vec<u8> = bytes.clone().take(2).collect();
        let escaped = std::str::from_utf8(&ahead)
            .ok()
            .filter(|digits| digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, escaped) {
            (b'%', Some(byte)) => {
                out.push(byte);
                bytes.nth(1);
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn items() -> Vec<Shown> {
        let item = |id: &str, name: &str, up: bool, ip: &str| {
            let json = json!({
                "id": id, "name": name, "admin_state_up": up, "tags": [name],
                "device_id": null, "security_groups": ["g", id],
                "fixed_ips": [{"subnet_id": "s", "ip_address": ip}],
            });
            json.as_object().unwrap().clone()
        };
        vec![
            item("1", "b", true, "10.0.0.1"),
            item("2", "a", false, "10.0.0.2"),
            item("3", "a b", true, "10.0.1.3"),
        ]
    }

    fn ids(query: &str) -> String {
        let page = Query::parse(query, &rest::PORT).unwrap().page(items());
        page.items.iter().filter_map(id).cloned().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn filters() {
        for (query, wanted) in [
            ("", "1 2 3"),
            ("id=1&id=3&id=9", "1 3"),
            ("name=a+b", "3"),
            ("name=a%20b&admin_state_up=False", ""),
            ("admin_state_up=True", "1 3"),
            ("device_id=", "1 2 3"),
            ("security_groups=2", "2"),
            ("fixed_ips=ip_address%3D10.0.0.2", "2"),
            ("fixed_ips=ip_address_substr=10.0.0", "1 2"),
            ("fixed_ips=subnet_id=s&fixed_ips=ip_address=10.0.1.3", "3"),
            ("tags=a", "2"),
            ("tags-any=a,b", "1 2"),
            ("not-tags-any=a,b", "3"),
        ] {
            assert_eq!(ids(query), wanted, "{query}");
        }
    }

    #[test]
    fn order_and_pages() {
        for (query, wanted) in [
            ("sort_key=name", "2 3 1"),
            ("sort_key=admin_state_up&sort_key=id&sort_dir=desc&sort_dir=desc", "3 1 2"),
            ("limit=2", "1 2"),
            ("limit=2&marker=2", "3"),
            ("limit=1&marker=3&page_reverse=True", "2"),
            ("limit=0", "1 2 3"),
            ("marker=9", ""),
        ] {
            assert_eq!(ids(query), wanted, "{query}");
        }
        let page = Query::parse("limit=1&marker=1", &rest::PORT).unwrap().page(items());
        assert_eq!((page.next.as_deref(), page.previous.as_deref()), (Some("2"), Some("2")));
        assert_eq!(Query::link("limit=1&marker=1", "2", false), "limit=1&marker=2");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (query, kind) in [
            ("colour=red", "HTTPBadRequest"),
            ("sort_key=colour", "HTTPBadRequest"),
            ("sort_key=id&sort_dir=up", "HTTPBadRequest"),
            ("sort_key=id&sort_dir=asc&sort_dir=asc", "HTTPBadRequest"),
            ("limit=-1", "BadRequest"),
        ] {
            let error = Query::parse(query, &rest::PORT).unwrap_err();
            assert_eq!((error.status(), error.kind()), (400, kind), "{query}");
        }
    }

    #[test]
    fn decoding_never_fails() {
        for (text, wanted) in [("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("%41%", "A%")] {
            assert_eq!(decode(text), wanted);
        }
    }
}
