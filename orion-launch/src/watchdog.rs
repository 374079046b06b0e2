// SPDX-License-Identifier: MPL-2.0
//! Looks whether workers that took frames answer them, and has them started anew where they do not.

use std::time::Duration;

use gst::prelude::*;
use orion_core::{
    health::Event,
    watchdog::{self, Sight, Verdict},
};

use crate::{control::Voice, record::Record, rules, sights::Seen};

/// The longest time that `orionpyinfer` takes, ns.
const LONGEST: u64 = 3600 * 1_000_000_000;
/// The shortest time from one look to the next.
const SHORTEST: Duration = Duration::from_secs(1);

/// Watches the elements of one camera.
#[derive(Debug)]
pub(crate) struct Watchdog {
    elements: Vec<Watched>,
    next: Duration,
    /// Whether the elements' own limits are ours to set.
    sets: bool,
    frame_timeout: Option<u64>,
}

#[derive(Debug)]
struct Watched {
    element: gst::Element,
    /// How long new workers may take.
    startup: Duration,
    watchdog: watchdog::Watchdog,
}

impl Watchdog {
    /// For these elements, all `orionpyinfer`; `sets`: whether their `frame-timeout` follows the same rule.
    pub(crate) fn new(elements: &[gst::Element], sets: bool) -> Self {
        let watched = |element: &gst::Element| Watched {
            element: element.clone(),
            startup: Duration::from_nanos(element.property("startup-timeout")),
            watchdog: watchdog::Watchdog::default(),
        };
        Self { elements: elements.iter().map(watched).collect(), next: Duration::ZERO, sets, frame_timeout: None }
    }

    /// Lets the elements themselves replace a worker that keeps a frame for so long, at this rate (Hz; none = all frames).
    pub(crate) fn limit(&mut self, rules: &rules::Watchdog, rate: Option<f64>) {
        let timeout = nanoseconds(watchdog::timeout(rules.min_timeout, rate));
        if self.sets && self.frame_timeout != Some(timeout) {
            self.frame_timeout = Some(timeout);
            self.elements.iter().for_each(|watched| watched.element.set_property("frame-timeout", timeout));
        }
    }

    /// Looks, if it is time to; `wanted`: whether frames come and are to be looked at.
    pub(crate) fn look(
        &mut self,
        now: Duration,
        rules: &rules::Watchdog,
        (rate, wanted): (Option<f64>, bool),
        seen: &[Seen],
        (voice, record): (&Voice, &Record),
    ) {
        if now < self.next {
            return;
        }
        self.next = now + rules.interval.max(SHORTEST);
        let timeout = watchdog::timeout(rules.min_timeout, rate);
        for (watched, seen) in self.elements.iter_mut().zip(seen) {
            let sight = Sight { wanted, ..seen.sight };
            let verdict = watched.watchdog.look(now, sight, timeout, watched.startup);
            let (name, restarts) = (watched.element.name().to_string(), watched.watchdog.restarts());
            if let Some(event) = event(&name, verdict, restarts) {
                voice.event(event);
            }
            if matches!(verdict, Verdict::Restart(_)) {
                record.set_restarts(&name, restarts);
                let element = watched.element.clone();
                // The element may hold something that it does not let go of: nobody here waits for that.
                tokio::task::spawn_blocking(move || {
                    // Results keep their order: those of new workers wait until the old one is done with its frame, or killed.
                    if element.property::<u64>("frame-timeout") > nanoseconds(timeout) {
                        element.set_property("frame-timeout", nanoseconds(timeout));
                    }
                    element.emit_by_name::<()>("restart-worker", &[]);
                });
            }
        }
    }
}

/// As `orionpyinfer` takes it.
fn nanoseconds(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_nanos()).unwrap_or(LONGEST).clamp(1, LONGEST)
}

/// What is told of a verdict, and logged.
fn event(worker: &str, verdict: Verdict, restarts: u64) -> Option<Event> {
    match verdict {
        Verdict::Fine => None,
        Verdict::Restart(waited) => {
            let waited_s = waited.as_secs_f64();
            tracing::warn!("watchdog: {worker} has given no answer for {waited_s:.1} s; its workers are started anew");
            Some(Event::WatchdogRestart { worker: worker.to_owned(), waited_s, restarts })
        }
        Verdict::Failed(waited) => {
            let text = format!(
                "{worker} has given no result for {:.0} s, whatever was done about it. Look at the log for \
                 what they say, at the machine's memory and load, and at the model (models.{worker} or models.person_detector); then \
                 send restart_worker, or restart the daemon",
                waited.as_secs_f64()
            );
            tracing::error!("watchdog: {text}");
            Some(Event::WatchdogFailed { worker: worker.to_owned(), text })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: rules::Watchdog =
        rules::Watchdog { interval: Duration::from_secs(5), min_timeout: Duration::from_secs(30) };

    #[test]
    fn what_is_told_says_what_is_to_be_done() {
        assert_eq!(event("infer", Verdict::Fine, 0), None);
        let told = event("infer", Verdict::Restart(Duration::from_secs(31)), 2);
        assert_eq!(told, Some(Event::WatchdogRestart { worker: "infer".into(), waited_s: 31.0, restarts: 2 }));
        let Some(Event::WatchdogFailed { text, .. }) = event("infer", Verdict::Failed(Duration::from_secs(95)), 2)
        else {
            panic!("not told")
        };
        assert!(text.starts_with("infer has given no result for 95 s") && text.contains("restart_worker"), "{text}");
    }

    #[test]
    fn the_elements_own_limit_follows_the_rate() {
        gst::init().unwrap();
        // Another test may have done so already.
        let _ = gstorion::plugin_register_static();
        let element = gst::ElementFactory::make("orionpyinfer").build().unwrap();
        let seconds = || element.property::<u64>("frame-timeout") as f64 / 1e9;
        let mut watchdog = Watchdog::new(std::slice::from_ref(&element), true);
        for (rate, expected) in [(Some(5.0), 30.0), (Some(0.05), 60.0), (None, 30.0), (Some(1e-9), 3600.0)] {
            watchdog.limit(&RULES, rate);
            assert_eq!(seconds(), expected, "{rate:?}");
        }
        element.set_property("frame-timeout", 7_000_000_000u64);
        Watchdog::new(std::slice::from_ref(&element), false).limit(&RULES, Some(5.0));
        assert_eq!(seconds(), 7.0, "in a pipeline of somebody's own");
    }
}
