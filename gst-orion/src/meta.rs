// SPDX-License-Identifier: MPL-2.0
//! Everything that travels on a buffer. The only file that names buffer metas.
//!
//! | meta | who adds it | content |
//! |---|---|---|
//! | `OrionFrameMeta` (custom meta) | `orionroi`, else `orionpyinfer` | [`FrameInfo`] |
//! | `GstVideoRegionOfInterestMeta`, type `orion/attention` | `orionroi` | the merged region in pixels, parameter `attention` |
//! | `OrionInferenceMeta` (custom meta), one a worker | `orionpyinfer` | [`Inference`] |
//! | `GstVideoRegionOfInterestMeta`, type = label | `orionpyinfer` | a box in pixels, parameter `detection` |
//! | `GstAnalyticsRelationMeta` (feature `v1_24`) | `orionpyinfer` | the same boxes, type = label; empty where nothing was seen |
//!
//! Custom metas are read from any language with `gst_buffer_get_custom_meta`.

use std::{collections::BTreeMap, sync::Once};

use gst::glib;

use gst::meta::CustomMeta;
use gst_video::VideoRegionOfInterestMeta;
use orion_core::{
    geometry::PixelRect,
    mark,
    report::ClockSource,
    timestamp,
    wire::{Detection, RoiProcessing},
};
use serde::Deserialize;

#[cfg(feature = "v1_24")]
mod analytics;

/// Name of the custom meta with a frame's number and time.
pub const FRAME_META: &str = "OrionFrameMeta";
/// Name of the custom meta with a worker's result.
pub const INFERENCE_META: &str = "OrionInferenceMeta";
/// Type of the results of a worker that looks for persons.
pub const PERSON: &str = "person_detection";
/// Type of the region meta that says where to look.
pub const ATTENTION_TYPE: &str = "orion/attention";

/// Makes the custom metas known; may be called more than once, also by a second copy of the plugin in the process.
pub fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for name in [FRAME_META, INFERENCE_META] {
            if !CustomMeta::is_registered(name) {
                // Without tags a meta survives scaling, conversion, encoding and decoding.
                CustomMeta::register_simple(name);
            }
        }
    });
}

/// A frame's identity.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameInfo {
    /// Counts the frames that the first Orion element forwarded.
    pub seq: u64,
    /// Counts the connections of the stream.
    pub epoch: u32,
    /// Moment of capture, ns since 1970.
    pub captured: u64,
    /// Whose clock that is.
    pub clock_source: ClockSource,
    /// When the first Orion element got it, ns on [`gst::get_timestamp`]'s clock.
    pub arrived: u64,
    /// The daemon or pipeline.
    pub instance_id: String,
    /// The room or place.
    pub room_id: String,
    /// What `orionroi` decided; none = nobody did.
    pub planned: Option<Planned>,
}

/// What `orionroi` decided about a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Region and model.
    pub roi: RoiProcessing,
    /// Which `orionroi` that was, for the answer's way back.
    pub origin: u64,
    /// The frame's time on its clock, ns.
    pub time: u64,
    /// Stream time since the last full frame, ns; none = there was none.
    pub since_sweep: Option<u64>,
    /// The answer to this frame has a say in the plan for the next one.
    pub follows: bool,
}

/// One worker's result on a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Inference {
    /// The result's type, for example `person_detection`.
    pub kind: String,
    /// The result of the worker protocol as JSON.
    pub result: String,
    /// When a worker got the frame, ns on [`gst::get_timestamp`]'s clock.
    pub sent: u64,
    /// When it answered, ns on the same clock.
    pub answered: u64,
    /// Frames lost since the result before, by cause.
    pub lost: BTreeMap<String, u64>,
}

/// What the newest result on a frame comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// When the first Orion element got the frame, ns on [`gst::get_timestamp`]'s clock.
    pub arrived: u64,
    /// How many detections there are.
    pub count: u64,
    /// Whether the worker was to look at the whole frame.
    pub full: bool,
    /// Whether it is a result of the type [`PERSON`].
    pub person: bool,
}

/// The camera's own time of a frame, ns since 1970, when the stream carries it (rtspsrc `add-reference-timestamp-meta`).
pub(crate) fn camera_time(buffer: &gst::BufferRef) -> Option<u64> {
    buffer.iter_meta::<gst::ReferenceTimestampMeta>().find_map(|meta| {
        let time = meta.timestamp().nseconds();
        match meta.reference().structure(0)?.name().as_str() {
            "timestamp/x-ntp" => timestamp::unix_from_ntp(time),
            "timestamp/x-unix" => Some(time),
            _ => None,
        }
    })
}

/// Whether a frame has its number already.
pub fn has_frame(buffer: &gst::BufferRef) -> bool {
    CustomMeta::from_buffer(buffer, FRAME_META).is_ok()
}

