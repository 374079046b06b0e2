// SPDX-License-Identifier: MPL-2.0
//! All results of one kind of one camera, summed up.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    bins::{Bins, Part},
    entry::{Look, Missing},
    spread::Spread,
};

/// Different names that are counted one by one; others are counted together.
const NAMES: usize = 12;
/// What names beyond those are called.
const OTHERS: &str = "others";

/// Counts by name; of a file that makes up names without end, the first ones.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Names(BTreeMap<String, u64>);

impl Names {
    fn add(&mut self, name: &str, count: u64) {
        if let Some(known) = self.0.get_mut(name) {
            // A file may say anything.
            *known = known.saturating_add(count);
        } else if self.0.len() < NAMES {
            self.0.insert(name.to_owned(), count);
        } else {
            let others = self.0.entry(OTHERS.to_owned()).or_default();
            *others = others.saturating_add(count);
        }
    }

    fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(name, count)| self.add(name, *count));
    }

    /// Names and counts.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, count)| (name.as_str(), *count))
    }

    /// The count of a name.
    pub(super) fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// All counts.
    pub(super) fn total(&self) -> u64 {
        self.0.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// A part of time, or all of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sum {
    /// Detections a result.
    pub(super) found: Spread,
    /// Results with a detection.
    pub(super) with: u64,
    /// From capture to publication, ms.
    pub(super) latency: Spread,
    /// Waiting for a worker, with it, and for publication, ms.
    pub(super) stages: [Spread; 3],
    /// The worker's preparation, model and rest, ms.
    pub(super) timing: [Spread; 3],
    /// Between a result and the one before, ms.
    pub(super) interval: Spread,
    /// Of detections, 0..1.
    pub(super) confidence: Spread,
    /// Share of the frame, 0..1.
    pub(super) coverage: Spread,
    /// Since the last look at the whole frame, ms.
    pub(super) sweep: Spread,
    /// Frames lost before a result, by cause.
    pub(super) lost: Names,
    /// Frames that gap records tell of, by cause.
    pub(super) gaps: Names,
    /// Results by model.
    pub(super) models: Names,
    /// Results by who chose the region.
    pub(super) regions: Names,
    /// Detections by label.
    pub(super) labels: Names,
    /// Results that came late.
    pub(super) replayed: u64,
}

impl Part for Sum {
    fn merge(&mut self, next: Self) {
        self.with += next.with;
        self.replayed += next.replayed;
        for (mine, theirs) in self.spreads().into_iter().zip(next.clone().spreads()) {
            mine.merge(theirs);
        }
        for (mine, theirs) in [
            (&mut self.lost, &next.lost),
            (&mut self.gaps, &next.gaps),
            (&mut self.models, &next.models),
            (&mut self.regions, &next.regions),
            (&mut self.labels, &next.labels),
        ] {
            mine.merge(theirs);
        }
    }
}

impl Sum {
    fn spreads(&mut self) -> [&mut Spread; 12] {
        let [queue, worker, publish] = &mut self.stages;
        let [before, model, after] = &mut self.timing;
        let Self { found, latency, interval, confidence, coverage, sweep, .. } = self;
        [found, latency, queue, worker, publish, before, model, after, interval, confidence, coverage, sweep]
    }

    fn look(&mut self, look: &Look, interval: Option<f64>) {
        let detections = &look.data.detections;
        self.found.add(detections.len() as f64);
        self.with += u64::from(!detections.is_empty());
        for detection in detections {
            self.confidence.add(detection.confidence);
            self.labels.add(&detection.label, 1);
        }
        look.latency_ms.into_iter().for_each(|ms| self.latency.add(ms));
        if let Some(stages) = &look.stages {
            let [queue, worker, publish] = &mut self.stages;
            queue.add(stages.queue_ms);
            worker.add(stages.worker_ms);
            publish.add(stages.publish_ms);
        }
        let [before, model, after] = &mut self.timing;
        before.add(look.timing.preprocess_ms);
        model.add(look.timing.inference_ms);
        after.add(look.timing.postprocess_ms);
        interval.into_iter().for_each(|ms| self.interval.add(ms));
        look.coverage.into_iter().for_each(|share| self.coverage.add(share));
        look.time_since_full_sweep_ms.into_iter().for_each(|ms| self.sweep.add(ms));
        look.lost_since_last.iter().for_each(|(cause, frames)| self.lost.add(cause, *frames));
        let model = look.model();
        self.models.add(if model.is_empty() { "not told" } else { &model }, 1);
        self.regions.add(look.region(), 1);
        self.replayed += u64::from(look.replayed);
    }
}

/// What the time axis shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// Time in the recording.
    Recording,
    /// The wall clock, UTC.
    Utc,
}

