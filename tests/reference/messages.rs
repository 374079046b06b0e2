// SPDX-License-Identifier: MPL-2.0
//! Topics, messages, commands and events, from the types that are written and read.

use orion_core::contract::{Direction, MESSAGES, Message};
use serde_json::Value;

use crate::{
    markdown::{code, codes, head, table},
    schema::Node,
};

const ABOUT: &str = "\
`care` is the default of `mqtt.prefix` (in a pipeline of your own it is part of `topic` and `status-topic`). Readers ignore fields that they
do not know: later versions may add some. The same as JSON Schema and AsyncAPI: [gst-orion/core/schema](../../gst-orion/core/schema). How to use
it: [mqtt.md](../mqtt.md) for results, [control.md](../control.md) for commands.";

/// The page.
pub fn page() -> String {
    let mut text = head("Topics, messages and commands", ABOUT);
    text += "\n## Topics\n\n";
    let rows: Vec<_> = MESSAGES.iter().map(topic).collect();
    text += &table(&["topic", "who says it", "QoS", "retained", "payload", "what"], &rows);
    for message in MESSAGES {
        let Some(schema) = message.schema() else { continue };
        let root = Node::root(&schema);
        text += &format!("\n## {}\n\n{}\n\n", heading(message), sentence(&root.description()));
        text += &match message.name {
            "command" => commands(root),
            "event" => events(root),
            _ => fields(root),
        };
    }
    text
}

fn topic(message: &Message) -> Vec<String> {
    let who = match message.direction {
        Direction::Send => "Orion",
        Direction::Receive => "others",
    };
    let retained = if message.retain { "yes" } else { "" };
    let what = match message.file() {
        Some(_) => format!("[{}](#{})", message.title, anchor(&heading(message))),
        None => message.title.to_owned(),
    };
    vec![
        code(message.address),
        who.to_owned(),
        message.qos.to_string(),
        retained.to_owned(),
        code(message.content_type),
        what,
    ]
}

fn heading(message: &Message) -> String {
    message.name.to_owned()
}

fn anchor(heading: &str) -> String {
    heading.to_lowercase().replace(' ', "-")
}

fn sentence(text: &str) -> String {
    text.replace("\n\n", " ")
}

/// All fields of a message, those of objects within it behind a dot.
fn fields(root: Node<'_>) -> String {
    let words = root.words();
    if !words.is_empty() {
        let rows: Vec<_> = words.into_iter().map(|(word, meaning)| vec![code(&word), meaning]).collect();
        return table(&["text", "meaning"], &rows);
    }
    let (mut rows, mut lists) = (Vec::new(), Vec::new());
    collect(root, "", &mut rows, &mut lists);
    format!("{}{}", table(&["field", "type", "", "meaning"], &rows), meanings(&lists))
}

/// The words of fields whose meaning is more than their name.
type Words = Vec<(String, Vec<(String, String)>)>;

fn collect(node: Node<'_>, at: &str, rows: &mut Vec<Vec<String>>, lists: &mut Words) {
    let mut described: Vec<(&str, &str)> = Vec::new();
    for (name, field, always) in node.fields() {
        let path = if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
        let presence = if always { "" } else { "optional" };
        let before = described.iter().find(|(reference, _)| field.reference() == Some(*reference));
        if let (Some((_, as_in)), false) = (before, field.fields().is_empty()) {
            let kind = format!("object, as `{as_in}`");
            rows.push(vec![code(&path), kind, presence.to_owned(), field.description()]);
            continue;
        }
        described.extend(field.reference().map(|reference| (reference, name)));
        rows.push(vec![code(&path), kind(field), presence.to_owned(), field.description()]);
        let words = words(field);
        if words.len() > 1 && words.iter().any(|(_, meaning)| !meaning.is_empty()) {
            lists.push((path.clone(), words));
        }
        match field.items() {
            Some(item) => collect(item, &format!("{path}[]"), rows, lists),
            None => collect(field, &path, rows, lists),
        }
    }
}

/// Words that are keys of a map count as its values.
fn words(field: Node<'_>) -> Vec<(String, String)> {
    match field.keys() {
        Some(keys) => keys.words(),
        None => field.words(),
    }
}

fn kind(field: Node<'_>) -> String {
    match field.keys() {
        Some(_) => "object, a number for each word".to_owned(),
        None => field.kind(),
    }
}

fn meanings(lists: &Words) -> String {
    let mut text = String::new();
    for (path, words) in lists {
        let rows: Vec<_> = words.iter().map(|(word, meaning)| vec![code(word), meaning.clone()]).collect();
        text += &format!("\n{}\n", table(&[&code(path), "meaning"], &rows).trim_end());
    }
    text
}

fn commands(root: Node<'_>) -> String {
    let envelope: Vec<_> = root
        .fields()
        .into_iter()
        .map(|(name, field, _)| vec![code(name), field.kind(), "optional".to_owned(), field.description()])
        .collect();
    let mut text = "Beside `command` and `params`:\n\n".to_owned();
    text += &table(&["field", "type", "", "meaning"], &envelope);
    let (mut rows, mut lists) = (Vec::new(), Words::new());
    for form in root.forms() {
        let fields = form.fields();
        let (_, name, _) = fields.iter().find(|(name, ..)| *name == "command").unwrap();
        let name = name.here["const"].as_str().unwrap();
        let mut told = Vec::new();
        if let Some((_, params, _)) = fields.iter().find(|(name, ..)| *name == "params") {
            for (param, field, always) in params.fields() {
                let optional = if always { "" } else { ", optional" };
                let kind = field.kind().replace(" or null", "");
                told.push(format!("`{param}` ({kind}{optional}): {}", field.description()));
                let words = field.words();
                if words.iter().all(|(_, meaning)| !meaning.is_empty()) && !words.is_empty() {
                    lists.push((format!("{name}: {param}"), words));
                }
            }
        }
        rows.push(vec![code(name), told.join("<br>"), form.description()]);
    }
    text += &format!("\n{}", table(&["`command`", "`params`", "what it does, and from when on"], &rows));
    text + &meanings(&lists)
}

fn events(root: Node<'_>) -> String {
    let (mut rows, mut lists) = (Vec::new(), Words::new());
    for form in root.forms() {
        let mut name = Vec::new();
        let mut told = Vec::new();
        for (field, node, _) in form.fields() {
            match node.here["const"].as_str() {
                Some(event) => name.push(event.to_owned()),
                None => {
                    told.push(format!("`{field}` ({}): {}", node.kind(), node.description()));
                    lists.extend(Some((field.to_owned(), node.words())).filter(|(_, words)| !words.is_empty()));
                    let inner: Vec<_> = node.fields().into_iter().map(|(name, ..)| name).collect();
                    if !inner.is_empty() {
                        told.push(format!("with {}", codes(inner)));
                    }
                }
            }
        }
        rows.push(vec![codes(name), told.join("<br>"), form.description()]);
    }
    format!("{}{}", table(&["`event`", "fields beside `timestamp`", "what has happened"], &rows), meanings(&lists))
}

#[test]
fn each_field_is_described() {
    for message in MESSAGES {
        let schema: Value = message.schema().unwrap_or(Value::Null);
        let (mut rows, mut lists) = (Vec::new(), Vec::new());
        collect(Node::root(&schema), "", &mut rows, &mut lists);
        for row in rows {
            let may_be_any = ["`data`", "`config`"].contains(&row[0].as_str());
            assert!(!row[3].is_empty() && (may_be_any || row[1] != "any"), "{}: {row:?}", message.name);
        }
    }
}
