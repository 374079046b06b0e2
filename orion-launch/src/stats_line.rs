// SPDX-License-Identifier: MPL-2.0
//! One line of the log a camera, every few seconds.

use std::{collections::BTreeMap, time::Instant};

use crate::status::Snapshot;

/// Remembers what was told last, to tell what has happened since.
#[derive(Debug, Default)]
pub(crate) struct StatsLines {
    told: Option<Instant>,
    results: BTreeMap<String, u64>,
}

impl StatsLines {
    /// How long ago lines were told; none = never.
    pub(crate) fn told(&self) -> Option<Instant> {
        self.told
    }

    /// The lines now.
    pub(crate) fn lines(&mut self, now: Instant, cameras: &[Snapshot]) -> Vec<String> {
        let seconds = self.told.map(|told| now.saturating_duration_since(told).as_secs_f64());
        self.told = Some(now);
        cameras.iter().map(|camera| self.line(camera, seconds)).collect()
    }

    fn line(&mut self, camera: &Snapshot, seconds: Option<f64>) -> String {
        let sum = |value: &dyn Fn(&crate::status::Worker) -> u64| camera.workers.iter().map(value).sum::<u64>();
        let results = sum(&|worker| worker.inferences_emitted);
        let before = self.results.insert(camera.instance_id.clone(), results).unwrap_or_default();
        let rate =
            seconds.filter(|seconds| *seconds > 0.0).map(|seconds| results.saturating_sub(before) as f64 / seconds);
        let rate = rate.map_or_else(String::new, |rate| format!(" ({rate:.1}/s)"));
        let processes: Vec<_> = camera.workers.iter().flat_map(|worker| &worker.processes).collect();
        let ready = processes.iter().filter(|process| process.is_ready()).count();
        let worst = camera.workers.iter().map(|worker| worker.drop_rate).fold(0.0, f64::max);
        let slowest = camera.workers.iter().map(|worker| worker.avg_latency_ms).fold(0.0, f64::max);
        format!(
            "{}: {} frames of the camera, {results} results{rate}, {} not wanted, {} dropped (drop rate {:.0} %), {slowest:.0} ms a frame, \
             {ready} of {} workers ready, {} messages wait",
            camera.instance_id,
            camera.stream.frames,
            camera.workers.first().map_or(0, |worker| worker.rate_limit),
            sum(&|worker| worker.frames_dropped),
            100.0 * worst,
            processes.len(),
            camera.broker.buffered,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::status::{Process, Worker};

    #[test]
    fn a_line_tells_what_has_happened_since_the_one_before() {
        let camera = |results| {
            let mut camera = Snapshot { instance_id: "a".into(), ..Snapshot::default() };
            let process = Process { state: "ready".into(), ..Process::default() };
            let processes = vec![process, Process::default()];
            let worker = Worker {
                inferences_emitted: results,
                drop_rate: 0.25,
                frames_dropped: 3,
                processes,
                ..Worker::default()
            };
            camera.workers.push(worker);
            camera
        };
        let (mut lines, start) = (StatsLines::default(), Instant::now());
        let first = lines.lines(start, &[camera(10)]);
        let expected = "a: 0 frames of the camera, 10 results, 0 not wanted, 3 dropped (drop rate 25 %), 0 ms a frame, 1 of 2 workers \
                        ready, 0 messages wait";
        assert_eq!(first, [expected]);
        let second = lines.lines(start + Duration::from_secs(10), &[camera(60)]);
        assert!(second[0].contains("60 results (5.0/s)"), "{second:?}");
    }
}
