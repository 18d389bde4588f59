//! The API over HTTP: which URL leads where, and the few steps that every resource's requests go
//! through. What a request means is the resource's own business.
//!
//! Every change runs in a task of its own: it is done or not done, whether or not the client waits
//! for the answer.

mod about;
mod address_group;
mod port_binding;
mod qos;
mod quota;
mod resource;
mod tag;
mod trunk;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use neutron::rest;
use serde::de::DeserializeOwned;

use crate::address_group::AddressGroup;
use crate::agent::Agent;
use crate::default_security_group_rule::DefaultRule;
use crate::error::ApiError;
use crate::network::Network;
use crate::port::Port;
use crate::qos_policy::QosPolicy;
use crate::security_group::SecurityGroup;
use crate::security_group_rule::Rule;
use crate::segment::Segment;
use crate::store::Store;
use crate::subnet::Subnet;
use crate::trunk::Trunk;

/// The largest body, in bytes.
const BODY: usize = 1 << 20;

type Answer = Result<Response, ApiError>;

/// The whole API.
pub(crate) fn router(store: Store) -> Router {
    Router::new()
        .merge(about::routes())
        .merge(resource::routes::<Network>())
        .merge(resource::routes::<Segment>())
        .merge(resource::routes::<Subnet>())
        .merge(resource::routes::<Port>())
        .merge(port_binding::routes())
        .merge(resource::routes::<SecurityGroup>())
        .merge(resource::routes::<Rule>())
        .merge(resource::routes::<DefaultRule>())
        .merge(resource::routes::<AddressGroup>())
        .merge(address_group::routes())
        .merge(resource::routes::<QosPolicy>())
        .merge(qos::routes())
        .merge(resource::routes::<Trunk>())
        .merge(trunk::routes())
        .merge(resource::routes::<Agent>())
        .merge(tag::routes::<Network>())
        .merge(tag::routes::<Subnet>())
        .merge(tag::routes::<Port>())
        .merge(tag::routes::<SecurityGroup>())
        .merge(tag::routes::<Trunk>())
        .merge(quota::routes())
        .fallback(async || ApiError::from(rest::Error::NotFound {}))
        .method_not_allowed_fallback(async || ApiError::from(rest::Error::MethodNotAllowed {}))
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(store)
}

/// The body of a request, read whole.
struct RequestBody(Bytes);

impl<S: Send + Sync> FromRequest<S> for RequestBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        Bytes::from_request(request, state).await.map(Self).map_err(|rejection| {
            let refusal = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => rest::Error::BodyTooLarge {},
                _ => rest::Error::InvalidBody { reason: rejection.body_text() },
            };
            refusal.into()
        })
    }
}

/// The parts of the URL that stand for something.
struct UrlPath<T>(T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for UrlPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(path)| Self(path)).map_err(|_| rest::Error::NotFound {}.into())
    }
}

/// Runs a change to its end, whatever becomes of the client.
async fn change<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::spawn(work).await?
}

/// The URL that the client came by, without a slash at its end.
fn base(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    format!("http://{}", host.unwrap_or("localhost"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_client_that_hangs_up_stops_no_change() {
        let (go_on, may_go_on) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let request = change(async {
            may_go_on.await.unwrap();
            done.send(()).unwrap();
            Ok(())
        });
        // What waits for the answer goes while the change is under way.
        assert!(tokio::time::timeout(Duration::ZERO, request).await.is_err());
        go_on.send(()).unwrap();
        is_done.await.unwrap();
    }
}
