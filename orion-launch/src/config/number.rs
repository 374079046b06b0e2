// SPDX-License-Identifier: MPL-2.0
//! Numbers within limits.

use std::{fmt::Display, ops::RangeInclusive};

use serde::{Deserialize, Deserializer, de::Error};

fn within<'de, D, T>(deserializer: D, range: RangeInclusive<T>, unit: &str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + PartialOrd + Display,
{
    let value = T::deserialize(deserializer)?;
    if range.contains(&value) {
        return Ok(value);
    }
    let space = if unit.is_empty() { "" } else { " " };
    Err(D::Error::custom(format!("expected {}..{}{space}{unit}, got {value}", range.start(), range.end())))
}

pub(super) fn timeout<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    within(d, 0.5..=300.0, "seconds")
}

pub(super) fn fps<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    within(d, 0.1..=120.0, "frames a second")
}

pub(super) fn rate<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    within(d, 0.1..=30.0, "Hz")
}

pub(super) fn fraction<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    within(d, 0.0..=1.0, "")
}

pub(super) fn workers<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
    within(d, 1..=16, "workers")
}

pub(super) fn threads<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
    within(d, 1..=64, "threads")
}

pub(super) fn area<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
    within(d, 0..=u32::MAX, "square pixels")
}

pub(super) fn blind_time<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    within(d, 0.0..=3600.0, "seconds")
}

pub(super) fn factor<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    within(d, 0.0..=100.0, "")
}

pub(super) fn history<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
    within(d, 1..=10_000, "frames")
}

pub(super) fn qos<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
    within(d, 0..=2, "")
}
