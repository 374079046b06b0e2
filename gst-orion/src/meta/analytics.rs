// SPDX-License-Identifier: MPL-2.0
//! Detections as GStreamer 1.24 and newer pass them on: object detections in a `GstAnalyticsRelationMeta`.

use gst::glib;
use gst_analytics::{AnalyticsRelationMeta, AnalyticsRelationMetaODExt};
use orion_core::mark::Mark;

/// Adds the detections of one result to the buffer's relation meta; makes one where there is none, even for no detection: without
/// it `objectdetectionoverlay` draws the boxes of the frame before once more.
///
/// A buffer has one at most, as elements downstream read only the first; one may be there from another detector, or empty
/// from the pool that the buffer came from.
pub(super) fn add(buffer: &mut gst::BufferRef, marks: &[Mark<'_>]) -> Result<(), glib::BoolError> {
    if buffer.meta::<AnalyticsRelationMeta>().is_none() {
        AnalyticsRelationMeta::add(buffer);
    }
    let meta = buffer.meta_mut::<AnalyticsRelationMeta>();
    let mut meta = meta.ok_or_else(|| glib::bool_error!("the buffer takes no GstAnalyticsRelationMeta"))?;
    for &Mark { label, confidence, pixels, .. } in marks {
        let (x, y) = (pixels.x.cast_signed(), pixels.y.cast_signed());
        let (width, height) = (pixels.width.cast_signed(), pixels.height.cast_signed());
        meta.add_od_mtd(glib::Quark::from_str(label), x, y, width, height, confidence as f32)?;
    }
    Ok(())
}
