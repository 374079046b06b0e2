// SPDX-License-Identifier: MPL-2.0
// orion-launch is a program, which nothing can link to: the two modules are compiled in here.
#![no_main]

#[allow(dead_code, unused_imports)]
#[path = "../../orion-launch/src/config/mod.rs"]
mod config;
#[path = "../src/configuration.rs"]
mod configuration;
#[allow(dead_code)]
#[path = "../src/page.rs"]
mod page;

libfuzzer_sys::fuzz_target!(|data: &[u8]| configuration::run(data));
