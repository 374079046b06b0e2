// SPDX-License-Identifier: MPL-2.0
//! Output profiles: results in the form of another system's messages, so that its consumers work unchanged.

pub mod dlstreamer;
pub mod frigate;
