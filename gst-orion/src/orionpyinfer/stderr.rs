// SPDX-License-Identifier: MPL-2.0
//! What a worker prints on stderr: log lines, and the last of them as the reason of its end.

use std::collections::VecDeque;

/// Lines kept for an error report.
const KEPT: usize = 8;
/// Longer lines are cut, bytes.
const MAX_LINE: usize = 2048;

/// Level of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Error,
    Warning,
    Info,
    Debug,
    /// No level: printed by a library or an interpreter.
    Plain,
}

/// Splits `[LEVEL] text`.
pub(super) fn parse(line: &str) -> (Level, &str) {
    let tagged = line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let level = tagged.and_then(|(level, _)| match level.trim().to_ascii_uppercase().as_str() {
        "ERROR" | "CRITICAL" | "FATAL" => Some(Level::Error),
        "WARNING" | "WARN" => Some(Level::Warning),
        "INFO" => Some(Level::Info),
        "DEBUG" | "TRACE" => Some(Level::Debug),
        _ => None,
    });
    match (level, tagged) {
        (Some(level), Some((_, text))) => (level, text.trim()),
        _ => (Level::Plain, line.trim_end()),
    }
}

/// Cuts bytes into lines and remembers the last ones.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
    tail: VecDeque<String>,
}

impl Lines {
    /// Adds bytes and gives back the lines that are complete now. What is no UTF-8 is replaced.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => lines.extend(self.finish()),
                // A worker that prints without end must not fill the host's memory.
                _ if self.partial.len() < MAX_LINE => self.partial.push(*byte),
                _ => {}
            }
        }
        lines
    }

    /// Ends the last line, which may lack its newline.
    pub(super) fn finish(&mut self) -> Option<String> {
        // NUL would end the text wherever C code reads it.
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.partial)).trim_end().replace('\0', "\u{fffd}");
        if line.is_empty() {
            return None;
        }
        if self.tail.len() == KEPT {
            self.tail.pop_front();
        }
        self.tail.push_back(line.clone());
        Some(line)
    }

    /// The last lines, oldest first.
    pub(super) fn tail(&self) -> String {
        self.tail.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// The most telling line: the last error, else the last one without a level (the end of a traceback, say).
    pub(super) fn reason(&self) -> Option<&str> {
        let last = |wanted| self.tail.iter().rev().map(|line| parse(line)).find(|(level, _)| *level == wanted);
        last(Level::Error).or_else(|| last(Level::Plain)).map(|(_, text)| text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_mapped() {
        assert_eq!(parse("[ERROR] no model"), (Level::Error, "no model"));
        assert_eq!(parse("[CRITICAL] x"), (Level::Error, "x"));
        assert_eq!(parse("[warn]x"), (Level::Warning, "x"));
        assert_eq!(parse(" [DEBUG] a ] b"), (Level::Debug, "a ] b"));
        assert_eq!(parse("[0.5, 0.2] not a level"), (Level::Plain, "[0.5, 0.2] not a level"));
        assert_eq!(parse("plain\r"), (Level::Plain, "plain"));
    }

    #[test]
    fn the_reason_is_the_last_error_and_memory_is_bounded() {
        let mut lines = Lines::default();
        assert_eq!(lines.reason(), None);
        assert_eq!(lines.push(b"one\n\ntw"), ["one"]);
        assert_eq!(lines.push(b"o\n[ERROR] broken\nafter\n"), ["two", "[ERROR] broken", "after"]);
        assert_eq!(lines.reason(), Some("broken"));
        assert_eq!(lines.push(&vec![0xff; 1 << 20]), Vec::<String>::new());
        assert!(lines.finish().unwrap().len() <= MAX_LINE * 3);
        assert_eq!(lines.finish(), None);
        assert_eq!(lines.push(b"a\0b\n"), ["a\u{fffd}b"]);
        for n in 0..20 {
            lines.push(format!("line {n}\n").as_bytes());
        }
        assert_eq!(lines.reason(), Some("line 19"));
        lines.push(b"[INFO] ready\n");
        assert_eq!(lines.reason(), Some("line 19"), "good news is no reason");
        assert_eq!(lines.tail().lines().count(), KEPT);
    }
}
