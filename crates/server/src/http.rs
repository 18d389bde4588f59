//! The API over HTTP: which URL leads where, and the few steps that every resource's requests go
//! through. What a request means is the resource's own business.
//!
//! Every change runs in a task of its own: it is done or not done, whether or not the client waits
//! for the answer.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use neutron::rest::{self, Body};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::agent::Agent;
use crate::error::ApiError;
use crate::network::Network;
use crate::port::Port;
use crate::query::{Query, Shown};
use crate::quota;
use crate::resource::{Resource, Selection};
use crate::security_group::SecurityGroup;
use crate::security_group_rule::Rule;
use crate::segment;
use crate::store::{Store, Unit};
use crate::subnet::Subnet;
use crate::tag;

/// The owner of what is made without a word about whose it is: without authentication there is
/// one user.
const PROJECT: &str = "default";
/// The largest body, in bytes.
const BODY: usize = 1 << 20;

type Answer = Result<Response, ApiError>;

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

/// The whole API.
pub(crate) fn router(store: Store) -> Router {
    Router::new()
        .route("/", get(versions))
        .route("/v2.0", get(resources))
        .route("/v2.0/", get(resources))
        .merge(resource::<Network>())
        .merge(resource::<Subnet>())
        .merge(resource::<Port>())
        .merge(resource::<SecurityGroup>())
        .merge(resource::<Rule>())
        .merge(resource::<Agent>())
        .merge(tags::<Network>())
        .merge(tags::<Subnet>())
        .merge(tags::<Port>())
        .merge(tags::<SecurityGroup>())
        .route("/v2.0/extensions", get(extensions))
        .route("/v2.0/extensions/{alias}", get(extension))
        .route("/v2.0/quotas", get(quotas))
        .route("/v2.0/quotas/{project}", get(show_quota).put(set_quota).delete(reset_quota))
        .route("/v2.0/quotas/{project}/default", get(default_quota))
        .route("/v2.0/quotas/{project}/details.json", get(quota_details))
        .route("/v2.0/quotas/{project}/details", get(quota_details))
        .route("/v2.0/weir/segments", get(segments))
        .fallback(async || ApiError::from(rest::Error::NotFound {}))
        .method_not_allowed_fallback(async || ApiError::from(rest::Error::MethodNotAllowed {}))
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(store)
}

/// The URLs of a resource.
fn resource<R: Resource>() -> Router<Store> {
    let path = format!("/v2.0/{}", R::REST.path);
    Router::new()
        .route(&path, get(list::<R>).post(create::<R>))
        .route(&format!("{path}/{{id}}"), get(show::<R>).put(update::<R>).delete(delete::<R>))
}

/// The URLs of a resource's tags.
fn tags<R: Resource>() -> Router<Store> {
    let path = format!("/v2.0/{}/{{id}}/tags", R::REST.path);
    Router::new()
        .route(&path, get(show_tags::<R>).put(set_tags::<R>).delete(clear_tags::<R>))
        .route(&format!("{path}/{{tag}}"), put(add_tag::<R>).delete(remove_tag::<R>))
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
    Path(id): Path<String>,
    RawQuery(text): RawQuery,
) -> Answer {
    let query = Query::parse(&text.unwrap_or_default(), R::REST)?;
    let mut view = store.view().await?;
    let found = R::find(&mut view, Selection::id(&id)).await?;
    let found = found.first().ok_or_else(|| R::not_found(&id))?;
    Ok(Json(json!({ R::REST.name: query.project(shown(found)?) })).into_response())
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
        let found = R::find(unit.connection(), Selection::id(&id)).await?;
        made.push(shown(found.first().ok_or_else(|| R::not_found(&id))?)?);
    }
    Ok(made)
}

async fn update<R: Resource>(
    State(store): State<Store>,
    Path(id): Path<String>,
    RequestBody(body): RequestBody,
) -> Answer {
    let request: R::Update = R::REST.update(&body)?;
    let body = change(async move {
        let mut unit = store.unit().await?;
        R::update(&mut unit, &id, request).await?;
        let found = R::find(unit.connection(), Selection::id(&id)).await?;
        let body = shown(found.first().ok_or_else(|| R::not_found(&id))?)?;
        unit.commit().await?;
        Ok(json!({ R::REST.name: body }))
    })
    .await?;
    Ok(Json(body).into_response())
}

