// SPDX-License-Identifier: MPL-2.0
//! From the configuration to the text of the pipeline.

use std::fmt::Write;

use orion_core::roi;

use crate::config::{Codec, Config, Detector, Format, Size, SourceKind, Strategy, masked};

/// Names of the elements in the pipeline that is built.
pub(crate) const ROI: &str = "roi";
/// See [`ROI`].
pub(crate) const INFER: &str = "infer";
/// See [`ROI`].
pub(crate) const SINK: &str = "sink";

/// The latency of the camera's stream: enough for TCP on a local network (GStreamer's default is 2 s).
pub(crate) const RTSP_LATENCY_MS: u32 = 200;

/// Everything behind the source.
pub(crate) fn tail(config: &Config, broker: &str) -> String {
    processing(config, broker, None)
}

/// The whole pipeline for gst-launch-1.0, or the text that the configuration gives instead. Passwords are masked.
///
/// The rate is limited by `orionroi` here; the daemon does that right after the decoder, with the same frames as outcome.
pub(crate) fn printable(config: &Config) -> String {
    if !config.pipeline.is_empty() {
        return config.pipeline.clone();
    }
    let source = match config.source() {
        SourceKind::Rtsp => {
            let decode = match config.camera.codec {
                Codec::Auto => "application/x-rtp,media=video ! decodebin",
                Codec::H264 => "rtph264depay ! h264parse ! avdec_h264 output-corrupt=false",
                Codec::H265 => "rtph265depay ! h265parse ! avdec_h265 output-corrupt=false",
            };
            format!(
                "rtspsrc location={} protocols=tcp latency={RTSP_LATENCY_MS} add-reference-timestamp-meta=true ! {decode}",
                quoted(&masked(&config.camera.rtsp_url))
            )
        }
        SourceKind::File => file(config),
        SourceKind::Test => test_picture(config),
    };
    format!("{source} ! {}", processing(config, &config.mqtt.uri, config.rate()))
}

/// The recording, decoded.
pub(crate) fn file(config: &Config) -> String {
    format!("filesrc location={} ! decodebin", quoted(&config.camera.file))
}

/// The moving test picture.
pub(crate) fn test_picture(config: &Config) -> String {
    let height = config.stream.resolution.height();
    let width = (height * 16 / 9) & !1;
    // A frame rate is a fraction: thousandths are fine enough.
    let fps = (config.stream.fps * 1000.0).round() as u32;
    format!(
        "videotestsrc is-live=true pattern=ball ! capsfilter caps=\"video/x-raw,format=I420,width={width},height={height},framerate={fps}/1000\""
    )
}

fn processing(config: &Config, broker: &str, max_rate: Option<f64>) -> String {
    let mut text = String::new();
    let height = config.stream.resolution.height();
    // A range keeps smaller pictures as they are; with square pixels the width follows from the aspect, in even steps.
    // Scaling in I420 is the cheapest; add-borders would paint lines where the aspect is off by a rounding.
    let _ = write!(
        text,
        "videoconvert ! videoscale name=scale add-borders=false \
         ! capsfilter caps=\"video/x-raw,format=I420,width=[2,8192,2],height=[2,{height},2],pixel-aspect-ratio=1/1\""
    );
    if config.stream.format == Format::Jpeg {
        text.push_str(" ! jpegenc");
    }
    let _ = write!(
        text,
        " ! orionroi name={ROI} instance-id={} room-id={} threshold-area={}",
        config.instance_id,
        quoted(&config.room_id),
        config.rois.threshold_area
    );
    if !config.rois.attention.is_empty() {
        let _ = write!(text, " rois={}", quoted(&roi::format_rois(&config.rois.attention)));
    }
    attention(config, &mut text);
    if let Some(rate) = max_rate {
        let _ = write!(text, " max-rate={rate}");
    }
    // The newest frame of a camera wins; every frame of a recording counts.
    if config.source().is_live() {
        text.push_str(" ! queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0");
    }
    infer(config, &mut text);
    sink(config, broker, &mut text);
    text
}

