// SPDX-License-Identifier: MPL-2.0
//! Numbers: how regions are chosen, then what a worker suggests on one frame after the other.

use orion_core::{
    focus::Feedback,
    geometry::NormRect,
    planner::{Frame, Planner, PlannerSettings},
    roi::ModelChoice,
    strategy::{Strategy, StrategySettings},
};

use super::input::Input;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let settings = PlannerSettings {
        external: Vec::new(),
        auto_focus: true,
        strategy: StrategySettings {
            strategy: Strategy::ALL[usize::from(input.byte()) % Strategy::ALL.len()],
            alpha: fraction(&mut input),
            velocity_threshold: fraction(&mut input),
            velocity_factor: fraction(&mut input) * 100.0,
            max_expansion: fraction(&mut input),
            expansion: fraction(&mut input),
        },
        history_frames: u64::from(input.byte()) + 1,
        min_roi: fraction(&mut input),
        model: ModelChoice { threshold_area: 102_400.0, hysteresis: fraction(&mut input) },
        max_blind: 0,
    };
    let (width, height) = (u32::from(input.short()) + 1, u32::from(input.short()) + 1);
    let mut planner = Planner::default();
    let (mut seq, mut time) = (0, 0);
    while !input.is_empty() {
        let plan = planner.plan(&settings, Frame { seq, time, width, height });
        let regions = plan.roi.attention_rois.iter().chain(&plan.roi.merged_roi);
        regions.for_each(super::assert_valid);
        assert!((0.0..=1.0).contains(&orion_core::planner::Plan::coverage(&plan.roi)));
        let numbers = [(); 4].map(|()| input.number());
        let feedback = Feedback {
            kind: if input.byte().is_multiple_of(4) { "other" } else { "person_detection" }.into(),
            // Mostly the frame's own number, else any.
            seq: if input.byte().is_multiple_of(8) { input.long() } else { seq },
            time,
            full_frame: plan.roi.merged_roi.is_none(),
            suggested: NormRect::new(numbers[0], numbers[1], numbers[2], numbers[3]).ok(),
            cut: input.byte().is_multiple_of(8),
        };
        planner.answered(&feedback, settings.history_frames);
        assert!(planner.focus().len() as u64 <= 2 * (settings.history_frames + 1), "{}", planner.focus().len());
        seq += u64::from(input.byte() % 3) + 1;
        time += u64::from(input.short());
    }
}

/// What the properties allow.
fn fraction(input: &mut Input<'_>) -> f64 {
    let number = input.number();
    if number.is_finite() { number.clamp(0.0, 1.0) } else { 0.5 }
}
