// SPDX-License-Identifier: MPL-2.0
//! `watch`: results as they come, as lines or as a table that stays in its place.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{IsTerminal, Write},
    time::Duration,
};

use crossterm::{
    cursor::{MoveToColumn, MoveUp},
    queue,
    style::Print,
    terminal::{Clear, ClearType},
};
use orion_core::{gap::GAP_TYPE, report::Report, status::Status};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    asking::Room,
    broker::News,
    cli::Common,
    failure::Failure,
    out::{failed, line, note, reader_gone, say},
    sightings::{Sightings, Taker},
    status,
    text::{table, word},
    words::ALL,
};

/// Results that the rate is measured over.
const RECENT: usize = 10;
/// Between two pictures of the table, at least.
const FRAME: Duration = Duration::from_millis(200);

/// Shows results until Ctrl-C, the reader's end, or `count` of them.
pub(crate) async fn watch(common: &Common, limit: Duration, count: Option<u64>) -> Result<(), Failure> {
    let mut room = Room::enter(common, limit, &["presence"]).await?;
    let whom = common.id.as_deref().unwrap_or(ALL);
    let target = room.seen.choose(Some(whom), Taker::Camera, &room.uri)?;
    let ids: Vec<_> = match whom {
        // Those that come later, too.
        ALL => vec!["+".to_owned()],
        // A daemon of several cameras has no results of its own.
        id if !room.seen.cameras(id).is_empty() => room.seen.cameras(id).into_iter().map(str::to_owned).collect(),
        _ => target.ids().into_iter().collect(),
    };
    let topics: Vec<_> = ids.iter().flat_map(|id| [format!("inferences/{id}/+"), format!("presence/{id}")]).collect();
    room.broker.listen(&topics);
    let mut shown = Shown::new(common.json);
    tokio::select! {
        ended = follow(&mut room, &mut shown, limit, count) => ended,
        () = reader_gone() => Err(Failure::NoReader),
    }
}

async fn follow(room: &mut Room, shown: &mut Shown, limit: Duration, count: Option<u64>) -> Result<(), Failure> {
    let mut left = count;
    let mut end = Instant::now() + limit;
    shown.draw(&room.seen, true)?;
    while left != Some(0) {
        // Only who counts wants to know that there are none.
        let until = if left.is_some() { end } else { Instant::now() + Duration::from_secs(3600) };
        match room.broker.next(until.min(shown.next())).await {
            None if left.is_some() && Instant::now() >= end => {
                return Err(Failure::NoAnswer(format!("no result within {} s", limit.as_secs_f64())));
            }
            None | Some(News::Ready | News::Listening) => {}
            Some(News::Lost(why)) => shown.trouble(&why),
            Some(News::Denied) => {
                return Err(Failure::NoAnswer(format!("{} does not let us read results", room.uri)));
            }
            Some(News::Message(topic, payload)) => {
                if room.seen.hear(&topic, &payload) {
                    shown.stale = true;
                } else if shown.result(&topic, &payload)? {
                    left = left.map(|left| left - 1);
                    end = Instant::now() + limit;
                }
            }
        }
        shown.draw(&room.seen, left == Some(0))?;
    }
    Ok(())
}

/// How results are shown.
struct Shown {
    json: bool,
    table: bool,
    rows: BTreeMap<(String, String), Row>,
    /// Lines of the table that stand on the terminal.
    height: u16,
    drawn: Option<Instant>,
    stale: bool,
    trouble: String,
}

impl Shown {
    fn new(json: bool) -> Self {
        let table = !json && std::io::stdout().is_terminal();
        let (rows, trouble) = (BTreeMap::new(), String::new());
        Self { json, table, rows, height: 0, drawn: None, stale: true, trouble }
    }

    /// When it is to be drawn again.
    fn next(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        match self.drawn {
            Some(at) if self.table && self.stale => at + FRAME,
            _ => far,
        }
    }

    fn trouble(&mut self, why: &str) {
        if self.trouble != why {
            why.clone_into(&mut self.trouble);
            if !self.table {
                note(why);
            }
        }
    }

