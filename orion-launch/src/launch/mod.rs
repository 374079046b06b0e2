// SPDX-License-Identifier: MPL-2.0
//! From the configuration to the text of the pipeline.

mod chain;
mod sink;
mod source;
mod words;

use crate::config::{Config, SourceKind, masked};

pub(crate) use chain::size_caps;
pub(crate) use source::{RTSP_LATENCY_MS, file, test_picture};

/// Names of the elements in the pipeline that is built.
pub(crate) const ROI: &str = "roi";
/// See [`ROI`]. Further workers are called as in the configuration.
pub(crate) const INFER: &str = "infer";
/// See [`ROI`].
pub(crate) const SINK: &str = "sink";

/// See [`ROI`]; the element that says to which size frames are scaled.
pub(crate) const SIZE: &str = "fit";

/// Everything behind the source.
pub(crate) fn tail(config: &Config, broker: &str) -> String {
    chain::text(config, broker, None)
}

/// Region and worker alone, without scaling, queue and sink.
pub(crate) fn look(config: &Config) -> String {
    chain::look(config)
}

/// The whole pipeline for gst-launch-1.0, or the text that the configuration gives instead; one for each camera of a list, after a
/// line with its name. Passwords are masked.
///
/// The rate is limited by `orionroi` here; the daemon does that right after the decoder, with the same frames as outcome.
pub(crate) fn printable(config: &Config) -> String {
    if !config.is_fleet() {
        return one(config);
    }
    let all: Vec<_> =
        config.sensors().iter().map(|sensor| format!("# {}\n{}", sensor.instance_id, one(sensor))).collect();
    all.join("\n")
}

fn one(config: &Config) -> String {
    if let Some(text) = config.own_pipeline() {
        return masked(text);
    }
    let source = match config.source() {
        SourceKind::Rtsp => source::camera(config),
        SourceKind::File | SourceKind::Loop => file(config),
        SourceKind::Test => test_picture(config),
    };
    format!("{source} ! {}", chain::text(config, &config.mqtt.uri, config.rate()))
}

#[cfg(test)]
mod tests {
    use gst::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn config(values: &Value) -> Config {
        serde_json::from_value(values.clone()).unwrap()
    }

    fn text(values: Value) -> String {
        printable(&config(&values))
    }

    fn others() -> Value {
        json!({"fall": {"worker_command": "python3 fall.py"}, "hand": {"worker_command": "python3 hand.py"}})
    }

