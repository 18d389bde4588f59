//! What an option is: its group, name, type and default, and what Weir does with it.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::net::IpAddr;

use crate::kind::{Kind, Value};

/// An option whose value is read as `T`.
#[derive(Debug, Clone, Copy)]
pub struct Opt<T> {
    /// What is said of it.
    pub definition: Definition,
    value: PhantomData<T>,
}

/// What is said of an option.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Definition {
    /// The group, in small letters but for `DEFAULT`.
    pub group: &'static str,
    /// The name, with underscores.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The default, as a file would say it.
    pub default: Option<&'static str>,
    /// Names that it had: the group, where that was another, and the name, where that was another.
    pub former: &'static [(Option<&'static str>, Option<&'static str>)],
    /// Whether it may be given several times, and all of them count.
    pub is_multiple: bool,
    /// Whether the command line has it, too.
    pub is_flag: bool,
    /// Whether nobody may see its value.
    pub is_secret: bool,
    /// What Weir does with it.
    pub part: Part,
    /// What it is for and what Weir does with it, in words.
    pub says: &'static str,
}

/// What Weir does with an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The same as Neutron.
    Honoured,
    /// Something alike: the words of the option say what.
    Differs,
    /// Nothing: it is not needed.
    NotNeeded,
    /// Only these values are possible; the empty text is no value, and of a list each item counts.
    Only(&'static [&'static str]),
}

/// A type that values are read as. A value of another type, which the definition of an option
/// rules out, is read as none.
pub trait FromValue: Sized {
    /// Reads it.
    fn from_value(value: Option<&Value>) -> Self;
}

impl<T: FromValue> Opt<T> {
    /// An option of which this is said.
    pub const fn new(definition: Definition) -> Self {
        Self { definition, value: PhantomData }
    }
}

impl Definition {
    /// An option without a default.
    pub const fn new(group: &'static str, name: &'static str, kind: Kind) -> Self {
        Self {
            group,
            name,
            kind,
            default: None,
            former: &[],
            is_multiple: false,
            is_flag: false,
            is_secret: false,
            part: Part::NotNeeded,
            says: "",
        }
    }

    /// With this default.
    #[must_use]
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// With names that it had.
    #[must_use]
    pub const fn former(
        mut self,
        former: &'static [(Option<&'static str>, Option<&'static str>)],
    ) -> Self {
        self.former = former;
        self
    }

    /// One that may be given several times.
    #[must_use]
    pub const fn multiple(mut self) -> Self {
        self.is_multiple = true;
        self
    }

    /// One that the command line has, too.
    #[must_use]
    pub const fn flag(mut self) -> Self {
        self.is_flag = true;
        self
    }

    /// One whose value nobody may see.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    /// One of which this becomes.
    #[must_use]
    pub const fn part(mut self, part: Part, says: &'static str) -> Self {
        self.part = part;
        self.says = says;
        self
    }

    /// All names that files may have for it, the present one first.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let (group, name) = (self.group, self.name);
        let former = self.former.iter();
        let former = former.map(move |(g, n)| (g.unwrap_or(group), n.unwrap_or(name)));
        std::iter::once((group, name)).chain(former)
    }

    /// The variable of the environment that says it.
    pub fn variable(&self) -> String {
        format!("OS_{}__{}", self.group.to_uppercase(), self.name.to_uppercase())
    }
}

impl FromValue for String {
    fn from_value(value: Option<&Value>) -> Self {
        Option::from_value(value).unwrap_or_default()
    }
}

impl FromValue for Option<String> {
    fn from_value(value: Option<&Value>) -> Self {
        match value {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }
}

impl FromValue for Option<IpAddr> {
    fn from_value(value: Option<&Value>) -> Self {
        String::from_value(value).parse().ok()
    }
}

impl FromValue for bool {
    fn from_value(value: Option<&Value>) -> Self {
        value == Some(&Value::Bool(true))
    }
}

impl FromValue for Option<bool> {
    fn from_value(value: Option<&Value>) -> Self {
        match value {
            Some(Value::Bool(value)) => Some(*value),
            _ => None,
        }
    }
}

impl FromValue for i64 {
    fn from_value(value: Option<&Value>) -> Self {
        Option::from_value(value).unwrap_or_default()
    }
}

impl FromValue for Option<i64> {
    fn from_value(value: Option<&Value>) -> Self {
        match value {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        }
    }
}

impl FromValue for u16 {
    fn from_value(value: Option<&Value>) -> Self {
        Self::try_from(i64::from_value(value)).unwrap_or_default()
    }
}

impl FromValue for u32 {
    fn from_value(value: Option<&Value>) -> Self {
        Self::try_from(i64::from_value(value)).unwrap_or_default()
    }
}

impl FromValue for f64 {
    fn from_value(value: Option<&Value>) -> Self {
        match value {
            Some(Value::Float(number)) => *number,
            _ => Self::default(),
        }
    }
}

impl FromValue for Vec<String> {
    fn from_value(value: Option<&Value>) -> Self {
        match value {
            Some(Value::List(items)) => items.clone(),
            Some(Value::Many(items)) => items.iter().map(ToString::to_string).collect(),
            _ => Self::new(),
        }
    }
}

impl FromValue for BTreeMap<String, String> {
    fn from_value(value: Option<&Value>) -> Self {
        match value {
            Some(Value::Dict(pairs)) => pairs.clone(),
            _ => Self::new(),
        }
    }
}