    /// Whether it was a result.
    fn result(&mut self, topic: &str, payload: &[u8]) -> Result<bool, Failure> {
        let Some((id, kind)) = topic.strip_prefix("inferences/").and_then(|rest| rest.split_once('/')) else {
            return Ok(false);
        };
        let Ok(value) = serde_json::from_slice::<Value>(payload) else {
            note(&format!("a message on {topic} is not JSON"));
            return Ok(false);
        };
        self.trouble.clear();
        if self.json {
            say(&value.to_string())?;
            return Ok(kind != GAP_TYPE);
        }
        if kind == GAP_TYPE {
            self.trouble(&format!("{id}: {} results are missing ({})", word(&value["frames"]), word(&value["cause"])));
            return Ok(false);
        }
        let Ok(report) = serde_json::from_value::<Report>(value) else {
            note(&format!("a message on {topic} is no result that is understood here"));
            return Ok(false);
        };
        if self.table {
            self.stale = true;
            self.rows.entry((id.to_owned(), kind.to_owned())).or_default().add(report, Instant::now());
        } else {
            say(&plain(id, &report))?;
        }
        Ok(true)
    }

    /// Draws the table anew, if it is time.
    fn draw(&mut self, seen: &Sightings, now: bool) -> Result<(), Failure> {
        let due = self.drawn.is_none_or(|at| at.elapsed() >= FRAME) || now;
        if !self.table || !self.stale || !due {
            return Ok(());
        }
        let mut text = table(&rows(seen, &self.rows));
        if !self.trouble.is_empty() {
            text = format!("{text}\n{}", line(&self.trouble));
        }
        let lines = fitting(&text, crossterm::terminal::size().unwrap_or((80, 24)));
        let mut out = std::io::stdout().lock();
        let mut draw = || {
            if self.height > 0 {
                queue!(out, MoveUp(self.height))?;
            }
            queue!(out, MoveToColumn(0), Clear(ClearType::FromCursorDown))?;
            for line in &lines {
                queue!(out, Print(line), Print("\r\n"))?;
            }
            out.flush()
        };
        draw().map_err(|error| failed(&error))?;
        (self.height, self.drawn, self.stale) =
            (u16::try_from(lines.len()).unwrap_or(u16::MAX), Some(Instant::now()), false);
        Ok(())
    }
}

/// Lines that are cut to the width of the terminal (columns, rows), so that each is one, and no more than it can show: what has
/// been pushed out at its top cannot be drawn over.
fn fitting(text: &str, (width, height): (u16, u16)) -> Vec<String> {
    let (width, height) = (usize::from(width).max(2) - 1, usize::from(height).max(3) - 1);
    let mut lines: Vec<String> = text.lines().map(|line| line.chars().take(width).collect()).collect();
    if lines.len() > height {
        let hidden = lines.len() - (height - 1);
        lines.truncate(height - 1);
        lines.push(format!("... and {hidden} more").chars().take(width).collect());
    }
    lines
}

/// What is known of the results of one kind.
#[derive(Default)]
struct Row {
    last: Option<Report>,
    times: VecDeque<Instant>,
    results: u64,
    lost: u64,
}

impl Row {
    fn add(&mut self, report: Report, now: Instant) {
        self.results += 1;
        // What was not wanted is not lost.
        self.lost +=
            report.lost_since_last.iter().filter(|(cause, _)| *cause != "rate_limit").map(|(_, n)| n).sum::<u64>();
        self.times.push_back(now);
        if self.times.len() > RECENT {
            self.times.pop_front();
        }
        self.last = Some(report);
    }

    /// Results a second.
    fn rate(&self) -> Option<f64> {
        let span = self.times.back()?.duration_since(*self.times.front()?).as_secs_f64();
        (span > 0.0).then(|| (self.times.len() - 1) as f64 / span)
    }
}

fn rows(seen: &Sightings, rows: &BTreeMap<(String, String), Row>) -> Vec<Vec<String>> {
    let head = ["INSTANCE", "TYPE", "TIME", "FRAME", "SEEN", "BEST", "LATENCY", "PER S", "RESULTS", "LOST", "PRESENCE"];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    for ((id, kind), row) in rows {
        let Some(report) = &row.last else { continue };
        let result = &report.result;
        let best = result.data.detections.first().map(|best| format!("{:.2}", best.confidence));
        let presence = match seen.status(id) {
            Some(status @ (Status::Offline | Status::Stopped)) => status.as_str().to_owned(),
            _ => seen.get(id).and_then(|one| one.presence.as_ref()).map(status::presence).unwrap_or_default(),
        };
        table.push(vec![
            line(id),
            line(kind),
            clock(report),
            result.frame_seq.to_string(),
            what(report),
            best.unwrap_or_default(),
            format!("{:.0} ms", report.latency_ms),
            row.rate().map(|rate| format!("{rate:.1}")).unwrap_or_default(),
            row.results.to_string(),
            row.lost.to_string(),
            presence,
        ]);
    }
    table
}