/// Reads a frame's identity.
pub fn frame(buffer: &gst::BufferRef) -> Option<FrameInfo> {
    let meta = CustomMeta::from_buffer(buffer, FRAME_META).ok()?;
    let s = meta.structure();
    Some(FrameInfo {
        seq: s.get("seq").ok()?,
        epoch: s.get("epoch").ok()?,
        captured: s.get("captured").ok()?,
        clock_source: match s.get::<&str>("clock-source").ok()? {
            "camera" => ClockSource::Camera,
            _ => ClockSource::Arrival,
        },
        arrived: s.get("arrived").ok()?,
        instance_id: s.get("instance-id").ok()?,
        room_id: s.get("room-id").ok()?,
        planned: planned(s),
    })
}

fn planned(s: &gst::StructureRef) -> Option<Planned> {
    Some(Planned {
        roi: serde_json::from_str(s.get("attention").ok()?).ok()?,
        origin: s.get("origin").ok()?,
        time: s.get("time").ok()?,
        since_sweep: s.get("since-sweep").ok(),
        follows: s.get("follows").ok()?,
    })
}

/// Writes a frame's identity over one that may be there.
pub fn set_frame(buffer: &mut gst::BufferRef, info: &FrameInfo) -> Result<(), glib::BoolError> {
    let mut meta = match has_frame(buffer) {
        true => CustomMeta::from_mut_buffer(buffer, FRAME_META)?,
        false => CustomMeta::add(buffer, FRAME_META)?,
    };
    let s = meta.mut_structure();
    s.set("seq", info.seq);
    s.set("epoch", info.epoch);
    s.set("captured", info.captured);
    s.set("clock-source", info.clock_source.as_str());
    s.set("arrived", info.arrived);
    s.set("instance-id", info.instance_id.as_str());
    s.set("room-id", info.room_id.as_str());
    for field in ["attention", "origin", "time", "since-sweep", "follows"] {
        s.remove_field(field);
    }
    if let Some(planned) = &info.planned
        && let Ok(json) = serde_json::to_string(&planned.roi)
    {
        s.set("attention", json);
        s.set("origin", planned.origin);
        s.set("time", planned.time);
        s.set("follows", planned.follows);
        if let Some(since) = planned.since_sweep {
            s.set("since-sweep", since);
        }
    }
    Ok(())
}

/// Marks the merged region for other elements, in pixels of this frame. Without a region there is nothing to mark.
pub(crate) fn add_attention(buffer: &mut gst::BufferRef, attention: &RoiProcessing, width: u32, height: u32) {
    let Some(merged) = attention.merged_roi else {
        return;
    };
    let source = serde_json::to_value(attention.source).ok();
    let params = gst::Structure::builder("attention")
        .field("x", merged.x())
        .field("y", merged.y())
        .field("width", merged.width())
        .field("height", merged.height())
        .field("target-size", u32::from(attention.target_size))
        .field("source", source.as_ref().and_then(|s| s.as_str()).unwrap_or_default())
        .build();
    add_region(buffer, ATTENTION_TYPE, merged.to_pixels(width, height), params);
}

/// Adds the detections on a frame of that size: one region meta each and, with the feature `v1_24`, all of them in one
/// relation meta. Boxes are cut at the frame's edges, those outside it are left out.
///
/// # Errors
/// GStreamer had no room for one.
pub(crate) fn add_detections(
    buffer: &mut gst::BufferRef,
    detections: &[Detection],
    width: u32,
    height: u32,
) -> Result<(), glib::BoolError> {
    let marks = mark::marks(detections, width, height);
    for mark in &marks {
        let mut params = gst::Structure::builder("detection").field("confidence", mark.confidence);
        if let Some(id) = mark.label_id {
            params = params.field("label_id", id);
        }
        add_region(buffer, mark.label, mark.pixels, params.build());
    }
    #[cfg(feature = "v1_24")]
    analytics::add(buffer, &marks)?;
    Ok(())
}

fn add_region(buffer: &mut gst::BufferRef, kind: &str, p: PixelRect, params: gst::Structure) {
    VideoRegionOfInterestMeta::add(buffer, kind, (p.x, p.y, p.width, p.height)).add_param(params);
}

/// Adds a worker's result.
pub fn add_inference(buffer: &mut gst::BufferRef, inference: &Inference) -> Result<(), glib::BoolError> {
    let mut lost = gst::Structure::new_empty("lost");
    for (cause, frames) in &inference.lost {
        lost.set(cause.as_str(), *frames);
    }
    let mut meta = CustomMeta::add(buffer, INFERENCE_META)?;
    let s = meta.mut_structure();
    s.set("type", inference.kind.as_str());
    s.set("result", inference.result.as_str());
    s.set("sent", inference.sent);
    s.set("answered", inference.answered);
    s.set("lost", lost);
    Ok(())
}

/// All results on a frame, in the order in which they were added.
pub fn inferences(buffer: &gst::BufferRef) -> Vec<Inference> {
    buffer
        .iter_meta::<gst::Meta>()
        .filter_map(|meta| {
            let meta = meta.try_as_custom_meta().filter(|meta| meta.has_name(INFERENCE_META))?;
            let s = meta.structure();
            let lost = s.get::<gst::Structure>("lost").ok()?;
            Some(Inference {
                kind: s.get("type").ok()?,
                result: s.get("result").ok()?,
                sent: s.get("sent").ok()?,
                answered: s.get("answered").ok()?,
                lost: lost.iter().filter_map(|(cause, n)| Some((cause.to_string(), n.get().ok()?))).collect(),
            })
        })
        .collect()
}

