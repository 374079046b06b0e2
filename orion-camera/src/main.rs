// SPDX-License-Identifier: MPL-2.0
//! A loopback RTSP camera: a clip in a loop, or a moving test picture.

mod canvas;
mod clip;
mod figure;
#[path = "../../orion-launch/src/papers.rs"]
mod papers;
mod picture;
mod room;
mod scene;
mod server;
mod stop;

use std::{io::Write, num::NonZeroU32, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    clip::Clip,
    picture::{Codec, Picture},
    scene::{Pattern, Scene},
    server::{Content, Server},
    stop::Signals,
};

/// Serves one RTSP stream and prints its address on standard output once it listens.
///
/// It serves until SIGINT or SIGTERM, or until its standard input ends where that is a pipe. Lines there change what the test
/// picture shows: `show PATTERN`, or `freeze`, the picture of that moment until the next `show`.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    papers: Option<Papers>,
    /// An H.264 or H.265 clip to serve in a loop, as it is; without it a moving test picture is served
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pattern", "codec", "width", "height", "fps", "resolution_change"])]
    clip: Option<PathBuf>,
    /// What the test picture shows
    #[arg(long, value_enum, default_value_t = Pattern::Ball)]
    pattern: Pattern,
    /// How the test picture is encoded
    #[arg(long, value_enum, default_value_t = Codec::H264)]
    codec: Codec,
    /// Width of the test picture, pixels, even
    #[arg(long, default_value_t = 640, value_parser = clap::value_parser!(u32).range(64..=4096))]
    width: u32,
    /// Height of the test picture, pixels, even
    #[arg(long, default_value_t = 480, value_parser = clap::value_parser!(u32).range(64..=4096))]
    height: u32,
    /// Frames a second of the test picture
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=60))]
    fps: u32,
    /// Halves the test picture's size, and doubles it again, every so many frames
    #[arg(long, value_name = "FRAMES")]
    resolution_change: Option<NonZeroU32>,
    /// Who may see it; without it everybody may
    #[arg(long, value_name = "NAME", requires = "password")]
    user: Option<String>,
    /// That user's password
    #[arg(long, requires = "user")]
    password: Option<String>,
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    address: std::net::IpAddr,
    /// The port to listen on; 0 = any free one
    #[arg(long, default_value_t = 0)]
    port: u16,
}

#[derive(Subcommand)]
enum Papers {
    /// Prints completions for a shell
    #[command(hide = true)]
    Completions {
        /// Which one
        shell: Shell,
    },
    /// Prints the manual page
    #[command(hide = true)]
    Man {
        /// Write it there instead
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.papers {
        Some(Papers::Completions { shell }) => return Ok(papers::completions(Arguments::command(), shell)?),
        Some(Papers::Man { directory }) => return Ok(papers::manual(Arguments::command(), directory.as_deref())?),
        None => {}
    }
    let signals = Signals::hold()?;
    gst::init().context("GStreamer does not start")?;
    let scene = Scene::new(arguments.pattern);
    let content = match arguments.clip {
        Some(path) => Content::Clip(Clip::open(&path)?),
        None => {
            let Arguments { codec, width, height, fps, .. } = arguments;
            Content::Picture(
                Picture::new(scene.clone(), codec, width, height, fps)?.changing(arguments.resolution_change),
            )
        }
    };
    let login = arguments.user.zip(arguments.password);
    let server = Server::start(content, arguments.address, arguments.port, login)?;
    signals.quit(server.main_loop(), move |line| {
        if let Err(error) = scene.order(line) {
            // Standard error may be closed; then nobody is there to be told.
            let _ = writeln!(std::io::stderr(), "orion-camera: {error}");
        }
    })?;
    writeln!(std::io::stdout(), "{}", server.url()).context("cannot print the address on standard output")?;
    server.serve();
    Ok(())
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; then nobody is there to be told.
            let _ = writeln!(std::io::stderr(), "orion-camera: {error:#}");
            ExitCode::FAILURE
        }
    }
}
