// SPDX-License-Identifier: MPL-2.0
//! What visitors have to enter.

use std::{fmt, ops::RangeInclusive, path::Path};

use subtle::ConstantTimeEq;

use crate::config::{self, content};

/// How long it may be, bytes. A shorter one could be guessed.
const LENGTH: RangeInclusive<usize> = 16..=256;

/// A secret text; it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

impl Token {
    /// The variable of the environment that holds it.
    pub(crate) const VARIABLE: &str = "ORION_PAGE_TOKEN";

    /// A text as a token.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let good = text.bytes().all(|byte| byte.is_ascii_graphic());
        match LENGTH.contains(&text.len()) && good {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "expected a token of {} to {} letters, digits and signs without spaces; `openssl rand -hex 16` makes one",
                LENGTH.start(),
                LENGTH.end()
            )),
        }
    }

    /// From a file, which may end with a line's end.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = String::from_utf8(content(path)?).map_err(|_| "expected a token as UTF-8 text".to_owned())?;
        Self::new(text.trim_end_matches(['\r', '\n']))
    }

    /// That of this configuration; none = there is none.
    ///
    /// # Errors
    /// What is wrong with the variable or the file.
    pub(crate) fn of(config: &config::Page) -> Result<Option<Self>, String> {
        match std::env::var(Self::VARIABLE) {
            Ok(text) if !text.is_empty() => {
                return Self::new(&text).map(Some).map_err(|why| format!("{}: {why}", Self::VARIABLE));
            }
            _ => {}
        }
        let path = config.token_file.as_str();
        if path.is_empty() {
            return Ok(None);
        }
        Self::read(Path::new(path)).map(Some).map_err(|why| format!("http.page.token_file {path:?}: {why}"))
    }

    /// Whether this is it; that takes the same time however much of it is right.
    pub(super) fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_without_spaces() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, good) in [
            ("0123456789abcdef\n", true),
            ("0123456789abcdef\r\n", true),
            ("0123456789abcde\n", false),
            ("", false),
            ("0123456789 abcdef", false),
            ("0123456789abcdef\n0123456789abcdef\n", false),
            ("0123456789abcdéf", false),
        ] {
            std::fs::write(file.path(), text).unwrap();
            assert_eq!(Token::read(file.path()).is_ok(), good, "{text:?}");
        }
        std::fs::write(file.path(), "x".repeat(257)).unwrap();
        assert!(Token::read(file.path()).unwrap_err().contains("16 to 256"));
        assert!(Token::read(Path::new("/nowhere")).unwrap_err().contains("no such file"));
    }

    #[test]
    fn only_the_whole_token_is_right() {
        let token = Token::new("0123456789abcdef").unwrap();
        assert!(token.is("0123456789abcdef"));
        for wrong in ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef0"] {
            assert!(!token.is(wrong), "{wrong}");
        }
        assert_eq!(format!("{token:?}"), "Token(***)");
    }
}
