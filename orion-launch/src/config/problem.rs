// SPDX-License-Identifier: MPL-2.0
//! What is wrong with a configuration, and where.

use std::fmt;

use thiserror::Error;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    File { name: String, line: u64, column: u64 },
    Variable(String),
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line, column } => write!(f, "{name}:{line}:{column}: "),
            Self::Variable(name) => write!(f, "environment variable {name}: "),
            Self::Default => Ok(()),
        }
    }
}

/// Everything that is wrong with a configuration, one line each.
#[derive(Debug, Error)]
#[error("{}", .0.join("\n"))]
pub(crate) struct ConfigError(pub(super) Vec<String>);
