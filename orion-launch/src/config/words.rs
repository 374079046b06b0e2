// SPDX-License-Identifier: MPL-2.0
//! Libraries' words in those of a person who writes a configuration.

/// serde's words: what was expected, then what there is. Text is repeated only where a number or a choice was expected, since a
/// wrong text may be a password.
pub(super) fn plain(text: &str) -> String {
    if let Some((got, expected)) = text
        .strip_prefix("invalid type: ")
        .or_else(|| text.strip_prefix("invalid value: "))
        .and_then(|rest| rest.rsplit_once(", expected "))
    {
        return match expected {
            "a string" => format!("expected text (in quotes), got {}", kind(got)),
            "a boolean" => format!("expected true or false, got {}", value(got)),
            "a sequence" => format!("expected a list in [], got {}", kind(got)),
            "f64" => format!("expected a number, got {}", value(got)),
            other if other.starts_with("struct ") => format!("expected keys of its own, got {}", kind(got)),
            other => format!("expected {other}, got {}", value(got)),
        };
    }
    if let Some((got, choices)) = text.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "))
    {
        return choice(got.trim_matches('`'), choices);
    }
    if let Some((got, known)) = text.strip_prefix("unknown field ").and_then(|rest| rest.split_once(", expected ")) {
        return format!("unknown key {}, known here are {}", got.trim_matches('`'), list(known).join(", "));
    }
    if let Some(name) = text.strip_prefix("missing field ") {
        return format!("{} is missing", name.trim_matches('`'));
    }
    text.to_owned()
}

fn choice(got: &str, choices: &str) -> String {
    let known = list(choices);
    let hint = super::keys::nearest(got, &known).filter(|near| near.len() > 2);
    let hint = hint.map_or_else(String::new, |near| format!("; did you mean {near}?"));
    format!("expected one of {}, got {got}{hint}", known.join(", "))
}

/// `one of `a`, `b`` or `a` or `b`.
fn list(choices: &str) -> Vec<&str> {
    choices.split('`').skip(1).step_by(2).collect()
}

fn kind(got: &str) -> &'static str {
    match got.split([' ', '`']).next() {
        Some("string" | "character") => "text",
        Some("integer" | "floating" | "number") => "a number",
        Some("boolean") => "true or false",
        Some("sequence") => "a list",
        Some("map") => "keys of its own",
        _ => "nothing",
    }
}

fn value(got: &str) -> String {
    match got.split_once('`').and_then(|(_, rest)| rest.strip_suffix('`')) {
        Some(number) => number.to_owned(),
        None => got.strip_prefix("string ").map_or_else(|| kind(got).to_owned(), super::mask::text),
    }
}

/// The YAML library's words; its advice is for programmers.
pub(super) fn yaml(text: &str) -> String {
    let text = text.split(" at line ").next().unwrap_or(text);
    if let Some(rest) = text.strip_prefix("duplicate mapping key: ") {
        let key = rest.split(", set ").next().unwrap_or(rest);
        return format!("the key {key} stands here a second time, expected once");
    }
    for (sign, words) in [
        ("multiple YAML documents", "a second document begins here, expected one"),
        ("tabs disallowed", "a tab, expected spaces at the beginning of a line"),
        ("recursion limit", "lists or sections are nested too deeply"),
        ("budget breached", "too many values, too many levels, or anchors (&, *) that grow too large"),
        ("alias replay", "too many values, too many levels, or anchors (&, *) that grow too large"),
        ("unclosed quote", "the quote that begins here has no end"),
        (
            "mapping values are not allowed",
            "a second `:` or a wrong indentation, expected `key: value`; quote a text that holds `: `",
        ),
        ("expected string scalar", "expected a key that is a text"),
        ("cannot deserialize null into string", "expected a key that is a text"),
    ] {
        if text.starts_with(sign) {
            return words.to_owned();
        }
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_expected_stands_first() {
        for (text, expected) in [
            ("invalid type: string \"fast\", expected a number, 0..1 Hz", "expected a number, 0..1 Hz, got \"fast\""),
            ("invalid type: integer `7`, expected a string", "expected text (in quotes), got a number"),
            ("invalid type: sequence, expected a boolean", "expected true or false, got a list"),
            (
                "unknown variant `400p`, expected `320p` or `480p`",
                "expected one of 320p, 480p, got 400p; did you mean 480p?",
            ),
            ("unknown variant `z`, expected one of `n`, `s`", "expected one of n, s, got z"),
            ("unknown field `w`, expected one of `x`, `y`", "unknown key w, known here are x, y"),
            ("missing field `x`", "x is missing"),
            ("anything else", "anything else"),
        ] {
            assert_eq!(plain(text), expected);
        }
    }
}
