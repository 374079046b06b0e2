// SPDX-License-Identifier: MPL-2.0
//! What is to be said about results that will not be published.

use std::collections::BTreeMap;

use orion_core::{
    gap::{GAP_TYPE, Gap, SeqRanges},
    ledger::Cause,
};

use serde::{Deserialize, Serialize};

use super::super::payload::{Body, Draft, Origin};

/// Records that wait, and kinds of results whose next report has something to add. Their keys come from workers in part, so
/// there may be any number. Two records of different kinds cannot be said as one: beyond this the oldest goes.
pub(super) const MOST: usize = 1000;

/// So long nothing more goes to a topic after the broker has closed the connection on a record for it, ns: each record would
/// cost five connections and keep the results back meanwhile.
pub(super) const SILENCE: u64 = 600_000_000_000;

/// A gap record before it goes out; only then it is dated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct OpenGap {
    /// The highest of what it covers, at least 1: it must not be lost itself.
    pub(super) qos: u8,
    /// With 0 for the sequence number.
    origin: Origin,
    cause: Cause,
    ranges: SeqRanges,
}

impl OpenGap {
    /// Where it is said.
    pub(super) fn topic(&self) -> &str {
        &self.origin.gap_topic
    }

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

    fn key(&self) -> (Origin, Cause) {
        (self.origin.clone(), self.cause)
    }

    fn merge(&mut self, later: &Self) {
        self.qos = self.qos.max(later.qos);
        self.ranges.extend(&later.ranges);
    }
}

/// What is known of a message that will not be published.
#[derive(Debug)]
pub(super) struct Missing {
    pub(super) qos: u8,
    pub(super) origin: Option<Origin>,
    /// `lost_since_last` of a report; none = it is no report.
    pub(super) lost: Option<BTreeMap<String, u64>>,
}

impl Missing {
    pub(super) fn of(draft: &Draft) -> Self {
        let lost = match &draft.body {
            Body::Report(timed) => Some(timed.host.lost_since_last.clone()),
            Body::Raw(_) => None,
        };
        Self { qos: draft.qos, origin: draft.origin.clone(), lost }
    }
}

/// Results that follow each other: `instance_id` and `type`.
type Kind = (String, String);

/// All that has to survive a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Unsaid {
    /// Records not yet acknowledged, the oldest first.
    pub(super) open: Vec<OpenGap>,
    pub(super) unreported: BTreeMap<Kind, BTreeMap<String, u64>>,
}

/// What the next report of a kind must add to `lost_since_last`, because the reports that would have said so are gone.
#[derive(Debug, Default)]
struct Unreported {
    /// Which of them began first.
    since: u64,
    lost: BTreeMap<String, u64>,
}

/// Records that wait to be said, and the counts that the next report of each kind adds to its own.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// By ticket, which says their age as well.
    open: BTreeMap<u64, OpenGap>,
    /// The tickets of these.
    index: BTreeMap<(Origin, Cause), u64>,
    unreported: BTreeMap<Kind, Unreported>,
    /// Counts what began in `unreported`.
    begun: u64,
    /// Topics on which the broker closes the connection, and until when nothing is said there, on the running clock; none =
    /// not yet known.
    silenced: BTreeMap<String, Option<u64>>,
    dropped: u64,
}

impl Gaps {
    /// A message will not be published. A record that begins with it takes the next ticket.
    pub(super) fn add(&mut self, missing: Missing, cause: Cause, next_ticket: &mut u64) {
        let Missing { qos, origin: Some(origin), lost } = missing else { return };
        if let Some(mut lost) = lost {
            *lost.entry(cause.as_str().to_owned()).or_default() += 1;
            self.report_later((origin.instance_id.clone(), origin.kind.clone()), &lost);
        }
        let seq = origin.seq;
        let key = (Origin { seq: 0, ..origin }, cause);
        if let Some(gap) = self.index.get(&key).and_then(|ticket| self.open.get_mut(ticket)) {
            gap.ranges.add(seq);
            gap.qos = gap.qos.max(qos);
            return;
        }
        let mut ranges = SeqRanges::default();
        ranges.add(seq);
        let ticket = *next_ticket;
        *next_ticket += 1;
        self.put_back(ticket, OpenGap { qos: qos.max(1), origin: key.0, cause, ranges });
    }

