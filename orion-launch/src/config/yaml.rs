// SPDX-License-Identifier: MPL-2.0
//! YAML as a tree that knows where each value stands.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use serde_saphyr::{Location, Spanned};

use super::words;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// Neither a section nor a list.
    Leaf(Value),
    List(Vec<Item>),
    /// A section, in the order of the file.
    Section(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Location,
    pub(super) node: Node,
}

/// One of a list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub(super) place: Location,
    pub(super) node: Node,
}

/// Why a text is no YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct YamlError {
    /// Line and column from 1 on, where known.
    pub(super) place: Option<(u64, u64)>,
    /// The key on that line, if any, and what is wrong.
    pub(super) text: String,
}

/// Reads YAML. Only `true` and `false` are booleans: `size: n` is a text.
///
/// # Errors
/// [`YamlError`]; it repeats no value.
pub(super) fn parse(text: &str) -> Result<Node, YamlError> {
    // Far more than any configuration has; what exceeds it is a mistake or an attack.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::PassThrough,
        budget: serde_saphyr::budget! { max_nodes: 20_000, max_depth: 32, max_anchors: 100, max_aliases: 100 },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error.location().map(|location| (location.line(), location.column()));
        let key = place.and_then(|(line, _)| key_at(text, line)).map_or_else(String::new, |key| format!("{key}: "));
        YamlError { place, text: key + &words::yaml(&error.without_snippet().to_string()) }
    })
}

/// The key that stands on this line.
fn key_at(text: &str, line: u64) -> Option<&str> {
    let line = text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)?;
    let key = line.trim_start_matches([' ', '\t', '{', '-']).split_once(':')?.0.trim_end();
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    plain.then_some(key)
}

/// A tree without places, in which objects are sections.
impl From<&Value> for Node {
    fn from(value: &Value) -> Self {
        match value {
            Value::Object(map) => {
                let entry = |(key, value): (&String, &Value)| Entry {
                    key: key.clone(),
                    place: Location::UNKNOWN,
                    node: value.into(),
                };
                Self::Section(map.iter().map(entry).collect())
            }
            Value::Array(list) => {
                Self::List(list.iter().map(|value| Item { place: Location::UNKNOWN, node: value.into() }).collect())
            }
            other => Self::Leaf(other.clone()),
        }
    }
}

impl From<Node> for Value {
    fn from(node: Node) -> Self {
        match node {
            Node::Leaf(value) => value,
            Node::List(items) => Value::Array(items.into_iter().map(|item| item.node.into()).collect()),
            Node::Section(entries) => {
                Value::Object(entries.into_iter().map(|e| (e.key, e.node.into())).collect::<Map<_, _>>())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        // Infinity and NaN have no JSON form; as text they are refused where a number is wanted.
        let number = serde_json::Number::from_f64(value).map(Value::Number);
        Ok(Node::Leaf(number.unwrap_or_else(|| Value::String(value.to_string()))))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut values = Vec::new();
        while let Some(item) = list.next_element::<Spanned<Node>>()? {
            values.push(Item { place: item.referenced, node: item.value });
        }
        Ok(Node::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, node)) = map.next_entry::<Spanned<String>, Node>()? {
            entries.push(Entry { place: key.referenced, key: key.value, node });
        }
        Ok(Node::Section(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_know_their_line() {
        let node = parse("a: 1\nb:\n  # remark\n  c: [n, {d: 2.5}]\n  e:\n").unwrap();
        let Node::Section(top) = node else { panic!("{node:?}") };
        assert_eq!((top[0].key.as_str(), top[0].place.line(), &top[0].node), ("a", 1, &Node::Leaf(1.into())));
        let Node::Section(inner) = &top[1].node else { panic!("{top:?}") };
        assert_eq!((inner[0].key.as_str(), inner[0].place.line(), inner[0].place.column()), ("c", 4, 3));
        let Node::List(items) = &inner[0].node else { panic!("{inner:?}") };
        assert_eq!((items[1].place.line(), items[1].place.column()), (4, 10));
        assert_eq!(Value::from(inner[0].node.clone()), serde_json::json!(["n", {"d": 2.5}]));
        assert_eq!((inner[1].place.line(), &inner[1].node), (5, &Node::Leaf(Value::Null)));
    }

    #[test]
    fn what_is_no_yaml_is_told_in_plain_words() {
        let deep = format!("a: {}{}", "[".repeat(100), "]".repeat(100));
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                    d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n";
        for (text, place, expected) in [
            ("a: 1\nb: 2\na: 3", (3, 1), "a: the key a stands here a second time"),
            ("a:\n\tb: 1", (2, 2), "b: a tab, expected spaces"),
            ("a: 1\n---\nb: 2", (3, 1), "a second document"),
            (&deep, (1, 35), "too many levels"),
            (bomb, (5, 8), "too many values"),
            ("a: b: c", (1, 5), "a second `:`"),
            ("a: 'x", (1, 4), "a: the quote that begins here has no end"),
            ("[a]: 1", (1, 1), "expected a key that is a text"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.text.contains(expected) && error.place == Some(place), "{text:.20}: {error:?}");
        }
    }
}
