// SPDX-License-Identifier: MPL-2.0
//! A result as one line for people.

use std::fmt::Write;

use orion_core::{health::Presence, presence::State, report::Report};

/// How many boxes fit in a line.
const BOXES: usize = 4;

/// The line.
pub(super) fn of(report: &Report) -> String {
    let result = &report.result;
    // RFC 3339 in UTC: the time of day with milliseconds.
    let time = result.timestamp.get(11..23).unwrap_or(&result.timestamp);
    let detections = &result.data.detections;
    let mut line = format!("{time}  #{}  {}  {}", result.frame_seq, result.kind, what(report));
    for detection in detections.iter().take(BOXES) {
        let b = detection.bbox;
        let _ = write!(line, "  {:.2} at {:.0},{:.0} {:.0}x{:.0}", detection.confidence, b.x, b.y, b.width, b.height);
    }
    if detections.len() > BOXES {
        let _ = write!(line, "  and {} more", detections.len() - BOXES);
    }
    let _ = write!(line, "  latency {:.0} ms", report.latency_ms);
    if !report.lost_since_last.is_empty() {
        let lost: Vec<_> = report.lost_since_last.iter().map(|(cause, n)| format!("{cause} {n}")).collect();
        let _ = write!(line, "  lost: {}", lost.join(", "));
    }
    line
}

/// What is said of presence, if it is something else than `said` last.
pub(super) fn presence(news: &Presence, said: &mut Option<State>) -> Option<String> {
    if said.replace(news.state) == Some(news.state) {
        return None;
    }
    let word = match news.state {
        State::Present => "present: somebody is there",
        State::Absent => "absent: nobody is there",
        State::Unknown => "unknown",
    };
    Some(format!("{}  presence  {word}", news.timestamp.get(11..23).unwrap_or(&news.timestamp)))
}

/// What was seen: `1 person`, `3 persons`, `nobody`.
fn what(report: &Report) -> String {
    let detections = &report.result.data.detections;
    match detections.as_slice() {
        [] if report.result.kind == "person_detection" => "nobody".into(),
        [] => "nothing".into(),
        [one] => format!("1 {}", one.label),
        [first, rest @ ..] if rest.iter().all(|d| d.label == first.label) => {
            format!("{} {}s", detections.len(), first.label)
        }
        _ => format!("{} things", detections.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::report, *};

    #[test]
    fn presence_is_told_where_it_changes() {
        let news = |state: &str| -> Presence {
            serde_json::from_value(serde_json::json!({"instance_id": "demo", "state": state, "count": 0,
                "since": "2026-11-22T08:15:01.000000000Z", "evidence_age_ms": 3, "timestamp": "2026-11-22T08:15:03.214567890Z"}))
            .unwrap()
        };
        let mut said = None;
        let mut lines = ["absent", "absent", "present", "absent"].map(|state| presence(&news(state), &mut said));
        assert_eq!(lines[0].take().unwrap(), "08:15:03.214  presence  absent: nobody is there");
        assert_eq!((lines[1].is_some(), lines[2].is_some(), lines[3].is_some()), (false, true, true));
    }

    #[test]
    fn a_line_says_when_what_where_and_what_was_lost() {
        let person = (0.873, [312.4, 80.0, 96.0, 240.0]);
        let expected =
            "08:15:03.214  #42  person_detection  1 person  0.87 at 312,80 96x240  latency 84 ms  lost: queue_full 2";
        assert_eq!(of(&report("person_detection", &[person], &[("queue_full", 2)])), expected);
        assert!(of(&report("person_detection", &[], &[])).ends_with("  nobody  latency 84 ms"));
        assert!(of(&report("motion_detection", &[], &[])).contains("  nothing  "));
        let crowd = of(&report("person_detection", &[person; 6], &[]));
        assert!(crowd.contains("  6 persons  ") && crowd.contains("  and 2 more  "), "{crowd}");
    }
}
