// SPDX-License-Identifier: MPL-2.0
//! The logic of Orion over plain values: no GStreamer, no async runtime, no I/O.

pub mod contract;
pub mod focus;
pub mod framing;
pub mod gap;
pub mod geometry;
pub mod hand;
pub mod ledger;
pub mod memory;
pub mod pace;
pub mod planner;
pub mod profile;
pub mod rate;
pub mod reorder;
pub mod report;
pub mod roi;
pub mod status;
pub mod strategy;
pub mod supervisor;
pub mod swap;
pub mod sweep;
pub mod throttle;
pub mod timestamp;
pub mod topic;
pub mod view;
pub mod wire;
