// SPDX-License-Identifier: MPL-2.0
//! Decides for each frame where the worker looks, and with which model.
//!
//! External regions go first, then (with auto-focus) what workers suggest, then the full frame; and whatever the regions
//! say, a full frame is swept at least once per `max_blind`.

use crate::{
    focus::{Feedback, Focus},
    geometry::NormRect,
    roi::{self, ModelChoice},
    strategy::{Strategy, StrategySettings},
    sweep::Sweep,
    wire::{RoiProcessing, RoiSource, TargetSize},
};

/// What the planner goes by; everything may change between two frames.
#[derive(Debug, Clone)]
pub struct PlannerSettings {
    /// Regions set from outside.
    pub external: Vec<NormRect>,
    /// Follow what workers suggest.
    pub auto_focus: bool,
    /// How suggestions become a region.
    pub strategy: StrategySettings,
    /// For how many frames a suggestion is remembered.
    pub history_frames: u64,
    /// Least side of the merged region, fraction of the frame.
    pub min_roi: f64,
    /// Which model for which area.
    pub model: ModelChoice,
    /// The longest time without a full frame, ns; 0 = any.
    pub max_blind: u64,
}

/// A frame to plan for.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// Its number.
    pub seq: u64,
    /// Its time, ns on a clock that all frames share.
    pub time: u64,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// The plan for one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Region and model.
    pub roi: RoiProcessing,
    /// Time since the last full frame, ns: 0 for a full frame; none = there was none yet.
    pub since_sweep: Option<u64>,
}

impl Plan {
    /// The share of the frame that is looked at, 0..1.
    pub fn coverage(roi: &RoiProcessing) -> f64 {
        roi.merged_roi.map_or(1.0, |region| region.area())
    }
}

/// Frames by what was decided about them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Region set from outside.
    pub external: u64,
    /// Region suggested by the last answer.
    pub python_suggested: u64,
    /// Region from older suggestions.
    pub auto_history: u64,
    /// The full frame, sweeps among them.
    pub full_frame: u64,
    /// The full frame although there was a region.
    pub sweeps: u64,
    /// The small model.
    pub model_320: u64,
    /// The large model.
    pub model_640: u64,
    /// Regions made by each strategy, in the order of [`Strategy::ALL`].
    pub strategies: [u64; Strategy::ALL.len()],
}

/// Plans frame after frame.
#[derive(Debug, Clone, Default)]
pub struct Planner {
    focus: Focus,
    sweep: Sweep,
    last: Option<TargetSize>,
    next: u64,
    counts: Counts,
}

impl Planner {
    /// The plan for a frame; numbers rise.
    pub fn plan(&mut self, settings: &PlannerSettings, frame: Frame) -> Plan {
        self.next = frame.seq + 1;
        let due = self.sweep.is_due(frame.time, settings.max_blind);
        let region = self.region(settings, frame.seq);
        let swept = due && region.is_some();
        let chosen = region.filter(|_| !due);
        let merged = chosen.as_ref().and_then(|(_, rois)| roi::merge(rois, settings.min_roi));
        let area = merged.map(|r| r.area_px(frame.width, frame.height));
        let target_size = settings.model.choose(area, self.last);
        if area.is_some() {
            // The large model of a full frame says nothing about the next region's size.
            self.last = Some(target_size);
        }
        let since_sweep = if merged.is_some() {
            self.sweep.since(frame.time)
        } else {
            self.sweep.planned(frame.time);
            Some(0)
        };
        let (source, attention_rois) = chosen.unwrap_or_default();
        let roi = RoiProcessing { target_size, crop_applied: false, source, attention_rois, merged_roi: merged };
        self.count(&roi, swept, settings.strategy.strategy);
        Plan { roi, since_sweep }
    }

    /// Takes a worker's answer in; false = it came too late.
    pub fn answered(&mut self, feedback: &Feedback, history_frames: u64) -> bool {
        self.sweep.answered(&feedback.kind, feedback.time, feedback.full_frame);
        self.focus.answered(feedback, self.next, history_frames)
    }

    /// Forgets what workers suggested.
    pub fn clear_history(&mut self) {
        self.focus.clear();
    }

    /// What was suggested so far.
    pub fn focus(&self) -> &Focus {
        &self.focus
    }

    /// What was decided so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How long ago, at `now` on the clock of frames, the last full frame was, ns; none = there was none.
    pub fn since_sweep(&self, now: u64) -> Option<u64> {
        self.sweep.since(now)
    }

    fn region(&mut self, settings: &PlannerSettings, seq: u64) -> Option<(RoiSource, Vec<NormRect>)> {
        if !settings.external.is_empty() {
            return Some((RoiSource::External, settings.external.clone()));
        }
        if !settings.auto_focus {
            return None;
        }
        let (source, region) = self.focus.region(seq, settings.history_frames, &settings.strategy)?;
        Some((source, vec![region]))
    }