    /// A record waits (again). Of two that say the same one is made, which has the place and the ticket of the older.
    pub(super) fn put_back(&mut self, mut ticket: u64, mut gap: OpenGap) {
        let key = gap.key();
        if let Some(other) = self.index.get(&key).copied()
            && let Some(mut same) = self.open.remove(&other)
        {
            if other < ticket {
                same.merge(&gap);
                (ticket, gap) = (other, same);
            } else {
                gap.merge(&same);
            }
        }
        self.index.insert(key, ticket);
        self.open.insert(ticket, gap);
        while self.open.len() > MOST
            && let Some((_, oldest)) = self.open.pop_first()
        {
            self.index.remove(&oldest.key());
            self.dropped += 1;
        }
    }

    fn report_later(&mut self, kind: Kind, more: &BTreeMap<String, u64>) {
        let begun = &mut self.begun;
        let unreported = self.unreported.entry(kind).or_insert_with(|| {
            *begun += 1;
            Unreported { since: *begun, lost: BTreeMap::new() }
        });
        sum(&mut unreported.lost, more);
        while self.unreported.len() > MOST
            && let Some((oldest, _)) = self.unreported.iter().min_by_key(|(_, unreported)| unreported.since)
        {
            let oldest = oldest.clone();
            self.unreported.remove(&oldest);
            self.dropped += 1;
        }
    }

    /// The oldest record that may be said now (ns on the running clock), with its ticket.
    pub(super) fn next(&mut self, now: u64) -> Option<(u64, OpenGap)> {
        self.silenced.retain(|_, until| *until.get_or_insert(now.saturating_add(SILENCE)) > now);
        let ticket = self.open.iter().find(|(_, gap)| !self.is_silenced(gap)).map(|(ticket, _)| *ticket)?;
        let gap = self.open.remove(&ticket)?;
        self.index.remove(&gap.key());
        Some((ticket, gap))
    }

    /// Nothing more for a while to the topic of this record; what is to be said there waits.
    pub(super) fn silence(&mut self, gap: &OpenGap) {
        if self.silenced.len() >= MOST {
            self.silenced.pop_first();
        }
        self.silenced.insert(gap.topic().to_owned(), None);
    }

    fn is_silenced(&self, gap: &OpenGap) -> bool {
        self.silenced.contains_key(gap.topic())
    }

    /// A record will never be said.
    pub(super) fn give_up(&mut self) {
        self.dropped += 1;
    }

    /// Adds to a report what those that are gone would have said; says whether there was anything to add.
    pub(super) fn tell(&mut self, draft: &mut Draft) -> bool {
        if self.unreported.is_empty() {
            return false;
        }
        if let Body::Report(timed) = &mut draft.body
            && let Some(origin) = &draft.origin
            && let Some(unreported) = self.unreported.remove(&(origin.instance_id.clone(), origin.kind.clone()))
        {
            sum(&mut timed.host.lost_since_last, &unreported.lost);
            return true;
        }
        false
    }

    /// What is to survive a restart; `on_wire` was said and is not yet acknowledged.
    pub(super) fn unsaid<'a>(&'a self, on_wire: impl Iterator<Item = &'a OpenGap>) -> Unsaid {
        let unreported = self.unreported.iter().map(|(kind, unreported)| (kind.clone(), unreported.lost.clone()));
        Unsaid { open: on_wire.chain(self.open.values()).cloned().collect(), unreported: unreported.collect() }
    }

    /// Takes over what a former run did not say.
    pub(super) fn restore(&mut self, unsaid: &Unsaid, next_ticket: &mut u64) {
        for gap in &unsaid.open {
            self.put_back(*next_ticket, gap.clone());
            *next_ticket += 1;
        }
        for (kind, lost) in &unsaid.unreported {
            self.report_later(kind.clone(), lost);
        }
    }

    /// How many wait and may be said.
    pub(super) fn len(&self) -> usize {
        if self.silenced.is_empty() {
            return self.open.len();
        }
        self.open.values().filter(|gap| !self.is_silenced(gap)).count()
    }

    /// Records and additions to reports that will never be said.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Forgets what is kept elsewhere.
    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.index.clear();
        self.unreported.clear();
    }
}

fn sum(total: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (cause, frames) in more {
        *total.entry(cause.clone()).or_default() += frames;
    }
}
