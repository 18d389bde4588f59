//! The subports of a trunk: they join, leave and are listed by requests of their own.

use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{get, put};
use axum::{Json, Router};
use neutron::rest;
use serde_json::{Value, json};

use super::resource::shown_by_id;
use super::{Answer, RequestBody, UrlPath, change};
use crate::resource::Resource as _;
use crate::store::{Store, Unit};
use crate::trunk::{Trunk, subport};

/// The attribute with the subports.
const SUB_PORTS: &str = "sub_ports";

/// The URLs by which subports join, leave and are listed.
pub(super) fn routes() -> Router<Store> {
    let path = format!("/v2.0/{}/{{id}}", Trunk::REST.path);
    Router::new()
        .route(&format!("{path}/add_subports"), put(add))
        .route(&format!("{path}/remove_subports"), put(remove))
        .route(&format!("{path}/get_subports"), get(list))
}

async fn add(
    State(store): State<Store>,
    UrlPath(id): UrlPath<String>,
    RequestBody(body): RequestBody,
) -> Answer {
    let wanted = rest::SubPorts::from_body(&body)?;
    change(async move {
        let mut unit = store.unit().await?;
        subport::add(&mut unit, &id, wanted).await?;
        finish(unit, id).await
    })
    .await
}

async fn remove(
    State(store): State<Store>,
    UrlPath(id): UrlPath<String>,
    RequestBody(body): RequestBody,
) -> Answer {
    let unwanted = rest::SubPorts::from_body(&body)?;
    change(async move {
        let mut unit = store.unit().await?;
        subport::remove(&mut unit, &id, unwanted).await?;
        finish(unit, id).await
    })
    .await
}

async fn list(State(store): State<Store>, UrlPath(id): UrlPath<String>) -> Answer {
    let mut view = store.view().await?;
    let mut trunk = shown_by_id::<Trunk>(&mut view, &id).await?;
    let subports = trunk.remove(SUB_PORTS).unwrap_or(Value::Array(Vec::new()));
    Ok(Json(json!({ SUB_PORTS: subports })).into_response())
}

/// Writes the change and shows the trunk. It stands by itself, as in Neutron.
async fn finish(mut unit: Unit, id: String) -> Answer {
    let body = shown_by_id::<Trunk>(unit.connection(), &id).await?;
    unit.commit().await?;
    Ok(Json(body).into_response())
}
