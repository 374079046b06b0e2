// SPDX-License-Identifier: MPL-2.0
//! The paths of the page.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderValue, Method, StatusCode, header::CONTENT_TYPE},
    middleware,
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use serde_json::json;
use thiserror::Error;

use super::{
    Hub, Token, api,
    assets::{self, INDEX},
    guard::{guard, is_loopback},
    sessions::Sessions,
};
use crate::config::{self, Config};

/// The longest request, bytes: as of a command.
const LONGEST: usize = 64 * 1024;

/// Why there is no page.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct PageError(String);

/// The page, before it is known where it is served.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    hub: Hub,
    token: Option<Token>,
}

/// What answers need.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub(super) hub: Hub,
    pub(super) token: Option<Arc<Token>>,
    pub(super) address: SocketAddr,
    sessions: Arc<Mutex<Sessions>>,
}

impl Desk {
    pub(super) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        // Plain lists: a panic elsewhere leaves them usable.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error in words.
pub(super) fn refusal(code: StatusCode, error: &str) -> Response {
    (code, Json(json!({"error": error}))).into_response()
}

impl Page {
    /// Whether pictures may be shown.
    pub(crate) fn shows_pictures(config: &Config) -> bool {
        config.http.page.pictures && !config.mqtt.snapshots.privacy
    }

    /// The page of this configuration, if there is to be one.
    ///
    /// # Errors
    /// [`PageError`]: the token cannot be read.
    pub(crate) fn new(config: &config::Page, hub: impl FnOnce() -> Hub) -> Result<Option<Self>, PageError> {
        if !config.enabled {
            return Ok(None);
        }
        let token = Token::of(config).map_err(PageError)?;
        Ok(Some(Self { hub: hub(), token }))
    }

    /// Who watches.
    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Its paths when it is served there, and whether it may be.
    pub(crate) fn router(self, address: SocketAddr) -> (Router, bool) {
        if self.token.is_none() && !is_loopback(address) {
            return (closed(address), false);
        }
        let Self { hub, token } = self;
        let desk = Desk { hub, token: token.map(Arc::new), address, sessions: Arc::default() };
        let router = Router::new()
            .route("/", get(index))
            .route("/page/{file}", get(asset))
            .route("/api/session", get(api::session))
            .route("/api/login", post(api::login))
            .route("/api/logout", post(api::logout))
            .route("/api/live", get(api::live))
            .route("/api/cameras/{camera}/frames/{frame}", get(api::frame))
            .route("/api/cameras/{camera}/commands", post(api::command))
            .method_not_allowed_fallback(|method: Method, request: Request| async move {
                let path = request.uri().path().to_owned();
                refusal(StatusCode::METHOD_NOT_ALLOWED, &format!("{method} is not what {path} takes"))
            })
            .layer(DefaultBodyLimit::max(LONGEST))
            .layer(middleware::from_fn_with_state(desk.clone(), guard))
            .with_state(desk);
        (router, true)
    }
}

/// Without a token nobody outside this machine sees anything.
fn closed(address: SocketAddr) -> Router {
    let why = format!(
        "the live page is not served on {address} without a token: set http.page.token_file or the environment variable {}, or \
         http.bind to a loopback address",
        Token::VARIABLE
    );
    let refuse = any(move || async move { refusal(StatusCode::FORBIDDEN, &why) });
    Router::new().route("/", refuse.clone()).route("/page/{*rest}", refuse.clone()).route("/api/{*rest}", refuse)
}

fn served((_, kind, content): &(&'static str, &'static str, &'static str)) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(kind))], *content).into_response()
}

async fn index() -> Response {
    served(&INDEX)
}

async fn asset(State(_): State<Desk>, Path(name): Path<String>) -> Response {
    match assets::file(&name) {
        Some(file) => served(file),
        None => refusal(StatusCode::NOT_FOUND, &format!("the page has no file {name}")),
    }
}