async fn delete<R: Resource>(State(store): State<Store>, Path(id): Path<String>) -> Answer {
    change(async move {
        let mut unit = store.unit().await?;
        R::delete(&mut unit, &id).await?;
        unit.commit().await
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn show_tags<R: Resource>(State(store): State<Store>, Path(id): Path<String>) -> Answer {
    let mut view = store.view().await?;
    let tags = tag::get(&mut view, R::REST.plural, &id).await?;
    Ok(Json(tag::body(&tags.ok_or_else(|| R::not_found(&id))?)).into_response())
}

async fn set_tags<R: Resource>(
    State(store): State<Store>,
    Path(id): Path<String>,
    RequestBody(body): RequestBody,
) -> Answer {
    let wanted = tag::from_body(&body)?;
    let tags = change_tags::<R>(store, id, |_| wanted).await?;
    Ok(Json(tag::body(&tags)).into_response())
}

async fn clear_tags<R: Resource>(State(store): State<Store>, Path(id): Path<String>) -> Answer {
    change_tags::<R>(store, id, |_| Vec::new()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn add_tag<R: Resource>(
    State(store): State<Store>,
    Path((id, tag)): Path<(String, String)>,
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
    Path((id, tag)): Path<(String, String)>,
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

async fn versions(headers: HeaderMap) -> Response {
    Json(rest::versions(&base(&headers))).into_response()
}

async fn resources(headers: HeaderMap) -> Response {
    Json(rest::resources(&base(&headers))).into_response()
}

async fn extensions() -> Response {
    Json(json!({ "extensions": rest::EXTENSIONS })).into_response()
}

async fn extension(Path(alias): Path<String>) -> Answer {
    let found = rest::EXTENSIONS.iter().find(|extension| extension.alias == alias);
    let found = found.ok_or(rest::Error::ExtensionNotFound { alias })?;
    Ok(Json(json!({ "extension": found })).into_response())
}

async fn quotas(State(store): State<Store>) -> Answer {
    let mut view = store.view().await?;
    let mut quotas = Vec::new();
    for project in quota::projects(&mut view).await? {
        let mut limits = json!(quota::limits(&mut view, &project).await?);
        if let Some(limits) = limits.as_object_mut() {
            limits.insert("project_id".to_owned(), project.clone().into());
            limits.insert("tenant_id".to_owned(), project.into());
        }
        quotas.push(limits);
    }
    Ok(Json(json!({ "quotas": quotas })).into_response())
}

async fn show_quota(State(store): State<Store>, Path(project): Path<String>) -> Answer {
    let mut view = store.view().await?;
    Ok(Json(json!({ "quota": quota::limits(&mut view, &project).await? })).into_response())
}

/// The limits of a project that has none of its own.
async fn default_quota() -> Response {
    let limits: Map<_, _> =
        rest::QUOTA_RESOURCES.iter().map(|name| ((*name).to_owned(), json!(-1))).collect();
    Json(json!({ "quota": limits })).into_response()
}

async fn quota_details(State(store): State<Store>, Path(project): Path<String>) -> Answer {
    let mut view = store.view().await?;
    let mut details = Map::new();
    for (name, limit) in quota::limits(&mut view, &project).await? {
        let used = quota::used(&mut view, name, &project).await?;
        details.insert(name.to_owned(), json!({ "limit": limit, "used": used, "reserved": 0 }));
    }
    Ok(Json(json!({ "quota": details })).into_response())
}

async fn set_quota(
    State(store): State<Store>,
    Path(project): Path<String>,
    RequestBody(body): RequestBody,
) -> Answer {
    let update = rest::QuotaUpdate::from_body(&body)?;
    let limits = change(async move {
        let mut unit = store.unit().await?;
        quota::set(&mut unit, &project, &update).await?;
        let limits = quota::limits(unit.connection(), &project).await?;
        unit.commit().await?;
        Ok(limits)
    })
    .await?;
    Ok(Json(json!({ "quota": limits })).into_response())
}

async fn reset_quota(State(store): State<Store>, Path(project): Path<String>) -> Answer {
    change(async move {
        let mut unit = store.unit().await?;
        quota::reset(&mut unit, &project).await?;
        unit.commit().await
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn segments(State(store): State<Store>) -> Answer {
    let mut view = store.view().await?;
    let segments = segment::table(&mut view).await?;
    Ok(Json(rest::Segments { segments }).into_response())
}

/// Runs a change to its end, whatever becomes of the client.
async fn change<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::spawn(work).await?
}

/// A resource as the API shows it. The owner has two names, an old and a new one.
fn shown(body: &impl Serialize) -> Result<Shown, ApiError> {
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
fn project(headers: &HeaderMap) -> String {
    let named = headers.get("x-project-id").and_then(|value| value.to_str().ok());
    named.filter(|project| !project.is_empty()).unwrap_or(PROJECT).to_owned()
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
