// SPDX-License-Identifier: MPL-2.0
//! `orion-launch annotate`: each frame of a recording is looked at; results as lines, and drawn on the pictures.

mod canvas;
mod colour;
mod desk;
mod layout;
mod letters;
mod lines;
mod news;
mod picture;
mod places;
mod plan;
mod progress;
mod reader;
mod run;
mod tally;
mod waiting;
mod writer;

use std::{io::Write, process::ExitCode};

use crate::{cli, logging, logging::LogFormat};
use run::Ending;

/// The command line or the configuration is wrong.
const USAGE: u8 = 2;
/// 128 + SIGINT, as shells count.
const INTERRUPTED: u8 = 130;

/// Annotates a recording.
pub(crate) fn run(options: &cli::Annotate) -> ExitCode {
    // What matters comes over the bus, in fewer words.
    let _log = logging::init(LogFormat::Text, "off");
    let told = |text: &str, code| {
        // With standard error closed nobody is there to be told.
        let _ = writeln!(std::io::stderr(), "annotate: {text}");
        ExitCode::from(code)
    };
    let places = match places::Places::of(options) {
        Ok(places) => places,
        Err(error) => return told(&error.to_string(), USAGE),
    };
    let config = match plan::config(options) {
        Ok(config) => config,
        Err(error) => return told(&error, USAGE),
    };
    let ended = crate::run::init_gstreamer()
        .and_then(|()| crate::run::block_on(run::all(options, &config, &places))?)
        .map_err(|error| crate::run::told(&error));
    match ended {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Interrupted(text)) => told(&text, INTERRUPTED),
        Err(text) => told(&text, 1),
    }
}
