// SPDX-License-Identifier: MPL-2.0
//! The contract with programs that read what Orion publishes: each message, its topic and what it looks like.
//!
//! The files in `schema/` are written from this (`make schema`), and tests hold every message that is really sent against it.

use schemars::{
    JsonSchema, Schema, SchemaGenerator,
    generate::SchemaSettings,
    transform::{RecursiveTransform, transform_subschemas},
};
use serde_json::{Map, Value, json};

use crate::{
    command::Request,
    gap::Gap,
    health::{Ack, Happened, Presence, State},
    profile::{dlstreamer, frigate},
    report::Report,
    status::Status,
    topic,
};

/// The AsyncAPI document among the files.
pub const ASYNCAPI_FILE: &str = "asyncapi.json";

/// What an instance id looks like, so that it is one level of a topic.
pub(crate) const INSTANCE_ID: &str = "^[A-Za-z0-9_-]+$";

/// What a worker may call its results.
pub(crate) const RESULT_TYPE: &str = "^[a-z0-9_]+$";

/// Every message with a topic of its own; pictures have none unless `snapshot-topic` says so.
pub const MESSAGES: &[Message] = &[
    Message::json::<Report>("inference", topic::DEFAULT_TEMPLATE, "Result of one frame"),
    Message::json::<Gap>("gap", "care/inferences/{instance_id}/gap", "Results that will never be published"),
    Message::json::<dlstreamer::Frame>(
        "dlstreamer",
        dlstreamer::DEFAULT_TOPIC,
        "Result of one frame, profile dlstreamer",
    ),
    Message::json::<frigate::Event>("frigate", frigate::DEFAULT_TOPIC, "What became of an object, profile frigate"),
    Message::bytes("buffer", "care/inferences/{instance_id}/buffer", "Payload of a buffer without a result, as it is"),
    Message::text::<Status>("status", "care/status/{instance_id}", "Whether the publisher is there").retained(),
    Message::json::<Request>("command", "care/control/{instance_id}", "What the daemon is asked for").received(),
    Message::json::<Ack>("ack", "care/health/{instance_id}", "Answer to a command"),
    Message::json::<Happened>("event", "care/health/{instance_id}", "Something that happened"),
    Message::json::<State>("state", "care/state/{instance_id}", "The configuration in force").retained(),
    Message::json::<Presence>("presence", "care/presence/{instance_id}", "Whether somebody is there").retained(),
];

/// What stands for a parameter of an address.
const PARAMETERS: &[(&str, &str)] = &[
    ("instance_id", "Name of the pipeline: letters, digits, `_` and `-`; commands to all are sent to `all`."),
    ("type", "Kind of result, for example `person_detection`; the same as `type` in the payload."),
];

/// Who publishes a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Orion.
    Send,
    /// Others, and Orion reads it.
    Receive,
}

/// One kind of message.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// Short name, of its own: that of the schema file and in the AsyncAPI document.
    pub name: &'static str,
    /// The topic with parameters in braces. Where several addresses fit a topic, the one with the fewest parameters counts.
    pub address: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    /// Who publishes it.
    pub direction: Direction,
    /// Quality of service, 0..2, unless configured otherwise.
    pub qos: u8,
    /// Whether the broker keeps the last one, unless configured otherwise.
    pub retain: bool,
    /// Media type of the payload.
    pub content_type: &'static str,
    schema: Option<fn(&mut SchemaGenerator) -> Schema>,
}

impl Message {
    const fn bytes(name: &'static str, address: &'static str, title: &'static str) -> Self {
        let content_type = "application/octet-stream";
        Self { name, address, title, direction: Direction::Send, qos: 1, retain: false, content_type, schema: None }
    }

    const fn json<T: JsonSchema>(name: &'static str, address: &'static str, title: &'static str) -> Self {
        let schema = Some(SchemaGenerator::root_schema_for::<T> as fn(&mut SchemaGenerator) -> Schema);
        Self { content_type: "application/json", schema, ..Self::bytes(name, address, title) }
    }

    const fn text<T: JsonSchema>(name: &'static str, address: &'static str, title: &'static str) -> Self {
        Self { content_type: "text/plain", ..Self::json::<T>(name, address, title) }
    }

    const fn received(self) -> Self {
        Self { direction: Direction::Receive, ..self }
    }

    const fn retained(self) -> Self {
        Self { retain: true, ..self }
    }

