//! The bindings of a port, below its URL.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, put};
use axum::{Json, Router};
use neutron::rest::{self, Body, PORT_BINDING};
use serde_json::json;

use super::resource::{project, shown};
use super::{Answer, RequestBody, UrlPath, change};
use crate::port::bindings;
use crate::query::Query;
use crate::store::Store;

/// The URLs of a port's bindings.
pub(super) fn routes() -> Router<Store> {
    let path = "/v2.0/ports/{id}/bindings";
    Router::new()
        .route(path, get(list).post(create))
        .route(&format!("{path}/{{host}}"), get(show).put(update).delete(delete))
        .route(&format!("{path}/{{host}}/activate"), put(activate))
}

async fn list(
    State(store): State<Store>,
    UrlPath(port): UrlPath<String>,
    RawQuery(text): RawQuery,
) -> Answer {
    let query = Query::parse(&text.unwrap_or_default(), &PORT_BINDING)?;
    let mut view = store.view().await?;
    let found = bindings::list(&mut view, &port).await?;
    let found = found.iter().map(shown).collect::<Result<_, _>>()?;
    let items = query.page(found).items.into_iter().map(|item| query.project(item));
    Ok(Json(json!({ PORT_BINDING.plural: items.collect::<Vec<_>>() })).into_response())
}

async fn show(
    State(store): State<Store>,
    UrlPath((port, host)): UrlPath<(String, String)>,
    RawQuery(text): RawQuery,
) -> Answer {
    let query = Query::parse(&text.unwrap_or_default(), &PORT_BINDING)?;
    let mut view = store.view().await?;
    let found = bindings::show(&mut view, &port, &host).await?;
    Ok(Json(json!({ PORT_BINDING.name: query.project(shown(&found)?) })).into_response())
}

async fn create(
    State(store): State<Store>,
    UrlPath(port): UrlPath<String>,
    headers: HeaderMap,
    RequestBody(body): RequestBody,
) -> Answer {
    let request: Body<rest::PortBindingCreate> = PORT_BINDING.create(&body, &project(&headers))?;
    let body = change(async move {
        let mut unit = store.unit().await?;
        let body = match request {
            Body::One(request) => {
                json!({ PORT_BINDING.name: bindings::create(&mut unit, &port, request).await? })
            }
            Body::Many(requests) => {
                let mut made = Vec::new();
                for request in requests {
                    made.push(bindings::create(&mut unit, &port, request).await?);
                }
                json!({ PORT_BINDING.plural: made })
            }
        };
        unit.commit().await?;
        Ok(body)
    })
    .await?;
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

async fn update(
    State(store): State<Store>,
    UrlPath((port, host)): UrlPath<(String, String)>,
    RequestBody(body): RequestBody,
) -> Answer {
    let request = PORT_BINDING.update(&body)?;
    let binding = change(async move {
        let mut unit = store.unit().await?;
        let binding = bindings::update(&mut unit, &port, &host, request).await?;
        unit.commit().await?;
        Ok(binding)
    })
    .await?;
    Ok(Json(json!({ PORT_BINDING.name: binding })).into_response())
}

/// Answered, as by Neutron, with the binding itself and no name around it. There is no body.
async fn activate(
    State(store): State<Store>,
    UrlPath((port, host)): UrlPath<(String, String)>,
) -> Answer {
    let binding = change(async move {
        let mut unit = store.unit().await?;
        let binding = bindings::activate(&mut unit, &port, &host).await?;
        unit.commit().await?;
        Ok(binding)
    })
    .await?;
    Ok(Json(binding).into_response())
}

async fn delete(
    State(store): State<Store>,
    UrlPath((port, host)): UrlPath<(String, String)>,
) -> Answer {
    change(async move {
        let mut unit = store.unit().await?;
        bindings::delete(&mut unit, &port, &host).await?;
        unit.commit().await
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
