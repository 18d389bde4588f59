//! What a resource's attributes are, who may set them, and how a body is checked against that.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Error;

/// A resource: its names and its attributes.
#[derive(Debug)]
pub struct Resource {
    /// The key of one in a body: `security_group`.
    pub name: &'static str,
    /// The key of many in a body: `security_groups`.
    pub plural: &'static str,
    /// The last part of its URL: `security-groups`.
    pub path: &'static str,
    /// Its attributes.
    pub attributes: &'static [Attribute],
}

/// One attribute of a resource.
#[derive(Debug, Clone, Copy)]
pub struct Attribute {
    /// Its name.
    pub name: &'static str,
    post: Post,
    put: bool,
    check: Check,
}

/// Says what is wrong with a value, or gives it in its one canonical form. The first argument is
/// the name of the attribute.
pub(super) type Check = fn(&'static str, Value) -> Result<Value, Error>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Post {
    Refused,
    Optional,
    Required,
}

/// What a POST asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Body<T> {
    /// One resource.
    One(T),
    /// Many at once: all or none.
    Many(Vec<T>),
}

impl Attribute {
    /// An attribute that only the server sets.
    pub(super) const fn shown(name: &'static str) -> Self {
        Self { name, post: Post::Refused, put: false, check: |_, value| Ok(value) }
    }

    /// An attribute that must be given on create, and stays.
    pub(super) const fn given(name: &'static str, check: Check) -> Self {
        Self { name, post: Post::Required, put: false, check }
    }

    /// An attribute that must be given on create and may be changed later.
    pub(super) const fn needed(name: &'static str, check: Check) -> Self {
        Self { name, post: Post::Required, put: true, check }
    }

    /// An attribute that may be given on create, and stays.
    pub(super) const fn fixed(name: &'static str, check: Check) -> Self {
        Self { name, post: Post::Optional, put: false, check }
    }

    /// An attribute that may be given on create and changed later.
    pub(super) const fn open(name: &'static str, check: Check) -> Self {
        Self { name, post: Post::Optional, put: true, check }
    }

    /// An attribute that is not given on create, but may be changed.
    pub(super) const fn later(name: &'static str, check: Check) -> Self {
        Self { name, post: Post::Refused, put: true, check }
    }
}

impl Resource {
    /// The attribute with this name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// Checks the body of a POST: `{"network": {..}}` or `{"networks": [{..}, ..]}`. `project` is
    /// the owner where the body names none.
    ///
    /// # Errors
    ///
    /// The body is not JSON, has another form, has an attribute that is unknown or not to be set,
    /// lacks one that is needed, or has a value that is none.
    pub fn create<T: DeserializeOwned>(
        &self,
        body: &[u8],
        project: &str,
    ) -> Result<Body<T>, Error> {
        let mut body = parse(body)?;
        let one = |value| self.create_one(value, project);
        match body.remove(self.plural) {
            Some(Value::Array(many)) if !many.is_empty() => {
                Ok(Body::Many(many.into_iter().map(one).collect::<Result<_, _>>()?))
            }
            Some(_) => Err(Error::ResourcesRequired {}),
            None => one(self.wrapped(body)?).map(Body::One),
        }
    }

    /// Checks the body of a PUT: `{"network": {..}}`.
    ///
    /// # Errors
    ///
    /// As [`Resource::create`]; nothing is needed.
    pub fn update<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Error> {
        let mut values = self.object(self.wrapped(parse(body)?)?)?;
        self.refuse_unknown(&values)?;
        for attribute in self.attributes.iter().filter(|attribute| !attribute.put) {
            if values.contains_key(attribute.name) {
                return Err(Error::ReadOnly { attribute: attribute.name });
            }
        }
        self.check(&mut values)?;
        typed(values)
    }

    fn create_one<T: DeserializeOwned>(&self, value: Value, project: &str) -> Result<T, Error> {
        let mut values = self.object(match value {
            // Bulk requests may wrap each resource once more.
            Value::Object(mut map) if map.len() == 1 && map.contains_key(self.name) => {
                map.remove(self.name).unwrap_or_default()
            }
            other => other,
        })?;
        if self.attribute("project_id").is_some() {
            own(&mut values, project)?;
        }
        self.refuse_unknown(&values)?;
        for Attribute { name, post, .. } in self.attributes {
            let given = values.contains_key(*name);
            match post {
                Post::Refused if given => return Err(Error::NotAllowedInPost { attribute: name }),
                Post::Required if !given => return Err(Error::Required { attribute: name }),
                _ => {}
            }
        }
        self.check(&mut values)?;
        typed(values)
    }

    fn wrapped(&self, mut body: Map<String, Value>) -> Result<Value, Error> {
        body.remove(self.name).ok_or(Error::NotInBody { resource: self.name })
    }

    fn object(&self, value: Value) -> Result<Map<String, Value>, Error> {
        match value {
            Value::Object(map) => Ok(map),
            _ => Err(Error::InvalidObject { resource: self.name }),
        }
    }

    fn refuse_unknown(&self, values: &Map<String, Value>) -> Result<(), Error> {
        let unknown: Vec<_> =
            values.keys().filter(|key| self.attribute(key).is_none()).map(String::as_str).collect();
        match unknown.as_slice() {
            [] => Ok(()),
            unknown => Err(Error::Unrecognized { attributes: unknown.join(", ") }),
        }
    }

    fn check(&self, values: &mut Map<String, Value>) -> Result<(), Error> {
        for Attribute { name, check, .. } in self.attributes {
            if let Some(value) = values.get_mut(*name) {
                *value = check(name, value.take())?;
            }
        }
        Ok(())
    }
}

/// The JSON object in the body.
pub(super) fn parse(body: &[u8]) -> Result<Map<String, Value>, Error> {
    if body.is_empty() {
        return Err(Error::BodyRequired {});
    }
    serde_json::from_slice(body).map_err(|error| Error::InvalidBody { reason: error.to_string() })
}

/// Says who owns it; `tenant_id` is the old name of `project_id`.
fn own(values: &mut Map<String, Value>, project: &str) -> Result<(), Error> {
    let tenant = values.remove("tenant_id");
    match (values.get("project_id"), tenant) {
        (Some(project), Some(tenant)) if *project != tenant => Err(Error::ProjectMismatch {}),
        (Some(_), _) => Ok(()),
        (None, tenant) => {
            let project = tenant.unwrap_or_else(|| project.into());
            values.insert("project_id".to_owned(), project);
            Ok(())
        }
    }
}

fn typed<T: DeserializeOwned>(values: Map<String, Value>) -> Result<T, Error> {
    serde_json::from_value(Value::Object(values))
        .map_err(|error| Error::InvalidBody { reason: error.to_string() })
}

#[cfg(test)]
mod page;
