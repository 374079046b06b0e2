// SPDX-License-Identifier: MPL-2.0
//! The properties of `orionroi`: their defaults, their meaning, reading and writing them.

use std::sync::LazyLock;

use gst::{glib, prelude::*};
use orion_core::{
    geometry::NormRect,
    planner::PlannerSettings,
    roi::{self, ModelChoice},
    strategy::{Strategy, StrategySettings},
};

use crate::{identity, properties::keep};

/// How suggestions of the worker become a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstOrionStrategy")]
pub enum RoiStrategy {
    /// See [`Strategy::Simple`].
    #[enum_value(name = "The last suggestion as it is", nick = "simple")]
    Simple,
    /// See [`Strategy::Smoothing`].
    #[enum_value(name = "Exponential moving average of the suggestions", nick = "smoothing")]
    Smoothing,
    /// See [`Strategy::Velocity`].
    #[enum_value(name = "The last suggestion, grown with its speed", nick = "velocity")]
    Velocity,
}

impl From<RoiStrategy> for Strategy {
    fn from(strategy: RoiStrategy) -> Self {
        match strategy {
            RoiStrategy::Simple => Self::Simple,
            RoiStrategy::Smoothing => Self::Smoothing,
            RoiStrategy::Velocity => Self::Velocity,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) rois: Vec<NormRect>,
    pub(super) auto_focus: bool,
    pub(super) strategy: RoiStrategy,
    pub(super) alpha: f64,
    pub(super) velocity_threshold: f64,
    pub(super) velocity_factor: f64,
    pub(super) max_expansion: f64,
    pub(super) expansion: f64,
    pub(super) history_frames: u32,
    pub(super) threshold_area: u32,
    pub(super) hysteresis: f64,
    pub(super) min_roi: f64,
    pub(super) max_blind_time: u64,
    pub(super) max_rate: f64,
    pub(super) paused: bool,
    pub(super) instance_id: String,
    pub(super) room_id: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rois: Vec::new(),
            auto_focus: false,
            strategy: RoiStrategy::Simple,
            alpha: 0.3,
            velocity_threshold: 0.05,
            velocity_factor: 1.5,
            max_expansion: 0.3,
            expansion: 0.15,
            history_frames: 30,
            threshold_area: 320 * 320,
            hysteresis: 0.1,
            min_roi: 0.1,
            max_blind_time: 5_000_000_000,
            max_rate: 0.0,
            paused: false,
            instance_id: identity::DEFAULT_INSTANCE.into(),
            room_id: String::new(),
        }
    }
}

impl Settings {
    pub(super) fn planner(&self) -> PlannerSettings {
        PlannerSettings {
            external: self.rois.clone(),
            auto_focus: self.auto_focus,
            strategy: StrategySettings {
                strategy: self.strategy.into(),
                alpha: self.alpha,
                velocity_threshold: self.velocity_threshold,
                velocity_factor: self.velocity_factor,
                max_expansion: self.max_expansion,
                expansion: self.expansion,
            },
            history_frames: u64::from(self.history_frames),
            min_roi: self.min_roi,
            model: ModelChoice { threshold_area: f64::from(self.threshold_area), hysteresis: self.hysteresis },
            max_blind: self.max_blind_time,
        }
    }

    /// Sets a property; its type has been checked by GObject.
    ///
    /// # Errors
    /// A text that names what is wrong; nothing has changed then.
    pub(super) fn set(&mut self, name: &str, value: &glib::Value) -> Result<(), String> {
        let text = || value.get::<Option<String>>().ok().flatten().unwrap_or_default();
        match name {
            "rois" => self.rois = roi::parse_rois(&text())?,
            "auto-focus" => keep(value, &mut self.auto_focus),
            "strategy" => keep(value, &mut self.strategy),
            "alpha" => keep(value, &mut self.alpha),
            "velocity-threshold" => keep(value, &mut self.velocity_threshold),
            "velocity-factor" => keep(value, &mut self.velocity_factor),
            "max-expansion" => keep(value, &mut self.max_expansion),
            "expansion" => keep(value, &mut self.expansion),
            "history-frames" => keep(value, &mut self.history_frames),
            "threshold-area" => keep(value, &mut self.threshold_area),
            "hysteresis" => keep(value, &mut self.hysteresis),
            "min-roi" => keep(value, &mut self.min_roi),
            "max-blind-time" => keep(value, &mut self.max_blind_time),
            "max-rate" => keep(value, &mut self.max_rate),
            "paused" => keep(value, &mut self.paused),
            "instance-id" => {
                let id = text();
                identity::check_instance(&id)?;
                self.instance_id = id;
            }
            "room-id" => self.room_id = text(),
            name => unreachable!("property {name} is not installed"),
        }
        Ok(())
    }

