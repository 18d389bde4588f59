//! The types of options, and the values that text stands for, as `oslo_config.types` converts it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use crate::ini::is_space;

/// The type of an option.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// Any text.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One of these words, in any case.
    ChoiceAnyCase(&'static [&'static str]),
    /// `true`, `yes`, `on`, `1` or their opposites.
    Bool,
    /// An integer from the first to the second.
    Int(i64, i64),
    /// One of these integers.
    IntChoice(&'static [i64]),
    /// A number that is no less than the first and no more than the second.
    Float(f64, f64),
    /// An IPv4 or IPv6 address.
    Ip,
    /// An address or a host name.
    Host,
    /// Texts between commas.
    List,
    /// `key:value` between commas.
    Dict,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Of [`Kind::Text`], the choices, [`Kind::Ip`] and [`Kind::Host`]: as it is written.
    Text(String),
    /// Of [`Kind::Bool`].
    Bool(bool),
    /// Of [`Kind::Int`] and [`Kind::IntChoice`].
    Int(i64),
    /// Of [`Kind::Float`].
    Float(f64),
    /// Of [`Kind::List`].
    List(Vec<String>),
    /// Of [`Kind::Dict`].
    Dict(BTreeMap<String, String>),
    /// Of an option that may be given several times: all of them, in their order.
    Many(Vec<Self>),
}

/// Text that is no value of the type.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Not a word for yes or no.
    #[error("'{0}' is neither true, yes, on or 1 nor false, no, off or 0")]
    Bool(String),
    /// Not an integer.
    #[error("'{0}' is not an integer")]
    Int(String),
    /// Not a number.
    #[error("'{0}' is not a number")]
    Float(String),
    /// Too little.
    #[error("{0} is less than {1}")]
    Below(String, String),
    /// Too much.
    #[error("{0} is more than {1}")]
    Above(String, String),
    /// None of the choices.
    #[error("'{found}' is not one of {valid}")]
    Choice {
        /// What is there.
        found: String,
        /// What may be there.
        valid: String,
    },
    /// Not an address.
    #[error("'{0}' is not an IP address")]
    Ip(String),
    /// Neither an address nor a host name.
    #[error("'{0}' is neither an IP address nor a host name")]
    Host(String),
    /// A part of a dictionary without a colon.
    #[error("'{0}' is not KEY:VALUE")]
    Pair(String),
    /// A part of a dictionary without a key.
    #[error("':{0}' has no key")]
    EmptyKey(String),
    /// A key of a dictionary that is there twice.
    #[error("'{0}' is there twice")]
    DuplicateKey(String),
}

impl Kind {
    /// An integer from `min`.
    pub const fn at_least(min: i64) -> Self {
        Self::Int(min, i64::MAX)
    }

    /// Any integer.
    pub const INT: Self = Self::Int(i64::MIN, i64::MAX);
    /// A number of a TCP or UDP port.
    pub const PORT: Self = Self::Int(0, 65_535);
    /// Any number.
    pub const FLOAT: Self = Self::Float(f64::NEG_INFINITY, f64::INFINITY);

    /// What `text` stands for; nothing for a number that is left empty.
    ///
    /// # Errors
    /// When it stands for nothing of this type.
    pub fn parse(self, text: &str) -> Result<Option<Value>, ValueError> {
        let owned = || text.to_owned();
        let value = match self {
            Self::Text => Value::Text(owned()),
            Self::Choice(valid) => match valid.contains(&text) {
                true => Value::Text(owned()),
                false => return Err(choice(text, valid)),
            },
            Self::ChoiceAnyCase(valid) => {
                match valid.iter().any(|word| word.eq_ignore_ascii_case(text)) {
                    true => Value::Text(owned()),
                    false => return Err(choice(text, valid)),
                }
            }
            Self::Bool => Value::Bool(boolean(text)?),
            Self::Int(..) | Self::IntChoice(_) | Self::Float(..) => {
                let text = text.trim_matches(is_space);
                if text.is_empty() {
                    return Ok(None);
                }
                self.number(text)?
            }
            Self::Ip => match text.parse::<IpAddr>() {
                Ok(_) => Value::Text(owned()),
                Err(_) => return Err(ValueError::Ip(owned())),
            },
            Self::Host if text.parse::<IpAddr>().is_ok() => Value::Text(owned()),
            Self::Host if is_host_name(text) => {
                Value::Text(text.strip_suffix('.').unwrap_or(text).to_owned())
            }
            Self::Host => return Err(ValueError::Host(owned())),
            Self::List => Value::List(list(text)),
            Self::Dict => Value::Dict(dict(text)?),
        };
        Ok(Some(value))
    }

    fn number(self, text: &str) -> Result<Value, ValueError> {
        let (is_below, bounds) = match self {
            Self::Float(min, max) => {
                let number = float(text)?;
                if number >= min && number <= max || number.is_nan() {
                    return Ok(Value::Float(number));
                }
                (number < min, [min.to_string(), max.to_string()])
            }
            Self::IntChoice(valid) => {
                let number = integer(text)?;
                let valid: Vec<String> = valid.iter().map(ToString::to_string).collect();
                if valid.contains(&number.to_string()) {
                    return Ok(Value::Int(number));
                }
                return Err(ValueError::Choice { found: text.to_owned(), valid: valid.join(", ") });
            }
            Self::Int(min, max) => {
                let number = integer(text)?;
                if (min..=max).contains(&number) {
                    return Ok(Value::Int(number));
                }
                (number < min, [min.to_string(), max.to_string()])
            }
            _ => return Err(ValueError::Int(text.to_owned())),
        };
        let [min, max] = bounds;
        Err(match is_below {
            true => ValueError::Below(text.to_owned(), min),
            false => ValueError::Above(text.to_owned(), max),
        })
    }
}

