// SPDX-License-Identifier: MPL-2.0
//! `/health`, `/readiness` and `/metrics`.

use std::net::SocketAddr;

use axum::{
    Json, Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use thiserror::Error;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{health::Health, metrics::Metrics, overview::Overview};

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
    pub(crate) async fn start(bind: &str, overview: Overview, metrics: Option<Metrics>) -> Result<Self, BindError> {
        let failed = |source| BindError { address: bind.to_owned(), source };
        let listener = TcpListener::bind(bind).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let router = Router::new()
            .route("/health", get(|| async { Json(serde_json::json!({"status": "alive"})) }))
            .route("/readiness", get(readiness))
            .with_state(overview);
        let router = match metrics {
            Some(metrics) => router.merge(Router::new().route("/metrics", get(scrape)).with_state(metrics)),
            None => router,
        };
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

async fn scrape(State(metrics): State<Metrics>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    match metrics.scrape(accept) {
        Ok((kind, text)) => ([(CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
