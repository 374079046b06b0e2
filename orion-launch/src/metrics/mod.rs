// SPDX-License-Identifier: MPL-2.0
//! `/metrics` for Prometheus.

mod exposition;
mod figures;
mod monotonic;
mod stages;

use std::sync::Arc;

use prometheus_client::{
    encoding::text::encode,
    registry::{Registry, Unit},
};

use crate::overview::Overview;
use figures::Figures;
pub(crate) use stages::Stages;

/// What can be scraped; cheap to share.
#[derive(Debug, Clone)]
pub(crate) struct Metrics(Arc<Registry>);

impl Metrics {
    /// Of these cameras and of the times that their frames take.
    pub(crate) fn new(overview: Overview, stages: &Stages) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Figures::new(overview)));
        let help = "Time that a frame spends in a stage; end_to_end is from its arrival to the sink, capture the way before that.";
        registry.register_with_unit("orion_stage_duration", help, Unit::Seconds, stages.0.clone());
        Self(Arc::new(registry))
    }

    /// Media type and text of the metrics for a client that accepts `accept`. Reads the state of all elements.
    ///
    /// # Errors
    /// The text cannot be written.
    pub(crate) fn scrape(&self, accept: &str) -> Result<(&'static str, String), std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0)?;
        Ok(match exposition::wants_open_metrics(accept) {
            true => (exposition::OPEN_METRICS, text),
            false => (exposition::TEXT, exposition::to_text(&text)),
        })
    }
}
