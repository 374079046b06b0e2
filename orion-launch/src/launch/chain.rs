// SPDX-License-Identifier: MPL-2.0
//! What stands behind the source: scale, region, workers, sink.

use std::fmt::Write;

use orion_core::roi;

use super::{
    INFER, ROI, SIZE, sink,
    words::{nanoseconds, quoted, word},
};
use crate::config::{Config, Format, Resolution, Worker};

const TEE: &str = "tee";
const FUNNEL: &str = "funnel";

/// The elements; `max_rate` (Hz) is the limit of `orionroi`, if it is to limit the rate.
pub(super) fn text(config: &Config, broker: &str, max_rate: Option<f64>) -> String {
    let mut text = String::new();
    // A range keeps smaller pictures as they are; with square pixels the width follows from the aspect, in even steps.
    // Scaling in I420 is the cheapest; add-borders would paint lines where the aspect is off by a rounding.
    let _ = write!(
        text,
        "videoconvert ! videoscale name=scale add-borders=false \
         ! capsfilter name={SIZE} caps=\"{}\"",
        size_caps(config.stream.resolution)
    );
    if config.stream.format == Format::Jpeg {
        text.push_str(" ! jpegenc");
    }
    text.push_str(" ! ");
    region(config, &mut text);
    if let Some(rate) = max_rate {
        let _ = write!(text, " max-rate={rate}");
    }
    // The newest frame of a camera wins; every frame of a recording counts.
    let live = config.source().is_live();
    let leaky = if live { "leaky=downstream " } else { "" };
    let queue = format!("queue {leaky}max-size-buffers=1 max-size-bytes=0 max-size-time=0");
    let others = &config.models.others;
    if !others.is_empty() {
        let _ = write!(text, " ! tee name={TEE} {TEE}. ! {queue}");
    } else if live {
        let _ = write!(text, " ! {queue}");
    }
    infer(INFER, &config.models.person_detector, &mut text);
    if !others.is_empty() {
        let _ = write!(text, " ! funnel name={FUNNEL}");
    }
    sink::write(config, broker, &mut text);
    for (name, worker) in others {
        let _ = write!(text, " {TEE}. ! {queue}");
        infer(name, worker, &mut text);
        let _ = write!(text, " ! {FUNNEL}.");
    }
    text
}

/// What frames are scaled to: no higher than this, the width by the aspect.
pub(crate) fn size_caps(resolution: Resolution) -> String {
    let height = resolution.height();
    format!("video/x-raw,format=I420,width=[2,8192,2],height=[2,{height},2],pixel-aspect-ratio=1/1")
}

/// Region and worker alone, as each frame of a recording that is annotated goes through them.
pub(super) fn look(config: &Config) -> String {
    let mut text = String::new();
    region(config, &mut text);
    infer(INFER, &config.models.person_detector, &mut text);
    text
}

fn region(config: &Config, text: &mut String) {
    let _ = write!(
        text,
        "orionroi name={ROI} instance-id={} room-id={} threshold-area={}",
        config.instance_id,
        quoted(&config.room_id),
        config.rois.threshold_area
    );
    if !config.rois.attention.is_empty() {
        let _ = write!(text, " rois={}", quoted(&roi::format_rois(&config.rois.attention)));
    }
    attention(config, text);
}

fn attention(config: &Config, text: &mut String) {
    let _ = write!(text, " max-blind-time={}", nanoseconds(config.rois.max_blind_time_s));
    let focus = &config.rois.auto_focus;
    // Also while it is off: it may be switched on.
    let _ = write!(
        text,
        " auto-focus={} strategy={} alpha={} velocity-threshold={} velocity-factor={} max-expansion={} history-frames={}",
        focus.enabled,
        word(&focus.strategy),
        focus.alpha,
        focus.velocity_threshold,
        focus.velocity_factor,
        focus.max_expansion,
        focus.history_frames
    );
}

fn infer(name: &str, worker: &Worker, text: &mut String) {
    let _ = write!(
        text,
        " ! orionpyinfer name={name} detector={} model-size={} confidence={} iou-threshold={} labels={} workers={} \
         intra-op-threads={} max-batch={} batch-wait={}",
        word(&worker.detector),
        word(&worker.size),
        worker.confidence,
        worker.iou_threshold,
        quoted(&worker.labels.join(",")),
        worker.workers,
        worker.threads,
        worker.max_batch,
        nanoseconds(worker.batch_wait_s)
    );
    for (property, value) in [
        ("model-dir", &worker.model_dir),
        ("model-file", &worker.model_path),
        ("model-file-320", &worker.model_path_320),
        ("worker-command", &worker.worker_command),
        ("worker-environment", &worker.worker_environment.join(",")),
        ("worker-group", &worker.worker_group),
    ] {
        if !value.is_empty() {
            let _ = write!(text, " {property}={}", quoted(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use gst::prelude::*;

    use super::*;

    #[test]
    fn the_scale_keeps_the_aspect_and_never_enlarges() {
        gst::init().unwrap();
        let caps = "video/x-raw,format=I420,width=[2,8192,2],height=[2,480,2],pixel-aspect-ratio=1/1";
        assert!(text(&Config::default(), "mqtt://127.0.0.1:1883", None).contains(caps));
        for (source, expected) in [
            ("width=1280,height=720", (854, 480)),
            ("width=640,height=480", (640, 480)),
            ("width=320,height=240", (320, 240)),
            ("width=768,height=432", (768, 432)),
            ("width=1080,height=1920", (270, 480)),
            ("width=720,height=576,pixel-aspect-ratio=16/15", (640, 480)),
            ("width=3840,height=2160", (854, 480)),
        ] {
            let picture = format!(
                "videotestsrc num-buffers=1 ! video/x-raw,format=I420,{source} ! videoscale add-borders=false \
                 ! capsfilter caps=\"{caps}\" ! fakesink name=out sync=false"
            );
            let pipeline = gst::parse::launch(&picture).unwrap().downcast::<gst::Pipeline>().unwrap();
            pipeline.set_state(gst::State::Playing).unwrap();
            let bus = pipeline.bus().unwrap();
            let end = bus.timed_pop_filtered(
                gst::ClockTime::from_seconds(10),
                &[gst::MessageType::Eos, gst::MessageType::Error],
            );
            let caps = pipeline.by_name("out").unwrap().static_pad("sink").unwrap().current_caps().unwrap();
            pipeline.set_state(gst::State::Null).unwrap();
            assert_eq!(end.unwrap().type_(), gst::MessageType::Eos);
            let s = caps.structure(0).unwrap();
            let size = (s.get::<i32>("width").unwrap(), s.get::<i32>("height").unwrap());
            assert!((size.0 - expected.0).abs() <= 2 && size.1 == expected.1, "{source}: {size:?}");
        }
    }
}
