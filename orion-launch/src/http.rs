// SPDX-License-Identifier: MPL-2.0
//! `/health` and `/readiness`.

use std::net::SocketAddr;

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use thiserror::Error;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{health::Health, overview::Overview};

/// Why nothing is served.
#[derive(Debug, Error)]
#[error("http.bind {address}: {source}; choose another port, 0 = any free one, or empty = off")]
pub(crate) struct BindError {
    address: String,
    source: std::io::Error,
}

/// A server that ends with this value.
pub(crate) struct Http {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Http {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Http {
    /// Listens at once; requests are answered from then on.
    ///
    /// # Errors
    /// [`BindError`] names the address and the key.
    pub(crate) async fn start(bind: &str, overview: Overview) -> Result<Self, BindError> {
        let failed = |source| BindError { address: bind.to_owned(), source };
        let listener = TcpListener::bind(bind).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let router = Router::new()
            .route("/health", get(|| async { Json(serde_json::json!({"status": "alive"})) }))
            .route("/readiness", get(readiness))
            .with_state(overview);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!("the HTTP server ended: {error}");
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn readiness(State(overview): State<Overview>) -> impl IntoResponse {
    let readiness = overview.readiness();
    let code = match readiness.verdict().status {
        Health::Healthy | Health::Degraded => StatusCode::OK,
        Health::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, Json(readiness))
}
