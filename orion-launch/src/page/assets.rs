// SPDX-License-Identifier: MPL-2.0
//! The files of the page, which are part of the program.

/// A file: name, media type, content.
type File = (&'static str, &'static str, &'static str);

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
/// The page itself.
pub(super) const INDEX: File = ("index.html", "text/html; charset=utf-8", include_str!("web/index.html"));

const FILES: [File; 10] = [
    ("style.css", STYLE, include_str!("web/style.css")),
    ("card.css", STYLE, include_str!("web/card.css")),
    ("icon.svg", "image/svg+xml", include_str!("web/icon.svg")),
    ("main.js", SCRIPT, include_str!("web/main.js")),
    ("live.js", SCRIPT, include_str!("web/live.js")),
    ("camera.js", SCRIPT, include_str!("web/camera.js")),
    ("stage.js", SCRIPT, include_str!("web/stage.js")),
    ("controls.js", SCRIPT, include_str!("web/controls.js")),
    ("figures.js", SCRIPT, include_str!("web/figures.js")),
    ("words.js", SCRIPT, include_str!("web/words.js")),
];

/// A file by its name.
pub(super) fn file(name: &str) -> Option<&'static File> {
    FILES.iter().find(|(known, _, _)| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        for (name, _, content) in FILES.iter().chain([&INDEX]) {
            let text = content.replace("http://www.w3.org/2000/svg", "");
            for foreign in ["http://", "https://", "//cdn", "<style", " style=\"", " onclick", "eval(", "innerHTML"] {
                assert!(!text.contains(foreign), "{name}: {foreign}");
            }
        }
        let inline = INDEX.2.split("<script").skip(1).any(|script| !script.starts_with(" type=\"module\" src=\"page/"));
        assert!(!inline, "a policy forbids scripts within the page");
    }

    #[test]
    fn what_files_name_is_there() {
        let quoted = |content: &str, start: &str| -> Vec<String> {
            content.split(start).skip(1).filter_map(|rest| rest.split('"').next().map(str::to_owned)).collect()
        };
        for name in quoted(INDEX.2, "\"page/") {
            assert!(file(&name).is_some(), "{name}");
        }
        for (script, _, content) in FILES {
            for name in quoted(content, "from \"./") {
                assert!(file(&name).is_some(), "{script}: {name}");
            }
        }
    }
}
