// SPDX-License-Identifier: MPL-2.0
//! Worker protocol, version 1: one MessagePack map a message, framed by [`crate::framing`].
//!
//! | direction | messages |
//! |---|---|
//! | host → worker | [`FrameStart`] with the picture's bytes or their place, [`Command`] |
//! | worker → host | [`WorkerMessage`] |
//!
//! Unknown fields are ignored; a missing field or an unknown tag is an error that names it.

mod host;
mod worker;

pub use host::{
    Command, FrameFormat, FrameMessage, FrameMeta, FrameStart, HostMessage, Payload, RoiProcessing, RoiSource,
    SharedPicture, TargetSize, command_message, frame_head,
};
pub use worker::{
    Ack, AckStatus, BBox, Detection, InferenceResult, MAX_BATCH_WAIT_MS, MAX_LABEL, Models, Ready, ResultData, Timing,
    WorkerFault, WorkerMessage,
};

use serde::Deserialize;
use thiserror::Error;

/// The version that `ready` must announce.
pub const PROTOCOL: u32 = 1;

/// Why a message was refused.
#[derive(Debug, Error)]
pub enum WireError {
    /// Not a MessagePack map, or its `type` is no text.
    #[error("not a message: {0}")]
    NotAMessage(String),
    /// No `type` where one is needed.
    #[error("missing field `type`")]
    NoType,
    /// A `type` that this side does not know.
    #[error("unknown message type {0:?}")]
    UnknownType(String),
    /// The map does not fit its type.
    #[error("{kind} message, field {path}: {reason}")]
    Field {
        /// The message's `type`.
        kind: String,
        /// Where in the message, as in `data.detections[2].bbox`; `.` is the message itself.
        path: String,
        /// What is wrong there.
        reason: String,
    },
    /// The message could not be written.
    #[error("cannot encode a {kind} message: {reason}")]
    Encode {
        /// The message's `type`.
        kind: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Maps and lists in each other that a message may have. Its content is published as JSON, of which common readers take 128.
const MAX_DEPTH: usize = 64;

#[derive(Deserialize)]
struct Tag {
    #[serde(rename = "type")]
    kind: Option<String>,
}

fn tag(body: &[u8]) -> Result<Option<String>, WireError> {
    // A MessagePack array would also fill a struct; the protocol wants maps.
    if !body.first().is_some_and(|b| matches!(b, 0x80..=0x8f | 0xde | 0xdf)) {
        return Err(WireError::NotAMessage("the body is not a MessagePack map".into()));
    }
    let tag = Tag::deserialize(&mut reader(body)).map_err(|e| WireError::NotAMessage(e.to_string()))?;
    Ok(tag.kind)
}

fn reader(body: &[u8]) -> rmp_serde::Deserializer<rmp_serde::decode::ReadRefReader<'_, [u8]>> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(body);
    deserializer.set_max_depth(MAX_DEPTH);
    deserializer
}

fn fields<'a, T: Deserialize<'a>>(kind: &str, body: &'a [u8]) -> Result<T, WireError> {
    serde_path_to_error::deserialize(&mut reader(body)).map_err(|error| WireError::Field {
        kind: kind.to_owned(),
        path: error.path().to_string(),
        reason: error.inner().to_string(),
    })
}
