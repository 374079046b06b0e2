// SPDX-License-Identifier: MPL-2.0
//! What is asked of orion-core for any input; `make test` asks it for the files in `corpus`.

#[path = "attention.rs"]
pub(crate) mod attention;
#[path = "command.rs"]
pub(crate) mod command;
#[path = "framing.rs"]
pub(crate) mod framing;
#[path = "host_message.rs"]
pub(crate) mod host_message;
#[path = "input.rs"]
mod input;
#[path = "profiles.rs"]
pub(crate) mod profiles;
#[path = "rois.rs"]
pub(crate) mod rois;
#[path = "topic.rs"]
pub(crate) mod topic;
#[path = "worker_message.rs"]
pub(crate) mod worker_message;

use orion_core::geometry::NormRect;

/// A region that was accepted or made keeps the rules that one from outside has to.
#[track_caller]
fn assert_valid(region: &NormRect) {
    if let Err(error) = NormRect::new(region.x(), region.y(), region.width(), region.height()) {
        panic!("{region:?}: {error}");
    }
}