    /// The name of its schema's file; none when the payload may be anything.
    pub fn file(&self) -> Option<String> {
        self.schema.map(|_| format!("{}.schema.json", self.name))
    }

    /// JSON Schema of what is sent; none when the payload may be anything. Of a text, it is that of a JSON string.
    ///
    /// It lets fields pass that it does not name: later versions may add some, and readers must ignore them.
    pub fn schema(&self) -> Option<Value> {
        // What is written, not what would be read: a field with a default is there all the same.
        let no_default = RecursiveTransform(|schema: &mut Schema| drop(schema.remove("default")));
        let settings = SchemaSettings::draft2020_12().for_serialize().with_transform(no_default);
        let mut generator = settings.into_generator();
        let mut schema = self.schema?(&mut generator);
        // The number changes when a reader of this message must change.
        schema.insert("$id".to_owned(), format!("urn:orion:schema:{}:1", self.name).into());
        schema.insert("title".to_owned(), self.title.into());
        Some(schema.to_value())
    }

    /// The parameters of its address.
    fn parameters(&self) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
        let names = |level: &'static str| level.strip_prefix('{').and_then(|level| level.strip_suffix('}'));
        let used: Vec<_> = self.address.split('/').filter_map(names).collect();
        PARAMETERS.iter().filter(move |(name, _)| used.contains(name))
    }

    /// The message that the channel is named after: the first with this address.
    fn channel(&self) -> &'static str {
        MESSAGES.iter().find(|other| other.address == self.address).map_or("", |first| first.name)
    }
}

/// The schemas, by the names of their files.
pub fn schemas() -> Vec<(String, Value)> {
    MESSAGES.iter().filter_map(|message| message.file().zip(message.schema())).collect()
}

/// The AsyncAPI 3.0 document; it refers to the files of [`schemas`] beside it.
pub fn asyncapi() -> Value {
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for message in MESSAGES {
        let (name, channel) = (message.name, message.channel());
        let place = channels.entry(channel).or_insert_with(|| {
            let parameters =
                message.parameters().map(|(name, description)| (*name, json!({"description": description})));
            let parameters: Map<_, _> = parameters.map(|(name, parameter)| (name.to_owned(), parameter)).collect();
            json!({"address": message.address, "title": message.title, "parameters": parameters, "messages": {}})
        });
        place["messages"][name] = json!({"$ref": format!("#/components/messages/{name}")});
        let (action, verb) = match message.direction {
            Direction::Send => ("send", "publish"),
            Direction::Receive => ("receive", "take"),
        };
        let operation = json!({
            "action": action,
            "title": message.title,
            "channel": {"$ref": format!("#/channels/{channel}")},
            "messages": [{"$ref": format!("#/channels/{channel}/messages/{name}")}],
            "bindings": {"mqtt": {"qos": message.qos, "retain": message.retain, "bindingVersion": "0.2.0"}},
        });
        operations.insert(format!("{verb}_{name}"), operation);
        let mut component = json!({"name": name, "title": message.title, "contentType": message.content_type});
        if let Some(file) = message.file() {
            component["payload"] = json!({"$ref": format!("./{file}")});
        }
        messages.insert(name.to_owned(), component);
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Orion",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What Orion publishes over MQTT, and what it takes. `care` is the default prefix of the topics; it, quality of service \
                            and retain can be configured. Readers ignore fields that they do not know.",
            "license": {"name": "MPL-2.0", "url": "https://www.mozilla.org/MPL/2.0/"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    })
}

/// The schema with nothing allowed that it does not name, for tests: what is sent must be described.
///
/// Objects without any named field, such as `data.metadata`, stay open.
pub fn strict(schema: Value) -> Value {
    let Ok(mut schema) = Schema::try_from(schema) else { return Value::Bool(false) };
    close(&mut schema);
    schema.to_value()
}

fn close(schema: &mut Schema) {
    let mut named = schema.get("properties").is_some();
    transform_subschemas(&mut close, schema);
    // These describe the same object together with what stands beside them: only the whole of it can be closed.
    for keyword in ["oneOf", "anyOf", "allOf"] {
        let parts = schema.get_mut(keyword).and_then(Value::as_array_mut).into_iter().flatten();
        for part in parts.filter_map(Value::as_object_mut) {
            named |= part.remove("unevaluatedProperties").is_some();
        }
    }
    if named {
        schema.insert("unevaluatedProperties".to_owned(), false.into());
    }
}
