// SPDX-License-Identifier: MPL-2.0
//! A message that waits or is on the wire; its content is in memory or on the disk.

use std::{collections::BTreeMap, sync::Arc};

use orion_core::ledger::Cause;
use serde::{Deserialize, Serialize};

use super::{
    super::payload::{Body, Draft, Origin},
    gaps::Missing,
};

/// What many messages have in common, so that those on the disk share it in memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(in super::super) struct Label {
    pub(in super::super) topic: String,
    pub(in super::super) qos: u8,
    pub(in super::super) retain: bool,
    pub(in super::super) content_type: Option<String>,
    /// With 0 for the sequence number.
    pub(in super::super) origin: Option<Origin>,
}

/// All that is known of a message without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Slip {
    pub(in super::super) label: Arc<Label>,
    /// The origin's; 0 without one.
    pub(in super::super) seq: u64,
    /// As [`Draft::size`] counts.
    pub(in super::super) size: usize,
    /// See [`Missing::lost`].
    pub(in super::super) lost: Option<BTreeMap<String, u64>>,
    /// See [`Draft::key`].
    pub(in super::super) key: Option<String>,
}

impl Slip {
    /// The slip of a draft, with a label that is its own.
    pub(in super::super) fn of(draft: &Draft) -> Self {
        let origin = draft.origin.clone().map(|origin| Origin { seq: 0, ..origin });
        let Missing { qos, lost, .. } = Missing::of(draft);
        Self {
            label: Arc::new(Label {
                topic: draft.topic.clone(),
                qos,
                retain: draft.retain,
                content_type: draft.content_type.clone(),
                origin,
            }),
            seq: draft.origin.as_ref().map_or(0, |origin| origin.seq),
            size: draft.size(),
            lost,
            key: draft.key.clone(),
        }
    }

    fn origin(&self) -> Option<Origin> {
        self.label.origin.clone().map(|origin| Origin { seq: self.seq, ..origin })
    }

    /// The draft with the content that was read.
    pub(super) fn with(&self, body: Body) -> Draft {
        let Label { topic, qos, retain, content_type, .. } = (*self.label).clone();
        Draft { topic, body, qos, retain, content_type, origin: self.origin(), key: self.key.clone() }
    }

    fn missing(&self) -> Missing {
        Missing { qos: self.label.qos, origin: self.origin(), lost: self.lost.clone() }
    }
}

/// Where the content is.
#[derive(Debug)]
pub(super) enum Content {
    Held(Arc<Draft>),
    /// On the disk; `true` = it was asked for.
    Away(Slip, bool),
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) ticket: u64,
    pub(super) frame: u64,
    pub(super) content: Content,
    /// As [`Draft::size`] counted when it came.
    pub(super) size: usize,
    /// When it came, ns on the clock of `Now::running`; negative when that began later.
    pub(super) born: i64,
    /// When it was sent last, ns on the same clock.
    pub(super) sent: Option<u64>,
    /// It counts among those that were replayed.
    pub(super) replayed: bool,
    /// The disk has it, perhaps in a former state.
    pub(super) on_disk: bool,
    /// It is on the wire, and its frame was dropped meanwhile: it may still arrive, but is not sent again.
    pub(super) fallen: Option<Cause>,
}

impl Message {
    /// One that waits for the first time.
    pub(super) fn new(ticket: u64, frame: u64, content: Content, size: usize, born: i64) -> Self {
        Self { ticket, frame, content, size, born, sent: None, replayed: false, on_disk: false, fallen: None }
    }

    pub(super) fn topic(&self) -> &str {
        match &self.content {
            Content::Held(draft) => &draft.topic,
            Content::Away(slip, _) => &slip.label.topic,
        }
    }

    /// What it is about: a newer message with the same subject may take its place.
    pub(super) fn subject(&self) -> (&str, Option<&str>) {
        let key = match &self.content {
            Content::Held(draft) => &draft.key,
            Content::Away(slip, _) => &slip.key,
        };
        (self.topic(), key.as_deref())
    }

    /// Bytes of the payload without what is added when it goes out.
    pub(super) fn payload(&self) -> usize {
        match &self.content {
            Content::Held(draft) => draft.body.len(),
            Content::Away(slip, _) => slip.size,
        }
    }

    pub(super) fn qos(&self) -> u8 {
        match &self.content {
            Content::Held(draft) => draft.qos,
            Content::Away(slip, _) => slip.label.qos,
        }
    }

    pub(super) fn missing(&self) -> Missing {
        match &self.content {
            Content::Held(draft) => Missing::of(draft),
            Content::Away(slip, _) => slip.missing(),
        }
    }

    pub(super) fn is_away(&self) -> bool {
        matches!(self.content, Content::Away(..))
    }
}
