// SPDX-License-Identifier: MPL-2.0
//! Words of the command line, and what is wrong with them.

use orion_core::{
    command::{RATE_HZ, Size},
    geometry::NormRect,
};
use serde_json::{Map, Value};

/// All instances at once.
pub(crate) const ALL: &str = "all";

/// Seconds that may be waited.
const TIMEOUT: std::ops::RangeInclusive<f64> = 0.1..=3600.0;

/// A name of an instance. Empty, as an empty variable gives it, is checked later.
pub(crate) fn instance(text: &str) -> Result<String, String> {
    match text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        true => Ok(text.to_owned()),
        false => Err("expected letters, digits, _ and -".into()),
    }
}

/// Whether this may be a broker's address. Not for clap, which would repeat a password.
pub(crate) fn broker(text: &str) -> Result<(), String> {
    if has_password(text) {
        return Err(
            "must not hold a password, since others can read it: use --password-file or ORION_MQTT_PASSWORD".into()
        );
    }
    if text.contains('%') {
        return Err("escapes (%) are not understood: use --username".into());
    }
    match text.split_once("://") {
        Some((scheme, _)) if ["mqtt", "mqtts"].contains(&scheme.to_ascii_lowercase().as_str()) => Ok(()),
        _ => Err("must begin with mqtt:// or mqtts://".into()),
    }
}

/// Whether the text holds an address with a password.
pub(crate) fn has_password(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let address = rest.split([' ', '"']).next().unwrap_or_default();
        let authority = address.split(['/', '?', '#']).next().unwrap_or_default();
        match authority.rsplit_once('@') {
            Some((user, _)) => user.contains(':'),
            // A password may hold what ends an authority; what looks like the port then is none.
            None => {
                let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
                let is_port = port.is_empty() && !authority.ends_with(':') || port.parse::<u16>().is_ok();
                !is_port && !authority.ends_with(']') && address.contains('@')
            }
        }
    })
}

/// The first part of topics.
pub(crate) fn prefix(text: &str) -> Result<String, String> {
    match text.is_empty() || text.contains(['+', '#', '\0']) {
        true => Err("expected a topic without + and #".into()),
        false => Ok(text.to_owned()),
    }
}

/// Seconds.
pub(crate) fn timeout(text: &str) -> Result<f64, String> {
    let told = || format!("expected {}..{} seconds", TIMEOUT.start(), TIMEOUT.end());
    text.parse().ok().filter(|seconds| TIMEOUT.contains(seconds)).ok_or_else(told)
}

/// Hz.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let told = || format!("expected {}..{} Hz", RATE_HZ.start(), RATE_HZ.end());
    text.trim().parse().ok().filter(|hz| RATE_HZ.contains(hz)).ok_or_else(told)
}

/// A model's size.
pub(crate) fn size(text: &str) -> Result<Size, String> {
    serde_json::from_value(text.to_lowercase().into()).map_err(|_| "expected orion, n, s, m, l or x".into())
}

/// `x,y,width,height`
pub(crate) fn region(text: &str) -> Result<NormRect, String> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|number| number.trim().parse()).collect();
    match numbers.as_deref() {
        Ok([x, y, width, height]) => NormRect::new(*x, *y, *width, *height).map_err(|error| error.to_string()),
        _ => Err("expected x,y,width,height, such as 0.1,0.2,0.5,0.5".into()),
    }
}

/// Several regions, with spaces between them.
pub(crate) fn regions(text: &str) -> Result<Vec<NormRect>, String> {
    text.split_whitespace().map(|one| region(one).map_err(|error| format!("{one}: {error}"))).collect()
}

