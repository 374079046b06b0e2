// SPDX-License-Identifier: MPL-2.0
#![no_main]

#[path = "../src/core.rs"]
#[allow(dead_code)]
mod core;

libfuzzer_sys::fuzz_target!(|data: &[u8]| core::profiles::run(data));
