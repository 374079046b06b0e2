// SPDX-License-Identifier: MPL-2.0
//! Reads JSON Schema as people do: fields, their kinds, limits and meaning.

use serde_json::Value;

use crate::markdown::codes;

/// A schema with the document that its references lead into.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    document: &'a Value,
    /// As it stands, with the description of the place.
    pub here: &'a Value,
}

impl<'a> Node<'a> {
    /// The whole document.
    pub fn root(document: &'a Value) -> Self {
        Self { document, here: document }
    }

    fn at(self, here: &'a Value) -> Self {
        Self { here, ..self }
    }

    /// What it refers to, or itself; of something or null, the something.
    pub fn resolved(self) -> Self {
        if let Some(reference) = self.here["$ref"].as_str() {
            let pointer = reference.strip_prefix('#').unwrap();
            return self.at(self.document.pointer(pointer).unwrap()).resolved();
        }
        match self.here["anyOf"].as_array().map(Vec::as_slice) {
            Some([one, null]) if null["type"] == "null" => self.at(one).resolved(),
            _ => self,
        }
    }

    /// The name by which the document has it once for several places.
    pub fn reference(self) -> Option<&'a str> {
        self.here["$ref"].as_str()
    }

    /// The description of the place, else of what is there.
    pub fn description(self) -> String {
        let own = self.here["description"].as_str();
        own.or_else(|| self.resolved().here["description"].as_str()).unwrap_or_default().to_owned()
    }

    /// Its fields in the order of the document, each with whether it is always there.
    pub fn fields(self) -> Vec<(&'a str, Node<'a>, bool)> {
        let node = self.resolved();
        let required: Vec<_> =
            node.here["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let fields = node.here["properties"].as_object();
        let mut all: Vec<_> = fields
            .into_iter()
            .flatten()
            .map(|(name, field)| (name.as_str(), node.at(field), required.contains(&name.as_str())))
            .collect();
        // As they are written: those that are always there come in the order of the message.
        all.sort_by_key(|(name, ..)| required.iter().position(|one| one == name).unwrap_or(usize::MAX));
        all
    }

    /// Of a list, what is in it.
    pub fn items(self) -> Option<Node<'a>> {
        let node = self.resolved();
        node.here.get("items").map(|items| node.at(items))
    }

    /// Of an object with free names, what each of them stands for.
    pub fn others(self) -> Option<Node<'a>> {
        let node = self.resolved();
        node.here.get("additionalProperties").filter(|others| others.is_object()).map(|others| node.at(others))
    }

    /// Of an object whose names are words, those.
    pub fn keys(self) -> Option<Node<'a>> {
        let node = self.resolved();
        node.here.get("propertyNames").map(|keys| node.at(keys))
    }

    /// The forms of which it is one.
    pub fn forms(self) -> Vec<Node<'a>> {
        let node = self.resolved();
        node.here["oneOf"].as_array().into_iter().flatten().map(|form| node.at(form)).collect()
    }

    /// The words of which it is one, with their meanings, which may be empty.
    pub fn words(self) -> Vec<(String, String)> {
        let node = self.resolved();
        let word = |value: &Value| value.as_str().map(str::to_owned);
        let mut words = Vec::new();
        for form in std::iter::once(node.here).chain(node.here["oneOf"].as_array().into_iter().flatten()) {
            let meaning = form["description"].as_str().unwrap_or_default();
            let is_whole = std::ptr::eq(form, node.here);
            words.extend(word(&form["const"]).map(|one| (one, meaning.to_owned())));
            let meaning = if is_whole { "" } else { meaning };
            let several = form["enum"].as_array().into_iter().flatten().filter_map(word);
            words.extend(several.map(|one| (one, meaning.to_owned())));
        }
        words
    }

    /// What kind of value it is, with its limits.
    pub fn kind(self) -> String {
        let or_null = if self.may_be_null() { " or null" } else { "" };
        let node = self.resolved();
        let words = node.words();
        if !words.is_empty() {
            return codes(words.iter().map(|(word, _)| word)) + or_null;
        }
        let kinds = match &node.here["type"] {
            Value::String(kind) => vec![kind.as_str()],
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect(),
            _ => node.here["anyOf"].as_array().into_iter().flatten().filter_map(|one| one["type"].as_str()).collect(),
        };
        let name = |kind: &str| match kind {
            "string" => "text".to_owned(),
            "array" => match node.items() {
                Some(item) => format!("list of {}", plural(&item.kind())),
                None => "list".to_owned(),
            },
            other => other.to_owned(),
        };
        let kinds = if kinds.is_empty() {
            "any".to_owned()
        } else {
            kinds.into_iter().map(name).collect::<Vec<_>>().join(" or ")
        };
        format!("{kinds}{}{or_null}", node.limits())
    }

    fn may_be_null(self) -> bool {
        let nullable = |value: &Value| value["type"].as_array().is_some_and(|kinds| kinds.contains(&"null".into()));
        let any = self.here["anyOf"].as_array().is_some_and(|forms| forms.iter().any(|form| form["type"] == "null"));
        any || nullable(self.here)
    }

    fn limits(self) -> String {
        let number = |key: &str| self.here.get(key).map(short);
        match (number("minimum"), number("exclusiveMinimum"), number("maximum")) {
            (Some(least), _, Some(most)) => format!(", {least}..{most}"),
            (_, Some(least), Some(most)) => format!(", over {least}, at most {most}"),
            // Whole numbers that are not negative need no word.
            (Some(least), _, None) if least != "0" => format!(", from {least}"),
            (_, Some(least), None) => format!(", over {least}"),
            (None, None, Some(most)) => format!(", at most {most}"),
            _ => String::new(),
        }
    }
}

/// A number without an empty fraction.
fn short(number: &Value) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

fn plural(kind: &str) -> String {
    match kind {
        "object" | "text" | "integer" | "number" | "list" => format!("{kind}s"),
        other => other.to_owned(),
    }
}

/// The default of a key, short; sections and lists of sections have none worth telling.
pub fn default(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => codes([text]),
        Value::Object(_) => String::new(),
        Value::Number(_) => codes([short(value)]),
        other => codes([other.to_string()]),
    }
}