/// `key=value`
pub(crate) fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    if key.is_empty() || key.split('.').any(str::is_empty) {
        return Err("expected a key before =, with dots between its parts".into());
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// A tree of what was set; no password may come in this way. What is text in `now` stays text, even if it looks like a number.
pub(crate) fn tree(settings: &[(String, String)], now: Option<&Value>) -> Result<Map<String, Value>, String> {
    let mut tree = Value::Object(Map::new());
    for (key, text) in settings {
        if has_password(text) {
            return Err(format!(
                "{key}: a password does not belong on a command line, where others can read it: use `cameras add --from -` or `raw -`"
            ));
        }
        let is_text =
            now.is_some_and(|now| now.pointer(&format!("/{}", key.replace('.', "/"))).is_some_and(Value::is_string));
        let value = match serde_json::from_str(text) {
            Ok(value @ (Value::Null | Value::String(_))) => value,
            Ok(value) if !is_text => value,
            _ => Value::String(text.clone()),
        };
        put(&mut tree, key, value).ok_or_else(|| format!("{key}: is set twice, or as a section and as a value"))?;
    }
    match tree {
        Value::Object(tree) => Ok(tree),
        _ => Ok(Map::new()),
    }
}

/// None: something else stands there already.
fn put(tree: &mut Value, key: &str, value: Value) -> Option<()> {
    let (last, sections) = {
        let mut parts: Vec<_> = key.split('.').collect();
        (parts.pop()?, parts)
    };
    let mut at = tree.as_object_mut()?;
    for section in sections {
        at = at.entry(section).or_insert_with(|| Value::Object(Map::new())).as_object_mut()?;
    }
    at.insert(last.to_owned(), value).is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wrong_word_is_told_with_what_was_expected() {
        assert_eq!(size("M"), Ok(Size::M));
        assert!(size("huge").unwrap_err().contains("n, s, m, l or x"));
        assert_eq!(rate("2.5"), Ok(2.5));
        for wrong in ["0", "31", "-1", "NaN", "fast", ""] {
            assert_eq!(rate(wrong).unwrap_err(), "expected 0.1..30 Hz", "{wrong}");
        }
        for wrong in ["0", "inf", "1e9", "soon"] {
            assert!(timeout(wrong).is_err(), "{wrong}");
        }
        assert_eq!(region("0.1, 0.2,0.5,0.5"), Ok(NormRect::new(0.1, 0.2, 0.5, 0.5).unwrap()));
        for (wrong, expected) in [
            ("0.1,0.2,0.5", "expected x,y,width,height"),
            ("0.6,0,0.5,1", "x + width must be at most 1"),
            ("0,0,0,1", "width must be greater than 0"),
            ("a,b,c,d", "expected x,y"),
        ] {
            let error = region(wrong).unwrap_err();
            assert!(error.contains(expected), "{wrong}: {error}");
        }
        assert_eq!(regions(" 0,0,1,1  0,0,.5,.5 ").unwrap().len(), 2);
        assert!(regions("0,0,1,1 x").unwrap_err().starts_with("x: expected"));
        assert!(instance("ward/1").is_err() && instance("ward-1").is_ok());
        assert!(prefix("care/#").is_err() && prefix("").is_err() && prefix("house/care").is_ok());
    }

    #[test]
    fn a_password_in_an_address_is_found_and_not_repeated() {
        for text in [
            "mqtt://ann:secret@host",
            "{\"a\": \"rtsp://u:secret@h/x\"}",
            "x rtsp://u:secret@h",
            "mqtt://ann:se#cret@host",
            "rtsp://u:/secret@h/x",
            "rtsp://u:se?cret@h",
        ] {
            assert!(has_password(text), "{text}");
        }
        for text in [
            "mqtt://ann@host:1",
            "rtsp://h:554/a@b:c",
            "rtsp://h/a@b:c",
            "rtsp://[::1]/a@b",
            "rtsp://[::1]:5/a@b",
            "a:b@c",
            "",
        ] {
            assert!(!has_password(text), "{text}");
        }
        let url = setting("camera.rtsp_url=rtsp://a:secret@h").unwrap();
        for error in [broker("mqtt://a:secret@h").unwrap_err(), tree(&[url], None).unwrap_err()] {
            assert!(error.contains("password") && !error.contains("secret"), "{error}");
        }
        assert!(broker("http://x").unwrap_err().contains("mqtt://"));
    }

    #[test]
    fn settings_become_a_tree_of_the_right_kinds() {
        let set = |settings: &[&str], now: Value| {
            let settings: Vec<_> = settings.iter().map(|text| setting(text).unwrap()).collect();
            tree(&settings, Some(&now)).map(Value::Object)
        };
        let now = json!({"room_id": "", "stream": {"fps": 30.0}});
        assert_eq!(
            set(&["room_id=007", "stream.fps=10", "stream.format=raw", "rois.attention=null"], now.clone()).unwrap(),
            json!({"room_id": "007", "stream": {"fps": 10, "format": "raw"}, "rois": {"attention": null}})
        );
        assert_eq!(set(&["room_id=\"a b\""], now.clone()).unwrap(), json!({"room_id": "a b"}));
        assert_eq!(set(&["room_id=null"], now.clone()).unwrap(), json!({"room_id": null}));
        for twice in [&["a=1", "a=2"][..], &["a=1", "a.b=2"], &["a.b=1", "a=2"]] {
            assert!(set(twice, now.clone()).unwrap_err().contains("is set twice"), "{twice:?}");
        }
        assert!(setting("fps").is_err() && setting("=1").is_err() && setting("a..b=1").is_err());
    }
}
