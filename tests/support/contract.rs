// SPDX-License-Identifier: MPL-2.0
//! Holds messages against the contract, with nothing allowed that it does not describe.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::LazyLock,
};

use jsonschema::Validator;
use orion_core::{
    contract,
    topic::{TopicTemplate, TopicValues},
};
use serde_json::Value;

/// A channel of the AsyncAPI document.
struct Channel {
    address: Vec<String>,
    /// What may be said there: content type and, unless it may be anything, the schema.
    messages: Vec<(String, Option<Validator>)>,
}

static CHANNELS: LazyLock<Vec<Channel>> = LazyLock::new(|| {
    let (document, schemas) = (contract::asyncapi(), HashMap::<_, _>::from_iter(contract::schemas()));
    let message = |name: &String| {
        let message = &document["components"]["messages"][name];
        let schema = message["payload"]["$ref"].as_str().map(|path| {
            let schema = contract::strict(schemas[path.trim_start_matches("./")].clone());
            jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
        });
        (message["contentType"].as_str().unwrap().to_owned(), schema)
    };
    // Those that Orion speaks on: what others say may be wrong.
    let operations = document["operations"].as_object().unwrap().values().filter(|one| one["action"] == "send");
    let names = operations.map(|one| one["channel"]["$ref"].as_str().unwrap().rsplit('/').next().unwrap());
    let names = BTreeSet::from_iter(names);
    let channels = names.into_iter().map(|name| &document["channels"][name]);
    let channels = channels.map(|channel| Channel {
        address: channel["address"].as_str().unwrap().split('/').map(str::to_owned).collect(),
        messages: channel["messages"].as_object().unwrap().keys().map(message).collect(),
    });
    channels.collect()
});

fn is_parameter(level: &str) -> bool {
    level.starts_with('{')
}

/// The channel of a topic; where several fit, the one with the fewest parameters.
fn channel(topic: &str) -> Option<&'static Channel> {
    let levels: Vec<_> = topic.split('/').collect();
    let fits = |channel: &&Channel| {
        let mut pairs = channel.address.iter().zip(&levels);
        channel.address.len() == levels.len() && pairs.all(|(part, level)| is_parameter(part) || part == level)
    };
    CHANNELS.iter().filter(fits).min_by_key(|one| one.address.iter().filter(|level| is_parameter(level)).count())
}

/// The channel that a message would have gone to by default, if it says itself what it is and whose.
fn channel_of(payload: &[u8]) -> Option<&'static Channel> {
    let message: BTreeMap<String, Value> = serde_json::from_slice(payload).ok()?;
    let values = TopicValues {
        kind: message.get("type")?.as_str()?,
        instance_id: message.get("instance_id")?.as_str()?,
        room_id: "",
        label: "",
    };
    channel(&TopicTemplate::parse(orion_core::topic::DEFAULT_TEMPLATE).unwrap().render(&values).unwrap())
}

/// What is wrong with a message; a message that is not one of Orion's is never wrong.
pub fn check(topic: &str, payload: &[u8]) -> Result<(), String> {
    let Some(channel) = channel(topic).or_else(|| channel_of(payload)) else { return Ok(()) };
    let mut wrong = Vec::new();
    for (content_type, schema) in &channel.messages {
        let Some(schema) = schema else { return Ok(()) };
        let value = match content_type.as_str() {
            "application/json" => serde_json::from_slice(payload).map_err(|error| format!("not JSON: {error}")),
            _ => String::from_utf8(payload.to_vec()).map(Value::from).map_err(|error| error.to_string()),
        };
        let before = wrong.len();
        match value {
            Ok(value) => wrong.extend(schema.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path()))),
            Err(error) => wrong.push(error),
        }
        if wrong.len() == before {
            return Ok(());
        }
    }
    let payload = String::from_utf8_lossy(payload);
    Err(format!("{topic} is not as the contract says:\n{}\n{payload}", wrong.join("\n")))
}

/// Panics with topic, payload and all that is wrong with a message.
#[track_caller]
pub fn validate(topic: &str, payload: &[u8]) {
    if let Err(error) = check(topic, payload) {
        panic!("{error}");
    }
}
