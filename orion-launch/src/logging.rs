// SPDX-License-Identifier: MPL-2.0
//! Log lines on standard error: ours, and those of GStreamer that matter.
//!
//! Whoever logs never waits for whoever reads: a pipe that is full must not stop the daemon.

use std::{
    io::IsTerminal,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, fmt};

/// Lines that wait to be read, at most; those that come then are lost, and counted.
const WAITING: usize = 10_000;

static LOST: OnceLock<ErrorCounter> = OnceLock::new();

/// What waits to be read is written when this is dropped, within about a second.
#[must_use]
#[derive(Debug)]
pub(crate) struct Log(#[allow(dead_code)] WorkerGuard);

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON elsewhere
    Auto,
    /// For people
    Text,
    /// For machines
    Json,
}

/// Starts logging, until the value is dropped. `RUST_LOG` says what is logged, `default` where it is not set.
pub(crate) fn init(format: LogFormat, default: &str) -> Log {
    let (writer, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(WAITING).thread_name("log").finish(std::io::stderr());
    let _ = LOST.set(writer.error_counter());
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let log = fmt().with_env_filter(filter).with_writer(writer);
    let json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    // An error says that somebody has started logging already.
    let _ = if json {
        log.json().try_init()
    } else {
        log.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init()
    };
    Log(guard)
}

/// How many lines were lost in all because nobody read them in time; none = no more than when this was asked last.
pub(crate) fn lost() -> Option<usize> {
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    let lost = LOST.get().map_or(0, ErrorCounter::dropped_lines);
    (TOLD.swap(lost, Ordering::Relaxed) != lost).then_some(lost)
}

/// Passes on what our elements log, the workers' own lines included, and warnings of all others as details.
///
/// With `GST_DEBUG` set GStreamer logs by itself, as its users expect.
pub(crate) fn bridge() {
    if std::env::var_os("GST_DEBUG").is_some() {
        return;
    }
    gst::log::remove_default_log_function();
    gst::log::set_default_threshold(gst::DebugLevel::Warning);
    gst::log::set_threshold_for_name("orion*", gst::DebugLevel::Info);
    gst::log::add_log_function(|category, level, _, _, _, object, message| {
        let Some(text) = message.get() else { return };
        let source = object.map_or_else(|| category.name().to_owned(), |o| o.to_string());
        // What stops a pipeline comes over the bus as well, in better words.
        if !category.name().starts_with("orion") {
            tracing::debug!(target: "gstreamer", "{source}: {text}");
        } else if level == gst::DebugLevel::Error {
            tracing::error!(target: "gstreamer", "{source}: {text}");
        } else if level == gst::DebugLevel::Warning {
            tracing::warn!(target: "gstreamer", "{source}: {text}");
        } else {
            // What matters of it comes over the bus.
            tracing::debug!(target: "gstreamer", "{source}: {text}");
        }
    });
}
