// SPDX-License-Identifier: MPL-2.0
//! From the text of a pipeline with comments and place holders to one for GStreamer.
//!
//! A comment is a `#` at the beginning of a line or after white space, outside quotes, up to the line's end. `${NAME}` stands for
//! a variable, `${NAME:-default}` for one that may be missing or empty. Outside quotes its value may be several words, even
//! elements; within quotes it stays one text. `\${` is a `${` for GStreamer, as it is for a shell; any other `$` is itself.

/// What is wrong with a text, and where in it, from 1 on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) line: u64,
    pub(super) column: u64,
    pub(super) text: String,
}

/// The text with its comments taken out and its variables put in; no line is lost.
///
/// # Errors
/// All mistakes.
pub(super) fn render(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, Vec<Mistake>> {
    let mut reader = Reader { text, at: 0, out: String::with_capacity(text.len()), mistakes: Vec::new() };
    reader.run(&variable);
    if reader.mistakes.is_empty() { Ok(reader.out) } else { Err(reader.mistakes) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    out: String,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn run(&mut self, variable: &impl Fn(&str) -> Option<String>) {
        // The quote that is open, and where it began.
        let mut quote: Option<(char, usize)> = None;
        let mut before = '\n';
        while let Some(c) = self.text[self.at..].chars().next() {
            let rest = &self.text[self.at..];
            match c {
                '\\' => {
                    // What follows means nothing to us.
                    let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                    self.copy(length);
                    before = '\\';
                    continue;
                }
                '$' if rest.starts_with("${") => {
                    self.variable(quote.map(|(open, _)| open), variable);
                    before = '}';
                    continue;
                }
                '#' if quote.is_none() && before.is_whitespace() => {
                    self.at += rest.find('\n').unwrap_or(rest.len());
                    continue;
                }
                '"' | '\'' => match quote {
                    Some((open, _)) if open == c => quote = None,
                    // An apostrophe within a word, such as in a file's name, is no quote.
                    None if !before.is_alphanumeric() => quote = Some((c, self.at)),
                    _ => {}
                },
                _ => {}
            }
            self.copy(c.len_utf8());
            before = c;
        }
        if let Some((open, at)) = quote {
            self.mistake(at, format!("the quote {open} that begins here has no end"));
        }
    }

    fn copy(&mut self, length: usize) {
        self.out.push_str(&self.text[self.at..self.at + length]);
        self.at += length;
    }

    /// `${...}`, at which the reader stands.
    fn variable(&mut self, quote: Option<char>, variable: &impl Fn(&str) -> Option<String>) {
        let start = self.at;
        let inner = &self.text[start + 2..];
        let line = &inner[..inner.find('\n').unwrap_or(inner.len())];
        let Some(end) = line.find('}') else {
            self.mistake(start, "expected ${NAME} or ${NAME:-default}, the } is missing".into());
            self.at += 2;
            return;
        };
        self.at = start + 2 + end + 1;
        let (name, default) = match inner[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inner[..end], None),
        };
        if !is_name(name) {
            return self.mistake(start, "expected ${NAME} or ${NAME:-default}, a name of letters, digits and _".into());
        }
        let value = match (variable(name), default) {
            (Some(value), None) => value,
            (Some(value), Some(_)) if !value.is_empty() => value,
            (_, Some(default)) => default.to_owned(),
            (None, None) => {
                let text = format!("the environment variable {name} is not set; set it, or write ${{{name}:-default}}");
                return self.mistake(start, text);
            }
        };
        for c in value.chars() {
            if quote.is_some_and(|quote| c == quote || c == '\\') {
                self.out.push('\\');
            }
            self.out.push(c);
        }
    }

    fn mistake(&mut self, at: usize, text: String) {
        let before = &self.text[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        self.mistakes.push(Mistake { line: line as u64, column: column as u64, text });
    }
}

fn is_name(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> Result<String, Vec<Mistake>> {
        render(text, |name| match name {
            "URL" => Some("rtsp://a/b".into()),
            "WORDS" => Some(r#"a "b" \c"#.into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn comments_go_and_variables_come() {
        for (text, expected) in [
            ("# all\nfakesrc # it's one\n ! fakesink", "\nfakesrc \n ! fakesink"),
            ("a=\"x # y\" b='# z' c=d#e", "a=\"x # y\" b='# z' c=d#e"),
            ("location=it's.mp4 # x", "location=it's.mp4 "),
            ("location=${URL} ${NONE:-a b} ${EMPTY:-c}${EMPTY}", "location=rtsp://a/b a b c"),
            ("a=${WORDS} b=\"${WORDS}\"", r#"a=a "b" \c b="a \"b\" \\c""#),
            (r"\${URL} $URL $ \# \\", r"\${URL} $URL $ \# \\"),
            ("a=\"\\\"#\" # x", "a=\"\\\"#\" "),
            ("${URL}# kept", "rtsp://a/b# kept"),
        ] {
            assert_eq!(rendered(text), Ok(expected.into()), "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, line, column, part) in [
            ("a\n ! b=${NONE}", 2, 6, "NONE is not set"),
            ("${}", 1, 1, "a name of letters"),
            ("${1A}", 1, 1, "a name of letters"),
            ("x ${URL\n}", 1, 3, "} is missing"),
            ("x=\"a\n! b", 1, 3, "has no end"),
        ] {
            let [mistake] = &rendered(text).unwrap_err()[..] else { panic!("{text}") };
            assert_eq!((mistake.line, mistake.column), (line, column), "{text}");
            assert!(mistake.text.contains(part), "{mistake:?}");
        }
        assert_eq!(rendered("${A} ${B}").unwrap_err().len(), 2);
    }
}
