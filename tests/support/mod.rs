// SPDX-License-Identifier: MPL-2.0
//! What several test files need. Each includes it with `mod support;` and uses a part of it.
#![allow(dead_code, reason = "no test file uses all of it")]

pub mod broker;
pub mod certificates;
pub mod contract;
pub mod fake;
pub mod leaks;
pub mod proxy;
pub mod result;
pub mod sink;
