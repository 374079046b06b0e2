// SPDX-License-Identifier: MPL-2.0
//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    config::{Detector, Rate},
    logging::LogFormat,
};

/// Watches a camera and says over MQTT whether a person is there and where.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    after_help = "\
Exit codes: 0 stopped as asked, or at the end of a recording; 1 something failed; 2 the configuration or the command line
is wrong. A camera that is lost or not there is no reason to end: it is connected again and again.
Each key of the configuration can be set by an environment variable, such as ORION_CAMERA__RTSP_URL for camera.rtsp_url.
RUST_LOG says what is logged (default info)."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// The configuration; pipelines/orion.yaml documents every key
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) config: Option<PathBuf>,
    /// How log lines look
    #[arg(long, value_enum, default_value_t = LogFormat::Auto)]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Says what is wrong with a configuration
    Check(ConfigFile),
    /// Prints the configuration in force, environment included, passwords masked
    PrintConfig(ConfigFile),
    /// Prints the pipeline for gst-launch-1.0, passwords masked
    PrintPipeline(ConfigFile),
    /// Prints the JSON Schema of the configuration, for editors
    Schema,
    /// Shows it all at work: camera, broker, daemon, and one line a result
    Demo(Demo),
    /// Prints completions for a shell
    #[command(hide = true)]
    Completions {
        /// Which one
        shell: Shell,
    },
    /// Prints the manual page
    #[command(hide = true)]
    Man {
        /// Write the page of each command there instead
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct ConfigFile {
    /// The configuration; without it the defaults and the environment count
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Demo {
    /// A camera (rtsp://...) or a clip; without it a moving test picture is shown
    #[arg(long, value_name = "URL|FILE")]
    pub(crate) source: Option<String>,
    /// Where models are; default: models/weights
    #[arg(long, value_name = "DIR")]
    pub(crate) model_dir: Option<PathBuf>,
    /// How persons are found; default: by a model if there is one, else motion
    #[arg(long, value_enum)]
    pub(crate) detector: Option<Detector>,
    /// Ends after that many seconds of results; default: Ctrl-C ends it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: Option<u64>,
    /// Frames a second that are looked at
    #[arg(long, value_name = "HZ", default_value_t = 5.0, value_parser = rate)]
    pub(crate) rate: f64,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    let limits = Rate::LIMITS;
    let told = || format!("expected {}..{} Hz", limits.start(), limits.end());
    limits.contains(&rate).then_some(rate).ok_or_else(told)
}
