//! The five requests that every resource has: list, show, create, update, delete.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use neutron::rest::Body;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::SqliteConnection;

use super::{Answer, RequestBody, UrlPath, base, change};
use crate::error::ApiError;
use crate::query::{Query, Shown};
use crate::resource::{Resource, Selection};
use crate::store::{Store, Unit};

/// The owner of what is made without a word about whose it is: without authentication there is
/// one user.
const PROJECT: &str = "default";

/// The URLs of a resource.
pub(super) fn routes<R: Resource>() -> Router<Store> {
    let path = format!("/v2.0/{}", R::REST.path);
    Router::new()
        .route(&path, get(list::<R>).post(create::<R>))
        .route(&format!("{path}/{{id}}"), get(show::<R>).put(update::<R>).delete(delete::<R>))
}

async fn list<R: Resource>(
    State(store): State<Store>,
    RawQuery(text): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let text = text.unwrap_or_default();
    let query = Query::parse(&text, R::REST)?;
    let project = project(&headers);
    let mut view = store.view().await?;
    if !R::is_ready(&mut view, &project).await? {
        drop(view);
        let writer = store.clone();
        change(async move {
            let mut unit = writer.unit().await?;
            R::make_ready(&mut unit, &project).await?;
            unit.commit().await
        })
        .await?;
        view = store.view().await?;
    }
    let found = R::find(&mut view, query.selection(R::INDEXED)).await?;
    let found = found.iter().map(shown).collect::<Result<_, _>>()?;
    let page = query.page(found);
    let mut body = Map::new();
    let mut links = Vec::new();
    for (rel, marker) in [("next", &page.next), ("previous", &page.previous)] {
        if let Some(marker) = marker {
            let base = base(&headers);
            let link = Query::link(&text, marker, rel == "previous");
            let href = format!("{base}/v2.0/{}?{link}", R::REST.path);
            links.push(json!({ "rel": rel, "href": href }));
        }
    }
    let items: Vec<_> = page.items.into_iter().map(|item| query.project(item)).collect();
    body.insert(R::REST.plural.to_owned(), json!(items));
    if !links.is_empty() {
        body.insert(format!("{}_links", R::REST.plural), Value::Array(links));
    }
    Ok(Json(body).into_response())
}

async fn show<R: Resource>(
    State(store): State<Store>,
    UrlPath(id): UrlPath<String>,
    RawQuery(text): RawQuery,
) -> Answer {
    let query = Query::parse(&text.unwrap_or_default(), R::REST)?;
    let mut view = store.view().await?;
    let found = shown_by_id::<R>(&mut view, &id).await?;
    Ok(Json(json!({ R::REST.name: query.project(found) })).into_response())
}

async fn create<R: Resource>(
    State(store): State<Store>,
    headers: HeaderMap,
    RequestBody(body): RequestBody,
) -> Answer {
    let request: Body<R::Create> = R::REST.create(&body, &project(&headers))?;
    let body = change(async move {
        let mut unit = store.unit().await?;
        let body = match request {
            Body::One(request) => {
                let made = make::<R>(&mut unit, vec![request]).await?;
                let made = made.into_iter().next().unwrap_or_default();
                json!({ R::REST.name: made })
            }
            Body::Many(requests) => {
                json!({ R::REST.plural: make::<R>(&mut unit, requests).await? })
            }
        };
        unit.commit().await?;
        Ok(body)
    })
    .await?;
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

async fn make<R: Resource>(
    unit: &mut Unit,
    requests: Vec<R::Create>,
) -> Result<Vec<Shown>, ApiError> {
    let mut made = Vec::new();
    for request in requests {
        let id = R::create(unit, request).await?;
        made.push(shown_by_id::<R>(unit.connection(), &id).await?);
    }
    Ok(made)
}

async fn update<R: Resource>(
    State(store): State<Store>,
    UrlPath(id): UrlPath<String>,
    RequestBody(body): RequestBody,
) -> Answer {
    let request: R::Update = R::REST.update(&body)?;
    let body = change(async move {
        let mut unit = store.unit().await?;
        R::update(&mut unit, &id, request).await?;
        let body = shown_by_id::<R>(unit.connection(), &id).await?;
        unit.commit().await?;
        Ok(json!({ R::REST.name: body }))
    })
    .await?;
    Ok(Json(body).into_response())
}

async fn delete<R: Resource>(State(store): State<Store>, UrlPath(id): UrlPath<String>) -> Answer {
    change(async move {
        let mut unit = store.unit().await?;
        R::delete(&mut unit, &id).await?;
        unit.commit().await
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The resource with this id as the API shows it.
pub(super) async fn shown_by_id<R: Resource>(
    connection: &mut SqliteConnection,
    id: &String,
) -> Result<Shown, ApiError> {
    let found = R::find(connection, Selection::id(id)).await?;
    shown(found.first().ok_or_else(|| R::not_found(id))?)
}

/// A resource as the API shows it. The owner has two names, an old and a new one.
pub(super) fn shown(body: &impl Serialize) -> Result<Shown, ApiError> {
    let broken =
        |error: serde_json::Error| ApiError::Broken { what: "body", value: error.to_string() };
    let Value::Object(mut shown) = serde_json::to_value(body).map_err(broken)? else {
        return Ok(Shown::new());
    };
    if let Some(project) = shown.get("project_id").cloned() {
        shown.insert("tenant_id".to_owned(), project);
    }
    Ok(shown)
}

/// On whose behalf the request is made.
pub(super) fn project(headers: &HeaderMap) -> String {
    let named = headers.get("x-project-id").and_then(|value| value.to_str().ok());
    named.filter(|project| !project.is_empty()).unwrap_or(PROJECT).to_owned()
}
