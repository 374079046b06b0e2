// SPDX-License-Identifier: MPL-2.0
//! Tables and other small pieces of Markdown.

/// What every page begins with.
pub fn head(title: &str, about: &str) -> String {
    format!(
        "<!-- SPDX-License-Identifier: MPL-2.0 -->\n<!-- Made by `make docs`; do not edit. -->\n# {title}\n\n{about}\n"
    )
}

/// A table with these columns.
pub fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(columns.iter().map(|&name| name.to_owned()).collect());
    text += &format!("|{}\n", "---|".repeat(columns.len()));
    for row in rows {
        assert_eq!(row.len(), columns.len(), "{row:?}");
        text += &line(row.iter().map(|cell| one_line(cell)).collect());
    }
    text
}

/// As code; nothing of nothing.
pub fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

/// Several words as code.
pub fn codes<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> String {
    words.into_iter().map(|word| code(word.as_ref())).collect::<Vec<_>>().join(", ")
}

/// The whole text in one line, with nothing that ends a cell.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
