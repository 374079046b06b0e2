// SPDX-License-Identifier: MPL-2.0
//! Results as lines of JSON.

use std::{
    fs::File,
    io::{self, Write},
    time::{SystemTime, UNIX_EPOCH},
};

use orion_core::{
    gap::{GAP_TYPE, Gap, SeqRanges},
    ledger::Cause,
    timestamp,
};

use super::places::Results;

/// Where lines go; each is whole or not there.
pub(super) struct Lines {
    out: Out,
    name: String,
}

enum Out {
    Stdout,
    File { file: File, length: u64 },
}

impl Lines {
    /// Begins a new file.
    ///
    /// # Errors
    /// Names the file.
    pub(super) fn create(results: &Results) -> Result<Self, String> {
        Ok(match results {
            Results::Stdout => Self { out: Out::Stdout, name: "standard output".to_owned() },
            Results::File(target) => {
                let name = target.part.display().to_string();
                let file = File::create(&target.part).map_err(|error| format!("{name}: {error}"))?;
                Self { out: Out::File { file, length: 0 }, name }
            }
        })
    }

    /// Writes a JSON object, with the moment of the frame in the recording added, ms.
    ///
    /// # Errors
    /// Names the file; no part of the line is left in it.
    pub(super) fn write(&mut self, object: &[u8], position_ms: f64) -> Result<(), String> {
        let line = line(object, position_ms);
        let written = match &mut self.out {
            Out::Stdout => io::stdout().lock().write_all(&line),
            Out::File { file, length } => match file.write_all(&line) {
                Ok(()) => {
                    *length += line.len() as u64;
                    Ok(())
                }
                Err(error) => {
                    // On a full disk a part of it may be there.
                    let _ = file.set_len(*length);
                    Err(error)
                }
            },
        };
        written.map_err(|error| format!("{}: {error}", self.name))
    }
}

fn line(object: &[u8], position_ms: f64) -> Vec<u8> {
    let object = object.strip_suffix(b"}").unwrap_or(object);
    // Neither a report nor a gap record is ever empty.
    let added = format!(",\"position_ms\":{}}}\n", (position_ms * 1e3).round() / 1e3);
    [object, added.as_bytes()].concat()
}

/// The record of a frame that has no result, as it would be published if a result had been lost on its way.
///
/// # Errors
/// It cannot be written as JSON.
pub(super) fn gap(instance_id: &str, room_id: &str, kind: &str, cause: Cause, seq: u64) -> Result<Vec<u8>, String> {
    let mut ranges = SeqRanges::default();
    ranges.add(seq);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    let gap = Gap {
        kind: GAP_TYPE.to_owned(),
        instance_id: instance_id.to_owned(),
        room_id: room_id.to_owned(),
        timestamp: timestamp::rfc3339(now),
        missing_type: kind.to_owned(),
        cause,
        frames: 1,
        ranges,
    };
    serde_json::to_vec(&gap).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_line_is_what_would_be_published_and_its_place_in_the_recording() {
        let object = gap("orion", "7\"", "person_detection", Cause::WorkerError, 12).unwrap();
        let line = line(&object, 1_234.567_8);
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let mut json: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!((&json["type"], &json["cause"]), (&"gap".into(), &"worker_error".into()));
        assert_eq!(json.as_object_mut().unwrap().remove("position_ms"), Some(1_234.568.into()));
        assert_eq!(json, serde_json::from_slice::<Value>(&object).unwrap());
    }

    #[test]
    fn a_full_disk_leaves_whole_lines_only() {
        let mut lines =
            Lines { out: Out::File { file: File::create("/dev/full").unwrap(), length: 0 }, name: "r".into() };
        let error = lines.write(b"{\"a\":1}", 0.0).unwrap_err();
        assert_eq!(error, "r: No space left on device (os error 28)");
    }
}
