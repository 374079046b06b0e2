// SPDX-License-Identifier: MPL-2.0
//! What a change has interrupted, by the results around it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use orion_core::gap::GAP_TYPE;
use serde_json::Value;

/// Causes of lost frames that a change could be to blame for.
const BLAMED: [&str; 4] = ["worker_restart", "worker_error", "decode_error", "shutdown"];

/// Counts the results of one instance.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    topic: String,
    /// When the last result of each kind came.
    last: BTreeMap<String, Instant>,
    longest: Option<Duration>,
    results: u64,
    lost: u64,
}

impl Gauge {
    pub(super) fn new(id: &str) -> Self {
        Self { topic: format!("inferences/{id}/"), ..Self::default() }
    }

    /// A message that came at `now`; others than results of this instance are passed over.
    pub(super) fn hear(&mut self, topic: &str, payload: &[u8], now: Instant) {
        let Some(kind) = topic.strip_prefix(&self.topic).filter(|kind| *kind != GAP_TYPE) else { return };
        let report: Value = serde_json::from_slice(payload).unwrap_or_default();
        // What had to wait for the broker says nothing of now.
        if report["replayed"] == true {
            return;
        }
        self.results += 1;
        let lost = |cause: &&str| report["lost_since_last"][*cause].as_u64();
        self.lost += BLAMED.iter().filter_map(lost).sum::<u64>();
        if let Some(before) = self.last.insert(kind.to_owned(), now) {
            self.longest = self.longest.max(Some(now.saturating_duration_since(before)));
        }
    }

    /// How many results came.
    pub(super) fn results(&self) -> u64 {
        self.results
    }

    /// What was measured, with the intervals in force before and now, s.
    pub(super) fn told(&self, before: Option<f64>, now: Option<f64>) -> String {
        let lost = match self.lost {
            0 => "no frame was lost by it".to_owned(),
            frames => format!("{frames} frames were lost by it"),
        };
        let interval = match (before, now) {
            (Some(before), Some(now)) if before != now => format!("; the interval was {before:.2} s and is {now:.2} s"),
            (_, Some(now)) => format!("; the interval in force is {now:.2} s"),
            _ => String::new(),
        };
        match self.longest {
            Some(longest) => format!("longest gap between results {:.2} s{interval}; {lost}", longest.as_secs_f64()),
            None => format!("too few results to measure a gap{interval}; {lost}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_is_that_of_one_kind() {
        let (mut gauge, start) = (Gauge::new("a"), Instant::now());
        assert_eq!(gauge.told(None, None), "too few results to measure a gap; no frame was lost by it");
        for (ms, topic, payload) in [
            (0, "inferences/a/person_detection", "{}"),
            (100, "inferences/a/motion_detection", "{}"),
            (500, "inferences/a/person_detection", r#"{"lost_since_last": {"queue_full": 9, "worker_restart": 1}}"#),
            (510, "inferences/b/person_detection", "{}"),
            (520, "inferences/a/gap", "{}"),
            (530, "inferences/a/person_detection", r#"{"replayed": true}"#),
            (1230, "inferences/a/person_detection", "not JSON"),
        ] {
            gauge.hear(topic, payload.as_bytes(), start + Duration::from_millis(ms));
        }
        assert_eq!(gauge.results(), 4);
        let told = "longest gap between results 0.73 s; the interval in force is 0.50 s; 1 frames were lost by it";
        assert_eq!(gauge.told(Some(0.5), Some(0.5)), told);
        assert!(gauge.told(Some(0.5), Some(2.0)).contains("the interval was 0.50 s and is 2.00 s"));
    }
}
