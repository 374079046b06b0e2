// SPDX-License-Identifier: MPL-2.0
//! Whether a request comes from our own page, or from another site's page in the visitor's browser.

use std::net::IpAddr;

/// Whether a `Host` names this machine by a loopback name, as it does unless somebody's DNS points at us.
pub(super) fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Whether another site's page has made the request. Browsers say where it comes from, and pages cannot change that; who says
/// nothing is no browser.
pub(super) fn is_foreign(host: &str, origin: Option<&str>, site: Option<&str>) -> bool {
    match (site, origin) {
        (Some("same-origin" | "none"), _) => false,
        (Some(_), _) => true,
        // Only sent to encrypted or local addresses; the other one is there with whatever changes something.
        (None, Some(origin)) => {
            let there = origin.split_once("://").map(|(_, there)| there);
            there.is_none_or(|there| !there.eq_ignore_ascii_case(host))
        }
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names_are_local_and_no_others() {
        for host in ["localhost", "LocalHost:8080", "127.0.0.1:8080", "127.0.0.1", "127.1.2.3:1", "[::1]:8080", "[::1]"]
        {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8080",
            "192.168.0.1",
            "[fe80::1]:80",
            "0.0.0.0:8080",
            "::1x",
            "127.0.0.1@evil.example",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn who_asks_for_another_site_is_known() {
        let host = "127.0.0.1:8080";
        for (origin, site, foreign) in [
            (None, None, false),
            (Some("http://127.0.0.1:8080"), None, false),
            (Some("http://127.0.0.1:8080"), Some("same-origin"), false),
            // Behind a proxy that gives us another name.
            (Some("https://orion.example"), Some("same-origin"), false),
            (None, Some("none"), false),
            (Some("http://127.0.0.1:9999"), None, true),
            (Some("http://127.0.0.1:9999"), Some("same-site"), true),
            (Some("https://evil.example"), Some("cross-site"), true),
            (Some("https://evil.example"), None, true),
            (Some("null"), None, true),
            (None, Some("cross-site"), true),
            (None, Some("whatever"), true),
        ] {
            assert_eq!(is_foreign(host, origin, site), foreign, "{origin:?} {site:?}");
        }
    }
}