/// A result in one line.
fn plain(id: &str, report: &Report) -> String {
    let result = &report.result;
    let best = result.data.detections.first().map(|best| {
        let b = best.bbox;
        format!("  {:.2} at {:.0},{:.0} {:.0}x{:.0}", best.confidence, b.x, b.y, b.width, b.height)
    });
    let best = best.unwrap_or_default();
    let text = format!(
        "{}  {id}  {}  #{}  {}{best}  latency {:.0} ms",
        clock(report),
        result.kind,
        result.frame_seq,
        what(report),
        report.latency_ms
    );
    line(&text)
}

/// The time of day of an RFC 3339 time, UTC.
fn clock(report: &Report) -> String {
    line(report.result.timestamp.get(11..23).unwrap_or(&report.result.timestamp))
}

fn what(report: &Report) -> String {
    let detections = &report.result.data.detections;
    match detections.as_slice() {
        [] => "nothing".into(),
        [first, rest @ ..] if rest.iter().all(|other| other.label == first.label) => {
            format!("{} x {}", detections.len(), line(&first.label))
        }
        _ => format!("{} things", detections.len()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(seq: u64, persons: usize) -> Report {
        let person = json!({"bbox": {"x": 312.4, "y": 80.0, "width": 96.0, "height": 240.0}, "confidence": 0.873, "label": "person"});
        serde_json::from_value(json!({
            "type": "person_detection", "instance_id": "a", "room_id": "", "timestamp": "2026-11-22T08:15:03.214567890Z", "frame_seq": seq,
            "data": {"count": persons, "detections": vec![person; persons], "metadata": {}},
            "timing": {"total_ms": 1.0}, "suggested_roi": null, "clock_source": "camera", "latency_ms": 84.4,
            "time_since_full_sweep_ms": null, "coverage": 1.0, "stages": {"queue_ms": 1.0, "worker_ms": 2.0, "publish_ms": 3.0},
            "lost_since_last": {"queue_full": 2, "rate_limit": 5},
        }))
        .unwrap()
    }

    #[test]
    fn a_table_stays_within_the_terminal() {
        let table: String = (0..30).map(|n| format!("row {n} of many\n")).collect();
        assert_eq!(fitting(&table, (6, 100)).len(), 30);
        assert_eq!(fitting(&table, (6, 31))[29], "row 2");
        let cut = fitting(&table, (80, 30));
        assert_eq!((cut.len(), cut[27].as_str(), cut[28].as_str()), (29, "row 27 of many", "... and 2 more"));
        assert_eq!(fitting(&table, (0, 0)).len(), 2);
    }

    #[test]
    fn a_line_says_when_who_what_and_where() {
        let expected = "08:15:03.214  a  person_detection  #7  1 x person  0.87 at 312,80 96x240  latency 84 ms";
        assert_eq!(plain("a", &report(7, 1)), expected);
        assert!(plain("a", &report(7, 0)).contains("  nothing  latency"));
    }

    #[test]
    fn a_row_counts_and_measures() {
        let mut seen = Sightings::default();
        seen.hear("presence/a", br#"{"state": "present", "count": 2}"#);
        let mut row = Row::default();
        let start = Instant::now();
        for n in 0..12 {
            row.add(report(n, 2), start + Duration::from_millis(500) * n as u32);
        }
        assert_eq!((row.results, row.lost, row.times.len()), (12, 24, RECENT));
        let all = BTreeMap::from([(("a".to_owned(), "person_detection".to_owned()), row)]);
        let line = rows(&seen, &all)[1].join("|");
        assert_eq!(line, "a|person_detection|08:15:03.214|11|2 x person|0.87|84 ms|2.0|12|24|present (2)");
        seen.hear("status/a", b"offline");
        assert!(rows(&seen, &all)[1].join("|").ends_with("|offline"));
    }
}
