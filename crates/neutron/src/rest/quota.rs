//! Quotas: the extension `quotas`. How many of each resource a project may have; -1 is no limit.

use std::collections::BTreeMap;

use serde_json::Value;

use super::attribute::parse;
use super::{Error, check};

/// The resources that can have a limit, in the words of the API.
pub const QUOTA_RESOURCES: [&str; 5] =
    ["network", "subnet", "port", "security_group", "security_group_rule"];

/// The limits that are to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaUpdate {
    /// Resource and limit.
    pub limits: BTreeMap<&'static str, i64>,
}

impl QuotaUpdate {
    /// Reads `{"quota": {"port": 100}}`.
    ///
    /// # Errors
    ///
    /// The body has another form, names a resource without limits, or a limit is no number.
    pub fn from_body(body: &[u8]) -> Result<Self, Error> {
        let Value::Object(values) =
            parse(body)?.remove("quota").ok_or(Error::NotInBody { resource: "quota" })?
        else {
            return Err(Error::InvalidObject { resource: "quota" });
        };
        let mut limits = BTreeMap::new();
        for (key, value) in values {
            let Some(resource) = QUOTA_RESOURCES.into_iter().find(|name| *name == key) else {
                // The owner may be repeated in the body; it stands in the URL.
                if matches!(key.as_str(), "project_id" | "tenant_id") {
                    continue;
                }
                return Err(Error::Unrecognized { attributes: key });
            };
            match check::integer(resource, value)?.as_i64() {
                Some(limit @ -1..=0x7fff_ffff) => limits.insert(resource, limit),
                other => {
                    let limit = other.unwrap_or_default();
                    let reason = format!("'{limit}' is not between -1 and 2147483647");
                    return Err(Error::Invalid { attribute: resource, reason });
                }
            };
        }
        Ok(Self { limits })
    }
}
