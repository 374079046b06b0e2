// SPDX-License-Identifier: MPL-2.0
//! Lines: a template of a topic, and what is put in for instance, room, type and label.

use orion_core::topic::{TopicError, TopicTemplate, TopicValues};

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(5, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let template = line();
    let values = TopicValues { instance_id: line(), room_id: line(), kind: line(), label: line() };
    let all = TopicTemplate::parse(template);
    let (instance, snapshot) =
        (TopicTemplate::parse_for_instance(template), TopicTemplate::parse_for_snapshot(template));
    assert!(instance.is_err() || snapshot == instance, "what may hold less may hold more");
    assert!(snapshot.is_err() || all == snapshot);
    let topic = match all {
        Ok(topic) => topic,
        Err(error) => return assert!(error.to_string().starts_with("topic"), "{error}"),
    };
    assert_eq!(topic.as_str(), template);
    assert_eq!(TopicTemplate::parse(topic.as_str()).as_ref(), Ok(&topic));
    match topic.render(&values) {
        Ok(made) => {
            assert!(!made.is_empty() && !made.contains(['#', '+', '\0']), "{made:?}");
            assert!(made.len() <= 65_535);
            assert_eq!(made.matches('/').count(), template.matches('/').count(), "{made:?}");
        }
        Err(error) => assert!(matches!(error, TopicError::TooLong(length) if length > 65_535)),
    }
}