    #[test]
    fn a_camera_is_looked_at_live() {
        let text = text(json!({
            "instance_id": "ward-3",
            "camera": {"rtsp_url": "rtsp://me:secret@cam/x?a=1&b=$2"},
            "rois": {"attention": [{"x": 0, "y": 0, "width": 1, "height": 1}]},
        }));
        let expected = concat!(
            r#"rtspsrc location="rtsp://me:***@cam/x?a=1&b=\$2" protocols=tcp latency=200 add-reference-timestamp-meta=true"#,
            " ! application/x-rtp,media=video ! decodebin ! videoconvert ! videoscale name=scale add-borders=false",
            r#" ! capsfilter name=fit caps="video/x-raw,format=I420,width=[2,8192,2],height=[2,480,2],pixel-aspect-ratio=1/1" ! jpegenc"#,
            r#" ! orionroi name=roi instance-id=ward-3 room-id="" threshold-area=102400"#,
            r#" rois="[{\"x\":0.0,\"y\":0.0,\"width\":1.0,\"height\":1.0}]" max-blind-time=5000000000 auto-focus=false strategy=simple"#,
            " alpha=0.3 velocity-threshold=0.05 velocity-factor=1.5 max-expansion=0.3 history-frames=30 max-rate=5",
            r#""#,
            " ! queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0",
            " ! orionpyinfer name=infer detector=auto model-size=orion confidence=0.5 iou-threshold=0.45",
            r#" labels="person" workers=1 intra-op-threads=0 max-batch=0 batch-wait=0"#,
            r#" ! orionmqttsink name=sink uri="mqtt://127.0.0.1:1883" topic="care/inferences/{instance_id}/{type}""#,
            r#" status-topic="care/status/{instance_id}" instance-id=ward-3 mqtt-qos=1"#,
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_recording_is_neither_thinned_out_nor_leaked() {
        let text = text(json!({"camera": {"file": "my clip.mp4"}, "stream": {"format": "raw"}}));
        assert!(text.starts_with(r#"filesrc location="my clip.mp4" ! decodebin ! videoconvert"#), "{text}");
        for absent in ["queue", "max-rate", "jpegenc"] {
            assert!(!text.contains(absent), "{absent}: {text}");
        }
    }

    #[test]
    fn keys_end_in_properties() {
        for (values, expected) in [
            (json!({"camera": {"rtsp_url": "rtsp://a/b"}}), "decodebin"),
            (json!({"camera": {"rtsp_url": "rtsp://a/b", "codec": "h265"}}), "rtph265depay ! h265parse ! avdec_h265 "),
            (
                json!({"camera": {"rtsp_url": "rtsp://a/b", "username": "me", "transport": "udp"}}),
                r#"rtspsrc location="rtsp://a/b" user-id="me" protocols=udp "#,
            ),
            (
                json!({"camera": {"rtsp_url": "rtsp://a/b", "username": "me", "password_file": "/pw"}}),
                r#" user-id="me" user-pw=*** "#,
            ),
            (json!({"camera": {"file": "a.mp4", "loop": true}}), " max-rate=5 ! queue leaky=downstream "),
            (json!({"stream": {"fps": 2.5}}), "width=852,height=480,framerate=2500/1000\""),
            (json!({"stream": {"fps": 2.5}}), "max-rate=2.5 "),
            (json!({"stream": {"resolution": "1080p"}}), "height=[2,1080,2]"),
            (json!({"models": {"person_detector": {"model_path": "/m/a b.onnx"}}}), r#" model-file="/m/a b.onnx""#),
            (
                json!({"models": {"person_detector": {"worker_command": "python3 w.py"}}}),
                r#" worker-command="python3 w.py""#,
            ),
            (json!({"models": {"person_detector": {"labels": ["cat", "dog"]}}}), r#" labels="cat,dog""#),
            (json!({"models": {"person_detector": {"worker_group": "pool"}}}), r#" worker-group="pool""#),
            (json!({"mqtt": {"prefix": "house/x"}}), r#"topic="house/x/inferences/{instance_id}/{type}""#),
            (
                json!({"mqtt": {"prefix": "house/x"}}),
                r#" status-topic="house/x/status/{instance_id}" instance-id=orion "#,
            ),
            (json!({"mqtt": {"password_file": "/run/pw"}}), r#" password-file="/run/pw""#),
            (json!({"mqtt": {"version": 5}}), r#" mqtt-version="5""#),
            (json!({"mqtt": {"profile": "frigate"}}), r#" topic="" "#),
            (json!({"mqtt": {"max_reconnect_interval_s": 0.5}}), r#" max-reconnect-interval="500000000""#),
            (json!({"mqtt": {"snapshots": {"enabled": true}}}), r#" snapshot-topic="care/snapshots/{instance_id}""#),
            (
                json!({"rois": {"auto_focus": {"enabled": true, "strategy": "velocity"}}}),
                " max-blind-time=5000000000 auto-focus=true strategy=velocity alpha=0.3 velocity-threshold=0.05 ",
            ),
            (json!({"rois": {"max_blind_time_s": 0.5}}), " max-blind-time=500000000 "),
            (json!({"models": {"person_detector": {"batch_wait_s": 0.02}}}), " batch-wait=20000000 "),
        ] {
            let text = text(values);
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }

    #[test]
    fn each_camera_of_a_list_has_a_pipeline() {
        let values = json!({
            "stream": {"format": "raw"},
            "cameras": [
                {"instance_id": "a", "camera": {"rtsp_url": "rtsp://me:secret@a/x"}},
                {"instance_id": "b", "camera": {"rtsp_url": "rtsp://b/x"}, "stream": {"format": "jpeg"}},
            ],
        });
        let text = text(values);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines.len(), lines[0], lines[2]), (4, "# a", "# b"));
        assert!(
            lines[1].starts_with(r#"rtspsrc location="rtsp://me:***@a/x""#) && !lines[1].contains("jpegenc"),
            "{text}"
        );
        assert!(lines[3].contains("instance-id=b ") && lines[3].contains("jpegenc"), "{text}");
    }

    #[test]
    fn further_workers_see_the_same_frames() {
        let live = text(json!({"models": others()}));
        for expected in [
            " ! tee name=tee tee. ! queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0 \
             ! orionpyinfer name=infer ",
            " ! funnel name=funnel ! orionmqttsink name=sink ",
            " tee. ! queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0 ! orionpyinfer name=fall ",
            r#" worker-command="python3 hand.py" ! funnel."#,
        ] {
            assert!(live.contains(expected), "{expected}: {live}");
        }
        let recording = text(json!({"models": others(), "camera": {"file": "a.mp4"}}));
        assert!(!recording.contains("leaky") && recording.contains("tee. ! queue max-size-buffers=1"), "{recording}");
    }

    #[test]
    fn gstreamer_takes_every_text() {
        gst::init().unwrap();
        // Another test may have done so already.
        let _ = gstorion::plugin_register_static();
        let everything = json!({
            "models": others(),
            "mqtt": {
                "uri": "mqtts://broker", "username": "me", "password_file": "/pw", "client_id": "a \"b\"",
                "tls": {"ca_file": "/ca", "cert_file": "/cert", "key_file": "/key", "insecure": true},
                "version": "5", "clean_start": false, "session_expiry_interval_s": 60, "message_expiry_interval_s": 70,
                "keep_alive_s": 65_535, "max_reconnect_interval_s": 0.01, "max_buffered_messages": u32::MAX,
                "max_buffered_bytes": u64::MAX, "outage_policy": "newest", "profile": "dlstreamer", "event_threshold": 0.25,
                "buffer_directory": "/b", "snapshots": {"enabled": true, "interval_s": 1.5, "privacy": true},
            },
        });
        for values in [json!({}), json!({"models": others()}), everything] {
            let config = config(&values);
            let tail = tail(&config, "mqtt://127.0.0.1:1883");
            let tail = gst::parse::bin_from_description_with_name(&tail, true, "orion").unwrap();
            assert_eq!(tail.pads().len(), 1, "all but the entry is linked");
            assert_eq!(tail.static_pad("sink").unwrap().direction(), gst::PadDirection::Sink);
            let whole = gst::parse::launch(&printable(&config)).unwrap().downcast::<gst::Bin>().unwrap();
            let sink = whole.by_name(SINK).unwrap();
            assert_eq!(sink.property::<u64>("snapshot-interval"), (config.mqtt.snapshots.interval_s * 1e9) as u64);
            assert_eq!(sink.property::<Option<String>>("client-id").unwrap_or_default(), config.mqtt.client_id);
            assert_eq!(sink.property::<u64>("max-buffered-bytes"), config.mqtt.max_buffered_bytes);
            let snapshots = sink.property::<Option<String>>("snapshot-topic").unwrap_or_default();
            assert_eq!(!snapshots.is_empty(), config.mqtt.snapshots.enabled);
        }
    }
}
