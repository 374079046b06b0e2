// SPDX-License-Identifier: MPL-2.0
//! YAML as a tree that knows where each value stands.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use serde_saphyr::{Location, Spanned};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// Anything but a section; sections within lists included.
    Leaf(Value),
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

/// Reads YAML. Only `true` and `false` are booleans: `size: n` is a text.
pub(super) fn parse(text: &str) -> Result<Node, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true })
}

impl From<Node> for Value {
    fn from(node: Node) -> Self {
        match node {
            Node::Leaf(value) => value,
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
        while let Some(node) = list.next_element::<Node>()? {
            values.push(node.into());
        }
        Ok(Node::Leaf(Value::Array(values)))
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
        assert_eq!(inner[0].node, Node::Leaf(serde_json::json!(["n", {"d": 2.5}])));
        assert_eq!((inner[1].place.line(), &inner[1].node), (5, &Node::Leaf(Value::Null)));
    }
}
