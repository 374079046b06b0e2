// SPDX-License-Identifier: MPL-2.0
//! Where a configuration comes from: a file and the environment.

use std::path::Path;

use super::{Config, load, problem::ConfigError};

/// What a configuration is read from.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The file's name, for messages, and its content.
    pub(crate) file: Option<(String, String)>,
    /// The environment.
    pub(crate) variables: Vec<(String, String)>,
}

impl Sources {
    /// Reads the file, if any, and the environment.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn read(file: Option<&Path>) -> Result<Self, ConfigError> {
        let file = file.map(|path| {
            let name = path.display().to_string();
            match std::fs::read_to_string(path) {
                Ok(text) => Ok((name, text)),
                Err(error) => Err(ConfigError(vec![format!("{name}: {error}")])),
            }
        });
        let variables = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Ok(Self { file: file.transpose()?, variables: variables.collect() })
    }

    /// The configuration: variables before the file, the file before the defaults.
    ///
    /// # Errors
    /// [`ConfigError`] with all problems at once.
    pub(crate) fn load(&self) -> Result<Config, ConfigError> {
        load::load(self)
    }
}
