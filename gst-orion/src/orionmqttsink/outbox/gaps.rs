// SPDX-License-Identifier: MPL-2.0
//! What is to be said about results that will not be published.

use std::collections::{BTreeMap, VecDeque};

use orion_core::{
    gap::{GAP_TYPE, Gap, SeqRanges},
    ledger::Cause,
};

use serde::{Deserialize, Serialize};

use super::super::payload::{Body, Draft, Origin};

/// A gap record before it goes out; only then it is dated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct OpenGap {
    pub(super) topic: String,
    pub(super) qos: u8,
    origin: Origin,
    cause: Cause,
    ranges: SeqRanges,
}

impl OpenGap {
    /// The record as it is said at `timestamp`.
    pub(super) fn record(&self, timestamp: String) -> Gap {
        Gap {
            kind: GAP_TYPE.into(),
            instance_id: self.origin.instance_id.clone(),
            room_id: self.origin.room_id.clone(),
            timestamp,
            missing_type: self.origin.kind.clone(),
            cause: self.cause,
            frames: self.ranges.frames(),
            ranges: self.ranges.clone(),
        }
    }

    fn is_of(&self, origin: &Origin, cause: Cause) -> bool {
        let own = &self.origin;
        self.cause == cause
            && self.topic == origin.gap_topic
            && own.instance_id == origin.instance_id
            && own.room_id == origin.room_id
            && own.kind == origin.kind
    }
}

/// What is known of a message that will not be published.
#[derive(Debug)]
pub(super) struct Missing {
    pub(super) topic: String,
    pub(super) qos: u8,
    pub(super) origin: Option<Origin>,
    /// `lost_since_last` of a report; none = it is no report.
    pub(super) lost: Option<BTreeMap<String, u64>>,
}

impl Missing {
    pub(super) fn of(draft: &Draft) -> Self {
        let lost = match &draft.body {
            Body::Report(timed) => Some(timed.report.lost_since_last.clone()),
            Body::Raw(_) => None,
        };
        Self { topic: draft.topic.clone(), qos: draft.qos, origin: draft.origin.clone(), lost }
    }
}

/// All that has to survive a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Unsaid {
    /// Records not yet acknowledged, the oldest first.
    pub(super) open: Vec<OpenGap>,
    pub(super) unreported: BTreeMap<String, BTreeMap<String, u64>>,
}

/// Records that wait to be said, and the counts that the next report of each topic adds to its own.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    open: VecDeque<OpenGap>,
    /// By topic: what the next report must add to `lost_since_last`, because the reports that would have said so are gone.
    unreported: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Gaps {
    /// A message will not be published.
    pub(super) fn add(&mut self, missing: Missing, cause: Cause) {
        if let Some(more) = missing.lost {
            let lost = self.unreported.entry(missing.topic).or_default();
            sum(lost, &more);
            *lost.entry(cause.as_str().to_owned()).or_default() += 1;
        }
        let Some(origin) = missing.origin else { return };
        match self.open.iter_mut().find(|gap| gap.is_of(&origin, cause)) {
            Some(gap) => gap.ranges.add(origin.seq),
            None => {
                let mut ranges = SeqRanges::default();
                ranges.add(origin.seq);
                let topic = origin.gap_topic.clone();
                self.open.push_back(OpenGap { topic, qos: missing.qos, origin, cause, ranges });
            }
        }
    }

    /// A record that was sent and did not arrive is older than those that wait.
    pub(super) fn put_back(&mut self, mut gap: OpenGap) {
        if let Some(at) = self.open.iter().position(|other| other.is_of(&gap.origin, gap.cause))
            && let Some(later) = self.open.remove(at)
        {
            gap.ranges.extend(&later.ranges);
        }
        self.open.push_front(gap);
    }

    /// The oldest record.
    pub(super) fn next(&mut self) -> Option<OpenGap> {
        self.open.pop_front()
    }

    /// Adds to a report what those that are gone would have said; says whether there was anything to add.
    pub(super) fn tell(&mut self, draft: &mut Draft) -> bool {
        if let Body::Report(timed) = &mut draft.body
            && let Some(lost) = self.unreported.remove(&draft.topic)
        {
            sum(&mut timed.report.lost_since_last, &lost);
            return true;
        }
        false
    }

    /// What is to survive a restart; `on_wire` was said and is not yet acknowledged.
    pub(super) fn unsaid<'a>(&'a self, on_wire: impl Iterator<Item = &'a OpenGap>) -> Unsaid {
        Unsaid { open: on_wire.chain(&self.open).cloned().collect(), unreported: self.unreported.clone() }
    }

    /// Takes over what a former run did not say.
    pub(super) fn restore(&mut self, unsaid: &Unsaid) {
        self.open = unsaid.open.iter().cloned().collect();
        self.unreported.clone_from(&unsaid.unreported);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn sum(total: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (cause, frames) in more {
        *total.entry(cause.clone()).or_default() += frames;
    }
}