/// A camera's results of one kind.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) parts: Bins<Sum>,
    pub(super) all: Sum,
    /// By the first line that has a time.
    pub(super) clock: Option<Clock>,
    /// Lines without a time.
    pub(super) undated: u64,
    /// Times that the sequence numbers began anew.
    pub(super) restarts: u64,
    last: Option<(u64, i64)>,
}

impl Series {
    /// Adds a result.
    pub(super) fn look(&mut self, look: &Look) {
        let time = self.time(look.position_ms, &look.timestamp);
        let interval = self.interval(look.frame_seq, time);
        self.all.look(look, interval);
        match time {
            Some(time) => self.parts.at(time).look(look, interval),
            None => self.undated += 1,
        }
    }

    /// Adds what a gap record says.
    pub(super) fn gap(&mut self, gap: &Missing) {
        let time = self.time(gap.position_ms, &gap.timestamp);
        self.all.gaps.add(&gap.cause, gap.frames);
        match time {
            Some(time) => self.parts.at(time).gaps.add(&gap.cause, gap.frames),
            None => self.undated += 1,
        }
    }

    fn time(&mut self, position_ms: Option<f64>, timestamp: &str) -> Option<i64> {
        // Beyond any recording, and far from where sums of times overflow.
        let position = position_ms.filter(|ms| ms.abs() < 1e13).map(|ms| ms as i64);
        let clock = *self.clock.get_or_insert(match position {
            Some(_) => Clock::Recording,
            None => Clock::Utc,
        });
        match clock {
            Clock::Recording => position,
            Clock::Utc => timestamp.parse::<Timestamp>().ok().map(Timestamp::as_millisecond),
        }
    }

    /// Since the result before, ms; none where the stream began anew, or for one that comes late.
    fn interval(&mut self, seq: u64, time: Option<i64>) -> Option<f64> {
        let last = self.last.replace((seq, time?));
        let (before, then) = last?;
        let is_new = seq < before;
        self.restarts += u64::from(is_new);
        let since = self.last?.1 - then;
        (!is_new && since >= 0).then_some(since as f64)
    }

    /// Results.
    pub(super) fn results(&self) -> u64 {
        self.all.found.total()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::entry::{self, Entry};

    fn line(seq: u64, time: &str, more: &str) -> String {
        format!(r#"{{"type":"x","frame_seq":{seq},"timestamp":"{time}","data":{{"detections":[]}}{more}}}"#)
    }

    fn series(lines: &[String]) -> Series {
        let mut series = Series::default();
        for line in lines {
            match entry::read(line.as_bytes()).unwrap() {
                Entry::Look(look) => series.look(&look),
                Entry::Gap(gap) => series.gap(&gap),
                Entry::Other => panic!("{line}"),
            }
        }
        series
    }

    #[test]
    fn intervals_end_where_the_stream_begins_anew() {
        let at = |s: u32| format!("2026-11-22T08:00:{s:02}.000000000Z");
        let lines = [(0, 0), (1, 1), (2, 3), (0, 50), (1, 51), (2, 49)].map(|(seq, s)| line(seq, &at(s), ""));
        let series = series(&lines);
        assert_eq!((series.all.interval.total(), series.restarts, series.results()), (3, 1, 6));
        assert_eq!((series.all.interval.largest(), series.clock), (Some(2000.0), Some(Clock::Utc)));
        assert_eq!(series.parts.iter().map(|(_, sum)| sum.found.total()).sum::<u64>(), 6);
    }

    #[test]
    fn a_recording_has_its_own_time_and_a_line_without_one_counts_in_the_sums() {
        let gap = r#"{"type":"gap","missing_type":"x","cause":"worker_error","frames":2,"position_ms":80}"#;
        let lines = [
            line(0, "?", r#","position_ms":40.0,"lost_since_last":{"too_old":3}"#),
            gap.to_owned(),
            line(1, "?", r#","position_ms":120.0"#),
            line(2, "2026-11-22T08:00:00Z", ""),
        ];
        let series = series(&lines);
        assert_eq!((series.clock, series.undated, series.results()), (Some(Clock::Recording), 1, 3));
        assert_eq!((series.all.lost.get("too_old"), series.all.gaps.total()), (3, 2));
        assert_eq!(series.all.interval.largest(), Some(80.0));
    }

    #[test]
    fn names_without_end_are_counted_together() {
        let mut names = Names::default();
        (0..1000).for_each(|n| names.add(&n.to_string(), 1));
        assert_eq!((names.iter().count(), names.total(), names.get(OTHERS)), (NAMES + 1, 1000, 1000 - NAMES as u64));
    }
}
