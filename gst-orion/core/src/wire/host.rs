// SPDX-License-Identifier: MPL-2.0
//! What the host sends.

use serde::{Deserialize, Serialize};

use super::WireError;
use crate::{framing, geometry::NormRect};

/// How the picture's bytes are laid out. Raw rows are tightly packed, without padding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrameFormat {
    /// One JPEG picture.
    #[default]
    Jpeg,
    /// 3 bytes a pixel.
    Rgb,
    /// 3 bytes a pixel.
    Bgr,
    /// Y plane, then U, then V; both at half size, rounded up.
    I420,
    /// Y plane, then UV pairs at half size, rounded up.
    Nv12,
}

/// The model that a frame asks for, by the side of its input in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum TargetSize {
    /// The small model.
    S320,
    /// The large model.
    S640,
}

impl From<TargetSize> for u32 {
    fn from(size: TargetSize) -> u32 {
        match size {
            TargetSize::S320 => 320,
            TargetSize::S640 => 640,
        }
    }
}

impl TryFrom<u32> for TargetSize {
    type Error = String;

    fn try_from(pixels: u32) -> Result<Self, String> {
        match pixels {
            320 => Ok(Self::S320),
            640 => Ok(Self::S640),
            other => Err(format!("target_size must be 320 or 640, got {other}")),
        }
    }
}

/// Who chose the region.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoiSource {
    /// Set from outside.
    #[serde(rename = "external")]
    External,
    /// Suggested by the worker.
    #[serde(rename = "python_suggested")]
    PythonSuggested,
    /// Computed from recent suggestions.
    #[serde(rename = "auto_history")]
    AutoHistory,
    /// Nobody: the full frame.
    #[default]
    #[serde(rename = "")]
    FullFrame,
}

/// The region decided upon, and what was done with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoiProcessing {
    /// The model asked for.
    pub target_size: TargetSize,
    /// True only in a result, and only when the worker cut the picture.
    pub crop_applied: bool,
    /// Who chose the region.
    pub source: RoiSource,
    /// The regions as given.
    pub attention_rois: Vec<NormRect>,
    /// Their bounding box, which the worker crops; none = full frame.
    pub merged_roi: Option<NormRect>,
}

/// Whose frame it is and when it was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameMeta {
    /// The daemon or pipeline, `[A-Za-z0-9_-]+`.
    pub instance_id: String,
    /// The room or place, free text.
    pub room_id: String,
    /// Sequence number within the stream.
    pub seq: u64,
    /// Moment of capture, RFC 3339 with nanoseconds, UTC.
    pub timestamp: String,
    /// The region; none = full frame with the large model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roi_processing: Option<RoiProcessing>,
}

/// Where a picture lies in the memory that host and worker share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedPicture {
    /// Which slot, from 0.
    pub slot: u32,
    /// Where it begins in the slot, bytes.
    pub offset: u64,
    /// How long it is, bytes.
    pub length: u64,
}

/// What a `frame` message says whichever way its picture goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameStart(Vec<u8>);

/// Fields of a `frame`: `type`, `format`, `width`, `height`, `meta`, and the picture or its place.
const FRAME_FIELDS: u32 = 6;

impl FrameStart {
    /// `width`, `height`: pixels.
    ///
    /// # Errors
    /// [`WireError::Encode`].
    pub fn new(format: FrameFormat, width: u32, height: u32, meta: &FrameMeta) -> Result<Self, WireError> {
        let mut start = vec![0; framing::PREFIX];
        let mut write = || -> Result<(), Box<dyn std::error::Error>> {
            rmp::encode::write_map_len(&mut start, FRAME_FIELDS)?;
            field(&mut start, "type", &"frame")?;
            field(&mut start, "format", &format)?;
            field(&mut start, "width", &width)?;
            field(&mut start, "height", &height)?;
            field(&mut start, "meta", meta)
        };
        write().map_err(|e| failed(e.to_string()))?;
        Ok(Self(start))
    }

    /// The start of a framed message that has the picture in it: length, map and the header of `frame_data`, its last
    /// field. The picture's `payload_len` bytes follow as they are, so that they are never copied into the message.
    ///
    /// # Errors
    /// [`WireError::Encode`] when the whole message would be too long.
    pub fn inline(&self, payload_len: usize) -> Result<Vec<u8>, WireError> {
        let payload = u32::try_from(payload_len).map_err(|_| failed(format!("{payload_len} bytes of picture")))?;
        let mut head = self.0.clone();
        rmp::encode::write_str(&mut head, "frame_data").map_err(|e| failed(e.to_string()))?;
        rmp::encode::write_bin_len(&mut head, payload).map_err(|e| failed(e.to_string()))?;
        framed(head, payload_len)
    }

