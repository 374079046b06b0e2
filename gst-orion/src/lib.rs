// SPDX-License-Identifier: MPL-2.0
//! GStreamer elements that choose where to look, infer in a worker process, and publish over MQTT.

pub use gst::glib;

pub mod meta;
pub mod orionmqttsink;
mod stats;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    meta::register();
    orionmqttsink::register(plugin)?;
    Ok(())
}

gst::plugin_define!(
    orion,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MPL",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_REPOSITORY"),
    env!("BUILD_REL_DATE")
);
