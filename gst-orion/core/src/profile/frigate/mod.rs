// SPDX-License-Identifier: MPL-2.0
//! Messages as Frigate publishes them on `frigate/events`: an object appears, changes, ends.
//!
//! Fields and their meaning: Frigate, `frigate/track/tracked_object.py` (`to_dict`) and `docs/docs/integrations/mqtt.md`.
//! Numbers and rules taken from Frigate name their file; meant are `tracked_object.py` of its commit 47b89a1,
//! `norfair_tracker.py` of 774f76f and `camera/state.py` of e9aebbe. What Orion cannot know has the value that Frigate
//! gives it when the feature is off; each field says so.
//!
//! Every message tells all that is known of its object, so one that is lost is made up for by the next, and an `end`
//! stands for itself. A consumer must bear an `update` or `end` without the `new`.

mod events;
mod matching;
mod path;
mod position;
mod track;

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{contract, wire::MAX_LABEL};

pub use events::{Config, Events};

/// Where Frigate publishes events with its default `topic_prefix`.
pub const DEFAULT_TOPIC: &str = "frigate/events";

/// A corner pair in pixels: left, top, right, bottom.
pub type PixelBox = [u32; 4];

/// A place (x and y in fractions of the frame's width and height) and when the object was there (s since 1970).
pub type PathPoint = ((f64, f64), f64);

/// What an event's id looks like.
const ID: &str = r"^\d+\.\d{6}-[a-z0-9]{6}$";

/// The type of a path cannot say the ranges of its numbers.
fn path_schema(_: &mut SchemaGenerator) -> Schema {
    let fraction = json_schema!({"type": "number", "minimum": 0, "maximum": 1});
    let place = json_schema!({"type": "array", "prefixItems": [fraction, fraction], "minItems": 2, "maxItems": 2});
    let time = json_schema!({"type": "number", "minimum": 0});
    let point = json_schema!({"type": "array", "prefixItems": [place, time], "minItems": 2, "maxItems": 2});
    json_schema!({"type": "array", "items": point, "maxItems": path::LENGTH})
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// It is now taken for real; the first message about it.
    New,
    /// Something about it changed.
    Update,
    /// It is gone; the last message about it.
    End,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// The object as it stood in the message before; in a `new` one, as it was when first seen.
    pub before: ObjectState,
    /// The object as it is.
    pub after: ObjectState,
}

/// An object at one moment. Times are seconds since 1970, with microseconds as Frigate's have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectState {
    /// `<start_time>-<6 of a-z0-9>`, the same through all of its messages.
    #[schemars(regex(pattern = ID))]
    pub id: String,
    /// `instance_id` of the results; its first 256 characters.
    #[schemars(regex(pattern = contract::INSTANCE_ID), length(max = 256))]
    pub camera: String,
    /// Capture time of the frame in which it was last seen, s.
    #[schemars(range(min = 0))]
    pub frame_time: f64,
    /// The best view of it so far. No picture of it is kept, see `has_snapshot`.
    pub snapshot: BestView,
    /// What it is.
    #[schemars(length(max = MAX_LABEL))]
    pub label: String,
    /// Name and score of something more exact: always null, Orion recognises no names.
    pub sub_label: Option<(String, f64)>,
    /// The highest median of its scores so far, 0..1; 0 at first.
    #[schemars(range(min = 0, max = 1))]
    pub top_score: f64,
    /// True until the median of its scores reached the threshold; from then on false.
    pub false_positive: bool,
    /// Capture time of the frame in which it was first seen, s.
    #[schemars(range(min = 0))]
    pub start_time: f64,
    /// When it was given up, s by the camera's clock; null until then.
    #[schemars(range(min = 0))]
    pub end_time: Option<f64>,
    /// Its confidence when last seen, 0..1.
    #[schemars(range(min = 0, max = 1))]
    pub score: f64,
    /// Where it was last seen.
    #[serde(rename = "box")]
    pub bbox: PixelBox,
    /// Of the box, pixels.
    pub area: u64,
    /// Width of the box divided by its height.
    #[schemars(range(min = 0))]
    pub ratio: f64,
    /// The part of the frame in which it was looked for; four zeros when the size of the frame is not known.
    pub region: PixelBox,
    /// The opposite of `stationary`.
    pub active: bool,
    /// Whether it has kept its place for over 10 s.
    pub stationary: bool,
    /// Results since it last changed its place.
    pub motionless_count: u64,
    /// How often it left its place after keeping it; its first move counts too.
    pub position_changes: u64,
    /// Always empty: Orion has no zones.
    pub current_zones: Vec<String>,
    /// Always empty: Orion has no zones.
    pub entered_zones: Vec<String>,
    /// Always false: Orion keeps no recordings.
    pub has_clip: bool,
    /// Always false: nothing can be fetched from Frigate's API under this id.
    pub has_snapshot: bool,
    /// Highest score by attribute, such as `face`: always empty.
    pub attributes: BTreeMap<String, f64>,
    /// Attributes in this frame: always empty.
    pub current_attributes: Vec<Value>,
    /// Always false: Orion has no zones to loiter in.
    pub pending_loitering: bool,
    /// `alert` or `detection`: always null, Orion reviews nothing.
    pub max_severity: Option<String>,
    /// km/h or mph: always 0, as outside Frigate's speed zones.
    pub current_estimated_speed: f64,
    /// km/h or mph: always 0, as outside Frigate's speed zones.
    pub average_estimated_speed: f64,
    /// Degrees: always 0, as outside Frigate's speed zones.
    pub velocity_angle: f64,
    /// Where the middle of its lower edge was, oldest first; the latest 50 places. Empty when the size of the frame is
    /// not known.
    #[schemars(schema_with = "path_schema")]
    pub path_data: Vec<PathPoint>,
    /// Always null: Orion reads no plates.
    pub recognized_license_plate: Option<String>,
}