    fn count(&mut self, roi: &RoiProcessing, swept: bool, strategy: Strategy) {
        let counts = &mut self.counts;
        let focused = match roi.source {
            RoiSource::External => {
                counts.external += 1;
                false
            }
            RoiSource::PythonSuggested => {
                counts.python_suggested += 1;
                true
            }
            RoiSource::AutoHistory => {
                counts.auto_history += 1;
                true
            }
            RoiSource::FullFrame => {
                counts.full_frame += 1;
                counts.sweeps += u64::from(swept);
                false
            }
        };
        match roi.target_size {
            TargetSize::S320 => counts.model_320 += 1,
            TargetSize::S640 => counts.model_640 += 1,
        }
        for (count, known) in counts.strategies.iter_mut().zip(Strategy::ALL) {
            *count += u64::from(focused && known == strategy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn rect(x: f64, y: f64, width: f64, height: f64) -> NormRect {
        NormRect::new(x, y, width, height).unwrap()
    }

    fn settings() -> PlannerSettings {
        PlannerSettings {
            external: Vec::new(),
            auto_focus: true,
            strategy: StrategySettings {
                strategy: Strategy::Smoothing,
                alpha: 0.5,
                velocity_threshold: 0.05,
                velocity_factor: 1.5,
                max_expansion: 0.3,
                expansion: 0.15,
            },
            history_frames: 30,
            min_roi: 0.1,
            model: ModelChoice { threshold_area: 102_400.0, hysteresis: 0.1 },
            max_blind: 0,
        }
    }

    fn frame(seq: u64) -> Frame {
        Frame { seq, time: seq * 100 * MS, width: 1280, height: 720 }
    }

    fn told(seq: u64, suggested: Option<NormRect>, full_frame: bool) -> Feedback {
        Feedback { kind: "person_detection".into(), seq, time: seq * 100 * MS, full_frame, suggested, cut: false }
    }

    #[test]
    fn tiers_go_in_their_order() {
        let (mut planner, mut settings) = (Planner::default(), settings());
        let full = planner.plan(&settings, frame(0));
        assert_eq!((full.roi.source, full.roi.target_size), (RoiSource::FullFrame, TargetSize::S640));
        assert_eq!((full.roi.merged_roi, full.since_sweep), (None, Some(0)));

        let person = rect(0.2, 0.2, 0.2, 0.3);
        assert!(planner.answered(&told(0, Some(person), true), 30));
        let plan = planner.plan(&settings, frame(1));
        assert_eq!((plan.roi.source, plan.roi.target_size), (RoiSource::PythonSuggested, TargetSize::S320));
        assert_eq!((plan.roi.attention_rois, plan.since_sweep), (vec![person], Some(100 * MS)));
        planner.answered(&told(1, None, false), 30);
        assert_eq!(planner.plan(&settings, frame(2)).roi.source, RoiSource::AutoHistory);

        settings.external = vec![rect(0.5, 0.5, 0.5, 0.5)];
        assert_eq!(planner.plan(&settings, frame(3)).roi.source, RoiSource::External);
        settings.external.clear();
        settings.auto_focus = false;
        assert_eq!(planner.plan(&settings, frame(4)).roi.source, RoiSource::FullFrame);
        settings.auto_focus = true;
        planner.clear_history();
        assert_eq!(planner.plan(&settings, frame(5)).roi.source, RoiSource::FullFrame);
        let counts = planner.counts();
        assert_eq!((counts.full_frame, counts.external, counts.sweeps), (3, 1, 0));
        assert_eq!((counts.python_suggested, counts.auto_history, counts.strategies), (1, 1, [0, 2, 0]));
        assert_eq!((counts.model_320, counts.model_640), (2, 4));
    }

    #[test]
    fn a_region_that_wanders_around_the_threshold_keeps_its_model() {
        let (mut planner, mut settings) = (Planner::default(), settings());
        let side = |percent: f64| (102_400.0 * percent / 100.0 / (1280.0 * 720.0)).sqrt();
        let mut sizes = Vec::new();
        for (seq, percent) in [80.0, 91.0, 109.0, 92.0, 108.0, 112.0, 95.0, 91.0, 109.0, 88.0].into_iter().enumerate() {
            settings.external = vec![rect(0.1, 0.1, side(percent), side(percent))];
            sizes.push(u32::from(planner.plan(&settings, frame(seq as u64)).roi.target_size));
        }
        assert_eq!(sizes, [320, 320, 320, 320, 320, 640, 640, 640, 640, 320]);
    }

    #[test]
    fn a_sweep_interrupts_any_region_and_leaves_its_model_alone() {
        let (mut planner, mut settings) = (Planner::default(), settings());
        settings.external = vec![rect(0.1, 0.1, 0.2, 0.2)];
        settings.max_blind = 1000 * MS;
        let mut full = Vec::new();
        for seq in 0..40 {
            let plan = planner.plan(&settings, frame(seq));
            let is_full = plan.roi.merged_roi.is_none();
            if is_full {
                full.push(seq);
                assert_eq!((plan.roi.source, plan.roi.target_size), (RoiSource::FullFrame, TargetSize::S640));
            } else {
                assert_eq!(plan.roi.target_size, TargetSize::S320);
                assert!(plan.since_sweep.unwrap() <= 1000 * MS);
            }
            planner.answered(&told(seq, None, is_full), 30);
        }
        assert_eq!(full, [0, 10, 20, 30]);
        assert_eq!(planner.counts().sweeps, 4);
    }
}
