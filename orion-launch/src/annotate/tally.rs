// SPDX-License-Identifier: MPL-2.0
//! What came of the frames, and the summary.

use std::{
    collections::BTreeMap,
    fmt::Write,
    time::{Duration, Instant},
};

use orion_core::{ledger::Cause, report::Report};

use crate::book::Book;

/// Counts of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// Frames with a line.
    pub(super) lines: u64,
    /// Frames that went to the encoder.
    pub(super) pictures: u64,
    /// Frames on which something was found.
    pub(super) with: u64,
    /// The most that was found at once.
    pub(super) most: usize,
    /// Type of the results.
    pub(super) kind: Option<String>,
    /// Frames without a result, by cause.
    pub(super) lost: BTreeMap<String, u64>,
    /// Position of the newest frame in the recording, ms.
    pub(super) position_ms: f64,
    results: u64,
    inference_ms: f64,
    span: Option<(Instant, Instant)>,
}

impl Tally {
    /// A frame with its result.
    pub(super) fn result(&mut self, report: &Report, position_ms: f64, now: Instant) {
        self.line(position_ms, now);
        self.results += 1;
        self.inference_ms += report.result.timing.inference_ms;
        let found = report.result.data.detections.len();
        self.with += u64::from(found > 0);
        self.most = self.most.max(found);
        if self.kind.as_ref() != Some(&report.result.kind) {
            self.kind = Some(report.result.kind.clone());
        }
    }

    /// A frame without one.
    pub(super) fn lost(&mut self, cause: Cause, position_ms: f64, now: Instant) {
        self.line(position_ms, now);
        *self.lost.entry(cause.as_str().to_owned()).or_default() += 1;
    }

    fn line(&mut self, position_ms: f64, now: Instant) {
        self.lines += 1;
        self.position_ms = position_ms;
        self.span = Some((self.span.map_or(now, |(first, _)| first), now));
    }

    /// Frames with a result.
    pub(super) fn results(&self) -> u64 {
        self.results
    }

    /// Frames a second, from the first one to the last; 0 = not known.
    pub(super) fn rate(&self) -> f64 {
        let seconds = self.elapsed().as_secs_f64();
        if seconds > 0.0 { (self.lines - 1) as f64 / seconds } else { 0.0 }
    }

    /// From the first frame to the last.
    pub(super) fn elapsed(&self) -> Duration {
        self.span.map_or(Duration::ZERO, |(first, last)| last - first)
    }

    /// What is found: persons where the model looks for them.
    pub(super) fn found(&self) -> &'static str {
        if self.kind.as_deref() == Some(gstorion::meta::PERSON) { "with persons" } else { "with detections" }
    }

    /// Whether each frame that was received has a line, and a picture where those are made.
    pub(super) fn adds_up(&self, received: u64, pictures: bool) -> bool {
        let lost: u64 = self.lost.values().sum();
        received == self.lines && self.lines == self.results + lost && (!pictures || self.pictures == self.lines)
    }

    /// All of it in a few lines.
    pub(super) fn summary(&self, received: u64, pictures: bool, books: &[Book]) -> String {
        let mut text =
            format!("frames    {received} in {:.1} s, {:.1} a second\n", self.elapsed().as_secs_f64(), self.rate());
        let _ = writeln!(text, "found     {} {}, at most {} at once", self.with, self.found(), self.most);
        let mean = self.inference_ms / self.results.max(1) as f64;
        let _ = writeln!(text, "inference {mean:.1} ms mean");
        let lost: Vec<_> = self.lost.iter().map(|(cause, n)| format!("{cause} {n}")).collect();
        let lost = if lost.is_empty() { "0".to_owned() } else { lost.join(", ") };
        let sum = if self.adds_up(received, pictures) { "adds up" } else { "DOES NOT ADD UP" };
        let shown = if pictures { format!(", pictures {}", self.pictures) } else { String::new() };
        let results = self.results;
        let _ = write!(
            text,
            "ledger    frames {received} = results {results} + without result {lost}; lines {}{shown} ({sum})",
            self.lines
        );
        for book in books {
            let _ = write!(text, "\n          {}", book.line());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(found: usize) -> Report {
        let one =
            serde_json::json!({"bbox": {"x": 1, "y": 1, "width": 1, "height": 1}, "confidence": 1, "label": "person"});
        serde_json::from_value(serde_json::json!({
            "type": "person_detection", "instance_id": "a", "room_id": "", "timestamp": "t", "frame_seq": 1,
            "data": {"detections": vec![one; found], "count": found}, "timing": {"inference_ms": 20.0 + found as f64, "total_ms": 40.0},
            "clock_source": "arrival", "latency_ms": 1.0, "stages": {"queue_ms": 1.0, "worker_ms": 1.0, "publish_ms": 1.0},
            "time_since_full_sweep_ms": null, "coverage": 1.0, "lost_since_last": {},
        }))
        .unwrap()
    }

    #[test]
    fn a_summary_counts_each_frame_once() {
        let (mut tally, start) = (Tally::default(), Instant::now());
        for n in 0..10_u32 {
            let now = start + Duration::from_millis(500) * n;
            if n == 4 {
                tally.lost(Cause::WorkerRestart, 0.0, now);
            } else {
                tally.result(&report(n as usize % 3), 0.0, now);
            }
        }
        tally.pictures = 10;
        let text = tally.summary(10, true, &[]);
        for expected in [
            "frames    10 in 4.5 s, 2.0 a second",
            "found     5 with persons, at most 2 at once",
            "inference 20.9 ms mean",
            "frames 10 = results 9 + without result worker_restart 1; lines 10, pictures 10 (adds up)",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert!(!tally.adds_up(11, true) && tally.adds_up(10, false));
        tally.pictures = 9;
        assert!(tally.summary(10, true, &[]).contains("DOES NOT ADD UP") && tally.adds_up(10, false));
    }
}
