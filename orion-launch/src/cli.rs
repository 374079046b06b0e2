// SPDX-License-Identifier: MPL-2.0
//! The command line.

use std::{fmt::Display, ops::RangeInclusive, path::PathBuf, str::FromStr};

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use orion_core::{
    command::{FocusStrategy, Size},
    geometry::NormRect,
};
use serde::de::DeserializeOwned;

use crate::{
    config::{Detector, Fraction, Rate, Workers},
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
    /// Has each frame of a recording looked at, and draws what was found; sound is not kept
    #[command(after_help = ANNOTATE_HELP)]
    Annotate(Box<Annotate>),
    /// Makes a page with diagrams of results: of those that annotate writes, or that were saved from MQTT
    Report(Report),
}

const ANNOTATE_HELP: &str = "\
Exit codes: 0 all frames are done; 1 something failed; 2 the command line or the configuration is wrong; 130 Ctrl-C.
Files are called *.part until they are whole; after Ctrl-C what was done stays there, to be played and read.";

#[derive(Debug, clap::Args)]
pub(crate) struct ConfigFile {
    /// The configuration; without it the defaults and the environment count
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Demo {
    /// A camera (rtsp://...) or a clip; without it a drawn room is shown, through which somebody walks
    #[arg(long, value_name = "URL|FILE")]
    pub(crate) source: Option<String>,
    /// Where models are; default: the model that comes with Orion
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

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Annotate {
    /// The recording
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// The same with what was found: H.264 in MP4
    #[arg(value_name = "OUT.mp4", required_unless_present = "no_video")]
    pub(crate) output: Option<PathBuf>,
    /// Results, a line of JSON a frame; - = standard output; default: OUT.jsonl
    #[arg(long, value_name = "FILE")]
    pub(crate) results: Option<PathBuf>,
    /// Writes results only
    #[arg(long, requires = "results", conflicts_with = "output")]
    pub(crate) no_video: bool,
    /// Replaces files that are there
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// A configuration of the daemon, whose models.person_detector and rois count
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Of a configuration with several cameras, the one that counts
    #[arg(long, value_name = "ID", requires = "config")]
    pub(crate) camera: Option<String>,
    /// Where models are; default: models/weights beside the worker
    #[arg(long, value_name = "DIR")]
    pub(crate) model_dir: Option<PathBuf>,
    /// A certain model for 640x640 instead of one from there
    #[arg(long, value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,
    /// The same for 320x320
    #[arg(long, value_name = "FILE", requires = "model")]
    pub(crate) model_320: Option<PathBuf>,
    /// Size of the model: orion (it comes with Orion), or n, s, m, l, x, which are looked for; default: orion, or n with --model-dir
    #[arg(long, value_parser = word::<Size>)]
    pub(crate) size: Option<Size>,
    /// How persons are found
    #[arg(long, value_enum)]
    pub(crate) detector: Option<Detector>,
    /// Least confidence of a detection, 0..1
    #[arg(long, value_name = "C", value_parser = fraction)]
    pub(crate) confidence: Option<f64>,
    /// What is looked for, such as person,car
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    pub(crate) labels: Vec<String>,
    /// Worker processes that share the frames
    #[arg(long, value_name = "N", value_parser = workers)]
    pub(crate) workers: Option<u32>,
    /// Where to look, in fractions of the frame's sides; several make one region around all
    #[arg(long, value_name = "X,Y,W,H", value_parser = region)]
    pub(crate) roi: Vec<NormRect>,
    /// Follows what was found: simple, smoothing or velocity
    #[arg(long, value_name = "STRATEGY", value_parser = word::<FocusStrategy>, conflicts_with = "roi")]
    pub(crate) auto_focus: Option<FocusStrategy>,
    /// Begins so many seconds into the recording
    #[arg(long, value_name = "S", value_parser = seconds, default_value_t = 0.0)]
    pub(crate) start: f64,
    /// Ends after so many seconds of the recording
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) duration: Option<f64>,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Report {
    /// Results, a line of JSON each, a topic before it or not; - = standard input
    #[arg(value_name = "IN.jsonl")]
    pub(crate) input: PathBuf,
    /// The page; - = standard output; default: IN.html, or standard output for standard input
    #[arg(short, long, value_name = "OUT.html")]
    pub(crate) output: Option<PathBuf>,
    /// Replaces a file that is there even if it is no such page
    #[arg(long)]
    pub(crate) overwrite: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    within(text, Rate::LIMITS, " Hz")
}

fn fraction(text: &str) -> Result<f64, String> {
    within(text, Fraction::LIMITS, "")
}

fn workers(text: &str) -> Result<u32, String> {
    within(text, Workers::LIMITS, " workers")
}

fn seconds(text: &str) -> Result<f64, String> {
    within(text, 0.0..=1e7, " seconds")
}

fn within<T: FromStr + PartialOrd + Display>(text: &str, limits: RangeInclusive<T>, unit: &str) -> Result<T, String> {
    let number: T = text.parse().map_err(|_| "expected a number".to_owned())?;
    let told = || format!("expected {}..{}{unit}", limits.start(), limits.end());
    limits.contains(&number).then_some(number).ok_or_else(told)
}

/// One of the words of an enumeration, as in the configuration.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

fn region(text: &str) -> Result<NormRect, String> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|number| number.trim().parse()).collect();
    match numbers.as_deref() {
        Ok(&[x, y, width, height]) => NormRect::new(x, y, width, height).map_err(|error| error.to_string()),
        _ => Err("expected four numbers, x,y,width,height".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_on_the_command_line_is_named() {
        for (arguments, expected) in [
            ("in.mp4", "<OUT.mp4>"),
            ("in.mp4 --no-video", "--results <FILE>"),
            ("in.mp4 out.mp4 --no-video --results r", "cannot be used with"),
            ("in.mp4 out.mp4 --roi 0,0,1", "expected four numbers, x,y,width,height"),
            ("in.mp4 out.mp4 --roi 0.5,0,0.6,1", "x + width must be at most 1"),
            ("in.mp4 out.mp4 --size q", "expected one of `orion`, `n`, `s`"),
            ("in.mp4 out.mp4 --auto-focus fast", "expected one of `simple`"),
            ("in.mp4 out.mp4 --auto-focus simple --roi 0,0,1,1", "cannot be used with"),
            ("in.mp4 out.mp4 --confidence 2", "expected 0..1"),
            ("in.mp4 out.mp4 --workers 0", "expected 1..16 workers"),
            ("in.mp4 out.mp4 --start nan", "expected 0..10000000 seconds"),
        ] {
            let all = ["orion-launch", "annotate"].into_iter().chain(arguments.split(' '));
            let error = Arguments::try_parse_from(all).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(expected), "{arguments}: {error}");
        }
    }
}
