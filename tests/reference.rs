// SPDX-License-Identifier: MPL-2.0
//! The pages in `docs/reference`: they are made of what the code says, and a stale one fails here. `make docs` writes them anew.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "reference/configuration.rs"]
mod configuration;
#[path = "reference/elements.rs"]
mod elements;
#[path = "reference/markdown.rs"]
mod markdown;
#[path = "reference/messages.rs"]
mod messages;
#[path = "reference/schema.rs"]
mod schema;

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn pages() -> Vec<(&'static str, String)> {
    vec![
        ("elements.md", elements::page()),
        ("mqtt.md", messages::page()),
        ("configuration.md", configuration::page(&root())),
    ]
}

#[test]
fn the_pages_say_what_the_code_says() {
    let folder = root().join("docs/reference");
    let pages = pages();
    if env::var_os("ORION_WRITE_DOCS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        pages.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
    }
    for (name, text) in &pages {
        let found = fs::read_to_string(folder.join(name)).unwrap_or_default();
        let differs = text.lines().zip(found.lines()).find(|(wanted, found)| wanted != found);
        assert!(
            found == *text,
            "{name} is not what the code says; `make docs` rewrites it. First difference: {differs:?}"
        );
    }
    let there = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let meant: BTreeSet<_> = pages.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(there.collect::<BTreeSet<_>>(), meant, "docs/reference holds generated pages only");
}
