// SPDX-License-Identifier: MPL-2.0
//! Results in the form of the profile that was chosen.

use bytes::Bytes;
use gst::glib;
use orion_core::{
    profile::{
        dlstreamer::{self, FrameView},
        frigate::{self, Config, Event, Events},
    },
    topic::{self, TopicTemplate, TopicValues},
    wire::InferenceResult,
};
use serde::Serialize;

use super::payload::{Body, Delivery, Draft, JSON, Now, PayloadError, report};
use crate::{
    meta::{FrameInfo, Inference},
    orionmqttsink::client,
};

/// `{type}` of an event.
const EVENT_TYPE: &str = "event";

/// Whose messages are published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstOrionMqttSinkProfile")]
pub(super) enum Profile {
    #[default]
    #[enum_value(name = "One report a result", nick = "orion")]
    Orion,
    #[enum_value(name = "The JSON of DL Streamer's gvametaconvert, one message a result", nick = "dlstreamer")]
    Dlstreamer,
    #[enum_value(name = "Frigate's events of objects that come, change and go", nick = "frigate")]
    Frigate,
}

impl Profile {
    /// Where its messages go unless the property says otherwise.
    ///
    /// `gvametapublish` has none for DL Streamer's messages; Orion's own topic would promise Orion's own payload.
    pub(super) fn default_topic(self) -> &'static str {
        match self {
            Self::Orion => topic::DEFAULT_TEMPLATE,
            Self::Dlstreamer => dlstreamer::DEFAULT_TOPIC,
            Self::Frigate => frigate::DEFAULT_TOPIC,
        }
    }

    /// What its messages lack when the size of the frames is not known.
    fn without_size(self) -> Option<&'static str> {
        match self {
            Self::Orion => None,
            Self::Dlstreamer => Some("objects have no detection and frames no resolution"),
            Self::Frigate => Some("events have neither region nor path_data"),
        }
    }
}

/// A frame with results, and what is known about it.
pub(super) struct Seen<'a> {
    pub(super) results: Vec<(&'a Inference, InferenceResult)>,
    pub(super) frame: Option<&'a FrameInfo>,
    /// Width and height of the picture, if its caps say so, pixels.
    pub(super) size: Option<(u32, u32)>,
    /// Stream time, ns.
    pub(super) stream_time: Option<u64>,
}

/// Makes messages of results.
#[derive(Default)]
pub(super) struct Translator {
    profile: Profile,
    events: Events,
    /// What is to be told to the user, and whether it was.
    complaint: Option<&'static str>,
    complained: bool,
}

impl Translator {
    /// `threshold`: the score from which Frigate would take an object for real.
    pub(super) fn new(profile: Profile, threshold: f64) -> Self {
        Self::with(profile, Config { threshold, ..Config::default() })
    }

    pub(super) fn with(profile: Profile, config: Config) -> Self {
        Self { profile, events: Events::new(config), ..Self::default() }
    }

