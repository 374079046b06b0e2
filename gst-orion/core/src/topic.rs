// SPDX-License-Identifier: MPL-2.0
//! MQTT topic templates such as `care/inferences/{instance_id}/{type}`.

use std::borrow::Cow;

use thiserror::Error;

/// Where results go by default.
pub const DEFAULT_TEMPLATE: &str = "care/inferences/{instance_id}/{type}";

/// `{type}` of a payload that is no result.
pub const RAW_TYPE: &str = "buffer";

/// The longest topic MQTT can carry, bytes of UTF-8 (MQTT 3.1.1, 1.5.3).
const MAX_TOPIC: usize = 65_535;

/// Why a topic is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TopicError {
    /// No text at all.
    #[error("topic is empty")]
    Empty,
    /// A character that MQTT forbids in a topic to publish to.
    #[error("topic {topic:?} must not contain {character:?}")]
    Forbidden {
        /// The topic or template.
        topic: String,
        /// `#`, `+` or NUL.
        character: char,
    },
    /// A place holder that does not exist, or one that is not closed.
    #[error("topic {topic:?}: unknown place holder {name:?}, known are {known}")]
    Unknown {
        /// The template.
        topic: String,
        /// What stands between the braces.
        name: String,
        /// The names that could stand there.
        known: String,
    },
    /// Over 65,535 bytes.
    #[error("topic of {0} bytes, at most {MAX_TOPIC} are allowed")]
    TooLong(usize),
}

/// What a place holder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    InstanceId,
    RoomId,
    Type,
    Label,
}

impl Field {
    const ALL: [(&'static str, Self); 4] =
        [("instance_id", Self::InstanceId), ("room_id", Self::RoomId), ("type", Self::Type), ("label", Self::Label)];
    /// A picture has no type of its own.
    const SNAPSHOT: [(&'static str, Self); 3] =
        [("instance_id", Self::InstanceId), ("room_id", Self::RoomId), ("label", Self::Label)];
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

/// A checked template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicTemplate {
    text: String,
    parts: Vec<Part>,
}

impl Default for TopicTemplate {
    /// [`DEFAULT_TEMPLATE`].
    fn default() -> Self {
        let text = || DEFAULT_TEMPLATE.to_owned();
        Self::parse(DEFAULT_TEMPLATE).unwrap_or_else(|_| Self { text: text(), parts: vec![Part::Text(text())] })
    }
}

/// The values of one message.
#[derive(Debug, Clone, Copy, Default)]
pub struct TopicValues<'a> {
    /// `{instance_id}`
    pub instance_id: &'a str,
    /// `{room_id}`
    pub room_id: &'a str,
    /// `{type}`
    pub kind: &'a str,
    /// `{label}`: of the most confident detection.
    pub label: &'a str,
}

impl TopicTemplate {
    /// Checks a template.
    ///
    /// # Errors
    /// [`TopicError`] when it could never make a valid topic.
    pub fn parse(template: &str) -> Result<Self, TopicError> {
        Self::parse_with(template, &Field::ALL)
    }

    /// Checks a template that may contain `{instance_id}` only, since it is for what belongs to no message.
    ///
    /// # Errors
    /// [`TopicError`] when it could never make a valid topic.
    pub fn parse_for_instance(template: &str) -> Result<Self, TopicError> {
        Self::parse_with(template, &Field::ALL[..1])
    }

    /// Checks a template for pictures, which may contain `{instance_id}`, `{room_id}` and `{label}`.
    ///
    /// # Errors
    /// [`TopicError`] when it could never make a valid topic.
    pub fn parse_for_snapshot(template: &str) -> Result<Self, TopicError> {
        Self::parse_with(template, &Field::SNAPSHOT)
    }

    fn parse_with(template: &str, fields: &[(&str, Field)]) -> Result<Self, TopicError> {
        if template.is_empty() {
            return Err(TopicError::Empty);
        }
        check(template)?;
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            }
            let inner = &rest[open + 1..];
            let (name, after) = inner.split_once('}').unwrap_or((inner, ""));
            let closed = name.len() < inner.len();
            let field = fields.iter().find(|(known, _)| closed && *known == name);
            let (_, field) = field.ok_or_else(|| TopicError::Unknown {
                topic: template.to_owned(),
                name: name.to_owned(),
                known: fields.iter().map(|(known, _)| format!("{{{known}}}")).collect::<Vec<_>>().join(", "),
            })?;
            parts.push(Part::Field(*field));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { text: template.to_owned(), parts })
    }

    /// The template as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The topic of one message. In a value, `/`, `+`, `#` and NUL become `_`, so that it stays one level; an empty value too.
    ///
    /// # Errors
    /// [`TopicError::TooLong`].
    pub fn render(&self, values: &TopicValues<'_>) -> Result<String, TopicError> {
        let mut topic = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => topic.push_str(text),
                Part::Field(field) => topic.push_str(&level(match field {
                    Field::InstanceId => values.instance_id,
                    Field::RoomId => values.room_id,
                    Field::Type => values.kind,
                    Field::Label => values.label,
                })),
            }
        }
        if topic.len() > MAX_TOPIC { Err(TopicError::TooLong(topic.len())) } else { Ok(topic) }
    }
}

