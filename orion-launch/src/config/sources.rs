// SPDX-License-Identifier: MPL-2.0
//! Where a configuration comes from: a file and the environment.

use std::path::Path;

use super::{Config, files, keys, load, problem::ConfigError};

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
    /// The file cannot be read, is no text, or is larger than 1 MiB; a variable of ours is no text.
    pub(crate) fn read(file: Option<&Path>) -> Result<Self, ConfigError> {
        let file = file.map(|path| {
            let name = path.display().to_string();
            match files::read_text(path) {
                Ok(text) => Ok((name, text)),
                Err(reason) => Err(format!("{name}{reason}")),
            }
        });
        Ok(Self { file: file.transpose()?, variables: environment()? })
    }

    /// The configuration: variables before the file, the file before the defaults. Reads the files that it names.
    ///
    /// # Errors
    /// [`ConfigError`] with all problems at once.
    pub(crate) fn load(&self) -> Result<Config, ConfigError> {
        load::load(self)
    }
}

/// The variables that are text.
///
/// # Errors
/// One of ours is not.
pub(super) fn environment() -> Result<Vec<(String, String)>, ConfigError> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => variables.push((name, value)),
            (Ok(name), Err(_)) if name.starts_with(keys::VARIABLE) => {
                return Err(format!("environment variable {name}: expected UTF-8 text").into());
            }
            _ => {}
        }
    }
    Ok(variables)
}
