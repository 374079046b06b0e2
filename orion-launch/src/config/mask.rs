// SPDX-License-Identifier: MPL-2.0
//! Passwords that nobody shall read.

/// A URL with its password made unreadable.
pub(crate) fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // A password may hold `@`: the last one ends it.
    let Some(at) = rest[..authority].rfind('@') else {
        return url.to_owned();
    };
    match rest[..at].split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:***{}", &rest[at..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked() {
        assert_eq!(masked("rtsp://me:p@ss@cam:554/x?a=b:c@d"), "rtsp://me:***@cam:554/x?a=b:c@d");
        assert_eq!(masked("rtsp://me@cam/x"), "rtsp://me@cam/x");
        assert_eq!(masked("rtsp://cam:554/x"), "rtsp://cam:554/x");
    }
}
