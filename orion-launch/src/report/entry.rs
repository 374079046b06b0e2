// SPDX-License-Identifier: MPL-2.0
//! One line of a file of results.

use std::collections::BTreeMap;

use orion_core::gap::GAP_TYPE;
use serde::Deserialize;
use serde_json::Value;

/// What a line is.
#[derive(Debug, PartialEq)]
pub(super) enum Entry {
    /// A result on a frame.
    Look(Box<Look>),
    /// Frames whose results will never come.
    Gap(Missing),
    /// Another message: an event, a state, an answer.
    Other,
}

/// A result, as far as a page shows it. What a later version adds is passed over, what an earlier one lacks is left out.
#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct Look {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) instance_id: String,
    pub(super) frame_seq: u64,
    #[serde(default)]
    pub(super) timestamp: String,
    #[serde(default)]
    pub(super) position_ms: Option<f64>,
    pub(super) data: Data,
    #[serde(default)]
    pub(super) timing: Timing,
    #[serde(default)]
    pub(super) latency_ms: Option<f64>,
    #[serde(default)]
    pub(super) stages: Option<Stages>,
    #[serde(default)]
    pub(super) time_since_full_sweep_ms: Option<f64>,
    #[serde(default)]
    pub(super) coverage: Option<f64>,
    #[serde(default)]
    pub(super) lost_since_last: BTreeMap<String, u64>,
    #[serde(default)]
    pub(super) replayed: bool,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct Data {
    pub(super) detections: Vec<Detection>,
    #[serde(default)]
    pub(super) metadata: Metadata,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct Detection {
    pub(super) label: String,
    pub(super) confidence: f64,
}

/// What workers of others say here may be anything.
#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct Metadata {
    #[serde(default)]
    pub(super) model_selected: Value,
    #[serde(default)]
    pub(super) roi_processing: Value,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Timing {
    pub(super) preprocess_ms: f64,
    pub(super) inference_ms: f64,
    pub(super) postprocess_ms: f64,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Stages {
    pub(super) queue_ms: f64,
    pub(super) worker_ms: f64,
    pub(super) publish_ms: f64,
}

/// A gap record.
#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Missing {
    #[serde(default)]
    pub(super) instance_id: String,
    pub(super) missing_type: String,
    #[serde(default)]
    pub(super) timestamp: String,
    #[serde(default)]
    pub(super) position_ms: Option<f64>,
    pub(super) cause: String,
    pub(super) frames: u64,
}

impl Look {
    /// The model that looked, such as 640; empty where the worker does not say.
    pub(super) fn model(&self) -> String {
        match &self.data.metadata.model_selected {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        }
    }

    /// Who chose the region.
    pub(super) fn region(&self) -> &str {
        match self.data.metadata.roi_processing.get("source").and_then(Value::as_str) {
            None | Some("") => "full frame",
            Some(source) => source,
        }
    }
}

/// Reads a line, with a topic before the message (`mosquitto_sub -v`) or without.
///
/// # Errors
/// Why it is none of these, in words.
pub(super) fn read(line: &[u8]) -> Result<Entry, String> {
    let line =
        std::str::from_utf8(line).map_err(|error| format!("no UTF-8 text from byte {} on", error.valid_up_to() + 1))?;
    let line = line.trim();
    if line.starts_with('{') {
        return object(line);
    }
    // A topic has no space of ours in it, and at least two levels.
    match line.split_once(' ').filter(|(topic, _)| topic.contains('/')) {
        Some((_, message)) if message.trim_start().starts_with('{') => object(message.trim_start()),
        Some(_) => Ok(Entry::Other),
        None => Err("expected a JSON object, or a topic and one".to_owned()),
    }
}

fn object(text: &str) -> Result<Entry, String> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "type", default)]
        kind: Value,
        #[serde(default)]
        data: Value,
    }
    let told = |error: serde_json::Error| error.to_string();
    let head: Head = serde_json::from_str(text).map_err(told)?;
    match head.kind.as_str() {
        Some(GAP_TYPE) => Ok(Entry::Gap(serde_json::from_str(text).map_err(told)?)),
        Some(_) if head.data.get("detections").is_some() => Ok(Entry::Look(serde_json::from_str(text).map_err(told)?)),
        _ => Ok(Entry::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: &str = r#"{"type":"person_detection","instance_id":"a","frame_seq":3,"timestamp":"t","data":{"detections":[{"label":"p","confidence":0.5,"bbox":{}}],"count":1,"metadata":{"model_selected":"320","roi_processing":{"source":"auto_history"}}},"new":{"x":1}}"#;

    #[test]
    fn results_gaps_and_others_are_told_apart_with_and_without_a_topic() {
        let Ok(Entry::Look(look)) = read(LOOK.as_bytes()) else { panic!("{:?}", read(LOOK.as_bytes())) };
        assert_eq!((look.model().as_str(), look.region(), look.data.detections.len()), ("320", "auto_history", 1));
        let topic = format!("care/inferences/a/person_detection {LOOK}\r");
        assert_eq!(read(topic.as_bytes()), Ok(Entry::Look(look)));
        let gap = r#"{"type":"gap","instance_id":"a","missing_type":"x","cause":"too_old","frames":3,"ranges":[]}"#;
        assert!(matches!(read(gap.as_bytes()), Ok(Entry::Gap(Missing { frames: 3, .. }))));
        for other in ["care/status/a online", r#"{"event":"x"}"#, r#"{"type":7}"#, r#"care/x/y {"state":"absent"}"#] {
            assert_eq!(read(other.as_bytes()), Ok(Entry::Other), "{other}");
        }
    }

    #[test]
    fn a_worker_of_another_kind_may_say_less() {
        let line = r#"{"type":"x","frame_seq":1,"data":{"detections":[]}}"#;
        let Ok(Entry::Look(look)) = read(line.as_bytes()) else { panic!() };
        assert_eq!((look.model().as_str(), look.region()), ("", "full frame"));
    }

    #[test]
    fn a_broken_line_says_why() {
        for (line, expected) in [
            (&b"{\"type\":\"x\""[..], "EOF while parsing"),
            (b"hello", "expected a JSON object"),
            (b"\xff\xfe", "no UTF-8 text from byte 1"),
            (b"{\"type\":\"x\",\"data\":{\"detections\":[]}}", "missing field `frame_seq`"),
            (b"{\"type\":\"x\",\"frame_seq\":1,\"data\":{\"detections\":7}}", "expected a sequence"),
            (b"{\"type\":\"gap\"}", "missing field"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