/// Of a result, what [`look`] reads; the rest is passed over.
#[derive(Deserialize)]
struct Counted {
    data: Count,
}

#[derive(Deserialize)]
struct Count {
    count: u64,
}

/// Reads the result that was added last, without copying it; none where there is none, or no frame's identity.
pub fn look(buffer: &gst::BufferRef) -> Option<Look> {
    let custom = |meta: &gst::MetaRef<'_, gst::Meta>| {
        meta.try_as_custom_meta().is_some_and(|meta| meta.has_name(INFERENCE_META))
    };
    let newest = buffer.iter_meta::<gst::Meta>().filter(custom).last()?;
    let result = newest.try_as_custom_meta()?.structure();
    let frame = CustomMeta::from_buffer(buffer, FRAME_META).ok()?;
    let frame = frame.structure();
    let counted: Counted = serde_json::from_str(result.get("result").ok()?).ok()?;
    Some(Look {
        arrived: frame.get("arrived").ok()?,
        count: counted.data.count,
        // Without a plan the whole frame is looked at.
        full: !frame.has_field("attention") || frame.get("since-sweep") == Ok(0u64),
        person: result.get::<&str>("type") == Ok(PERSON),
    })
}

#[cfg(test)]
mod tests {
    use orion_core::wire::{RoiSource, TargetSize};

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        gst::init().unwrap();
        register();
        register();
        let mut buffer = gst::Buffer::with_size(4).unwrap();
        let buffer = buffer.get_mut().unwrap();
        assert_eq!(frame(buffer), None);
        let full_frame = RoiProcessing {
            target_size: TargetSize::S640,
            crop_applied: false,
            source: RoiSource::FullFrame,
            attention_rois: Vec::new(),
            merged_roi: None,
        };
        let mut info = FrameInfo {
            seq: 7,
            epoch: 2,
            captured: u64::MAX,
            clock_source: ClockSource::Camera,
            arrived: 9,
            instance_id: "a".into(),
            room_id: String::new(),
            planned: Some(Planned { roi: full_frame, origin: 3, time: 4, since_sweep: Some(5), follows: true }),
        };
        set_frame(buffer, &info).unwrap();
        assert_eq!(frame(buffer), Some(info.clone()));
        info.planned.as_mut().unwrap().since_sweep = None;
        set_frame(buffer, &info).unwrap();
        assert_eq!(frame(buffer), Some(info.clone()));
        let planned = info.planned.take().unwrap();
        set_frame(buffer, &info).unwrap();
        assert_eq!(frame(buffer), Some(info.clone()));

        let person = Inference {
            kind: "person_detection".into(),
            result: "{}".into(),
            sent: 1,
            answered: 2,
            lost: BTreeMap::from([("queue_full".to_owned(), 3)]),
        };
        let motion = Inference { kind: "motion_detection".into(), lost: BTreeMap::new(), ..person.clone() };
        add_inference(buffer, &person).unwrap();
        add_inference(buffer, &motion).unwrap();
        assert_eq!(inferences(buffer), [person.clone(), motion]);

        info.planned = Some(planned);
        set_frame(buffer, &info).unwrap();
        assert_eq!(look(buffer), None, "{{}} has no count");
        for (kind, since_sweep, full) in [(PERSON, Some(0), true), ("x", Some(5), false), (PERSON, None, false)] {
            info.planned.as_mut().unwrap().since_sweep = since_sweep;
            set_frame(buffer, &info).unwrap();
            let result =
                r#"{"type": "y", "data": {"detections": [{"bbox": {"x": 1.5}}, null], "count": 2, "metadata": {}}}"#;
            add_inference(buffer, &Inference { kind: kind.into(), result: result.into(), ..person.clone() }).unwrap();
            assert_eq!(look(buffer), Some(Look { arrived: 9, count: 2, full, person: kind == PERSON }));
        }
        info.planned = None;
        set_frame(buffer, &info).unwrap();
        assert!(look(buffer).is_some_and(|look| look.full), "nobody planned anything");
    }

    #[test]
    fn ntp_and_unix_references_give_the_camera_time() {
        gst::init().unwrap();
        let mut buffer = gst::Buffer::with_size(4).unwrap();
        let buffer = buffer.get_mut().unwrap();
        assert_eq!(camera_time(buffer), None);
        let ntp = gst::Caps::new_empty_simple("timestamp/x-ntp");
        let time = gst::ClockTime::from_seconds(2_208_988_800 + 5);
        gst::ReferenceTimestampMeta::add(buffer, &ntp, time, gst::ClockTime::NONE);
        assert_eq!(camera_time(buffer), Some(5_000_000_000));
    }
}
