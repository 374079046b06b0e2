// SPDX-License-Identifier: MPL-2.0
//! The daemon that runs Orion's elements on a camera.

mod annotate;
mod book;
mod broker;
mod camera;
mod cli;
mod config;
mod control;
mod daemon;
mod demo;
mod eye;
mod health;
mod home_assistant;
mod http;
mod inlet;
mod launch;
mod logging;
mod looks;
mod memory;
mod metrics;
mod notify;
mod overview;
mod page;
mod papers;
mod pipeline;
mod presence;
mod record;
mod report;
mod rules;
mod run;
mod sensor;
mod sights;
mod source;
mod stats_line;
mod status;
mod vigil;
mod watchdog;

use std::{io::Write, path::Path, process::ExitCode};

use clap::{CommandFactory, Parser};

use crate::{
    cli::{Arguments, Command},
    config::{Config, Sources},
    logging::LogFormat,
};

/// The configuration or the command line is wrong.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    memory::share_arenas();
    let arguments = Arguments::parse();
    let file = arguments.config.as_deref();
    match arguments.command {
        None => with(file, |config| run::run(config, file, arguments.log_format)),
        Some(Command::Check(file)) => with(file.config.as_deref(), |_| print("the configuration is good")),
        Some(Command::PrintConfig(file)) => with(file.config.as_deref(), |config| match config.to_yaml() {
            Ok(yaml) => print(yaml.trim_end()),
            Err(error) => fail(&error.to_string(), 1),
        }),
        Some(Command::PrintPipeline(file)) => with(file.config.as_deref(), |config| print(&launch::printable(config))),
        Some(Command::Schema) => print(&format!("{:#}", config::schema())),
        Some(Command::Completions { shell }) => written(papers::completions(Arguments::command(), shell)),
        Some(Command::Man { directory }) => written(papers::manual(Arguments::command(), directory.as_deref())),
        Some(Command::Demo(demo)) => {
            let _log = logging::init(LogFormat::Text, "warn");
            demo::run(&demo)
        }
        Some(Command::Annotate(options)) => annotate::run(&options),
        Some(Command::Report(options)) => report::run(&options),
    }
}

fn with(file: Option<&Path>, act: impl FnOnce(&Config) -> ExitCode) -> ExitCode {
    match Sources::read(file).and_then(|sources| sources.load()) {
        Ok(config) => act(&config),
        Err(error) => fail(&error.to_string(), USAGE),
    }
}

fn print(text: &str) -> ExitCode {
    written(writeln!(std::io::stdout(), "{text}"))
}

fn written(done: std::io::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("cannot print: {error}"), 1),
    }
}

fn fail(text: &str, code: u8) -> ExitCode {
    // With standard error closed nobody is there to be told.
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::from(code)
}
