// SPDX-License-Identifier: MPL-2.0
//! The configuration. Its structures are the only list of keys: names, types, defaults, limits and the JSON Schema are read
//! off them.

mod camera;
mod cameras;
mod check;
mod credential;
mod files;
mod fleet;
mod keys;
mod launch_text;
mod load;
mod mask;
mod models;
mod mqtt;
mod number;
mod patch;
mod presence;
mod problem;
mod rois;
mod schema;
mod sizes;
mod sources;
mod stream;
mod take;
mod template;
mod text;
mod tree;
mod upkeep;
mod words;
mod yaml;

pub(crate) use camera::{Camera, Codec, SourceKind, Transport};
pub(crate) use files::content;
pub(crate) use keys::leaves;
pub(crate) use mask::masked;
pub(crate) use models::{Detector, Worker};
pub(crate) use mqtt::{Mqtt, Profile};
pub(crate) use number::{Fraction, Rate, Workers};
pub(crate) use problem::ConfigError;
pub(crate) use schema::schema;
pub(crate) use sources::Sources;
pub(crate) use stream::{Format, Resolution};
pub(crate) use text::broker;
pub(crate) use tree::Config;
pub(crate) use upkeep::Page;

/// What `make fuzz` asks of any configuration, asked for those that are kept.
#[cfg(test)]
mod hostile {
    use super::fuzz_configuration::run;

    #[test]
    fn kept_inputs_break_no_rule() {
        super::fuzz_replay::corpus("configuration", run);
    }
}

#[cfg(test)]
#[path = "../../../fuzz/src/configuration.rs"]
mod fuzz_configuration;
#[cfg(test)]
#[path = "../../../fuzz/src/replay.rs"]
mod fuzz_replay;
