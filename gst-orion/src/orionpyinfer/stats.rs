// SPDX-License-Identifier: MPL-2.0
//! The element's `stats`.

use super::{job::Way, process, stream::Stream};
use crate::stats;

/// All fields that the documentation of the element names.
pub(super) fn stats(stream: &Stream) -> gst::Structure {
    // Copied, as the memory of processes is not read under the lock.
    let (ledger, totals, swaps, workers) = {
        let state = stream.lock();
        (state.ledger, state.totals, state.swaps, state.workers.clone())
    };
    let mut stats = stats::from_ledger("orionpyinfer-stats", &ledger);
    stats.set("results", totals.results);
    stats.set("detections", totals.detections);
    let mean = if totals.results > 0 { totals.worker_time as f64 / totals.results as f64 / 1e6 } else { 0.0 };
    stats.set("average-latency-ms", mean);
    stats.set("last-result", totals.last_result);
    stats.set("transport", totals.way.map_or("none", Way::as_str));
    stats.set("bytes-copied", totals.copied);
    stats.set("bytes-copied-last", totals.last_copied);
    stats.set("swap", if swaps.under_way { "under-way" } else { "none" });
    stats.set("swaps", swaps.done);
    stats.set("swaps-failed", swaps.failed);
    let workers = workers.iter().map(|worker| {
        let status = &worker.status;
        let mut structure = gst::Structure::builder("worker")
            .field("index", worker.who.index as u32)
            .field("state", status.state)
            .field("pid", status.pid)
            .field("restarts", worker.restarts_before + status.restarts)
            .field("memory", process::resident_bytes(status.pid))
            .field("last-error", &worker.last_error)
            .build();
        if let Some(ready) = &worker.ready {
            structure.set("worker", &ready.worker);
            structure.set("version", &ready.version);
            structure.set("load-ms", ready.load_ms);
            structure.set("threads", ready.threads);
            structure.set("model-size", ready.models.size.as_deref().unwrap_or_default());
            structure.set("model-file", ready.models.file_640.as_deref().unwrap_or_default());
            structure.set("model-file-320", ready.models.file_320.as_deref().unwrap_or_default());
        }
        structure
    });
    stats.set("workers", gst::Array::new(workers));
    stats
}
