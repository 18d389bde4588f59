//! The rules of QoS policies, below the URL of their policy, and the types that there are.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use neutron::rest::{self, Body, QOS_RULE_TYPE, QOS_RULE_TYPES, QosRuleType};
use serde_json::{Map, Value, json};

use super::resource::project;
use super::{Answer, RequestBody, UrlPath, change};
use crate::qos_policy::rule;
use crate::query::Query;
use crate::store::Store;

/// The URLs of rules and of their types.
pub(super) fn routes() -> Router<Store> {
    let types = format!("/v2.0/{}", QOS_RULE_TYPE.path);
    let router = Router::new()
        .route(&types, get(list_types))
        .route(&format!("{types}/{{name}}"), get(show_type));
    QOS_RULE_TYPES.iter().fold(router, |router, kind| {
        let rules = format!("/v2.0/{}", kind.rules.path);
        router
            .route(
                &rules,
                get(async move |store, path, query| list(kind, store, path, query).await).post(
                    async move |store, path, headers, body| {
                        create(kind, store, path, headers, body).await
                    },
                ),
            )
            .route(
                &format!("{rules}/{{id}}"),
                get(async move |store, path, query| show(kind, store, path, query).await)
                    .put(async move |store, path, body| update(kind, store, path, body).await)
                    .delete(async move |store, path| delete(kind, store, path).await),
            )
    })
}

async fn list(
    kind: &'static QosRuleType,
    State(store): State<Store>,
    UrlPath(policy): UrlPath<String>,
    RawQuery(text): RawQuery,
) -> Answer {
    let query = Query::parse(&text.unwrap_or_default(), kind.rules)?;
    let mut view = store.view().await?;
    let found = rule::list(&mut view, kind, &policy).await?;
    let items = query.page(found).items.into_iter().map(|item| query.project(item));
    Ok(Json(json!({ kind.rules.plural: items.collect::<Vec<_>>() })).into_response())
}

async fn show(
    kind: &'static QosRuleType,
    State(store): State<Store>,
    UrlPath((policy, id)): UrlPath<(String, String)>,
    RawQuery(text): RawQuery,
) -> Answer {
    let query = Query::parse(&text.unwrap_or_default(), kind.rules)?;
    let mut view = store.view().await?;
    let found = rule::show(&mut view, kind, &policy, &id).await?;
    Ok(Json(json!({ kind.rules.name: query.project(found) })).into_response())
}

async fn create(
    kind: &'static QosRuleType,
    State(store): State<Store>,
    UrlPath(policy): UrlPath<String>,
    headers: HeaderMap,
    RequestBody(body): RequestBody,
) -> Answer {
    let request: Body<Map<String, Value>> = kind.rules.create(&body, &project(&headers))?;
    let body = change(async move {
        let mut unit = store.unit().await?;
        let body = match request {
            Body::One(values) => {
                let request = kind.request(&values)?;
                json!({ kind.rules.name: rule::create(&mut unit, kind, &policy, request).await? })
            }
            Body::Many(many) => {
                let mut made = Vec::new();
                for values in many {
                    let request = kind.request(&values)?;
                    made.push(rule::create(&mut unit, kind, &policy, request).await?);
                }
                json!({ kind.rules.plural: made })
            }
        };
        unit.commit().await?;
        Ok(body)
    })
    .await?;
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

async fn update(
    kind: &'static QosRuleType,
    State(store): State<Store>,
    UrlPath((policy, id)): UrlPath<(String, String)>,
    RequestBody(body): RequestBody,
) -> Answer {
    let values: Map<String, Value> = kind.rules.update(&body)?;
    let request = kind.request(&values)?;
    let rule = change(async move {
        let mut unit = store.unit().await?;
        let rule = rule::update(&mut unit, kind, &policy, &id, request).await?;
        unit.commit().await?;
        Ok(rule)
    })
    .await?;
    Ok(Json(json!({ kind.rules.name: rule })).into_response())
}

async fn delete(
    kind: &'static QosRuleType,
    State(store): State<Store>,
    UrlPath((policy, id)): UrlPath<(String, String)>,
) -> Answer {
    change(async move {
        let mut unit = store.unit().await?;
        rule::delete(&mut unit, kind, &policy, &id).await?;
        unit.commit().await
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Every type is served, so filters by that change nothing.
async fn list_types() -> Answer {
    let types: Vec<_> = QOS_RULE_TYPES.iter().map(QosRuleType::listed).collect();
    Ok(Json(json!({ QOS_RULE_TYPE.plural: types })).into_response())
}

async fn show_type(UrlPath(name): UrlPath<String>) -> Answer {
    let kind = QosRuleType::from_name(&name).ok_or(rest::Error::QosRuleTypeNotFound { name })?;
    Ok(Json(json!({ QOS_RULE_TYPE.name: kind.shown() })).into_response())
}