    /// What the messages lack and why, once.
    pub(super) fn take_complaint(&mut self) -> Option<&'static str> {
        self.complaint.take()
    }

    /// The size of a frame with a result, pixels.
    fn size(&mut self, of_caps: Option<(u32, u32)>, result: &InferenceResult) -> Option<(u32, u32)> {
        let real = |(width, height): &(u32, u32)| *width > 0 && *height > 0;
        let size = of_caps.filter(real).or_else(|| said_size(result).filter(real));
        if size.is_none() && !std::mem::replace(&mut self.complained, true) {
            self.complaint = self.profile.without_size();
        }
        size
    }

    /// The messages of one frame.
    ///
    /// # Errors
    /// [`PayloadError::Topic`] when a topic is too long.
    pub(super) fn translate(
        &mut self,
        delivery: &Delivery,
        seen: Seen<'_>,
        now: Now,
    ) -> Result<Vec<Draft>, PayloadError> {
        let Seen { results, frame, size, stream_time } = seen;
        let mut drafts = Vec::with_capacity(results.len());
        for (inference, result) in results {
            match self.profile {
                Profile::Orion => drafts.push(report(delivery, inference, result, frame)?),
                Profile::Dlstreamer => {
                    let size = self.size(size, &result);
                    let view = FrameView {
                        width: size.map(|size| size.0),
                        height: size.map(|size| size.1),
                        timestamp: stream_time,
                        source: &result.instance_id,
                    };
                    let values = TopicValues {
                        instance_id: &result.instance_id,
                        room_id: &result.room_id,
                        kind: &inference.kind,
                        label: result.best_label(),
                    };
                    drafts.push(draft(delivery, &values, &dlstreamer::frame(&result, &view), None)?);
                }
                Profile::Frigate => {
                    let captured = frame.map_or(now.wall, |frame| frame.captured);
                    let size = self.size(size, &result);
                    let events = self.events.observe(&result, captured, now.running, size, &mut client::random);
                    drafts.extend(told(delivery, &events)?);
                }
            }
        }
        Ok(drafts)
    }

    /// What is to be said when nothing has come for a while.
    ///
    /// # Errors
    /// As [`Self::translate`].
    pub(super) fn tick(&mut self, delivery: &Delivery, now: Now) -> Result<Vec<Draft>, PayloadError> {
        told(delivery, &self.events.end_stale(now.running))
    }

    /// What is to be said at the end of the stream.
    ///
    /// # Errors
    /// As [`Self::translate`].
    pub(super) fn finish(&mut self, delivery: &Delivery) -> Result<Vec<Draft>, PayloadError> {
        told(delivery, &self.events.finish())
    }
}

/// The size of the frame as the worker says it.
fn said_size(result: &InferenceResult) -> Option<(u32, u32)> {
    let side = |name: &str| u32::try_from(result.data.metadata.get(name)?.as_u64()?).ok();
    Some((side("frame_width")?, side("frame_height")?))
}

fn told(delivery: &Delivery, events: &[Event]) -> Result<Vec<Draft>, PayloadError> {
    let message = |event: &Event| {
        let values =
            TopicValues { instance_id: &event.after.camera, room_id: "", kind: EVENT_TYPE, label: &event.after.label };
        // The topic tells of all objects.
        draft(delivery, &values, event, Some(event.after.id.clone()))
    };
    events.iter().map(message).collect()
}

/// A message of another system: nothing of Orion's is in it, so nothing of Orion's is said when it is lost.
fn draft(
    delivery: &Delivery,
    values: &TopicValues<'_>,
    message: &impl Serialize,
    key: Option<String>,
) -> Result<Draft, PayloadError> {
    Ok(Draft {
        topic: delivery.topic.render(values)?,
        body: Body::Raw(Bytes::from(serde_json::to_vec(message).map_err(PayloadError::Encoding)?)),
        qos: delivery.qos,
        retain: delivery.retain,
        content_type: Some(JSON.to_owned()),
        origin: None,
        key,
    })
}

