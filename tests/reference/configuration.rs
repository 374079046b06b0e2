// SPDX-License-Identifier: MPL-2.0
//! The keys of the daemon's configuration, from their schema.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    markdown::{code, head, table},
    schema::{Node, default},
};

const ABOUT: &str = "\
Every key of `orion-launch`. [pipelines/orion.yaml](../../pipelines/orion.yaml) is a file with all of them, with longer comments, to be copied;
`orion-launch schema` prints the JSON Schema that editors read, `orion-launch check --config FILE` names mistakes by file and line, and
`orion-launch print-config` shows what is in force. Each key can be set by an environment variable, which counts before the file: `ORION_`, and the path
in capitals with `__` for each dot, such as `ORION_CAMERA__RTSP_URL`. How to run the daemon: [operator.md](../operator.md).";

/// The page.
pub fn page(root: &Path) -> String {
    let text = fs::read_to_string(root.join("pipelines/orion.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let order = order(&fs::read_to_string(root.join("pipelines/orion.yaml")).unwrap());
    let mut sections = vec![("Top level".to_owned(), String::new(), Vec::new())];
    section(Node::root(&schema), "", 0, &order, &mut sections);
    let mut text = head("Configuration", ABOUT);
    for (title, about, rows) in sections {
        let about = if about.is_empty() { String::new() } else { format!("{about}\n\n") };
        text += &format!("\n## {title}\n\n{about}{}", table(&["key", "values", "default", "meaning"], &rows));
    }
    text
}

/// The paths of all keys, in the order of the documented file.
fn order(text: &str) -> Vec<String> {
    let (mut path, mut order) = (Vec::<&str>::new(), Vec::new());
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')) {
        let key = line.trim_start();
        path.truncate((line.len() - key.len()) / 2);
        path.push(key.split(':').next().unwrap());
        order.push(path.join("."));
    }
    order
}

type Section = (String, String, Vec<Vec<String>>);

/// Keys of one section; sections within it come behind it.
fn section(node: Node<'_>, at: &str, place: usize, order: &[String], sections: &mut Vec<Section>) {
    let path = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    let mut fields: Vec<_> = node.fields().into_iter().map(|(name, key, _)| (path(name), key)).collect();
    fields.sort_by_key(|(path, _)| order.iter().position(|known| known == path).unwrap_or(usize::MAX));
    for (path, key) in fields {
        if !key.fields().is_empty() {
            sections.push((code(&path), key.description(), Vec::new()));
            let place = sections.len() - 1;
            section(key, &path, place, order, sections);
            if let Some(others) = key.others() {
                sections[place].2.push(vec![
                    code(&format!("{path}.NAME")),
                    "object".to_owned(),
                    String::new(),
                    format!("{} Keys as in `{path}.person_detector`.", others.description()),
                ]);
            }
            if sections[place].2.is_empty() {
                sections.remove(place);
            }
            continue;
        }
        let values = key.kind();
        let default = default(&key.here["default"]);
        let words = key.words();
        let told = words.iter().filter(|(_, meaning)| !meaning.is_empty());
        let told: Vec<_> = told.map(|(word, meaning)| format!("`{word}`: {meaning}")).collect();
        let more = if told.is_empty() { String::new() } else { format!(" {}", told.join("; ")) };
        sections[place].2.push(vec![code(&path), values, default, key.description() + &more]);
    }
}
