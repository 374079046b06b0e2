// SPDX-License-Identifier: MPL-2.0
//! What a run of random steps consisted of.

use std::{fmt, time::Duration};

/// How often each kind of change was made.
#[derive(Debug, Default)]
pub struct Tally {
    /// Changes of state that were asked for.
    pub states: u64,
    /// Of these, refused for the value of a property.
    pub barred: u64,
    pub flushes: u64,
    pub seeks: u64,
    pub caps: u64,
    pub properties: u64,
    /// Buffers that were pushed.
    pub frames: u64,
    /// The longest step.
    pub longest: Duration,
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, barred, flushes, seeks, caps, properties, frames, longest } = self;
        let longest = longest.as_millis();
        write!(formatter, "{states} states, {barred} refused, {flushes} flushes, {seeks} seeks, {caps} caps, ")?;
        write!(formatter, "{properties} properties, {frames} frames, {longest} ms longest")
    }
}