/// The template that a profile publishes to by default.
pub(super) fn default_template(profile: Profile) -> TopicTemplate {
    // A test holds that each is valid.
    TopicTemplate::parse(profile.default_topic()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    fn delivery(profile: Profile) -> Delivery {
        Delivery { topic: default_template(profile).into(), qos: 1, retain: false }
    }

    fn inference(seq: u64, x: Option<f64>) -> Inference {
        let box_at = |x| json!({"bbox": {"x": x, "y": 10.0, "width": 20.0, "height": 40.0}, "confidence": 0.9, "label": "person"});
        let detections: Vec<Value> = x.into_iter().map(box_at).collect();
        let result = json!({
            "type": "person_detection", "instance_id": "ward", "room_id": "7", "timestamp": "2026-11-22T08:00:00.000000001Z",
            "frame_seq": seq, "timing": {"total_ms": 1.0}, "suggested_roi": null,
            "data": {"count": detections.len(), "detections": detections, "metadata": {"frame_width": 200, "frame_height": 100}},
        });
        Inference {
            kind: "person_detection".into(),
            result: result.to_string(),
            sent: 0,
            answered: 0,
            lost: BTreeMap::new(),
        }
    }

    fn translate(translator: &mut Translator, profile: Profile, inference: &Inference, second: u64) -> Vec<Draft> {
        let result = serde_json::from_str(&inference.result).unwrap();
        let seen = Seen { results: vec![(inference, result)], frame: None, size: None, stream_time: Some(5) };
        // The host's clock has nothing to do with the camera's.
        let now = Now { wall: second * 1_000_000_000, running: (second + 7000) * 1_000_000_000 };
        translator.translate(&delivery(profile), seen, now).unwrap()
    }

    fn json(draft: Draft) -> Value {
        let mut body = draft.body;
        serde_json::from_slice(&body.bytes(Now { wall: 0, running: 0 }, false).unwrap()).unwrap()
    }

    #[test]
    fn every_profile_has_a_valid_topic() {
        for profile in [Profile::Orion, Profile::Dlstreamer, Profile::Frigate] {
            assert_eq!(default_template(profile).as_str(), profile.default_topic());
        }
    }

    #[test]
    fn dl_streamer_gets_one_message_a_result() {
        let mut translator = Translator::new(Profile::Dlstreamer, 0.7);
        let mut drafts = translate(&mut translator, Profile::Dlstreamer, &inference(3, Some(50.0)), 1);
        assert_eq!((drafts.len(), drafts[0].topic.as_str()), (1, "dlstreamer/ward/person_detection"));
        let message = json(drafts.remove(0));
        assert_eq!(message["objects"][0]["detection"]["bounding_box"]["x_min"], 0.25, "the worker says the size");
        assert_eq!((&message["timestamp"], &message["source"]), (&json!(5), &json!("ward")));
    }

    #[test]
    fn frigate_gets_an_event_when_somebody_comes_and_one_when_he_has_gone() {
        let mut translator = Translator::new(Profile::Frigate, 0.7);
        let mut told = Vec::new();
        for second in 0..6 {
            let at = 50.0 + second as f64;
            told.extend(translate(&mut translator, Profile::Frigate, &inference(second, Some(at)), 1000 + second));
        }
        assert_eq!(told[0].topic, "frigate/events");
        assert!(told[0].key.is_some() && told.iter().all(|draft| draft.key == told[0].key), "all are about one object");
        let kinds = |told: Vec<Draft>| told.into_iter().map(|draft| json(draft)["type"].clone()).collect::<Vec<_>>();
        assert_eq!(kinds(told)[0], "new");
        // The last result came at 8005 s; the wall clock may say what it likes.
        let later = |running: u64| Now { wall: running % 2 * 1_000_000_000_000_000, running: running * 1_000_000_000 };
        for second in 8006..=8065 {
            assert!(translator.tick(&delivery(Profile::Frigate), later(second)).unwrap().is_empty(), "{second} s");
        }
        let ended = translator.tick(&delivery(Profile::Frigate), later(8066)).unwrap();
        assert_eq!(kinds(ended), ["end"]);
        assert!(translator.finish(&delivery(Profile::Frigate)).unwrap().is_empty(), "nobody is left");
    }

    #[test]
    fn it_is_said_once_what_is_missing_without_a_size() {
        for (profile, lacks) in
            [(Profile::Orion, None), (Profile::Dlstreamer, Some("no detection")), (Profile::Frigate, Some("path_data"))]
        {
            let mut translator = Translator::with(profile, Config { threshold: 0.0, ..Config::default() });
            assert_eq!(translate(&mut translator, profile, &inference(0, Some(50.0)), 1000).len(), 1);
            assert_eq!(translator.take_complaint(), None, "the worker has said it");
            let mut messages = 0;
            for n in 1..20 {
                let mut blind = inference(n, Some(50.0 + n as f64));
                blind.result = blind.result.replace("frame_width", "w");
                messages += translate(&mut translator, profile, &blind, 1000 + n).len();
                let said = translator.take_complaint();
                assert_eq!(said.is_some(), n == 1 && lacks.is_some(), "{profile:?} {n}: {said:?}");
                assert!(said.is_none_or(|said| said.contains(lacks.unwrap())), "{said:?}");
            }
            assert!(messages > 0, "{profile:?}");
            let mut nothing = Translator::with(profile, Config { threshold: 0.0, ..Config::default() });
            let mut blind = inference(0, Some(50.0));
            blind.result = blind.result.replace("200", "0");
            assert_eq!(translate(&mut nothing, profile, &blind, 1000).len(), 1, "no width is no size");
            assert_eq!(nothing.take_complaint().is_some(), lacks.is_some());
        }
    }
}
