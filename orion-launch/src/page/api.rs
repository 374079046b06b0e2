// SPDX-License-Identifier: MPL-2.0
//! What the page asks for.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use axum::{
    Json,
    body::Body,
    extract::{ConnectInfo, Path, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER, SET_COOKIE},
    },
    response::{IntoResponse, Response},
};
use orion_core::command::{Command, Request};
use serde::Deserialize;
use serde_json::json;

use super::{
    body::Whole,
    guard::Peer,
    hub::{Full, VIEWERS},
    routes::{Desk, refusal},
    sessions::{self, random_id},
};

/// How long the answer to a command is waited for: longer than any change may take.
const PATIENCE: Duration = Duration::from_secs(75);

/// Whether this visitor needs a token.
pub(super) async fn session(State(desk): State<Desk>, headers: HeaderMap) -> Response {
    let needed = desk.token.is_some();
    Json(json!({
        "token_needed": needed,
        "admitted": desk.admits(&headers),
        "pictures": desk.hub.shows_pictures(),
        "version": env!("CARGO_PKG_VERSION"),
    }))
    .into_response()
}

#[derive(Deserialize)]
struct Login {
    token: String,
}

/// Takes the token for a session.
pub(super) async fn login(
    State(desk): State<Desk>,
    ConnectInfo(peer): Peer,
    headers: HeaderMap,
    Whole(body): Whole,
) -> Response {
    let Some(token) = &desk.token else { return StatusCode::NO_CONTENT.into_response() };
    let now = Instant::now();
    if let Some(wait) = desk.sessions().wait(peer.ip(), now) {
        let seconds = wait.as_secs() + 1;
        let mut answer =
            refusal(StatusCode::TOO_MANY_REQUESTS, &format!("too many wrong tokens; try again in {seconds} s"));
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        return answer;
    }
    let Ok(login) = serde_json::from_slice::<Login>(&body) else {
        return refusal(StatusCode::BAD_REQUEST, "expected {\"token\": \"...\"}");
    };
    if !token.is(&login.token) {
        desk.sessions().failed(peer.ip(), now);
        tracing::warn!("live page: a wrong token from {}", peer.ip());
        return refusal(StatusCode::UNAUTHORIZED, "this is not the token");
    }
    let Ok(id) = random_id() else {
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, "the system gives no random numbers");
    };
    let answer = with_cookie(&desk, &headers, &id, sessions::LIFE);
    desk.sessions().begin(id, peer.ip(), now);
    tracing::info!("live page: a visitor from {} has entered the token", peer.ip());
    answer
}

/// Ends a session.
pub(super) async fn logout(State(desk): State<Desk>, headers: HeaderMap) -> Response {
    if let Some(id) = desk.shown(&headers) {
        desk.sessions().end(id);
    }
    with_cookie(&desk, &headers, "", Duration::ZERO)
}

fn with_cookie(desk: &Desk, headers: &HeaderMap, id: &str, life: Duration) -> Response {
    // We do not encrypt, but a proxy before us may; who lies here harms nobody else.
    let encrypted = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let secure = if encrypted { "; Secure" } else { "" };
    let name = desk.cookie_name();
    let cookie = format!("{name}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}", life.as_secs());
    let mut answer = StatusCode::NO_CONTENT.into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}

/// Everything as it happens, of all cameras.
pub(super) async fn live(State(desk): State<Desk>, headers: HeaderMap) -> Response {
    match desk.hub.enter() {
        Ok(viewer) => {
            let news = futures_util::stream::unfold((viewer, desk, headers), async |(mut viewer, desk, headers)| {
                let news = viewer.next().await?;
                // It ends with the session.
                desk.admits(&headers).then(|| (Ok::<_, Infallible>(news), (viewer, desk, headers)))
            });
            // A proxy must not gather it.
            let headers = [("content-type", "text/event-stream"), ("x-accel-buffering", "no")];
            (headers, Body::from_stream(news)).into_response()
        }
        Err(Full::Viewers) => {
            let why = format!("{VIEWERS} pages are open already, which is the most; close one of them");
            refusal(StatusCode::SERVICE_UNAVAILABLE, &why)
        }
        Err(Full::Closed) => refusal(StatusCode::SERVICE_UNAVAILABLE, "the daemon stops"),
    }
}

/// One of the last pictures of a camera: `{seq}.jpg`.
pub(super) async fn frame(State(desk): State<Desk>, Path((camera, frame)): Path<(String, String)>) -> Response {
    if !desk.hub.shows_pictures() {
        return refusal(StatusCode::FORBIDDEN, "pictures are not shown: http.page.pictures, mqtt.snapshots.privacy");
    }
    let seq = frame.strip_suffix(".jpg").and_then(|seq| seq.parse().ok());
    match seq.and_then(|seq| desk.hub.picture(&camera, seq)) {
        Some(picture) => ([(CONTENT_TYPE, "image/jpeg")], picture).into_response(),
        None => refusal(
            StatusCode::NOT_FOUND,
            "there is no such picture (any more); the last ones are kept while somebody watches",
        ),
    }
}

/// What the page may not do: other commands are for who may publish to the broker.
fn is_for_the_page(command: &Command) -> bool {
    !matches!(command, Command::Shutdown | Command::UpdateConfig(_) | Command::AddCamera(_) | Command::RemoveCamera(_))
}

/// A command as over MQTT; the answer is that of the desk, once it is in force or refused.
pub(super) async fn command(State(desk): State<Desk>, Path(camera): Path<String>, Whole(body): Whole) -> Response {
    if !desk.hub.knows(&camera) {
        return refusal(StatusCode::NOT_FOUND, &format!("there is no camera {camera:?}"));
    }
    let request = match Request::read(&body) {
        Ok(request) => request,
        Err(refused) => return Json(desk.hub.window().refuse(&camera, &refused)).into_response(),
    };
    if !is_for_the_page(&request.command) {
        let why = format!("{} is not for the page: publish it over MQTT", request.command.name());
        return refusal(StatusCode::FORBIDDEN, &why);
    }
    let Ok(id) = random_id() else {
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, "the system gives no random numbers");
    };
    let Some(mut asked) = desk.hub.window().ask(&camera, &format!("page-{id}"), request) else {
        return refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many commands wait already: nothing was changed, try again later",
        );
    };
    match tokio::time::timeout(PATIENCE, asked.answer()).await {
        Ok(Ok(ack)) => Json(ack).into_response(),
        Ok(Err(_)) => refusal(StatusCode::SERVICE_UNAVAILABLE, "the daemon stops"),
        Err(_) => refusal(StatusCode::GATEWAY_TIMEOUT, "no answer yet; it will be among the events"),
    }
}
