// SPDX-License-Identifier: MPL-2.0
//! Numbers within limits. Each kind is listed once; reading and the JSON Schema follow from that.

use std::{
    borrow::Cow,
    fmt::{self, Display},
    marker::PhantomData,
    ops::RangeInclusive,
};

use orion_core::command::RATE_HZ;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};
use serde_json::Value;

/// Declares kinds of numbers: `Name: type, limits, unit`. A field has one by `#[serde(with = "number::Name")]`.
macro_rules! kinds {
    ($($name:ident: $number:ty, $limits:expr, $unit:literal;)*) => {$(
        pub(crate) struct $name;

        impl $name {
            pub(crate) const LIMITS: RangeInclusive<$number> = $limits;

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$number, D::Error> {
                deserializer.deserialize_any(Within { limits: Self::LIMITS, unit: $unit, number: PhantomData })
            }

            pub(super) fn serialize<S: Serializer>(number: &$number, serializer: S) -> Result<S::Ok, S::Error> {
                number.serialize(serializer)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let (least, most) = (Self::LIMITS.start().value(), Self::LIMITS.end().value());
                json_schema!({"type": <$number>::TYPE, "minimum": least, "maximum": most})
            }
        }
    )*};
}

kinds! {
    ShutdownTimeout: f64, 0.5..=300.0, "seconds";
    Warmup: f64, 0.0..=60.0, "seconds";
    Stall: f64, 0.5..=60.0, "seconds";
    Fps: f64, 0.1..=120.0, "frames a second";
    Rate: f64, RATE_HZ, "Hz";
    Fraction: f64, 0.0..=1.0, "";
    Workers: u32, 1..=16, "workers";
    Threads: u32, 0..=64, "threads";
    Batch: u32, 0..=8, "frames";
    BatchWait: f64, 0.0..=1.0, "seconds";
    Area: u32, 0..=u32::MAX, "square pixels";
    BlindTime: f64, 0.0..=3600.0, "seconds";
    Factor: f64, 0.0..=100.0, "";
    History: u32, 1..=10_000, "frames";
    Qos: u32, 0..=2, "";
    KeepAlive: u32, 0..=65_535, "seconds";
    Reconnect: f64, 0.01..=3600.0, "seconds";
    Messages: u32, 1..=u32::MAX, "messages";
    Bytes: u64, 1..=u64::MAX, "bytes";
    Expiry: u32, 1..=u32::MAX, "seconds";
    ExpiryOrNever: u32, 0..=u32::MAX, "seconds";
    SnapshotInterval: f64, 0.0..=86_400.0, "seconds";
    WatchdogInterval: f64, 0.1..=3600.0, "seconds";
    WatchdogTimeout: f64, 1.0..=3600.0, "seconds";
    Evidence: f64, 0.5..=3600.0, "seconds";
    Delay: f64, 0.0..=3600.0, "seconds";
    DelayOrNever: f64, 0.0..=3600.0, "seconds";
    StatsInterval: f64, 0.0..=3600.0, "seconds";
}

/// What a number may be.
trait Number: PartialOrd + Display + Copy {
    /// JSON Schema's name of it.
    const TYPE: &'static str;
    /// Its name for people.
    const WORDS: &'static str;

    fn from_f64(value: f64) -> Option<Self>;
    fn from_u64(value: u64) -> Option<Self>;
    fn value(self) -> Value;
}

impl Number for f64 {
    const TYPE: &'static str = "number";
    const WORDS: &'static str = "a number, ";

    fn from_f64(value: f64) -> Option<Self> {
        Some(value)
    }

    fn from_u64(value: u64) -> Option<Self> {
        Some(value as f64)
    }

    fn value(self) -> Value {
        // 60, not 60.0.
        if self.fract() == 0.0 { Value::from(self as u64) } else { self.into() }
    }
}

macro_rules! whole {
    ($($number:ty),*) => {$(
        impl Number for $number {
            const TYPE: &'static str = "integer";
            const WORDS: &'static str = "a whole number, ";

            fn from_f64(_: f64) -> Option<Self> {
                None
            }

            fn from_u64(value: u64) -> Option<Self> {
                value.try_into().ok()
            }

            fn value(self) -> Value {
                self.into()
            }
        }
    )*};
}

whole!(u32, u64);

struct Within<N> {
    limits: RangeInclusive<N>,
    unit: &'static str,
    number: PhantomData<N>,
}

impl<N: Number> Within<N> {
    fn check<E: Error>(&self, number: Option<N>, said: impl Display) -> Result<N, E> {
        let within = number.filter(|number| self.limits.contains(number));
        within.ok_or_else(|| E::custom(format!("expected {self}, got {said}")))
    }
}

impl<N: Number> Display for Within<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = if self.unit.is_empty() { "" } else { " " };
        write!(f, "{}{}..{}{space}{}", N::WORDS, self.limits.start(), self.limits.end(), self.unit)
    }
}

impl<N: Number> Visitor<'_> for Within<N> {
    type Value = N;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt(f)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<N, E> {
        self.check(N::from_f64(value), value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<N, E> {
        self.check(N::from_u64(value), value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<N, E> {
        // No limit lies below 0.
        self.check(u64::try_from(value).ok().and_then(N::from_u64), value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_hold_and_are_told() {
        for (value, expected) in [
            (json!(0.1), Ok(0.1)),
            (json!(30), Ok(30.0)),
            (json!(30.5), Err("expected a number, 0.1..30 Hz, got 30.5")),
            (json!(-1), Err("expected a number, 0.1..30 Hz, got -1")),
            (json!("x"), Err("invalid type: string \"x\", expected a number, 0.1..30 Hz")),
        ] {
            let got = Rate::deserialize(value).map_err(|error| error.to_string());
            assert_eq!(got, expected.map_err(str::to_owned));
        }
        for value in [json!(2.0), json!(0), json!(17), json!(u64::MAX), json!(i64::MIN), json!(null)] {
            assert!(Workers::deserialize(value.clone()).is_err(), "{value}");
        }
        assert_eq!(Bytes::deserialize(json!(u64::MAX)).unwrap(), u64::MAX);
    }
}
