// SPDX-License-Identifier: MPL-2.0
//! Takes pictures of frames that pass.

use std::time::Duration;

use bytes::Bytes;
use orion_core::{
    topic::{TopicError, TopicValues},
    wire::InferenceResult,
};
use thiserror::Error;

use super::{
    encoder::Encoder,
    payload::Delivery,
    snapshot::{JPEG, Schedule, Snapshot},
};

/// Why a picture was not taken.
#[derive(Debug, Error)]
pub(super) enum PictureError {
    #[error("snapshots are made of image/jpeg or video/x-raw, not of {0}")]
    Format(String),
    #[error("no snapshot of this frame: {0}")]
    Encoding(String),
    #[error("no thread for snapshots: {0}")]
    Thread(std::io::Error),
    #[error("snapshot-topic: {0}")]
    Topic(#[from] TopicError),
}

/// Which pictures are wanted.
pub(super) struct Order {
    /// Another one after each change that makes earlier pictures unwanted.
    pub(super) number: u64,
    pub(super) delivery: Delivery,
    /// Between two pictures of a topic at least.
    pub(super) interval: Duration,
}

/// A frame, and what was seen on it.
pub(super) struct Scene<'a> {
    pub(super) buffer: &'a gst::Buffer,
    pub(super) caps: Option<gst::Caps>,
    /// The first with a detection is the one that counts.
    pub(super) results: &'a [&'a InferenceResult],
}

#[derive(Default)]
pub(super) struct Photographer {
    schedule: Schedule,
    /// Started with the first raw frame.
    encoder: Option<Encoder>,
}

impl Photographer {
    /// Takes a picture if there is something to see, it is time (`now` in ns) and nobody is busy with another one; `done` gets it,
    /// at once or from another thread.
    pub(super) fn look(
        &mut self,
        scene: &Scene<'_>,
        order: &Order,
        now: u64,
        done: impl FnOnce(Result<Snapshot, PictureError>) + Send + 'static,
    ) {
        let Some(result) = scene.results.iter().find(|result| !result.data.detections.is_empty()) else { return };
        let values = TopicValues {
            instance_id: &result.instance_id,
            room_id: &result.room_id,
            kind: &result.kind,
            label: result.best_label(),
        };
        let topic = match order.delivery.topic.render(&values) {
            Ok(topic) => topic,
            Err(error) => return done(Err(error.into())),
        };
        let interval = u64::try_from(order.interval.as_nanos()).unwrap_or(u64::MAX);
        if !self.schedule.is_due(&topic, now, interval) {
            return;
        }
        let facts = vec![
            ("instance_id", result.instance_id.clone()),
            ("room_id", result.room_id.clone()),
            ("label", result.best_label().to_owned()),
            ("frame_seq", result.frame_seq.to_string()),
            ("timestamp", result.timestamp.clone()),
        ];
        let Delivery { qos, retain, .. } = order.delivery;
        let due = topic.clone();
        let done =
            move |picture: Result<_, _>| done(picture.map(|payload| Snapshot { topic, payload, qos, retain, facts }));
        if self.take(scene, done) {
            self.schedule.taken(&due, now);
        }
    }

    /// Says whether it was possible at all.
    fn take(&mut self, scene: &Scene<'_>, done: impl FnOnce(Result<Bytes, PictureError>) + Send + 'static) -> bool {
        let name = scene.caps.as_ref().and_then(|caps| caps.structure(0)).map_or("nothing", |s| s.name().as_str());
        match name {
            JPEG => done(match scene.buffer.map_readable() {
                Ok(map) => Ok(Bytes::copy_from_slice(&map)),
                Err(error) => Err(PictureError::Encoding(error.to_string())),
            }),
            "video/x-raw" => {
                if self.encoder.is_none() {
                    match Encoder::start("orion-snapshots") {
                        Ok(encoder) => self.encoder = Some(encoder),
                        Err(error) => {
                            done(Err(PictureError::Thread(error)));
                            return true;
                        }
                    }
                }
                let sample = gst::Sample::builder().buffer(scene.buffer);
                let sample = scene.caps.iter().fold(sample, |sample, caps| sample.caps(caps)).build();
                // When it is busy it is this camera's turn with its next frame.
                let encoder = self.encoder.as_ref();
                return encoder
                    .is_some_and(|e| e.offer(sample, |picture| done(picture.map_err(PictureError::Encoding))));
            }
            other => done(Err(PictureError::Format(other.to_owned()))),
        }
        true
    }
}