impl fmt::Display for Kind {
    /// As a page of documentation names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Choice(valid) | Self::ChoiceAnyCase(valid) => f.write_str(&valid.join(", ")),
            Self::Bool => f.write_str("boolean"),
            Self::Int(0, 65_535) => f.write_str("port"),
            Self::Int(i64::MIN, i64::MAX) => f.write_str("integer"),
            Self::Int(min, i64::MAX) => write!(f, "integer from {min}"),
            Self::Int(min, max) => write!(f, "integer, {min} to {max}"),
            Self::IntChoice(valid) => {
                let valid: Vec<_> = valid.iter().map(ToString::to_string).collect();
                f.write_str(&valid.join(", "))
            }
            Self::Float(min, max) => match (min.is_finite(), max.is_finite()) {
                (false, _) => f.write_str("number"),
                (true, false) => write!(f, "number from {min}"),
                (true, true) => write!(f, "number, {min} to {max}"),
            },
            Self::Ip => f.write_str("IP address"),
            Self::Host => f.write_str("address or host name"),
            Self::List => f.write_str("list"),
            Self::Dict => f.write_str("dictionary"),
        }
    }
}

impl fmt::Display for Value {
    /// As Python prints it: this is what a `$` that names an option stands for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Bool(true) => f.write_str("True"),
            Self::Bool(false) => f.write_str("False"),
            Self::Int(number) => number.fmt(f),
            Self::Float(number) => f.write_str(&format!("{number:?}").to_lowercase()),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(|item| quoted(item)).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Dict(pairs) => {
                let pairs =
                    pairs.iter().map(|(key, value)| [quoted(key), quoted(value)].join(": "));
                write!(f, "{{{}}}", pairs.collect::<Vec<_>>().join(", "))
            }
            Self::Many(values) => {
                let values: Vec<_> =
                    values.iter().map(|value| quoted(&value.to_string())).collect();
                write!(f, "[{}]", values.join(", "))
            }
        }
    }
}

/// As Python's `repr` quotes it.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
    match (escaped.contains('\''), escaped.contains('"')) {
        (true, false) => format!("\"{escaped}\""),
        _ => format!("'{}'", escaped.replace('\'', "\\'")),
    }
}

fn choice(found: &str, valid: &[&str]) -> ValueError {
    ValueError::Choice { found: found.to_owned(), valid: valid.join(", ") }
}

fn boolean(text: &str) -> Result<bool, ValueError> {
    match text.to_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Ok(true),
        "false" | "0" | "off" | "no" => Ok(false),
        _ => Err(ValueError::Bool(text.to_owned())),
    }
}

/// As Python's `int` takes it: digits may have single underscores between them.
fn integer(text: &str) -> Result<i64, ValueError> {
    let plain = without_underscores(text);
    plain.and_then(|text| text.parse().ok()).ok_or_else(|| ValueError::Int(text.to_owned()))
}

/// As Python's `float` takes it.
fn float(text: &str) -> Result<f64, ValueError> {
    let plain = without_underscores(text);
    plain.and_then(|text| text.parse().ok()).ok_or_else(|| ValueError::Float(text.to_owned()))
}

/// The text without underscores; nothing where one is not between two digits.
fn without_underscores(text: &str) -> Option<String> {
    let digit = |part: Option<char>| part.is_some_and(|c| c.is_ascii_digit());
    let mut parts = text.split('_').peekable();
    while let Some(part) = parts.next() {
        let Some(next) = parts.peek() else { break };
        if !digit(part.chars().next_back()) || !digit(next.chars().next()) {
            return None;
        }
    }
    Some(text.replace('_', ""))
}

fn list(text: &str) -> Vec<String> {
    let text = text.trim_matches(is_space).trim_end_matches(',');
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',').map(|item| item.trim_matches(is_space).to_owned()).collect()
}

fn dict(text: &str) -> Result<BTreeMap<String, String>, ValueError> {
    let text = text.trim_matches(is_space);
    let mut pairs = BTreeMap::new();
    let mut parts = text.split(',');
    if text.is_empty() {
        return Ok(pairs);
    }
    while let Some(first) = parts.next() {
        // A part without a colon belongs to the key of the next.
        let mut pair = first.to_owned();
        let (key, value) = loop {
            if let Some((key, value)) = pair.split_once(':') {
                break (key.trim_matches(is_space), value.trim_matches(is_space));
            }
            match parts.next() {
                Some(more) => pair = [&pair, more].join(","),
                None => return Err(ValueError::Pair(pair.trim_matches(is_space).to_owned())),
            }
        };
        if key.is_empty() {
            return Err(ValueError::EmptyKey(value.to_owned()));
        }
        if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(ValueError::DuplicateKey(key.to_owned()));
        }
    }
    Ok(pairs)
}

/// RFC 1123, with a last label that is not only digits, so that a mistyped address is none.
fn is_host_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or_default();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    !text.is_empty()
        && text.len() <= 253
        && last.bytes().any(|byte| byte.is_ascii_alphabetic() || byte == b'-')
        && name.split('.').all(label)
}
