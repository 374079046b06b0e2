// SPDX-License-Identifier: MPL-2.0
//! How it ends when it does not end well, as text and as exit code.

use thiserror::Error;

/// Why there is nothing more to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Failure {
    /// The daemon does not do it; nothing has changed.
    #[error("{0}")]
    Refused(String),
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The broker or the instance is not there, or does not answer in time.
    #[error("{0}")]
    NoAnswer(String),
    /// The same, or a refusal, has been told already.
    #[error("")]
    Told(u8),
    /// Ctrl-C in a menu.
    #[error("")]
    Interrupted,
    /// SIGTERM in a menu.
    #[error("")]
    Terminated,
    /// Whoever read the output has gone: that is no failure.
    #[error("")]
    NoReader,
}

impl Failure {
    /// For shells.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::NoAnswer(_) => 3,
            Self::Told(code) => *code,
            Self::Interrupted => 130,
            Self::Terminated => 143,
            Self::NoReader => 0,
        }
    }
}
