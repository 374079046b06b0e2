// SPDX-License-Identifier: MPL-2.0
//! `orion-launch demo`: camera, broker and daemon at once, and one line a result.

mod camera;
mod line;
mod plan;
mod subscriber;
mod tally;

use std::{
    io::Write,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
#[cfg(test)]
use orion_core::report::Report;

use crate::{
    cli,
    daemon::Daemon,
    run::{self, Signals},
};
use camera::Camera;
use subscriber::{News, Subscriber};
use tally::Tally;

/// How long the first result may take: the worker loads its model, the camera connects.
const FIRST_RESULT: Duration = Duration::from_secs(60);

/// Runs the demo.
pub(crate) fn run(options: &cli::Demo) -> ExitCode {
    match run::init_gstreamer().and_then(|()| run::block_on(serve(options))?) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error closed nobody is there to be told.
            let _ = writeln!(std::io::stderr(), "demo: {}", run::told(&error));
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: &cli::Demo) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("signals cannot be caught")?;
    let (model, note) = plan::model(options);
    let (camera, url) = match options.source.as_deref() {
        Some(url) if url.contains("://") => (None, url.to_owned()),
        clip => {
            let camera = Camera::start(clip, model.finds_people()).await?;
            let url = camera.url().to_owned();
            (Some(camera), url)
        }
    };
    say(&note)?;
    let config = plan::config(options, &url, &model);
    let mut daemon = Daemon::start(&config).await?;
    let mut subscriber = Subscriber::start(daemon.broker_uri(), &config)?;
    say(&plan::where_to_look(&config, daemon.broker_uri(), daemon.http_address(), &url))?;

    let mut tally = Tally::default();
    let length = options.seconds.map(Duration::from_secs);
    let ended = daemon
        .run(show(&mut subscriber, &mut tally, length, &mut signals), async || std::future::pending().await)
        .await;
    let reasons = daemon.overview().readiness().verdict().reasons.clone();
    let books = daemon.stop(signals.next()).await;
    // What was in hand at the end was published too.
    subscriber.drain(&mut tally);
    if let Some(camera) = camera {
        camera.stop().await;
    }
    ended?;
    if tally.is_empty() {
        match reasons.is_empty() {
            true => bail!("no result came"),
            false => bail!("no result came: {}", reasons.join("; ")),
        }
    }
    say(&tally.summary(&books))?;
    match books.iter().find(|book| !book.adds_up()) {
        Some(book) => bail!("the ledger of {} does not add up", book.element),
        None => Ok(()),
    }
}

/// Prints results, and presence where it changes, until it is over: after `length` from the first one, at a signal, or when no first one comes.
async fn show(subscriber: &mut Subscriber, tally: &mut Tally, length: Option<Duration>, signals: &mut Signals) {
    let (mut deadline, mut said) = (Some(Instant::now() + FIRST_RESULT), None);
    loop {
        let news = tokio::select! {
            news = subscriber.next() => news,
            () = until(deadline) => return,
            () = signals.next() => return,
        };
        let report = match news {
            News::Result(report) => report,
            News::Presence(presence) => {
                if line::presence(&presence, &mut said).is_some_and(|line| say(&line).is_err()) {
                    return;
                }
                continue;
            }
        };
        if tally.is_empty() {
            deadline = length.map(|length| Instant::now() + length);
        }
        if say(&line::of(&report)).is_err() {
            return;
        }
        tally.add(&report, Instant::now());
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("cannot print")
}

/// Only what the tests of several files share.
#[cfg(test)]
fn report(kind: &str, people: &[(f64, [f64; 4])], lost: &[(&str, u64)]) -> Report {
    let detections: Vec<_> = people
        .iter()
        .map(|(confidence, [x, y, width, height])| {
            serde_json::json!({
                "bbox": {"x": x, "y": y, "width": width, "height": height}, "confidence": confidence, "label": "person"})
        })
        .collect();
    serde_json::from_value(serde_json::json!({
        "type": kind, "instance_id": "demo", "room_id": "", "timestamp": "2026-11-22T08:15:03.214567890Z", "frame_seq": 42,
        "data": {"count": detections.len(), "detections": detections, "metadata": {}},
        "timing": {"preprocess_ms": 0.0, "inference_ms": 0.0, "postprocess_ms": 0.0, "total_ms": 1.0}, "suggested_roi": null,
        "clock_source": "camera", "latency_ms": 84.4, "time_since_full_sweep_ms": null, "coverage": 1.0, "stages": {"queue_ms": 1.0, "worker_ms": 2.0, "publish_ms": 3.0},
        "lost_since_last": lost.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect::<std::collections::BTreeMap<_, _>>(),
    }))
    .unwrap()
}
