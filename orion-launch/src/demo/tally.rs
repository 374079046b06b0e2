// SPDX-License-Identifier: MPL-2.0
//! The demo's summary.

use std::{collections::BTreeMap, fmt::Write, time::Instant};

use orion_core::report::Report;

use crate::book::Book;

/// What came in all.
#[derive(Debug, Default)]
pub(super) struct Tally {
    kinds: BTreeMap<String, u64>,
    latencies: Vec<f64>,
    seen: u64,
    most: usize,
    span: Option<(Instant, Instant)>,
}

impl Tally {
    /// Counts a result that came at `now`.
    pub(super) fn add(&mut self, report: &Report, now: Instant) {
        *self.kinds.entry(report.result.kind.clone()).or_default() += 1;
        self.latencies.push(report.latency_ms);
        let people = report.result.data.detections.len();
        self.seen += u64::from(people > 0);
        self.most = self.most.max(people);
        self.span = Some((self.span.map_or(now, |(first, _)| first), now));
    }

    /// Whether nothing came.
    pub(super) fn is_empty(&self) -> bool {
        self.latencies.is_empty()
    }

    /// Everything in a few lines, with the ledger of each element.
    pub(super) fn summary(&self, books: &[Book]) -> String {
        let results = self.latencies.len();
        let seconds = self.span.map_or(0.0, |(first, last)| (last - first).as_secs_f64());
        // The first result begins the time, the others fill it.
        let rate = if seconds > 0.0 { (results - 1) as f64 / seconds } else { 0.0 };
        let kinds: Vec<_> = self.kinds.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
        let what = if self.kinds.contains_key("person_detection") { "persons" } else { "seen   " };
        let mut text =
            format!("\nSummary\n  results  {results} in {seconds:.1} s, {rate:.1}/s: {}\n", kinds.join(", "));
        let _ = writeln!(text, "  {what}  in {} of the results, at most {} at once", self.seen, self.most);
        let mut sorted = self.latencies.clone();
        sorted.sort_by(f64::total_cmp);
        let _ = writeln!(text, "  latency  median {:.0} ms, p95 {:.0} ms", rank(&sorted, 0.5), rank(&sorted, 0.95));
        text.push_str("  ledger");
        for book in books {
            let _ = write!(text, "\n    {}", book.line());
        }
        text
    }
}

/// The value that this fraction of the values does not exceed (nearest rank).
fn rank(sorted: &[f64], fraction: f64) -> f64 {
    let index = (sorted.len() as f64 * fraction).ceil().max(1.0) as usize - 1;
    sorted.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::report, *};

    #[test]
    fn ranks_are_values_that_occurred() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(
            (rank(&values, 0.5), rank(&values, 0.95), rank(&[7.0], 0.95), rank(&[], 0.5)),
            (10.0, 19.0, 7.0, 0.0)
        );
    }

    #[test]
    fn a_summary_counts_results_persons_and_time() {
        let mut tally = Tally::default();
        assert!(tally.is_empty());
        let start = Instant::now();
        for n in 0..11 {
            let people = vec![(0.9, [0.0, 0.0, 9.0, 9.0]); n % 3];
            tally.add(&report("person_detection", &people, &[]), start + Duration::from_millis(200) * n as u32);
        }
        let book = Book { element: "roi".into(), received: 3, forwarded: 2, in_flight: 1, dropped: BTreeMap::new() };
        let text = tally.summary(&[book]);
        for expected in [
            "results  11 in 2.0 s, 5.0/s: person_detection 11",
            "persons  in 7 of the results, at most 2 at once",
            "latency  median 84 ms, p95 84 ms",
            "roi: received 3 = forwarded 2 + dropped 0 + in flight 1 (adds up)",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }
}