    /// A whole framed message whose picture lies in shared memory.
    ///
    /// # Errors
    /// [`WireError::Encode`] when it would be too long.
    pub fn shared(&self, place: SharedPicture) -> Result<Vec<u8>, WireError> {
        let mut message = self.0.clone();
        field(&mut message, "shm", &place).map_err(|e| failed(e.to_string()))?;
        framed(message, 0)
    }
}

fn failed(reason: String) -> WireError {
    WireError::Encode { kind: "frame", reason }
}

/// Writes the length of what is there, without the length itself, and of so many bytes to come.
fn framed(mut message: Vec<u8>, more: usize) -> Result<Vec<u8>, WireError> {
    let prefix = framing::prefix(message.len() - framing::PREFIX + more).map_err(|e| failed(e.to_string()))?;
    message[..framing::PREFIX].copy_from_slice(&prefix);
    Ok(message)
}

/// The start of a framed `frame` message with the picture in it; see [`FrameStart::inline`].
///
/// # Errors
/// [`WireError::Encode`] when the whole message would be too long.
pub fn frame_head(
    format: FrameFormat,
    width: u32,
    height: u32,
    meta: &FrameMeta,
    payload_len: usize,
) -> Result<Vec<u8>, WireError> {
    FrameStart::new(format, width, height, meta)?.inline(payload_len)
}

fn field<T: Serialize>(out: &mut Vec<u8>, name: &str, value: &T) -> Result<(), Box<dyn std::error::Error>> {
    rmp::encode::write_str(out, name)?;
    rmp_serde::encode::write_named(out, value)?;
    Ok(())
}

/// A `command`: asks the worker to change or tell something; answered by an `ack` with the same `id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Chosen by the sender.
    pub id: String,
    /// The command's name.
    pub command: String,
    /// Its parameters.
    #[serde(default)]
    pub params: serde_json::Map<String, serde_json::Value>,
}

/// A whole framed `command` message.
///
/// # Errors
/// [`WireError::Encode`] when it would be too long.
pub fn command_message(command: &Command) -> Result<Vec<u8>, WireError> {
    let failed = |reason: String| WireError::Encode { kind: "command", reason };
    let mut message = vec![0; framing::PREFIX];
    let body = || -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        rmp::encode::write_map_len(&mut message, 4)?;
        field(&mut message, "type", &"command")?;
        field(&mut message, "id", &command.id)?;
        field(&mut message, "command", &command.command)?;
        field(&mut message, "params", &command.params)?;
        Ok(message)
    };
    let mut message = body().map_err(|e| failed(e.to_string()))?;
    let prefix = framing::prefix(message.len() - framing::PREFIX).map_err(|e| failed(e.to_string()))?;
    message[..framing::PREFIX].copy_from_slice(&prefix);
    Ok(message)
}

/// A `frame` as a worker sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameMessage<'a> {
    /// The picture, or where it is.
    pub picture: Payload<'a>,
    /// Its layout.
    pub format: FrameFormat,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Whose frame it is.
    pub meta: FrameMeta,
}

/// The way a picture goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// In the message.
    Inline(&'a [u8]),
    /// In shared memory.
    Shared(SharedPicture),
}

impl<'a> Payload<'a> {
    /// The bytes of a picture that came in the message.
    pub fn inline(self) -> Option<&'a [u8]> {
        match self {
            Self::Inline(bytes) => Some(bytes),
            Self::Shared(_) => None,
        }
    }
}

#[derive(Deserialize)]
struct FrameFields<'a> {
    #[serde(borrow, default)]
    frame_data: Option<&'a [u8]>,
    #[serde(default)]
    shm: Option<SharedPicture>,
    #[serde(default)]
    format: FrameFormat,
    width: u32,
    height: u32,
    meta: FrameMeta,
}

impl<'a> TryFrom<FrameFields<'a>> for FrameMessage<'a> {
    type Error = WireError;

    fn try_from(fields: FrameFields<'a>) -> Result<Self, WireError> {
        let picture = match (fields.frame_data, fields.shm) {
            (Some(bytes), None) => Payload::Inline(bytes),
            (None, Some(place)) => Payload::Shared(place),
            (given, _) => {
                let reason = if given.is_some() { "both are there" } else { "both are missing" };
                return Err(WireError::Field {
                    kind: "frame".into(),
                    path: "frame_data, shm".into(),
                    reason: format!("{reason}, expected one of them"),
                });
            }
        };
        let FrameFields { format, width, height, meta, .. } = fields;
        Ok(Self { picture, format, width, height, meta })
    }
}

