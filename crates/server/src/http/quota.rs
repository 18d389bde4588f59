//! Quotas of projects.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use neutron::rest;
use serde_json::{Map, json};

use super::{Answer, RequestBody, UrlPath, change};
use crate::quota;
use crate::store::Store;

/// The URLs of quotas.
pub(super) fn routes() -> Router<Store> {
    Router::new()
        .route("/v2.0/quotas", get(list))
        .route("/v2.0/quotas/{project}", get(show).put(update).delete(delete))
        .route("/v2.0/quotas/{project}/default", get(show_default))
        .route("/v2.0/quotas/{project}/details", get(show_details))
        .route("/v2.0/quotas/{project}/details.json", get(show_details))
}

async fn list(State(store): State<Store>) -> Answer {
    let mut view = store.view().await?;
    let mut quotas = Vec::new();
    for project in quota::projects(&mut view).await? {
        let mut limits = json!(quota::limits(&mut view, &project, &store.config().limits).await?);
        if let Some(limits) = limits.as_object_mut() {
            limits.insert("project_id".to_owned(), project.clone().into());
            limits.insert("tenant_id".to_owned(), project.into());
        }
        quotas.push(limits);
    }
    Ok(Json(json!({ "quotas": quotas })).into_response())
}

async fn show(State(store): State<Store>, UrlPath(project): UrlPath<String>) -> Answer {
    let mut view = store.view().await?;
    Ok(Json(json!({ "quota": quota::limits(&mut view, &project, &store.config().limits).await? }))
        .into_response())
}

/// The limits of a project that has none of its own.
async fn show_default(State(store): State<Store>) -> Response {
    let quota = |name: &&str| ((*name).to_owned(), json!(store.config().limits.quota(name)));
    let limits: Map<_, _> = rest::QUOTA_RESOURCES.iter().map(quota).collect();
    Json(json!({ "quota": limits })).into_response()
}

async fn show_details(State(store): State<Store>, UrlPath(project): UrlPath<String>) -> Answer {
    let mut view = store.view().await?;
    let mut details = Map::new();
    for (name, limit) in quota::limits(&mut view, &project, &store.config().limits).await? {
        let used = quota::used(&mut view, name, &project).await?;
        details.insert(name.to_owned(), json!({ "limit": limit, "used": used, "reserved": 0 }));
    }
    Ok(Json(json!({ "quota": details })).into_response())
}

async fn update(
    State(store): State<Store>,
    UrlPath(project): UrlPath<String>,
    RequestBody(body): RequestBody,
) -> Answer {
    let update = rest::QuotaUpdate::from_body(&body)?;
    let limits = change(async move {
        let mut unit = store.unit().await?;
        quota::set(&mut unit, &project, &update).await?;
        let limits = quota::limits(unit.connection(), &project, &store.config().limits).await?;
        unit.commit().await?;
        Ok(limits)
    })
    .await?;
    Ok(Json(json!({ "quota": limits })).into_response())
}

async fn delete(State(store): State<Store>, UrlPath(project): UrlPath<String>) -> Answer {
    change(async move {
        let mut unit = store.unit().await?;
        quota::reset(&mut unit, &project).await?;
        unit.commit().await
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
