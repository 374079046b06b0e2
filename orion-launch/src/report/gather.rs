// SPDX-License-Identifier: MPL-2.0
//! Reads a file of any length line by line, and keeps sums only.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read},
};

use super::{
    entry::{self, Entry},
    series::Series,
};

/// The longest line, bytes: more than a result of the worker protocol can be.
const LONGEST: u64 = 64 << 20;
/// Cameras and kinds that are shown; others are counted.
const SERIES: usize = 32;
/// Results in a part of time, in the mean, from which on percentiles say something.
const PER_PART: u64 = 12;
/// Broken lines that are named; others are counted.
const NAMED: usize = 10;

/// What was in a file.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// By `instance_id` and `type`.
    pub(super) series: BTreeMap<(String, String), Series>,
    /// Lines, empty ones not counted.
    pub(super) lines: u64,
    /// Results.
    pub(super) results: u64,
    /// Gap records.
    pub(super) gaps: u64,
    /// Other messages.
    pub(super) others: u64,
    /// Lines that are none of these.
    pub(super) broken: u64,
    /// The first of them: number, from 1 on, and reason.
    pub(super) named: Vec<(u64, String)>,
    /// Results and gap records of cameras and kinds that are not shown.
    pub(super) beyond: u64,
}

impl Gathered {
    /// Reads it all.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn read(mut input: impl BufRead) -> io::Result<Self> {
        let (mut all, mut line, mut number) = (Self::default(), Vec::new(), 0);
        loop {
            line.clear();
            if input.by_ref().take(LONGEST).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            number += 1;
            let is_cut = line.len() as u64 == LONGEST && !line.ends_with(b"\n");
            if is_cut {
                skip(&mut input)?;
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            all.lines += 1;
            match if is_cut { Err(format!("longer than {LONGEST} bytes")) } else { entry::read(&line) } {
                Ok(entry) => all.add(entry),
                Err(reason) => {
                    all.broken += 1;
                    if all.named.len() < NAMED {
                        all.named.push((number, reason));
                    }
                }
            }
        }
        for series in all.series.values_mut() {
            let results = series.results();
            series.parts.settle(results, PER_PART);
        }
        Ok(all)
    }

    fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Look(look) => {
                self.results += 1;
                match self.of(&look.instance_id, &look.kind) {
                    Some(series) => series.look(&look),
                    None => self.beyond += 1,
                }
            }
            Entry::Gap(gap) => {
                self.gaps += 1;
                match self.of(&gap.instance_id, &gap.missing_type) {
                    Some(series) => series.gap(&gap),
                    None => self.beyond += 1,
                }
            }
            Entry::Other => self.others += 1,
        }
    }

    fn of(&mut self, instance: &str, kind: &str) -> Option<&mut Series> {
        let key = (instance.to_owned(), kind.to_owned());
        if self.series.len() >= SERIES && !self.series.contains_key(&key) {
            return None;
        }
        Some(self.series.entry(key).or_default())
    }
}

/// Passes over the rest of a line.
fn skip(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let (length, end) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(length);
        if end {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(instance: &str, seq: u64) -> String {
        format!(
            "{{\"type\":\"p\",\"instance_id\":\"{instance}\",\"frame_seq\":{seq},\"timestamp\":\"2026-11-22T08:00:00Z\",\"data\":{{\"detections\":[]}}}}\n"
        )
    }

    #[test]
    fn each_line_is_counted_once_and_a_broken_one_is_named() {
        let gap =
            "x/y {\"type\":\"gap\",\"instance_id\":\"a\",\"missing_type\":\"p\",\"cause\":\"too_old\",\"frames\":2}\n";
        let text =
            [&look("a", 0), "oops\n", "\n", "care/status/a online\n", gap, &look("b", 0), "{\"type\":\"p"].concat();
        let all = Gathered::read(text.as_bytes()).unwrap();
        assert_eq!((all.lines, all.results, all.gaps, all.others, all.broken), (6, 2, 1, 1, 2));
        assert_eq!(all.named.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 7]);
        let names: Vec<_> = all.series.keys().map(|(instance, _)| instance.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(all.series[&("a".to_owned(), "p".to_owned())].all.gaps.get("too_old"), 2);
    }

    #[test]
    fn cameras_without_end_are_counted_but_not_kept() {
        let text: String = (0..100).map(|n| look(&format!("c{n}"), 0)).collect();
        let all = Gathered::read(text.as_bytes()).unwrap();
        assert_eq!((all.series.len(), all.results, all.beyond), (SERIES, 100, 100 - SERIES as u64));
    }
}
