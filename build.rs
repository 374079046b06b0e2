//! Fills in the version, commit and release date that `gst-inspect-1.0` shows.
fn main() {
    gst_plugin_version_helper::info();
}
