// SPDX-License-Identifier: MPL-2.0
//! Who may have what, before anything is answered.

use std::{net::SocketAddr, time::Instant};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, ORIGIN, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::Next,
    response::Response,
};

use super::{
    origin,
    routes::{Desk, refusal},
    sessions,
};

/// What our pages may do: nothing but what comes from here, and in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Asked for without a session.
const OPEN: [&str; 2] = ["/api/session", "/api/login"];

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// Why a request is not answered; `local`: we listen on a loopback address only.
fn refused(method: &Method, path: &str, headers: &HeaderMap, local: bool) -> Option<(StatusCode, &'static str)> {
    let host = header(headers, &HOST).unwrap_or_default();
    if local && !origin::is_local(host) {
        return Some((
            StatusCode::FORBIDDEN,
            "on a loopback address only the hosts localhost, 127.0.0.1 and [::1] are known",
        ));
    }
    if !path.starts_with("/api/") {
        return None;
    }
    let site = headers.get("sec-fetch-site").map(|value| value.to_str().unwrap_or_default());
    if origin::is_foreign(host, header(headers, &ORIGIN), site) {
        return Some((StatusCode::FORBIDDEN, "the request comes from another site's page"));
    }
    let json =
        |kind: &str| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if method == Method::POST && !header(headers, &CONTENT_TYPE).is_some_and(json) {
        return Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected content-type: application/json"));
    }
    None
}

/// Lets pass what may, and says how the answer is to be taken.
pub(super) async fn guard(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let mut answer = match refused(request.method(), path, request.headers(), desk.is_local()) {
        Some((code, why)) => refusal(code, why),
        None if path.starts_with("/api/") && !OPEN.contains(&path) && !desk.admits(request.headers()) => {
            refusal(StatusCode::UNAUTHORIZED, "enter the token first")
        }
        None => next.run(request).await,
    };
    let headers = answer.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

impl Desk {
    /// Whether a visitor has entered the token, or needs none.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        self.token.is_none() || self.shown(headers).is_some_and(|id| self.sessions().knows(id, Instant::now()))
    }

    /// The session that a visitor shows.
    pub(super) fn shown<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let name = self.cookie_name();
        headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .find_map(|all| sessions::cookie(all, &name))
    }

    /// Cookies are the host's, whatever the port: two daemons on it must not take each other's.
    pub(super) fn cookie_name(&self) -> String {
        format!("orion_session_{}", self.address.port())
    }

    fn is_local(&self) -> bool {
        is_loopback(self.address)
    }
}

/// Whether only this machine can get there.
pub(super) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Who is at the other end.
pub(super) type Peer = ConnectInfo<SocketAddr>;

#[cfg(test)]
mod tests {
    use super::*;

    fn code(method: &str, path: &str, all: &[(&str, &str)], local: bool) -> u16 {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        refused(&method.parse().unwrap(), path, &headers, local).map_or(200, |(code, _)| code.as_u16())
    }

    #[test]
    fn requests_of_other_sites_are_refused() {
        let (host, json) = (("host", "127.0.0.1:8080"), ("content-type", "application/json; charset=utf-8"));
        for (method, path, headers, local, expected) in [
            ("GET", "/", vec![host], true, 200),
            ("GET", "/", vec![], true, 403),
            ("GET", "/", vec![("host", "rebound.example")], true, 403),
            ("GET", "/", vec![("host", "orion.example")], false, 200),
            // A link on another site may lead here.
            ("GET", "/", vec![host, ("sec-fetch-site", "cross-site")], true, 200),
            ("GET", "/api/live", vec![host], true, 200),
            ("GET", "/api/live", vec![host, ("sec-fetch-site", "cross-site")], true, 403),
            ("GET", "/api/live", vec![host, ("origin", "https://evil.example")], true, 403),
            ("POST", "/api/login", vec![host, json], true, 200),
            ("POST", "/api/login", vec![host, json, ("origin", "http://127.0.0.1:8080")], true, 200),
            ("POST", "/api/login", vec![host, json, ("origin", "https://evil.example")], true, 403),
            ("POST", "/api/login", vec![host], true, 415),
            ("POST", "/api/login", vec![host, ("content-type", "text/plain")], true, 415),
            ("POST", "/api/login", vec![host, ("content-type", "application/x-www-form-urlencoded")], true, 415),
        ] {
            assert_eq!(code(method, path, &headers, local), expected, "{method} {path} {headers:?}");
        }
    }

    #[test]
    fn loopback_is_what_only_this_machine_reaches() {
        for (address, local) in [
            ("127.0.0.1:80", true),
            ("127.9.0.1:80", true),
            ("[::1]:80", true),
            ("[::ffff:127.0.0.1]:80", true),
            ("0.0.0.0:80", false),
            ("[::]:80", false),
            ("192.168.1.2:80", false),
        ] {
            assert_eq!(is_loopback(address.parse().unwrap()), local, "{address}");
        }
    }
}
