// SPDX-License-Identifier: MPL-2.0
//! Whether the daemon lives (`/livez`, `/health`) and does its work (`/readyz`, `/readiness`), `/metrics`, and the live page.

mod door;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{
        HeaderMap, Method, StatusCode, Uri,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use thiserror::Error;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};

use self::door::Door;
use crate::{
    health::Health,
    metrics::Metrics,
    overview::Readiness,
    page::{Hub, Page},
};

/// The state is read within this time, or said to be stuck.
const PATIENCE: Duration = Duration::from_secs(2);
/// Readers of the state at a time, at most: where one is stuck, so are the others.
const READERS: usize = 4;

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
    /// Who watches the page, where there is one.
    hub: Option<Hub>,
    task: JoinHandle<()>,
}

/// Reads the state of everything; may take its time.
type Read = dyn Fn() -> Readiness + Send + Sync;

#[derive(Clone)]
struct Reader {
    read: Arc<Read>,
    free: Arc<Semaphore>,
}

impl Drop for Http {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Http {
    /// Listens at once; requests are answered from then on, with what `read` says.
    ///
    /// # Errors
    /// [`BindError`] names the address and the key.
    pub(crate) async fn start(
        bind: &str,
        read: impl Fn() -> Readiness + Send + Sync + 'static,
        metrics: Option<Metrics>,
        page: Option<Page>,
    ) -> Result<Self, BindError> {
        let failed = |source| BindError { address: bind.to_owned(), source };
        let listener = TcpListener::bind(bind).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let reader = Reader { read: Arc::new(read), free: Arc::new(Semaphore::new(READERS)) };
        let hub = page.as_ref().map(|page| page.hub().clone());
        let (page, open) = page.map_or((None, false), |page| {
            let (router, open) = page.router(address);
            (Some(router), open)
        });
        if page.is_some() && !open {
            tracing::warn!(
                "the live page is not served on {address}: that needs a token, in http.page.token_file or the environment \
                 variable ORION_PAGE_TOKEN"
            );
        }
        let task = tokio::spawn(Door::default().keep(listener, router(reader, metrics, page)));
        Ok(Self { address, hub: hub.filter(|_| open), task })
    }

    /// Whether the live page is there.
    pub(crate) fn has_page(&self) -> bool {
        self.hub.is_some()
    }

