// SPDX-License-Identifier: MPL-2.0
//! `orion-launch --config FILE`: the daemon from its start to its clean end.

use std::{path::Path, process::ExitCode, time::Instant};

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    config::{Config, ConfigError, Sources},
    daemon::Daemon,
    logging::{self, LogFormat},
};

/// SIGINT and SIGTERM.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on they no longer end the process by themselves.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Reads the configuration again at each SIGHUP.
struct Reload<'a> {
    hangup: Signal,
    file: Option<&'a Path>,
}

impl Reload<'_> {
    async fn next(&mut self) -> Result<Config, ConfigError> {
        self.hangup.recv().await;
        tracing::info!("SIGHUP: reading the configuration again");
        Sources::read(self.file).and_then(|sources| sources.load())
    }
}

/// Runs `work` on a runtime of this thread alone: children that are to die with the daemon are tied to their thread.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no async runtime")?;
    let done = runtime.block_on(work);
    // A thread that hangs in an element must not keep the process.
    runtime.shutdown_background();
    Ok(done)
}

/// Makes GStreamer and our elements known.
pub(crate) fn init_gstreamer() -> anyhow::Result<()> {
    gst::init().context("GStreamer does not start")?;
    logging::bridge();
    gstorion::plugin_register_static().context("the elements cannot be registered")
}

/// A core file would hold passwords and pictures. Workers inherit this; who looks for a fault raises the limit with prlimit(1).
fn leave_no_core() {
    let hard = getrlimit(Resource::RLIMIT_CORE).map_or(0, |(_, hard)| hard);
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, hard) {
        tracing::warn!("the size of core files cannot be limited, and they may hold passwords: {error}");
    }
}

/// Runs the daemon with this configuration, which was read from `file`.
pub(crate) fn run(config: &Config, file: Option<&Path>, format: LogFormat) -> ExitCode {
    let _log = logging::init(format, "info");
    leave_no_core();
    let ended = init_gstreamer().and_then(|()| block_on(serve(config, file))?);
    match ended {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, each once: many repeat their cause in their own words.
pub(crate) fn told(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .reduce(|text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") })
        .unwrap_or_default()
}

async fn serve(config: &Config, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen().context("signals cannot be caught")?;
    let mut reload = Reload { hangup: signal(SignalKind::hangup()).context("signals cannot be caught")?, file };
    let started = Instant::now();
    let mut daemon = tokio::select! {
        daemon = Daemon::start(config) => daemon?,
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    let http = daemon.http_address().map_or_else(|| "off".to_owned(), |address| format!("http://{address}/readiness"));
    tracing::info!("{} is running; results go to {}, state: {http}", config.instance_id, daemon.broker_uri());
    if let Some(address) = daemon.page_address() {
        tracing::info!("live page: http://{address}/");
    }
    let code = match daemon.run(signals.next(), async || reload.next().await).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    };
    let books = daemon.stop(signals.next()).await;
    for book in &books {
        tracing::info!("{}", book.line());
    }
    tracing::info!("stopped after {:.1} s", started.elapsed().as_secs_f64());
    Ok(code)
}
