//! The API as one uses it from beside the switch, whose namespace it listens in.

use anyhow::Context as _;
use serde_json::Value;
use testkit::Namespace;
use tokio::runtime::{Builder, Runtime};

use crate::api;

/// A user of the API inside a namespace, who waits for every answer.
#[derive(Debug)]
pub(super) struct Api<'n> {
    namespace: &'n Namespace,
    runtime: Runtime,
    api: api::Api,
}

impl<'n> Api<'n> {
    /// A user of the API that is there, inside.
    ///
    /// # Errors
    /// When the endpoint is none, or the system is out of file descriptors.
    pub(super) fn new(namespace: &'n Namespace, endpoint: &str) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { namespace, runtime, api: api::Api::new(endpoint.parse()?) })
    }

    /// Reads `kind` of what lies under `path`.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub(super) fn get(&mut self, path: &str, kind: &str) -> anyhow::Result<Value> {
        let Self { namespace, runtime, api } = self;
        Ok(namespace.inside(|| runtime.block_on(api.get(path, kind)))??)
    }

    /// Creates a resource and returns it as the server has made it.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub(super) fn create(&mut self, kind: &str, resource: &Value) -> anyhow::Result<Value> {
        let Self { namespace, runtime, api } = self;
        let path = format!("/v2.0/{}s", kind.replace('_', "-"));
        Ok(namespace.inside(|| runtime.block_on(api.create(&path, kind, resource)))??)
    }

    /// Deletes a resource.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub(super) fn delete(&mut self, path: &str) -> anyhow::Result<()> {
        let Self { namespace, runtime, api } = self;
        Ok(namespace.inside(|| runtime.block_on(api.delete(path)))??)
    }
}

/// A string attribute of a resource.
///
/// # Errors
/// When the resource has no such attribute.
pub(super) fn text<'a>(resource: &'a Value, attribute: &str) -> anyhow::Result<&'a str> {
    let found = resource.get(attribute).and_then(Value::as_str);
    found.with_context(|| format!("no {attribute} in {resource}"))
}