    /// Those who watch the page are told that it ends.
    pub(crate) fn take_leave(&self) {
        if let Some(hub) = &self.hub {
            hub.close();
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn router(reader: Reader, metrics: Option<Metrics>, page: Option<Router>) -> Router {
    // That it answers is all there is to know: neither camera nor broker has a say in it.
    let alive = || async { Json(json!({"status": "alive"})) };
    let also = if page.is_some() { ", and the live page at /" } else { "" };
    let scraped = match metrics {
        Some(metrics) => {
            let state = (metrics, Arc::new(Semaphore::new(READERS)));
            Router::new().route("/metrics", get(scrape)).with_state(state)
        }
        None => Router::new(),
    };
    scraped
        .route("/health", get(alive))
        .route("/livez", get(alive))
        .route("/readiness", get(readiness))
        .route("/readyz", get(readiness))
        .method_not_allowed_fallback(|method: Method| async move {
            refusal(StatusCode::METHOD_NOT_ALLOWED, &format!("{method} is not served here, GET and HEAD are"))
        })
        .with_state(reader)
        // It answers other methods in its own words.
        .merge(page.unwrap_or_default())
        .fallback(move |uri: Uri| async move {
            let known = "known are /livez, /readyz, /health, /readiness and /metrics";
            refusal(StatusCode::NOT_FOUND, &format!("there is no {}; {known}{also}", uri.path()))
        })
}

fn refusal(code: StatusCode, error: &str) -> Response {
    (code, Json(json!({"error": error}))).into_response()
}

async fn readiness(State(reader): State<Reader>) -> Response {
    let Some(readiness) = aside(reader.free, move || (reader.read)()).await else {
        let reason = format!("the state cannot be read within {PATIENCE:?}: an element is stuck");
        let body = Json(json!({"status": Health::Unhealthy, "reasons": [reason]}));
        return (StatusCode::SERVICE_UNAVAILABLE, body).into_response();
    };
    let code = match readiness.verdict().status {
        Health::Healthy | Health::Degraded => StatusCode::OK,
        Health::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, Json(readiness)).into_response()
}

/// Reads something in a thread of its own, of which there are not many; none = it is stuck.
async fn aside<T: Send + 'static>(free: Arc<Semaphore>, read: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let read = async {
        let permit = free.acquire_owned().await.ok()?;
        let read = tokio::task::spawn_blocking(move || {
            let read = read();
            drop(permit);
            read
        });
        read.await.ok()
    };
    tokio::time::timeout(PATIENCE, read).await.ok().flatten()
}

async fn scrape(State((metrics, free)): State<(Metrics, Arc<Semaphore>)>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default().to_owned();
    match aside(free, move || metrics.scrape(&accept)).await {
        Some(Ok((kind, text))) => ([(CONTENT_TYPE, kind)], text).into_response(),
        Some(Err(error)) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        None => refusal(StatusCode::SERVICE_UNAVAILABLE, "the state cannot be read: an element is stuck"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;
    use crate::overview::Overview;

    /// Head and body of the answer.
    async fn ask(address: SocketAddr, method: &str, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    }

    #[tokio::test]
    async fn methods_and_paths_are_answered_as_they_deserve() {
        let overview = Overview::default();
        let http = Http::start("127.0.0.1:0", move || overview.readiness(), None, None).await.unwrap();
        for (method, path, code, body) in [
            ("GET", "/livez", 200, r#"{"status":"alive"}"#),
            ("GET", "/health", 200, r#"{"status":"alive"}"#),
            ("HEAD", "/livez", 200, ""),
            ("GET", "/readyz", 503, "there is no camera"),
            ("GET", "/readiness", 503, "there is no camera"),
            ("HEAD", "/readyz", 503, ""),
            ("POST", "/livez", 405, r#"{"error":"POST is not served here, GET and HEAD are"}"#),
            ("DELETE", "/readiness", 405, "DELETE is not served"),
            ("GET", "/nowhere", 404, r#"{"error":"there is no /nowhere; known are /livez,"#),
            ("PUT", "/nowhere", 404, "there is no /nowhere"),
        ] {
            let (head, text) = ask(http.address(), method, path).await;
            assert!(head.starts_with(&format!("http/1.1 {code} ")), "{method} {path}: {head}");
            assert!(head.contains("content-type: application/json"), "{method} {path}: {head}");
            assert_eq!(head.contains("allow: get,head"), code == 405, "{method} {path}: {head}");
            assert!(text.contains(body) && (method != "HEAD" || text.is_empty()), "{method} {path}: {text}");
        }
    }

    #[tokio::test]
    async fn what_is_stuck_holds_up_neither_liveness_nor_the_answer() {
        let stuck = Arc::new((Mutex::new(true), Condvar::new()));
        let held = Arc::clone(&stuck);
        let http = Http::start(
            "127.0.0.1:0",
            move || {
                let _free = held.1.wait_while(held.0.lock().unwrap(), |stuck| *stuck).unwrap();
                Overview::default().readiness()
            },
            None,
            None,
        );
        let http = http.await.unwrap();
        let address = http.address();
        let asked: Vec<_> =
            (0..READERS + 2).map(|_| tokio::spawn(async move { ask(address, "GET", "/readyz").await })).collect();
        assert!(ask(address, "GET", "/livez").await.0.starts_with("http/1.1 200 "));
        for asked in asked {
            let (head, body) = asked.await.unwrap();
            assert!(head.starts_with("http/1.1 503 ") && body.contains("stuck"), "{head} {body}");
        }
        assert!(ask(address, "GET", "/livez").await.0.starts_with("http/1.1 200 "));
        *stuck.0.lock().unwrap() = false;
        stuck.1.notify_all();
        assert!(ask(address, "GET", "/readyz").await.1.contains("there is no camera"), "it has come to itself");
    }
}