/// Any message from the host, for workers written in Rust.
#[derive(Debug, Clone, PartialEq)]
pub enum HostMessage<'a> {
    /// A picture to look at.
    Frame(FrameMessage<'a>),
    /// A request.
    Command(Command),
}

impl<'a> HostMessage<'a> {
    /// Reads one message body.
    ///
    /// # Errors
    /// [`WireError`] names what is missing or wrong.
    pub fn decode(body: &'a [u8]) -> Result<Self, WireError> {
        match super::tag(body)?.as_deref() {
            None | Some("frame") => Ok(Self::Frame(super::fields::<FrameFields<'_>>("frame", body)?.try_into()?)),
            Some("command") => Ok(Self::Command(super::fields("command", body)?)),
            Some(other) => Err(WireError::UnknownType(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> FrameMeta {
        FrameMeta {
            instance_id: "ward-3".into(),
            room_id: "12".into(),
            seq: 41,
            timestamp: "2026-11-22T08:00:00.000000001Z".into(),
            roi_processing: Some(RoiProcessing {
                target_size: TargetSize::S320,
                crop_applied: false,
                source: RoiSource::External,
                attention_rois: vec![NormRect::FULL],
                merged_roi: Some(NormRect::FULL),
            }),
        }
    }

    #[test]
    fn head_and_payload_make_one_framed_message() {
        let payload = [7u8; 70_000];
        let head = frame_head(FrameFormat::Nv12, 640, 480, &meta(), payload.len()).unwrap();
        let stream = [&head[..], &payload[..]].concat();
        let mut deframer = framing::Deframer::default();
        deframer.push(&stream);
        let body = deframer.next_message().unwrap().unwrap();
        let HostMessage::Frame(frame) = HostMessage::decode(body).unwrap() else { panic!("not a frame") };
        assert_eq!(frame.picture, Payload::Inline(&payload));
        assert_eq!((frame.format, frame.width, frame.height), (FrameFormat::Nv12, 640, 480));
        assert_eq!(frame.meta, meta());
    }

    #[test]
    fn a_picture_in_shared_memory_is_named_by_its_place() {
        let start = FrameStart::new(FrameFormat::Rgb, 3840, 2160, &meta()).unwrap();
        let place = SharedPicture { slot: 2, offset: 0, length: 3840 * 2160 * 3 };
        let mut deframer = framing::Deframer::default();
        deframer.push(&start.shared(place).unwrap());
        let body = deframer.next_message().unwrap().unwrap();
        let HostMessage::Frame(frame) = HostMessage::decode(body).unwrap() else { panic!("not a frame") };
        assert_eq!((frame.picture, frame.picture.inline()), (Payload::Shared(place), None));
        assert_eq!((frame.width, frame.meta), (3840, meta()));
    }

    #[test]
    fn a_frame_has_its_picture_once() {
        let place = serde_json::json!({"slot": 0, "offset": 0, "length": 3});
        let message = |fields: serde_json::Value| {
            let mut message = serde_json::json!({"width": 1, "height": 1, "meta": meta()});
            message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            HostMessage::decode(&rmp_serde::to_vec_named(&message).unwrap()).unwrap_err().to_string()
        };
        let missing = message(serde_json::json!({}));
        assert!(missing.contains("frame_data, shm: both are missing"), "{missing}");
        let wrong = message(serde_json::json!({"shm": {"slot": -1, "offset": 0, "length": 3}}));
        assert!(wrong.contains("field shm.slot"), "{wrong}");
        let both = rmp_serde::to_vec_named(&serde_json::json!({"width": 1, "height": 1, "meta": meta(), "shm": place}));
        let mut both = both.unwrap();
        // One more entry in the map.
        both[0] += 1;
        rmp::encode::write_str(&mut both, "frame_data").unwrap();
        rmp::encode::write_bin(&mut both, &[1, 2, 3]).unwrap();
        let both = HostMessage::decode(&both).unwrap_err().to_string();
        assert!(both.contains("both are there"), "{both}");
    }

    #[test]
    fn a_command_is_read_as_it_was_written() {
        let params = serde_json::Map::from_iter([("confidence".to_owned(), serde_json::json!(0.25))]);
        let command = Command { id: "7".into(), command: "set_confidence".into(), params };
        let mut deframer = framing::Deframer::default();
        deframer.push(&command_message(&command).unwrap());
        let body = deframer.next_message().unwrap().unwrap();
        assert_eq!(HostMessage::decode(body).unwrap(), HostMessage::Command(command));
    }

    #[test]
    fn a_picture_over_the_limit_is_refused() {
        let error = frame_head(FrameFormat::Rgb, 9000, 9000, &meta(), 9000 * 9000 * 3).unwrap_err();
        assert!(error.to_string().contains("at most 67108864"), "{error}");
    }
}
