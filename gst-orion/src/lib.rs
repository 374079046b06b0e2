// SPDX-License-Identifier: MPL-2.0
//! GStreamer elements that choose where to look, infer in a worker process, and publish over MQTT.

pub use gst::glib;

mod frames;
mod identity;
pub mod message;
pub mod meta;
pub mod orionmqttsink;
pub mod orionpyinfer;
pub mod orionroi;
mod properties;
mod qos;
mod stats;

mod plugin {
    // What the macro makes has no place for documentation.
    #![allow(missing_docs)]

    use gst::glib;

    use crate::{meta, orionmqttsink, orionpyinfer, orionroi};

    fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
        meta::register();
        orionroi::register(plugin)?;
        orionpyinfer::register(plugin)?;
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
        "Unknown package origin",
        env!("BUILD_REL_DATE")
    );
}

pub use plugin::plugin_register_static;
