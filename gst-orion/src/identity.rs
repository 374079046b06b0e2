// SPDX-License-Identifier: MPL-2.0
//! Who and when: the name of a pipeline in topics and messages, and the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// The instance id of a pipeline that was given none.
pub(crate) const DEFAULT_INSTANCE: &str = "orion";

/// An instance id is one level of a topic, so it must be `[A-Za-z0-9_-]+`.
pub(crate) fn check_instance(id: &str) -> Result<(), String> {
    if !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        Ok(())
    } else {
        Err(format!("{id:?} is not an instance id; letters, digits, _ and - are allowed, at least one"))
    }
}

/// Now, ns since 1970.
pub(crate) fn wall_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_ids_fit_into_one_topic_level() {
        for good in ["orion", "node_001", "A-9"] {
            assert_eq!(check_instance(good), Ok(()));
        }
        for bad in ["", "a/b", "a b", "ü", "+"] {
            assert!(check_instance(bad).unwrap_err().contains("is not an instance id"));
        }
    }
}
