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

/// The longest problem, characters, and the most of them: what is sent may be nothing but mistakes, and the answer goes over MQTT.
const LONGEST: usize = 1000;
const MOST: usize = 50;

/// Everything that is wrong with a configuration, one line each, without any password. Of very much, the beginning.
#[derive(Debug, Clone, Error)]
#[error("{}", .0.join("\n"))]
pub(crate) struct ConfigError(Vec<String>);

impl ConfigError {
    /// These problems; keys and texts in them may be anything that somebody has written.
    pub(crate) fn new(problems: Vec<String>) -> Self {
        let shown = |problem: &String| short(mask::text(problem).replace(char::is_control, " "));
        let mut told: Vec<String> = problems.iter().take(MOST).map(shown).collect();
        if let Some(more @ 1..) = problems.len().checked_sub(MOST) {
            told.push(format!("... and {more} more"));
        }
        Self(told)
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

fn short(mut problem: String) -> String {
    if let Some((end, _)) = problem.char_indices().nth(LONGEST) {
        problem.truncate(end);
        problem.push_str("...");
    }
    problem
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

    #[test]
    fn of_very_much_the_beginning_is_told() {
        let error = ConfigError::new(vec!["ü".repeat(9000); 5000]);
        let problems = error.problems();
        assert_eq!((problems.len(), problems[0].chars().count()), (MOST + 1, LONGEST + 3));
        assert_eq!(problems[MOST], "... and 4950 more");
        assert_eq!(ConfigError::new(vec!["a".into(); MOST]).problems().len(), MOST);
    }
}
