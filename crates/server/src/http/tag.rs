//! The tags of a resource: all at once, or one by one.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, put};
use axum::{Json, Router};

use super::{Answer, RequestBody, UrlPath, change};
use crate::error::ApiError;
use crate::resource::Resource;
use crate::store::Store;
use crate::tag;

/// The URLs of a resource's tags.
pub(super) fn routes<R: Resource>() -> Router<Store> {
    let path = format!("/v2.0/{}/{{id}}/tags", R::REST.path);
    Router::new()
        .route(&path, get(show_tags::<R>).put(set_tags::<R>).delete(clear_tags::<R>))
        .route(&format!("{path}/{{tag}}"), put(add_tag::<R>).delete(remove_tag::<R>))
}

async fn show_tags<R: Resource>(
    State(store): State<Store>,
    UrlPath(id): UrlPath<String>,
) -> Answer {
    let mut view = store.view().await?;
    let tags = tag::get(&mut view, R::REST.plural, &id).await?;
    Ok(Json(tag::body(&tags.ok_or_else(|| R::not_found(&id))?)).into_response())
}

async fn set_tags<R: Resource>(
    State(store): State<Store>,
    UrlPath(id): UrlPath<String>,
    RequestBody(body): RequestBody,
) -> Answer {
    let wanted = tag::from_body(&body)?;
    let tags = change_tags::<R>(store, id, |_| wanted).await?;
    Ok(Json(tag::body(&tags)).into_response())
}

async fn clear_tags<R: Resource>(
    State(store): State<Store>,
    UrlPath(id): UrlPath<String>,
) -> Answer {
    change_tags::<R>(store, id, |_| Vec::new()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn add_tag<R: Resource>(
    State(store): State<Store>,
    UrlPath((id, tag)): UrlPath<(String, String)>,
) -> Answer {
    change_tags::<R>(store, id, |mut tags| {
        tags.push(tag);
        tags
    })
    .await?;
    Ok(StatusCode::CREATED.into_response())
}

async fn remove_tag<R: Resource>(
    State(store): State<Store>,
    UrlPath((id, tag)): UrlPath<(String, String)>,
) -> Answer {
    change_tags::<R>(store, id, move |mut tags| {
        tags.retain(|other| *other != tag);
        tags
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn change_tags<R: Resource>(
    store: Store,
    id: String,
    with: impl FnOnce(Vec<String>) -> Vec<String> + Send + 'static,
) -> Result<Vec<String>, ApiError> {
    change(async move {
        let mut unit = store.unit().await?;
        let table = R::REST.plural;
        let tags = tag::get(unit.connection(), table, &id).await?;
        let tags = with(tags.ok_or_else(|| R::not_found(&id))?);
        tag::set(&mut unit, table, &id, tags.clone()).await?;
        unit.commit().await?;
        Ok(tags)
    })
    .await
}
