//! Why a request is not met: refused, or the store failed.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use neutron::object::ResourceType;
use neutron::rest;

/// Why a request is not met. Nothing has been changed then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// It asks for what cannot be.
    #[error(transparent)]
    Refused(#[from] rest::Error),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] sqlx::Error),
    /// The task that did the work has gone.
    #[error("the work was given up")]
    Task(#[from] tokio::task::JoinError),
    /// A value in the store cannot be read.
    #[error("{what} in the store is broken: {value}")]
    Broken { what: &'static str, value: String },
    /// An agent asks for objects in a way that none does.
    #[error("{resource} cannot be selected by {filter:?}")]
    Filter { resource: ResourceType, filter: BTreeMap<String, Vec<String>> },
}

impl ApiError {
    /// What the client is told. It learns nothing of the store's inside.
    fn shown(self) -> rest::Error {
        match self {
            Self::Refused(error) => error,
            Self::Store(error) if is_unwritable(&error) => rest::Error::StoreUnavailable {},
            Self::Store(_) | Self::Task(_) | Self::Broken { .. } | Self::Filter { .. } => {
                rest::Error::Internal {}
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if !matches!(self, Self::Refused(_)) {
            tracing::error!(error = &self as &dyn std::error::Error, "request failed");
        }
        let error = self.shown();
        let status =
            StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(error.body())).into_response()
    }
}

/// Whether the store is locked by another process, or its disk is full, read-only or gone
/// (SQLITE_BUSY, _READONLY, _IOERR, _FULL, _CANTOPEN): that can pass, so the client may try again.
fn is_unwritable(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    let primary = code.and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff);
    matches!(primary, Some(5 | 8 | 10 | 13 | 14)) || matches!(error, sqlx::Error::PoolTimedOut)
}