fn attention(config: &Config, text: &mut String) {
    let blind = (config.rois.max_blind_time_s * 1e9).round() as u64;
    let _ = write!(text, " max-blind-time={blind}");
    let focus = &config.rois.auto_focus;
    if focus.enabled {
        let strategy = match focus.strategy {
            Strategy::Simple => "simple",
            Strategy::Smoothing => "smoothing",
            Strategy::Velocity => "velocity",
        };
        let _ = write!(
            text,
            " auto-focus=true strategy={strategy} alpha={} velocity-threshold={} velocity-factor={} max-expansion={} \
             history-frames={}",
            focus.alpha, focus.velocity_threshold, focus.velocity_factor, focus.max_expansion, focus.history_frames
        );
    }
}

fn infer(config: &Config, text: &mut String) {
    let d = &config.models.person_detector;
    let detector = match d.detector {
        Detector::Auto => "auto",
        Detector::Yolo => "yolo",
        Detector::Yolox => "yolox",
        Detector::Motion => "motion",
    };
    let size = match d.size {
        Size::N => "n",
        Size::S => "s",
        Size::M => "m",
        Size::L => "l",
        Size::X => "x",
    };
    let _ = write!(
        text,
        " ! orionpyinfer name={INFER} detector={detector} model-size={size} confidence={} iou-threshold={} labels={} workers={} \
         intra-op-threads={}",
        d.confidence,
        d.iou_threshold,
        quoted(&d.labels.join(",")),
        d.workers,
        d.threads
    );
    for (property, value) in [
        ("model-dir", &d.model_dir),
        ("model-file", &d.model_path),
        ("model-file-320", &d.model_path_320),
        ("worker-command", &d.worker_command),
    ] {
        if !value.is_empty() {
            let _ = write!(text, " {property}={}", quoted(value));
        }
    }
}

fn sink(config: &Config, broker: &str, text: &mut String) {
    let mqtt = &config.mqtt;
    let topic = format!("{}/inferences/{{instance_id}}/{{type}}", mqtt.prefix);
    let status = format!("{}/status/{{instance_id}}", mqtt.prefix);
    let _ = write!(
        text,
        " ! orionmqttsink name={SINK} uri={} topic={} status-topic={} instance-id={} mqtt-qos={}",
        quoted(broker),
        quoted(&topic),
        quoted(&status),
        config.instance_id,
        mqtt.qos
    );
    for (property, value) in [("username", &mqtt.username), ("password-file", &mqtt.password_file)] {
        if !value.is_empty() {
            let _ = write!(text, " {property}={}", quoted(value));
        }
    }
}