    /// Reads a property.
    pub(super) fn get(&self, name: &str) -> glib::Value {
        match name {
            "rois" => roi::format_rois(&self.rois).to_value(),
            "auto-focus" => self.auto_focus.to_value(),
            "strategy" => self.strategy.to_value(),
            "alpha" => self.alpha.to_value(),
            "velocity-threshold" => self.velocity_threshold.to_value(),
            "velocity-factor" => self.velocity_factor.to_value(),
            "max-expansion" => self.max_expansion.to_value(),
            "expansion" => self.expansion.to_value(),
            "history-frames" => self.history_frames.to_value(),
            "threshold-area" => self.threshold_area.to_value(),
            "hysteresis" => self.hysteresis.to_value(),
            "min-roi" => self.min_roi.to_value(),
            "max-blind-time" => self.max_blind_time.to_value(),
            "max-rate" => self.max_rate.to_value(),
            "paused" => self.paused.to_value(),
            "instance-id" => self.instance_id.to_value(),
            "room-id" => self.room_id.to_value(),
            name => unreachable!("property {name} is not installed"),
        }
    }
}

/// All properties but `stats`; each takes effect on the next frame.
pub(super) static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
    let d = Settings::default();
    let text = |name, nick, blurb, default: &str| {
        glib::ParamSpecString::builder(name).nick(nick).blurb(blurb).default_value(default).mutable_playing().build()
    };
    let flag = |name, nick, blurb, default| {
        glib::ParamSpecBoolean::builder(name).nick(nick).blurb(blurb).default_value(default).mutable_playing().build()
    };
    let number = |name, nick, blurb, most, default| {
        glib::ParamSpecDouble::builder(name)
            .nick(nick)
            .blurb(blurb)
            .minimum(0.0)
            .maximum(most)
            .default_value(default)
            .mutable_playing()
            .build()
    };
    let count = |name, nick, blurb, least, default| {
        glib::ParamSpecUInt::builder(name)
            .nick(nick)
            .blurb(blurb)
            .minimum(least)
            .default_value(default)
            .mutable_playing()
            .build()
    };
    vec![
        text(
            "rois",
            "Regions",
            "External regions as JSON, a list of {x,y,width,height} in fractions of the frame, 0..1; they go before auto-focus; \
             empty = none (default: empty)",
            "",
        ),
        flag("auto-focus", "Auto-focus", "Follow the regions that the worker suggests (default: false)", d.auto_focus),
        glib::ParamSpecEnum::builder_with_default("strategy", d.strategy)
            .nick("Strategy")
            .blurb("How suggestions become a region (default: simple)")
            .mutable_playing()
            .build(),
        number("alpha", "Alpha", "Smoothing: weight of the newest suggestion, 0..1 (default: 0.3)", 1.0, d.alpha),
        number(
            "velocity-threshold",
            "Velocity threshold",
            "Velocity: speed from which a target is fast, fraction of the frame per frame (default: 0.05)",
            1.0,
            d.velocity_threshold,
        ),
        number(
            "velocity-factor",
            "Velocity factor",
            "Velocity: the region of a fast target grows on each side by so many frames' ways (default: 1.5)",
            100.0,
            d.velocity_factor,
        ),
        number(
            "max-expansion",
            "Maximum expansion",
            "Velocity: the most that a fast target's region grows on each side, fraction of the frame (default: 0.3)",
            1.0,
            d.max_expansion,
        ),
        number(
            "expansion",
            "Expansion",
            "Velocity: growth of a slow target's region, fraction of its own size, half on each side (default: 0.15)",
            10.0,
            d.expansion,
        ),
        count("history-frames", "History", "Frames for which a suggestion is remembered (default: 30)", 1, d.history_frames),
        count(
            "threshold-area",
            "Threshold area",
            "Merged area in square pixels from which the 640 model is asked for, below it the 320 one (default: 102400)",
            0,
            d.threshold_area,
        ),
        number(
            "hysteresis",
            "Hysteresis",
            "Fraction of threshold-area, both ways, within which the last model is kept (default: 0.1)",
            1.0,
            d.hysteresis,
        ),
        number(
            "min-roi",
            "Smallest region",
            "Least width and height of the merged region, fraction of the frame (default: 0.1)",
            1.0,
            d.min_roi,
        ),
        glib::ParamSpecUInt64::builder("max-blind-time")
            .nick("Maximum blind time")
            .blurb(
                "Nanoseconds of stream time after which at the latest a full frame is inferred again, whatever the regions say; \
                 0 = never (default: 5000000000 = 5 s)",
            )
            .default_value(d.max_blind_time)
            .mutable_playing()
            .build(),
        number(
            "max-rate",
            "Highest rate",
            "Frames per second (Hz, fractions allowed) that pass at most, by presentation time; 0 = all (default: 0)",
            1000.0,
            d.max_rate,
        ),
        flag("paused", "Paused", "Drop every frame, counted as paused (default: false)", d.paused),
        text(
            "instance-id",
            "Instance",
            "Name of this pipeline in messages and topics, [A-Za-z0-9_-]+ (default: orion)",
            &d.instance_id,
        ),
        text("room-id", "Room", "Name of the place in messages, free text (default: empty)", &d.room_id),
    ]
});
