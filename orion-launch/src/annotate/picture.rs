// SPDX-License-Identifier: MPL-2.0
//! Draws on a frame what its metas say: a box a detection, and where the worker was to look.

use gst_video::{VideoFrameExt, VideoRegionOfInterestMeta};
use gstorion::meta::{self, ATTENTION_TYPE};
use orion_core::wire::RoiSource;
use serde_json::Value;

use super::{
    canvas::{Canvas, Plane, Rect},
    colour::{self, Matrix, Rgb},
    layout::{self, Style},
};

/// What is to be drawn on a frame.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Scene {
    /// Box, label's name, and the text on it.
    boxes: Vec<(Rect, String, String)>,
    /// The region that was looked at, and how that came about.
    attention: Option<(Rect, String)>,
    /// What went wrong.
    failure: Option<String>,
}

impl Scene {
    /// What the metas of a frame say.
    pub(super) fn of(buffer: &gst::BufferRef) -> Self {
        let mut scene = Self::default();
        for region in buffer.iter_meta::<VideoRegionOfInterestMeta>() {
            let (x, y, width, height) = region.rect();
            let [x, y, width, height] = [x, y, width, height].map(|n| i32::try_from(n).unwrap_or(i32::MAX / 4));
            let area = Rect { x, y, width, height };
            let name = region.roi_type();
            if name == ATTENTION_TYPE {
                scene.attention = Some((area, told(buffer)));
            } else {
                let confidence = region.params().find_map(|params| params.get::<f64>("confidence").ok());
                scene.boxes.push((area, name.to_owned(), layout::label(name, confidence)));
            }
        }
        scene
    }

    /// A frame that nobody looked at.
    pub(super) fn failed(cause: &str) -> Self {
        Self { failure: Some(format!("no result: {cause}")), ..Self::default() }
    }

    /// Draws it.
    ///
    /// # Errors
    /// The frame cannot be written to, or is not what `info` says.
    pub(super) fn draw(&self, buffer: &mut gst::BufferRef, info: &gst_video::VideoInfo) -> Result<(), String> {
        if *self == Self::default() {
            return Ok(());
        }
        let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, info)
            .map_err(|_| "a decoded frame cannot be drawn on".to_owned())?;
        let strides: Vec<usize> =
            frame.plane_stride().iter().map(|n| usize::try_from(*n).unwrap_or_default()).collect();
        let (width, height) = (frame.width() as i32, frame.height() as i32);
        let [y, u, v, _] = frame.planes_data_mut();
        let (&[y_stride, u_stride, v_stride], matrix) = (strides.as_slice(), Matrix::of(&info.colorimetry())) else {
            return Err("a decoded frame has not the three planes that were agreed".to_owned());
        };
        let planes = [(y, y_stride), (u, u_stride), (v, v_stride)].map(|(data, stride)| Plane { data, stride });
        self.paint(&mut Canvas { planes, width, height, matrix });
        Ok(())
    }

    fn paint(&self, canvas: &mut Canvas<'_>) {
        let style = Style::new(canvas.width, canvas.height);
        if let Some((area, text)) = &self.attention {
            canvas.dashes(*area, style.thick, 6 * style.thick, colour::WHITE, colour::BLACK);
            write(canvas, style, style.caption(text), text, colour::WHITE);
        }
        for (area, name, _) in &self.boxes {
            canvas.frame(area.grown(style.outline), style.outline, colour::BLACK, 160);
            canvas.frame(*area, style.thick, colour::of_label(name), 255);
        }
        let labels: Vec<_> = self.boxes.iter().map(|(area, _, text)| (*area, text.clone())).collect();
        for ((_, name, text), place) in self.boxes.iter().zip(style.labels(&labels)) {
            write(canvas, style, place, text, colour::of_label(name));
        }
        if let Some(text) = &self.failure {
            write(canvas, style, style.caption(text), text, colour::WARNING);
        }
    }
}

fn write(canvas: &mut Canvas<'_>, style: Style, place: Rect, text: &str, ground: Rgb) {
    canvas.fill(place, ground, 230);
    canvas.text(place.x + style.margin, place.y, text, style.size, colour::BLACK);
}

/// Why this region, and which model looks at it.
fn told(buffer: &gst::BufferRef) -> String {
    let Some(planned) = meta::frame(buffer).and_then(|frame| frame.planned) else { return String::new() };
    let why = match planned.roi.source {
        RoiSource::External => "as set",
        RoiSource::PythonSuggested => "follows the last look",
        RoiSource::AutoHistory => "follows earlier looks",
        RoiSource::FullFrame => "full frame",
    };
    // A worker without models names none.
    let result =
        meta::inferences(buffer).pop().and_then(|inference| serde_json::from_str::<Value>(&inference.result).ok());
    let model = result.as_ref().and_then(|result| result.pointer("/data/metadata/model_selected")?.as_str());
    model.map_or_else(|| format!("region {why}"), |model| format!("region {why}, model {model}"))
}