/// A value that GStreamer's parser and a shell both read as it is.
pub(crate) fn quoted(value: &str) -> String {
    let mut text = String::from('"');
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use gst::prelude::*;

    use super::*;

    fn changed(change: impl Fn(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        printable(&config)
    }

    #[test]
    fn a_camera_is_looked_at_live() {
        let text = changed(|c| {
            c.instance_id = "ward-3".into();
            c.camera.rtsp_url = "rtsp://me:secret@cam/x?a=1&b=$2".into();
            c.rois.attention = vec![orion_core::geometry::NormRect::FULL];
        });
        let expected = concat!(
            r#"rtspsrc location="rtsp://me:***@cam/x?a=1&b=\$2" protocols=tcp latency=200 add-reference-timestamp-meta=true"#,
            " ! application/x-rtp,media=video ! decodebin ! videoconvert ! videoscale name=scale add-borders=false",
            r#" ! capsfilter caps="video/x-raw,format=I420,width=[2,8192,2],height=[2,480,2],pixel-aspect-ratio=1/1" ! jpegenc"#,
            r#" ! orionroi name=roi instance-id=ward-3 room-id="" threshold-area=102400"#,
            r#" rois="[{\"x\":0.0,\"y\":0.0,\"width\":1.0,\"height\":1.0}]" max-blind-time=5000000000 max-rate=5"#,
            " ! queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0",
            " ! orionpyinfer name=infer detector=auto model-size=n confidence=0.5 iou-threshold=0.45",
            r#" labels="person" workers=1 intra-op-threads=1"#,
            r#" ! orionmqttsink name=sink uri="mqtt://127.0.0.1:1883" topic="care/inferences/{instance_id}/{type}""#,
            r#" status-topic="care/status/{instance_id}" instance-id=ward-3 mqtt-qos=1"#,
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_recording_is_neither_thinned_out_nor_leaked() {
        let text = changed(|c| {
            c.camera.file = "my clip.mp4".into();
            c.stream.format = Format::Raw;
        });
        assert!(text.starts_with(r#"filesrc location="my clip.mp4" ! decodebin ! videoconvert"#), "{text}");
        for absent in ["queue", "max-rate", "jpegenc"] {
            assert!(!text.contains(absent), "{absent}: {text}");
        }
    }

    #[test]
    fn keys_end_in_properties() {
        for (change, expected) in [
            ((|c| c.camera.rtsp_url = "rtsp://a/b".into()) as fn(&mut Config), "decodebin"),
            (
                |c| (c.camera.rtsp_url, c.camera.codec) = ("rtsp://a/b".into(), Codec::H265),
                "rtph265depay ! h265parse ! avdec_h265 ",
            ),
            (|c| c.stream.fps = 2.5, "width=852,height=480,framerate=2500/1000\""),
            (|c| c.stream.fps = 2.5, "max-rate=2.5 "),
            (|c| c.stream.resolution = crate::config::Resolution::R1080, "height=[2,1080,2]"),
            (|c| c.models.person_detector.model_path = "/m/a b.onnx".into(), r#" model-file="/m/a b.onnx""#),
            (|c| c.models.person_detector.worker_command = "python3 w.py".into(), r#" worker-command="python3 w.py""#),
            (|c| c.models.person_detector.labels = vec!["cat".into(), "dog".into()], r#" labels="cat,dog""#),
            (|c| c.mqtt.prefix = "house/x".into(), r#"topic="house/x/inferences/{instance_id}/{type}""#),
            (
                |c| c.mqtt.prefix = "house/x".into(),
                r#" status-topic="house/x/status/{instance_id}" instance-id=orion "#,
            ),
            (|c| c.mqtt.password_file = "/run/pw".into(), r#" password-file="/run/pw""#),
            (
                |c| (c.rois.auto_focus.enabled, c.rois.auto_focus.strategy) = (true, Strategy::Velocity),
                " max-blind-time=5000000000 auto-focus=true strategy=velocity alpha=0.3 velocity-threshold=0.05 ",
            ),
            (|c| c.rois.max_blind_time_s = 0.5, " max-blind-time=500000000 "),
            (|c| c.pipeline = "fakesrc ! fakesink".into(), "fakesrc ! fakesink"),
        ] {
            let text = changed(change);
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }

    #[test]
    fn the_scale_keeps_the_aspect_and_never_enlarges() {
        gst::init().unwrap();
        let caps = "video/x-raw,format=I420,width=[2,8192,2],height=[2,480,2],pixel-aspect-ratio=1/1";
        assert!(changed(|_| {}).contains(caps));
        for (source, expected) in [
            ("width=1280,height=720", (854, 480)),
            ("width=640,height=480", (640, 480)),
            ("width=320,height=240", (320, 240)),
            ("width=768,height=432", (768, 432)),
            ("width=1080,height=1920", (270, 480)),
            ("width=720,height=576,pixel-aspect-ratio=16/15", (640, 480)),
            ("width=3840,height=2160", (854, 480)),
        ] {
            let text = format!(
                "videotestsrc num-buffers=1 ! video/x-raw,format=I420,{source} ! videoscale add-borders=false \
                 ! capsfilter caps=\"{caps}\" ! fakesink name=out sync=false"
            );
            let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
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
