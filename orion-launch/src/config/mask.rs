// SPDX-License-Identifier: MPL-2.0
//! Passwords that nobody shall read.

use serde_json::Value;

/// What stands for a password.
const MASK: &str = "***";
/// What a name ends in whose value is a password: GStreamer's properties, options of programs, parameters in addresses.
const NAMES: [&str; 12] =
    ["password", "passwd", "passphrase", "pwd", "user-pw", "proxy-pw", "pass", "secret", "pw", "token", "auth", "key"];

/// A URL with its passwords made unreadable.
pub(crate) fn masked(url: &str) -> String {
    text(url)
}

/// Any text, such as that of a pipeline or a command, with the passwords in its URLs and assignments made unreadable.
pub(super) fn text(text: &str) -> String {
    assignments(&options(&urls(text)))
}

/// Every text in a tree.
pub(super) fn tree(value: &Value) -> Value {
    match value {
        Value::String(one) => text(one).into(),
        Value::Array(list) => list.iter().map(tree).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), tree(value))).collect(),
        other => other.clone(),
    }
}

/// `scheme://user:password@...`
fn urls(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        shown.push_str(before);
        let url = &url[..url_length(url)];
        rest = &rest[at + 3 + url.len()..];
        match secret(url) {
            Some((user, tail)) => shown.extend([user, ":", MASK, tail]),
            None => shown.push_str(url),
        }
    }
    shown + rest
}

/// How far an address goes, of what follows `://`. A quote ends it, but for one in a password.
fn url_length(text: &str) -> usize {
    let word = &text[..text.find(char::is_whitespace).unwrap_or(text.len())];
    let authority = &word[..word.find(['/', '?', '#']).unwrap_or(word.len())];
    let from = authority.rfind('@').unwrap_or_default();
    word[from..].find(['"', '\'']).map_or(word.len(), |at| from + at)
}

/// `--password value`
fn options(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut secret = false;
    for word in text.split_inclusive(char::is_whitespace) {
        let bare = word.trim_end();
        if secret && !bare.is_empty() && !bare.starts_with('-') && !bare.contains("${") {
            shown.push_str(MASK);
            shown.push_str(&word[bare.len()..]);
        } else {
            shown.push_str(word);
        }
        // More white space may follow the name.
        if !bare.is_empty() {
            secret = bare.strip_prefix("--").is_some_and(|name| !name.contains('=') && is_secret(name));
        }
    }
    shown
}

/// Whether the value of what is called so is a password.
fn is_secret(name: &str) -> bool {
    NAMES.iter().any(|end| {
        let tail = name.len().checked_sub(end.len()).and_then(|from| name.get(from..).zip(name.get(..from)));
        tail.is_some_and(|(tail, head)| {
            tail.eq_ignore_ascii_case(end) && !head.ends_with(|c: char| c.is_alphanumeric() && end.len() < 5)
        })
    })
}

/// User, and what follows the password, of what follows `://`.
fn secret(url: &str) -> Option<(&str, &str)> {
    let authority = &url[..url.find(['/', '?', '#']).unwrap_or(url.len())];
    // A password may hold `@`: the last one ends it.
    if let Some(at) = authority.rfind('@') {
        return authority[..at].split_once(':').map(|(user, _)| (user, &url[at..]));
    }
    // One that holds `/` and should not: what looks like a port is none.
    let (user, port) = authority.split_once(':')?;
    let at = url.rfind('@').filter(|_| port.parse::<u16>().is_err() && !port.starts_with(['$', '{', ']']))?;
    (!user.starts_with('[')).then(|| (user, &url[at..]))
}

/// `password=...`, quoted or not, up to white space or the next parameter.
fn assignments(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        let (before, value) = rest.split_at(at + 1);
        shown.push_str(before);
        let name = before[..at].trim_end();
        let length = if is_secret(name) { value_length(value) } else { 0 };
        let (value, tail) = value.split_at(length);
        if !value.trim().is_empty() && !value.contains("${") {
            shown.push_str(MASK);
        } else {
            shown.push_str(value);
        }
        rest = tail;
    }
    shown + rest
}

/// How far a value goes, its quotes included.
fn value_length(text: &str) -> usize {
    let start = text.len() - text.trim_start().len();
    let value = &text[start..];
    let mut characters = value.char_indices().peekable();
    let quote = characters.next_if(|(_, c)| matches!(c, '"' | '\'')).map(|(_, c)| c);
    let mut escaped = false;
    for (at, c) in characters {
        let ends = match quote {
            Some(quote) => c == quote,
            None => c.is_whitespace() || matches!(c, '&' | '"' | '\''),
        };
        if ends && !escaped {
            return start + at + quote.map_or(0, char::len_utf8);
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    #[test]
    fn passwords_are_masked() {
        for (text, shown) in [
            ("rtsp://me:p@ss@cam:554/x?a=b:c@d", "rtsp://me:***@cam:554/x?a=b:c@d"),
            ("rtsp://me@cam/x", "rtsp://me@cam/x"),
            ("rtsp://cam:554/x?a=b:c@d", "rtsp://cam:554/x?a=b:c@d"),
            ("rtsp://me:p/w@cam/x", "rtsp://me:***@cam/x"),
            ("rtsp://cam/user=me&password=geheim&channel=1", "rtsp://cam/user=me&password=***&channel=1"),
            ("rtsp://[::1]:554/x@y", "rtsp://[::1]:554/x@y"),
            (
                "rtspsrc location=\"rtsp://u:p@h/\" user-id=a user-pw=\"b \\\" c\" ! fakesink",
                "rtspsrc location=\"rtsp://u:***@h/\" user-id=a user-pw=*** ! fakesink",
            ),
            (
                "orionmqttsink username=a password = 'b c' password-file=/x",
                "orionmqttsink username=a password =*** password-file=/x",
            ),
            ("worker --api-secret=abc --Password=x\n--bypass=1", "worker --api-secret=*** --Password=***\n--bypass=1"),
            ("x password=${PW} y", "x password=${PW} y"),
            ("password=", "password="),
            ("rtsp://me:pa'ss@cam/x", "rtsp://me:***@cam/x"),
            ("location='rtsp://me:pa\"ss@cam' user=x", "location='rtsp://me:***@cam' user=x"),
            ("rtsp://cam/x?u=me&pw=secret1&auth=secret2", "rtsp://cam/x?u=me&pw=***&auth=***"),
            ("worker --password hunter2 --token  abc --verbose 3", "worker --password *** --token  *** --verbose 3"),
            (
                "monkey=1 key-int-max=30 tls-key-file=/k --key-file /k",
                "monkey=1 key-int-max=30 tls-key-file=/k --key-file /k",
            ),
        ] {
            assert_eq!(super::text(text), shown);
            assert_eq!(super::text(shown), shown, "what is masked stays so");
        }
    }
}
