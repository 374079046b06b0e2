// SPDX-License-Identifier: MPL-2.0
//! The two formats in which Prometheus reads metrics.

/// Media type of OpenMetrics 1.0.
pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Media type of the older text format.
pub(super) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether a client that accepts this reads OpenMetrics.
pub(super) fn wants_open_metrics(accept: &str) -> bool {
    accept.split(',').any(|kind| kind.trim_start().starts_with("application/openmetrics-text"))
}

/// OpenMetrics in the older format: there a counter is described by its whole name, and neither units nor an end are known.
pub(super) fn to_text(open_metrics: &str) -> String {
    let counters: Vec<_> = open_metrics.lines().filter_map(|line| counter(line)).collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let described = ["# HELP ", "# TYPE "].into_iter().find_map(|start| Some((start, line.strip_prefix(start)?)));
        match described.and_then(|(start, rest)| Some((start, rest.split_once(' ')?))) {
            Some((start, (name, rest))) if counters.contains(&name) => {
                text.extend([start, name, "_total ", rest]);
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

fn counter(line: &str) -> Option<&str> {
    line.strip_prefix("# TYPE ")?.strip_suffix(" counter")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_described_by_its_whole_name() {
        let open = "# HELP a_frames Frames.\n# TYPE a_frames counter\na_frames_total{x=\"1\"} 3\n# HELP b_seconds Age.\n\
                    # TYPE b_seconds gauge\n# UNIT b_seconds seconds\nb_seconds 0.5\n# EOF\n";
        let text = "# HELP a_frames_total Frames.\n# TYPE a_frames_total counter\na_frames_total{x=\"1\"} 3\n# HELP b_seconds Age.\n\
                    # TYPE b_seconds gauge\nb_seconds 0.5\n";
        assert_eq!(to_text(open), text);
    }

    #[test]
    fn who_reads_open_metrics_says_so() {
        assert!(wants_open_metrics("text/plain;q=0.5,application/openmetrics-text;version=1.0.0;q=0.75,*/*;q=0.1"));
        assert!(!wants_open_metrics("text/plain") && !wants_open_metrics(""));
    }
}
