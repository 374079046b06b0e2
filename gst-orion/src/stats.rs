// SPDX-License-Identifier: MPL-2.0
//! The `stats` property: one element's ledger as a structure.

use orion_core::ledger::{Cause, Ledger};

/// Starts a `stats` structure: `received`, `forwarded`, `in-flight` (u64, frames) and `dropped`, a structure with one u64
/// field a cause, those at zero included, so that readers need no special case.
pub(crate) fn from_ledger(name: &str, ledger: &Ledger) -> gst::Structure {
    let mut dropped = gst::Structure::new_empty("dropped");
    for cause in Cause::ALL {
        dropped.set(cause.as_str(), ledger.dropped().get(cause));
    }
    gst::Structure::builder(name)
        .field("received", ledger.received())
        .field("forwarded", ledger.forwarded())
        .field("in-flight", ledger.in_flight())
        .field("dropped", dropped)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_every_cause() {
        gst::init().unwrap();
        let mut ledger = Ledger::default();
        ledger.receive();
        ledger.receive();
        ledger.drop_frame(Cause::Paused);
        let stats = from_ledger("orionroi-stats", &ledger);
        assert_eq!(stats.get::<u64>("received"), Ok(2));
        assert_eq!(stats.get::<u64>("in-flight"), Ok(1));
        let dropped: gst::Structure = stats.get("dropped").unwrap();
        assert_eq!(dropped.n_fields(), Cause::ALL.len());
        assert_eq!(dropped.get::<u64>("paused"), Ok(1));
    }
}