/// The frame in which an object was seen best.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BestView {
    /// Its capture time, s since 1970.
    #[schemars(range(min = 0))]
    pub frame_time: f64,
    /// Where the object was in it.
    #[serde(rename = "box")]
    pub bbox: PixelBox,
    /// Of the box, pixels.
    pub area: u64,
    /// The part of the frame in which it was looked for; four zeros when the size of the frame is not known.
    pub region: PixelBox,
    /// The object's confidence in it, 0..1.
    #[schemars(range(min = 0, max = 1))]
    pub score: f64,
    /// Attributes in it: always empty.
    pub attributes: Vec<Value>,
    /// km/h or mph: always 0, as outside Frigate's speed zones.
    pub current_estimated_speed: f64,
    /// Degrees: always 0, as outside Frigate's speed zones.
    pub velocity_angle: f64,
    /// The object's path until then.
    #[schemars(schema_with = "path_schema")]
    pub path_data: Vec<PathPoint>,
    /// Always null: Orion reads no plates.
    pub recognized_license_plate: Option<String>,
    /// Always null: Orion reads no plates.
    pub recognized_license_plate_score: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_message_has_frigates_fields() {
        let mut events = Events::new(Config { threshold: 0.0, ..Config::default() });
        let result = json!({
            "type": "person_detection", "instance_id": "ward-3", "room_id": "", "timestamp": "t", "frame_seq": 0,
            "data": {"detections": [{"bbox": {"x": 10.9, "y": 20, "width": 40.2, "height": 60}, "confidence": 0.8, "label": "person"}], "count": 1},
            "timing": {"total_ms": 9.0},
        });
        let result = serde_json::from_value(result).unwrap();
        let mut seen = events.observe(&result, 1_607_123_955_475_377_999, 0, Some((640, 480)), &mut || 35 + 36 * 10);
        let event = seen.pop().unwrap();
        let value = serde_json::to_value(&event).unwrap();
        assert_eq!(value["type"], "new");
        assert_eq!((&value["before"]["false_positive"], &value["before"]["path_data"]), (&json!(true), &json!([])));
        let expected = json!({
            "id": "1607123955.475377-aaaak9", "camera": "ward-3", "frame_time": 1_607_123_955.475_377, "label": "person",
            "snapshot": {
                "frame_time": 1_607_123_955.475_377, "box": [10, 20, 51, 80], "area": 2460, "region": [0, 0, 640, 480], "score": 0.8,
                "attributes": [], "current_estimated_speed": 0.0, "velocity_angle": 0.0, "path_data": [],
                "recognized_license_plate": null, "recognized_license_plate_score": null,
            },
            "sub_label": null, "top_score": 0.0, "false_positive": false, "start_time": 1_607_123_955.475_377, "end_time": null,
            "score": 0.8, "box": [10, 20, 51, 80], "area": 2460, "ratio": 41.0 / 60.0, "region": [0, 0, 640, 480], "active": true,
            "stationary": false, "motionless_count": 0, "position_changes": 0, "current_zones": [], "entered_zones": [],
            "has_clip": false, "has_snapshot": false, "attributes": {}, "current_attributes": [], "pending_loitering": false,
            "max_severity": null, "current_estimated_speed": 0.0, "average_estimated_speed": 0.0, "velocity_angle": 0.0,
            "path_data": [[[0.0469, 0.1667], 1_607_123_955.475_377]], "recognized_license_plate": null,
        });
        assert_eq!(value["after"], expected);
        assert_eq!(serde_json::from_value::<Event>(value).unwrap(), event);
    }
}
