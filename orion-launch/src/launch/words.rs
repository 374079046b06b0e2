// SPDX-License-Identifier: MPL-2.0
//! Values as GStreamer reads them.

use serde::Serialize;
use serde_json::Value;

/// A value that GStreamer's parser and a shell both read as it is.
pub(super) fn quoted(value: &str) -> String {
    let mut text = String::from('"');
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    text
}

/// A time in GStreamer's unit.
pub(super) fn nanoseconds(seconds: f64) -> String {
    ((seconds * 1e9).round() as u64).to_string()
}

/// A choice as it is written in the configuration, which is its nick in GStreamer, too.
pub(super) fn word(choice: &impl Serialize) -> String {
    match serde_json::to_value(choice) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}
