// SPDX-License-Identifier: MPL-2.0
use gst::glib;
pub(crate) fn register(_plugin: &gst::Plugin) -> Result<(), glib::BoolError> { Ok(()) }