fn check(topic: &str) -> Result<(), TopicError> {
    match topic.chars().find(|c| matches!(c, '#' | '+' | '\0')) {
        Some(character) => Err(TopicError::Forbidden { topic: topic.to_owned(), character }),
        None => Ok(()),
    }
}

fn level(value: &str) -> Cow<'_, str> {
    let bad = |c: char| matches!(c, '/' | '#' | '+' | '\0');
    if value.is_empty() {
        "_".into()
    } else if value.contains(bad) {
        value.replace(bad, "_").into()
    } else {
        value.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALUES: TopicValues<'_> =
        TopicValues { instance_id: "ward-3", room_id: "1/2+#", kind: "person_detection", label: "person" };

    #[test]
    fn fills_in_what_the_message_says() {
        let topic = |template: &str| TopicTemplate::parse(template).unwrap().render(&VALUES).unwrap();
        assert_eq!(topic(DEFAULT_TEMPLATE), "care/inferences/ward-3/person_detection");
        assert_eq!(topic("{room_id}"), "1_2__");
        assert_eq!(topic("{label}/{instance_id}"), "person/ward-3");
        assert_eq!(topic("plain/topic"), "plain/topic");
        let empty = TopicTemplate::parse("a/{room_id}/b").unwrap().render(&TopicValues::default()).unwrap();
        assert_eq!(empty, "a/_/b");
    }

    #[test]
    fn refuses_what_could_never_be_published() {
        for (template, expected) in [
            ("", "topic is empty"),
            ("care/#", "must not contain '#'"),
            ("care/+/x", "must not contain '+'"),
            ("care\0", "must not contain '\\0'"),
            ("care/{room}", "unknown place holder \"room\", known are {instance_id}, {room_id}, {type}, {label}"),
            ("care/{type", "unknown place holder \"type\""),
        ] {
            let error = TopicTemplate::parse(template).unwrap_err().to_string();
            assert!(error.contains(expected), "{template:?}: {error}");
        }
        let known = TopicTemplate::parse_for_instance("care/{instance_id}/{type}").unwrap_err().to_string();
        assert!(known.ends_with("\"type\", known are {instance_id}"), "{known}");
        let own = TopicTemplate::parse_for_instance("care/status/{instance_id}").unwrap();
        assert_eq!(own.render(&VALUES).unwrap(), "care/status/ward-3");
        let picture = TopicTemplate::parse_for_snapshot("care/{type}").unwrap_err().to_string();
        assert!(picture.ends_with("\"type\", known are {instance_id}, {room_id}, {label}"), "{picture}");
        let picture = TopicTemplate::parse_for_snapshot("frigate/{instance_id}/{label}/snapshot").unwrap();
        assert_eq!(picture.render(&VALUES).unwrap(), "frigate/ward-3/person/snapshot");
        let long = TopicTemplate::parse(&"x".repeat(70_000)).unwrap();
        assert_eq!(long.render(&VALUES), Err(TopicError::TooLong(70_000)));
    }

    /// Anything, and often what MQTT gives a meaning to.
    fn any_value() -> impl Strategy<Value = String> {
        let letter = prop_oneof![proptest::char::any(), prop::sample::select(vec!['/', '#', '+', '\0', '{', '}', '$'])];
        proptest::collection::vec(letter, 0..8).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn no_value_adds_a_level_or_a_wildcard(
            levels in proptest::collection::vec("(a|\\{instance_id\\}|\\{room_id\\}|\\{type\\}|x\\{label\\}|\\{label\\}\\{type\\})", 1..6),
            instance_id in any_value(), room_id in any_value(), kind in any_value(), label in any_value(),
        ) {
            let values = TopicValues { instance_id: &instance_id, room_id: &room_id, kind: &kind, label: &label };
            let topic = TopicTemplate::parse(&levels.join("/")).unwrap().render(&values).unwrap();
            prop_assert!(!topic.contains(['#', '+', '\0']), "{topic:?}");
            prop_assert_eq!(topic.split('/').count(), levels.len(), "{:?}", topic);
            prop_assert!(topic.split('/').all(|level| !level.is_empty()), "{:?}", topic);
        }
    }
}
