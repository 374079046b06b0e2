// SPDX-License-Identifier: MPL-2.0
//! Takes keys from a file, the environment or a message, each checked on its own, and remembers where it stands.

use serde_json::{Map, Value};
use serde_saphyr::Location;

use super::{
    Config,
    keys::{self, Known, merge, nearest, nested, remove},
    load::Loader,
    problem::{ConfigError, Place},
    words,
    yaml::{self, Entry, Item, Node},
};
use crate::page::Token;

/// Where a tree of keys comes from.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    File(&'a str),
    Variable(&'a str),
    /// A message; the parameter that holds the keys.
    Patch(&'static str),
}

impl Origin<'_> {
    fn place(self, at: Location) -> Place {
        match self {
            Self::File(name) => Place::File { name: name.to_owned(), line: at.line(), column: at.column() },
            Self::Variable(name) => Place::Variable(name.to_owned()),
            Self::Patch(parameter) => Place::Patch(parameter),
        }
    }
}

impl Loader<'_> {
    /// Takes the keys of a file.
    ///
    /// # Errors
    /// The text is no YAML, or holds no keys.
    pub(super) fn file(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        if text.trim_matches(['\u{feff}', ' ', '\n', '\r']).is_empty() {
            return Ok(());
        }
        match yaml::parse(text) {
            Ok(Node::Section(entries)) => self.section(Origin::File(name), &[], entries),
            Ok(Node::Leaf(Value::Null)) => {}
            Ok(_) => return Err(format!("{name}:1:1: expected keys such as `instance_id: orion`").into()),
            Err(error) => {
                let at = error.place.map_or(String::new(), |(line, column)| format!("{line}:{column}: "));
                return Err(format!("{name}:{at}{}", error.text).into());
            }
        }
        Ok(())
    }

    /// Takes the keys of a section.
    pub(super) fn section(&mut self, origin: Origin, path: &[&str], entries: Vec<Entry>) {
        for entry in entries {
            let place = origin.place(entry.place);
            let section = path;
            let mut path = path.to_vec();
            path.push(&entry.key);
            let key = self.full(&path.join("."));
            let Some(known) = self.known.get(&path) else {
                let hint = self.known.hint(section, &entry.key);
                self.problems.push(format!("{place}{key}: unknown key, {hint}"));
                continue;
            };
            self.places.entry(key.clone()).or_insert_with(|| place.clone());
            match (known.is_object(), entry.node) {
                (_, Node::Leaf(Value::Null)) if matches!(origin, Origin::Patch(_)) => remove(&mut self.values, &path),
                // A section without content, or a key without value, leaves the defaults; a further worker is there all the same.
                (true, Node::Leaf(Value::Null)) => merge(&mut self.values, nested(&path, Value::Object(Map::new()))),
                (false, Node::Leaf(Value::Null)) => {}
                (true, Node::Section(inner)) => {
                    merge(&mut self.values, nested(&path, Value::Object(Map::new())));
                    self.section(origin, &path, inner);
                }
                // The text is not repeated: it may be an address with a password.
                (true, _) => self.problems.push(format!("{place}{key}: expected a section with keys of its own")),
                (false, node) => self.value(origin, &path, node, place),
            }
        }
    }

    /// Takes a variable, if it sets a key.
    pub(super) fn variable(&mut self, name: &str, text: &str) {
        // Who needs these reads them itself.
        if gstorion::orionmqttsink::ENVIRONMENT.contains(&name) || name == Token::VARIABLE {
            return;
        }
        let Some(rest) = name.strip_prefix(keys::VARIABLE) else {
            return;
        };
        let lower = rest.to_lowercase();
        let path: Vec<&str> = lower.split("__").collect();
        let place = Place::Variable(name.to_owned());
        match self.known.get(&path) {
            Some(Value::Object(_)) => self.problems.push(format!("{place}a section cannot be set as a whole")),
            // Text is taken as it is, so that `00123` or `on` stay what they are.
            Some(Value::String(_)) => self.set(&path, text.into(), place),
            Some(_) => match yaml::parse(text) {
                Ok(node) => self.value(Origin::Variable(name), &path, node, place),
                Err(error) => self.problems.push(format!("{place}{}: {}", path.join("."), error.text)),
            },
            None => {
                let variables = self.known.variables();
                let names: Vec<&str> = variables.iter().map(String::as_str).collect();
                // Others use the prefix too; only what looks like a key is taken for a mistake.
                match nearest(name, &names) {
                    Some(near) => self.problems.push(format!("{place}no such key, did you mean {near}?")),
                    None if path.first() == Some(&keys::CAMERAS) => self.problems.push(format!(
                        "{place}no variable reaches into the list of cameras; ORION_CAMERAS sets it as a whole, as YAML"
                    )),
                    None if path.len() > 1 => self.problems.push(format!("{place}no such key")),
                    None => {}
                }
            }
        }
    }

    fn value(&mut self, origin: Origin, path: &[&str], node: Node, place: Place) {
        match (path, node) {
            ([keys::CAMERAS], Node::List(items)) => self.cameras(origin, items, place),
            ([keys::CAMERAS], _) => {
                let expected = "expected a list of cameras, such as [{instance_id: ward-1}]";
                self.problems.push(format!("{place}{}: {expected}", keys::CAMERAS));
            }
            (path, node) => self.set(path, node.into(), place),
        }
    }

    /// Takes a list of cameras, instead of one that there may be.
    fn cameras(&mut self, origin: Origin, items: Vec<Item>, place: Place) {
        self.places.retain(|key, _| !key.starts_with("cameras["));
        self.places.insert(keys::CAMERAS.to_owned(), place);
        let known = self.known.of_a_camera();
        let list = items.into_iter().enumerate().map(|(at, item)| self.camera(&known, origin, at, item)).collect();
        self.values.insert(keys::CAMERAS.to_owned(), Value::Array(list));
    }

    /// Takes a camera of the list; `known` are the keys that it may have.
    pub(super) fn camera(&mut self, known: &Known, origin: Origin, at: usize, item: Item) -> Value {
        let (key, place) = (format!("cameras[{at}]"), origin.place(item.place));
        let mut inner = Loader::new(known, Map::new(), self.elsewhere.clone());
        inner.prefix = format!("{key}.");
        match item.node {
            Node::Section(entries) => {
                let named = |entry: &Entry| entry.key == "instance_id" && entry.node != Node::Leaf(Value::Null);
                if !entries.iter().any(named) {
                    inner.problems.push(format!("{place}{key}.instance_id: is missing, expected a name of its own"));
                }
                inner.section(origin, &[], entries);
            }
            _ => inner.problems.push(format!("{place}{key}: expected keys such as `instance_id: ward-1`")),
        }
        // Stands in for one that was refused, so that the other rules can be looked at, too.
        inner.values.entry("instance_id").or_insert_with(|| format!("camera-without-name-{at}").into());
        self.places.insert(key, place);
        self.places.append(&mut inner.places);
        self.problems.append(&mut inner.problems);
        Value::Object(inner.values)
    }

    /// Takes a value if it fits its key on its own.
    fn set(&mut self, path: &[&str], value: Value, place: Place) {
        let key = path.join(".");
        let fits = |value: &Value| serde_path_to_error::deserialize::<_, Config>(&nested(path, value.clone()));
        match fits(&value) {
            Ok(_) => {
                for (at, _) in key.match_indices('.') {
                    self.places.entry(self.full(&key[..at])).or_insert_with(|| place.clone());
                }
                self.places.insert(self.full(&key), place);
                merge(&mut self.values, nested(path, value));
            }
            Err(error) => {
                let (at, mut text) = (error.path().to_string(), error.inner().to_string());
                // serde names the choices only to a text.
                if text.ends_with("expected string or map")
                    && let Err(choices) = fits(&value.to_string().into())
                {
                    text = choices.inner().to_string();
                }
                // The path is longer than the key where an entry of a list is wrong.
                let key = if at.len() > key.len() { at } else { key };
                self.problems.push(format!("{place}{}: {}", self.full(&key), words::plain(&text)));
            }
        }
    }

    /// A key with what stands before it.
    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}
