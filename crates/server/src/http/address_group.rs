//! The addresses of an address group: they join and leave by requests of their own.

use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::put;
use axum::{Json, Router};
use neutron::rest;
use serde_json::json;

use super::resource::shown_by_id;
use super::{Answer, RequestBody, UrlPath, change};
use crate::address_group::{self, AddressGroup};
use crate::resource::Resource as _;
use crate::store::{Store, Unit};

/// The URLs by which addresses join and leave.
pub(super) fn routes() -> Router<Store> {
    let path = format!("/v2.0/{}/{{id}}", AddressGroup::REST.path);
    Router::new()
        .route(&format!("{path}/add_addresses"), put(add))
        .route(&format!("{path}/remove_addresses"), put(remove))
}

async fn add(
    State(store): State<Store>,
    UrlPath(id): UrlPath<String>,
    RequestBody(body): RequestBody,
) -> Answer {
    let wanted = rest::Addresses::from_body(&body)?;
    change(async move {
        let mut unit = store.unit().await?;
        address_group::add(&mut unit, &id, wanted).await?;
        finish(unit, id).await
    })
    .await
}

async fn remove(
    State(store): State<Store>,
    UrlPath(id): UrlPath<String>,
    RequestBody(body): RequestBody,
) -> Answer {
    let unwanted = rest::Addresses::from_body(&body)?;
    change(async move {
        let mut unit = store.unit().await?;
        address_group::remove(&mut unit, &id, unwanted).await?;
        finish(unit, id).await
    })
    .await
}

/// Writes the change and shows the group.
async fn finish(mut unit: Unit, id: String) -> Answer {
    let body = shown_by_id::<AddressGroup>(unit.connection(), &id).await?;
    unit.commit().await?;
    Ok(Json(json!({ AddressGroup::REST.name: body })).into_response())
}
