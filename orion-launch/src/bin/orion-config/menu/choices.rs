// SPDX-License-Identifier: MPL-2.0
//! What can be chosen, and what is told before a change.

use std::fmt;

use orion_core::command::{Command as Wire, Model, Rate, Rois, Size, WorkerName};
use serde_json::Value;

use crate::{
    cli::Focus,
    status::{looks, model},
    text::{focus, regions, word},
};

/// A line of a menu and what it stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice<T> {
    pub(super) text: String,
    pub(super) value: T,
}

impl<T> fmt::Display for Choice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

pub(super) fn choice<T>(text: impl Into<String>, value: T) -> Choice<T> {
    Choice { text: text.into(), value }
}

/// What can be done with an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    Status,
    Model,
    Rate,
    Regions,
    Focus,
    Pause,
    Resume,
    Restart,
    Another,
    Quit,
}

/// The menu of an instance, by its state.
pub(super) fn items(state: &Value, several: bool) -> Vec<Choice<Item>> {
    let config = &state["config"];
    let pause = match state["paused"] == true {
        true => choice("Resume", Item::Resume),
        false => choice("Pause", Item::Pause),
    };
    let mut items = vec![
        choice("Status", Item::Status),
        choice(format!("Model size: {}", model(state)), Item::Model),
        choice(format!("Rate: {}", looks(state)), Item::Rate),
        choice(format!("Regions: {}", regions(&config["rois"]["attention"])), Item::Regions),
        choice(format!("Focus: {}", focus(&config["rois"]["auto_focus"])), Item::Focus),
        pause,
        choice("Restart worker", Item::Restart),
    ];
    if several {
        items.push(choice("Another instance", Item::Another));
    }
    items.push(choice("Quit", Item::Quit));
    items
}

/// Sizes with the arithmetic that one look takes, as multiples of n: YOLO11 at 640x640 by its publisher's figures (6.5, 21.5, 68.0,
/// 86.9 and 194.9 GFLOP), and 3.1 of the model that comes with Orion.
const SIZES: [(Size, &str, f64); 6] = [
    (Size::Orion, "orion", 0.5),
    (Size::N, "n", 1.0),
    (Size::S, "s", 3.3),
    (Size::M, "m", 10.5),
    (Size::L, "l", 13.4),
    (Size::X, "x", 30.0),
];

/// The sizes and what each costs; `data` is what `get_status` has answered, if it has.
pub(super) fn sizes(now: &str, data: Option<&Value>) -> Vec<Choice<Size>> {
    let workers = data.and_then(|data| data["state"]["workers"].as_array());
    let person = workers.and_then(|workers| workers.iter().find(|worker| worker["processes"][0]["model_size"] == now));
    let measured = person.and_then(|worker| worker["avg_latency_ms"].as_f64()).filter(|ms| *ms > 0.0);
    let of = |(size, name, cost): &(Size, &str, f64)| {
        let cost = match size {
            Size::Orion => "comes with Orion, the least work".to_owned(),
            Size::N => "about twice the work of orion".to_owned(),
            _ => format!("about {cost} times the work of n"),
        };
        let mut text = format!("{name}  640x640, small regions 320x320; {cost}");
        if *name == now {
            text.push_str(&measured.map_or_else(|| "; now".into(), |ms| format!("; now, measured: {ms:.0} ms a look")));
        }
        choice(text, *size)
    };
    SIZES.iter().map(of).collect()
}

/// Rates that have names; none = any other.
pub(super) fn rates() -> Vec<Choice<Option<f64>>> {
    vec![
        choice("Slow    0.5 Hz", Some(0.5)),
        choice("Normal  2 Hz", Some(2.0)),
        choice("Fast    5 Hz", Some(5.0)),
        choice("Another rate ...", None),
    ]
}

/// What to do about focus.
pub(super) fn focuses() -> Vec<Choice<Focus>> {
    vec![
        choice("Off", Focus::Off),
        choice("Simple     the last place where something was found", Focus::Simple),
        choice("Smoothing  the average of the last places", Focus::Smoothing),
        choice("Velocity   grows for what moves fast", Focus::Velocity),
    ]
}

/// The workers by name; none = all.
pub(super) fn workers(data: Option<&Value>) -> Vec<Choice<Option<String>>> {
    let names = data.and_then(|data| data["state"]["workers"].as_array()).into_iter().flatten();
    let named = names.map(|worker| word(&worker["name"])).map(|name| choice(name.clone(), Some(name)));
    [choice("All", None)].into_iter().chain(named).collect()
}

/// The command for a choice.
pub(super) fn set_model(size: Size) -> Wire {
    Wire::SetModelSize(Model { size })
}

/// The same.
pub(super) fn set_rate(rate_hz: f64) -> Wire {
    Wire::SetInferenceRate(Rate { rate_hz })
}

/// The same; none = the whole frame.
pub(super) fn set_regions(rois: Vec<orion_core::geometry::NormRect>) -> Wire {
    if rois.is_empty() { Wire::ClearAttentionRois } else { Wire::SetAttentionRois(Rois { rois }) }
}

/// The same.
pub(super) fn restart(worker: Option<String>) -> Wire {
    Wire::RestartWorker(WorkerName { worker })
}

/// What a change interrupts, as the daemon promises it.
pub(super) fn expected(command: &Wire) -> &'static str {
    match command {
        Wire::SetModelSize(_) => {
            "The new model is loaded beside the old one, which works until the first result of the new one is there (seconds, by its \
             size). No frame is lost by it; while both are there looks may take longer."
        }
        Wire::RestartWorker(_) => {
            "New processes start beside the old ones, which work until the first result of the new ones is there. No frame is lost by it."
        }
        Wire::PauseInference => {
            "From the next frame on there are no results until it is resumed; presence becomes unknown."
        }
        Wire::ResumeInference => "Frames are looked at again from the next one on.",
        _ => "In force from the next frame on; no interruption.",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_menu_shows_what_is_in_force() {
        let state = json!({"paused": true, "inference_rate_hz": 2.0, "config": {
            "models": {"person_detector": {"size": "s", "detector": "auto"}},
            "rois": {"attention": [{"x": 0, "y": 0, "width": 0.5, "height": 1}], "auto_focus": {"enabled": false}}}});
        let texts: Vec<_> = items(&state, true).into_iter().map(|item| item.text).collect();
        for expected in [
            "Model size: s",
            "Rate: paused",
            "Regions: region 0,0,0.5,1",
            "Focus: auto focus off",
            "Resume",
            "Another instance",
        ] {
            assert!(texts.contains(&expected.to_owned()), "{expected}: {texts:?}");
        }
        assert!(items(&json!({}), false).iter().all(|item| item.value != Item::Another && item.value != Item::Resume));
    }

    #[test]
    fn a_size_says_what_it_costs_and_what_was_measured() {
        let data = json!({"state": {"workers": [{"avg_latency_ms": 41.6, "name": "infer", "processes": [{"model_size": "s"}]}]}});
        let texts: Vec<_> = sizes("s", Some(&data)).into_iter().map(|size| size.text).collect();
        assert_eq!(
            texts[2],
            "s  640x640, small regions 320x320; about 3.3 times the work of n; now, measured: 42 ms a look"
        );
        assert!(texts[0].ends_with("the least work") && texts[5].contains("30 times"), "{texts:?}");
        assert!(sizes("n", None)[1].text.ends_with("; now"));
        assert_eq!(workers(Some(&data)).len(), 2);
        assert_eq!(workers(None), [choice("All", None)]);
    }
}
