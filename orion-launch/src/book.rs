// SPDX-License-Identifier: MPL-2.0
//! The ledger of an element as others are shown it.

use std::collections::BTreeMap;

use orion_core::{
    ledger::{Cause, Ledger},
    report::Report,
};
use serde::Serialize;

/// The ledger of one element.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Book {
    pub(crate) element: String,
    pub(crate) received: u64,
    pub(crate) forwarded: u64,
    pub(crate) in_flight: u64,
    pub(crate) dropped: BTreeMap<String, u64>,
}

impl Book {
    pub(crate) fn of_ledger(element: &str, ledger: &Ledger) -> Self {
        Self {
            element: element.to_owned(),
            received: ledger.received(),
            forwarded: ledger.forwarded(),
            in_flight: ledger.in_flight(),
            dropped: Report::losses(ledger.dropped()),
        }
    }

    /// Of an element's `stats`.
    pub(crate) fn of_stats(element: &str, stats: &gst::StructureRef) -> Self {
        let dropped = stats.get::<gst::Structure>("dropped").ok();
        let causes =
            dropped.iter().flat_map(|d| d.iter()).filter_map(|(cause, n)| Some((cause.to_string(), n.get().ok()?)));
        Self {
            element: element.to_owned(),
            received: number(stats, "received"),
            forwarded: number(stats, "forwarded"),
            in_flight: number(stats, "in-flight"),
            dropped: causes.filter(|(_, n)| *n > 0).collect(),
        }
    }

    /// Whether received = forwarded + dropped + in flight.
    pub(crate) fn adds_up(&self) -> bool {
        self.received == self.forwarded + self.in_flight + self.dropped.values().sum::<u64>()
    }

    /// The ledger in one line.
    pub(crate) fn line(&self) -> String {
        let dropped = match self.dropped.is_empty() {
            true => "0".to_owned(),
            false => self.dropped.iter().map(|(cause, n)| format!("{cause} {n}")).collect::<Vec<_>>().join(", "),
        };
        let sum = if self.adds_up() { "adds up" } else { "DOES NOT ADD UP" };
        format!(
            "{}: received {} = forwarded {} + dropped {dropped} + in flight {} ({sum})",
            self.element, self.received, self.forwarded, self.in_flight
        )
    }
}

/// Frames that left one element and that the next one never saw: the queue between them pushed them out before the first or
/// after the last one that came through, so that no gap between numbers told of them. They go into the book of the next one.
/// For the end, when nothing is on its way any more.
pub(crate) fn close(from: &Book, to: &mut Book) {
    let unseen = from.forwarded.saturating_sub(to.received);
    if unseen > 0 {
        to.received += unseen;
        *to.dropped.entry(Cause::QueueFull.as_str().to_owned()).or_default() += unseen;
    }
}

fn number(stats: &gst::StructureRef, field: &str) -> u64 {
    stats.get(field).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(element: &str, received: u64, forwarded: u64, dropped: &[(&str, u64)]) -> Book {
        let dropped = dropped.iter().map(|(cause, n)| ((*cause).to_owned(), *n)).collect();
        Book { element: element.to_owned(), received, forwarded, in_flight: 0, dropped }
    }

    #[test]
    fn a_line_says_whether_it_adds_up() {
        let mut infer = book("infer", 50, 10, &[("paused", 9), ("queue_full", 30)]);
        infer.in_flight = 1;
        let line = "infer: received 50 = forwarded 10 + dropped paused 9, queue_full 30 + in flight 1 (adds up)";
        assert_eq!(infer.line(), line);
        assert!(Book { received: 51, ..infer }.line().ends_with("(DOES NOT ADD UP)"));
    }

    #[test]
    fn what_the_queue_pushed_out_unseen_is_in_a_book_at_the_end() {
        let roi = book("roi", 20, 20, &[]);
        let mut infer = book("infer", 17, 10, &[("queue_full", 7)]);
        close(&roi, &mut infer);
        assert_eq!(infer, book("infer", 20, 10, &[("queue_full", 10)]));
        assert!(infer.adds_up());
        close(&roi, &mut infer);
        assert_eq!(infer.received, 20, "nothing is missing any more");
        let mut more = book("infer", 25, 25, &[]);
        close(&roi, &mut more);
        assert_eq!(more, book("infer", 25, 25, &[]), "where frames come from elsewhere nothing is known");
    }
}
