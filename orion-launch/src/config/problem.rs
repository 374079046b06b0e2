// SPDX-License-Identifier: MPL-2.0
//! What is wrong with a configuration, and where.

use std::fmt;

use thiserror::Error;

use super::mask;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    File {
        name: String,
        line: u64,
        column: u64,
    },
    Variable(String),
    /// A message: a place is the key itself, behind the parameter that holds the keys.
    Patch(&'static str),
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line, column } => write!(f, "{name}:{line}:{column}: "),
            Self::Variable(name) => write!(f, "environment variable {name}: "),
            Self::Patch(parameter) => write!(f, "{parameter}."),
            Self::Default => Ok(()),
        }
    }
}

/// Everything that is wrong with a configuration, one line each, without any password.
#[derive(Debug, Clone, Error)]
#[error("{}", .0.join("\n"))]
pub(crate) struct ConfigError(Vec<String>);

impl ConfigError {
    /// These problems; keys and texts in them may be anything that somebody has written.
    pub(crate) fn new(problems: Vec<String>) -> Self {
        let shown = |problem: &String| mask::text(problem).replace(char::is_control, " ");
        Self(problems.iter().map(shown).collect())
    }

    /// Each of them.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.0.clone()
    }

    /// The same with another beginning where a problem begins so.
    pub(super) fn replaced(self, from: &str, to: &str) -> Self {
        let told = |problem: String| match problem.strip_prefix(from) {
            Some(rest) => format!("{to}{rest}"),
            None => problem,
        };
        Self(self.0.into_iter().map(told).collect())
    }
}

impl From<String> for ConfigError {
    fn from(problem: String) -> Self {
        Self::new(vec![problem])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line_without_passwords() {
        let error = ConfigError::from("a.yaml:1:1: camera.rtsp://me:pw@cam/: unknown\n\x1b[31m key".to_owned());
        assert_eq!(error.to_string(), "a.yaml:1:1: camera.rtsp://me:***@cam/: unknown  [31m key");
    }
}
