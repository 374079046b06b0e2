// SPDX-License-Identifier: MPL-2.0
//! The demo's camera: `orion-camera` as a child process.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// How long it may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long it may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// A camera that ends with this value; its standard input ends with the demo, however that ends, and it follows.
pub(super) struct Camera {
    child: Child,
    url: String,
}

impl Camera {
    /// Starts it with a clip, or with a test picture: a room through which somebody walks if `people` are looked for, else a ball.
    pub(super) async fn start(clip: Option<&str>, people: bool) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("the demo does not know where it is")?;
        let program = own.with_file_name("orion-camera");
        let mut command = Command::new(&program);
        if let Some(clip) = clip {
            command.args(["--clip", clip]);
        } else if people {
            command.args(["--pattern", "walk"]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).process_group(0);
        let started = command.spawn();
        let mut child =
            started.with_context(|| format!("{} does not start; build it with `cargo build`", program.display()))?;
        let out = child.stdout.take().context("the camera has no output")?;
        let mut lines = BufReader::new(out).lines();
        let line = timeout(START_LIMIT, lines.next_line()).await;
        let line = line.with_context(|| format!("the camera does not listen after {} s", START_LIMIT.as_secs()))?;
        let Some(url) = line.context("the camera cannot be read")? else {
            // It has said on standard error why.
            let _ = timeout(STOP_LIMIT, child.wait()).await;
            bail!("the camera did not start");
        };
        Ok(Self { child, url })
    }

    /// Where its stream is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Ends it.
    pub(super) async fn stop(mut self) {
        drop(self.child.stdin.take());
        if timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}
