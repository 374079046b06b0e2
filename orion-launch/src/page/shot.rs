// SPDX-License-Identifier: MPL-2.0
//! A frame with what was found on it, as the page gets it: picture and result are one.

use bytes::Bytes;
use gstorion::meta::{self, FrameInfo, Inference};
use orion_core::{report::ClockSource, wire::InferenceResult};
use serde_json::{Value, json};

/// Time for one picture.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(2);

/// A frame on its way to the sink.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) buffer: gst::Buffer,
    pub(super) caps: Option<gst::Caps>,
    /// When it came to the sink, ns on [`gst::get_timestamp`]'s clock, and ns since 1970.
    pub(super) at: (u64, u64),
}

impl Taken {
    /// Its number and what was found; none = there is nothing to show.
    pub(super) fn read(&self) -> Option<(FrameInfo, Vec<Inference>)> {
        let found = meta::inferences(&self.buffer);
        Some((meta::frame(&self.buffer)?, found)).filter(|(_, found)| !found.is_empty())
    }

    /// Its picture as JPEG.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn picture(&self) -> Result<Bytes, String> {
        let caps = self.caps.as_ref().ok_or("its format is not known")?;
        let read = |buffer: &gst::BufferRef| {
            buffer.map_readable().map(|map| Bytes::copy_from_slice(&map)).map_err(|error| error.to_string())
        };
        match caps.structure(0).map(|s| s.name().as_str()) {
            Some("image/jpeg") => read(&self.buffer),
            Some("video/x-raw") => {
                let sample = gst::Sample::builder().buffer(&self.buffer).caps(caps).build();
                let jpeg = gst::Caps::new_empty_simple("image/jpeg");
                let picture = gst_video::convert_sample(&sample, &jpeg, Some(PATIENCE));
                let picture = picture.map_err(|error| error.to_string())?;
                read(picture.buffer().ok_or("the encoder gave no picture")?)
            }
            other => Err(format!("of {} no picture is made", other.unwrap_or("nothing"))),
        }
    }

    /// Width and height, px.
    fn size(&self) -> Option<(i32, i32)> {
        let s = self.caps.as_ref()?.structure(0)?;
        Some((s.get("width").ok()?, s.get("height").ok()?))
    }

    /// What is told of a result; `picture`: whether there is one.
    pub(super) fn told(&self, camera: &str, frame: &FrameInfo, found: &Inference, picture: bool) -> Option<Value> {
        let result: InferenceResult = serde_json::from_str(&found.result).ok()?;
        let of = |key: &str| result.data.metadata.get(key).and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok());
        let (width, height) = self.size().or_else(|| Some((of("frame_width")?, of("frame_height")?)))?;
        let (running, wall) = self.at;
        let ms = |from: u64, to: u64| (to.saturating_sub(from) as f64 / 1e3).round() / 1e3;
        // Off by the error of the camera's clock, so it may be nothing.
        let arrived = wall.saturating_sub(running.saturating_sub(frame.arrived));
        let capture = (frame.clock_source == ClockSource::Camera).then(|| ms(frame.captured, arrived));
        let attention = frame.planned.as_ref().map(|planned| {
            let roi = &planned.roi;
            json!({"source": roi.source, "target_size": roi.target_size, "rois": roi.attention_rois, "merged": roi.merged_roi})
        });
        let detections: Vec<_> = result
            .data
            .detections
            .iter()
            .map(|d| json!({"label": d.label, "confidence": d.confidence, "bbox": d.bbox}))
            .collect();
        Some(json!({
            "camera": camera,
            "seq": frame.seq,
            "epoch": frame.epoch,
            "type": found.kind,
            "timestamp": result.timestamp,
            "age_ms": ms(frame.arrived, running),
            "width": width,
            "height": height,
            "picture": picture,
            "count": result.data.count,
            "detections": detections,
            "attention": attention,
            "model": result.data.metadata.get("model_file"),
            "stages": {
                "capture_ms": capture,
                "queue_ms": ms(frame.arrived, found.sent),
                "worker_ms": ms(found.sent, found.answered),
                "inference_ms": result.timing.inference_ms,
                "publish_ms": ms(found.answered, running),
            },
        }))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const RESULT: &str = r#"{"type": "person_detection", "instance_id": "a", "room_id": "", "frame_seq": 7,
        "timestamp": "2026-11-22T08:00:00.000000000Z", "suggested_roi": null,
        "data": {"count": 1, "metadata": {"model_file": "m.onnx"}, "detections":
          [{"label": "person", "confidence": 0.75, "bbox": {"x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0}}]},
        "timing": {"preprocess_ms": 1.0, "inference_ms": 20.0, "postprocess_ms": 1.0, "total_ms": 22.0}}"#;

    pub(in crate::page) fn taken(caps: &str, size: usize) -> Taken {
        arrived(5_000_000, caps, size)
    }

    /// Frame 7, which came at that time.
    pub(in crate::page) fn arrived(arrived: u64, caps: &str, size: usize) -> Taken {
        gst::init().unwrap();
        meta::register();
        let mut buffer = gst::Buffer::from_slice(vec![128_u8; size]);
        let frame = FrameInfo {
            seq: 7,
            epoch: 1,
            captured: 1_000_000_000,
            clock_source: ClockSource::Camera,
            arrived,
            instance_id: "a".into(),
            room_id: String::new(),
            planned: None,
        };
        let found = Inference {
            kind: meta::PERSON.into(),
            result: RESULT.into(),
            sent: 6_000_000,
            answered: 36_000_000,
            lost: BTreeMap::new(),
        };
        let edited = buffer.get_mut().unwrap();
        meta::set_frame(edited, &frame).unwrap();
        meta::add_inference(edited, &found).unwrap();
        Taken { buffer, caps: Some(caps.parse().unwrap()), at: (38_000_000, 1_053_000_000) }
    }

    #[test]
    fn a_result_is_told_with_its_picture_and_times() {
        let taken = taken("image/jpeg,width=64,height=32", 5);
        let (frame, found) = taken.read().unwrap();
        let told = taken.told("a", &frame, &found[0], true).unwrap();
        assert_eq!((&told["seq"], &told["width"], &told["age_ms"]), (&json!(7), &json!(64), &json!(33.0)));
        let stages =
            json!({"capture_ms": 20.0, "queue_ms": 1.0, "worker_ms": 30.0, "inference_ms": 20.0, "publish_ms": 2.0});
        assert_eq!(told["stages"], stages);
        assert_eq!(told["detections"][0]["bbox"]["width"], 3.0);
        assert_eq!((&told["attention"], &told["picture"]), (&Value::Null, &json!(true)));
        assert_eq!(taken.picture().unwrap().len(), 5, "as it is");
    }

    #[test]
    fn of_a_raw_frame_a_picture_is_made() {
        let raw = taken("video/x-raw,format=I420,width=64,height=32,framerate=5/1", 64 * 32 * 3 / 2);
        assert!(raw.picture().unwrap().starts_with(&[0xff, 0xd8]));
        assert!(taken("audio/x-raw", 4).picture().unwrap_err().contains("audio/x-raw"));
    }

    #[test]
    fn what_has_no_result_is_not_shown() {
        let mut taken = taken("image/jpeg", 4);
        taken.buffer = gst::Buffer::new();
        assert!(taken.read().is_none());
    }
}
