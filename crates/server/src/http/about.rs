//! What the API says of itself and of its segments.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use neutron::rest;
use serde_json::json;

use super::{Answer, UrlPath, base};
use crate::segment;
use crate::store::Store;

/// The URLs of versions, extensions and segments.
pub(super) fn routes() -> Router<Store> {
    Router::new()
        .route("/", get(versions))
        .route("/v2.0", get(resources))
        .route("/v2.0/", get(resources))
        .route("/v2.0/extensions", get(extensions))
        .route("/v2.0/extensions/{alias}", get(extension))
        .route("/v2.0/weir/segments", get(segments))
}

async fn versions(headers: HeaderMap) -> Response {
    Json(rest::versions(&base(&headers))).into_response()
}

async fn resources(headers: HeaderMap) -> Response {
    Json(rest::resources(&base(&headers))).into_response()
}

async fn extensions() -> Response {
    Json(json!({ "extensions": rest::EXTENSIONS })).into_response()
}

async fn extension(UrlPath(alias): UrlPath<String>) -> Answer {
    let found = rest::EXTENSIONS.iter().find(|extension| extension.alias == alias);
    let found = found.ok_or(rest::Error::ExtensionNotFound { alias })?;
    Ok(Json(json!({ "extension": found })).into_response())
}

async fn segments(State(store): State<Store>) -> Answer {
    let mut view = store.view().await?;
    let segments = segment::table(&mut view, &store.config().segments).await?;
    Ok(Json(rest::Allocations { segments }).into_response())
}
