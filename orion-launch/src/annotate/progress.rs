// SPDX-License-Identifier: MPL-2.0
//! How far it is: a bar on a terminal, a line now and then elsewhere.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::tally::Tally;

/// Time between two lines where there is no terminal.
const LINES: Duration = Duration::from_secs(10);

/// Shows progress on standard error.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    next: Instant,
}

impl Progress {
    /// Nothing is shown before the first update.
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
            bar.set_message("starting");
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar
        });
        Self { bar, next: Instant::now() + LINES }
    }

    /// Shows what has been done so far; `length_ms`: of what is to be done, if that is known.
    pub(super) fn update(&mut self, tally: &Tally, done_ms: f64, length_ms: Option<f64>) {
        let text = told(tally, done_ms, length_ms);
        match &self.bar {
            Some(bar) => {
                if let Some(length) = length_ms
                    && bar.length().is_none()
                    && tally.lines > 0
                {
                    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {msg}") {
                        bar.set_style(style);
                    }
                    bar.set_length(length as u64);
                }
                bar.set_position(done_ms as u64);
                bar.set_message(if tally.lines == 0 { "starting".to_owned() } else { text });
                bar.tick();
            }
            None if Instant::now() >= self.next => {
                self.next = Instant::now() + LINES;
                // With standard error closed nobody is there to be told.
                let _ = writeln!(std::io::stderr(), "annotate: {text}");
            }
            None => {}
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn told(tally: &Tally, done_ms: f64, length_ms: Option<f64>) -> String {
    let mut text = format!("{} frames, {} {}, {:.1} a second", tally.lines, tally.with, tally.found(), tally.rate());
    let elapsed = tally.elapsed().as_secs_f64();
    if let Some(length) = length_ms.filter(|length| *length > 0.0 && done_ms > 0.0 && elapsed > 0.0) {
        let share = (done_ms / length).min(1.0);
        let left = (elapsed * (1.0 - share) / share).round() as u64;
        text.push_str(&format!(
            ", {:.0} % of {:.1} s, {}:{:02} left",
            share * 100.0,
            length / 1e3,
            left / 60,
            left % 60
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use orion_core::ledger::Cause;

    use super::*;

    #[test]
    fn time_left_follows_from_the_time_so_far() {
        let (mut tally, start) = (Tally::default(), Instant::now());
        assert_eq!(told(&tally, 0.0, Some(1000.0)), "0 frames, 0 with detections, 0.0 a second");
        for n in 0..=50_u32 {
            tally.lost(Cause::WorkerError, 0.0, start + Duration::from_millis(1000) * n);
        }
        assert_eq!(
            told(&tally, 2500.0, Some(10_000.0)),
            "51 frames, 0 with detections, 1.0 a second, 25 % of 10.0 s, 2:30 left"
        );
        assert!(told(&tally, 2500.0, None).ends_with("1.0 a second"));
    }
}
