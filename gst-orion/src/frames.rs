// SPDX-License-Identifier: MPL-2.0
//! The pictures that Orion's elements take, and how they look to a worker.

use std::sync::LazyLock;

use gst::glib;
use gst_video::{VideoFormat, VideoFrameExt, VideoInfo};
use orion_core::wire::FrameFormat;

/// `image/jpeg`, and raw video in the formats that workers understand.
pub(crate) static CAPS: LazyLock<gst::Caps> = LazyLock::new(|| {
    let raw = gst_video::VideoCapsBuilder::new()
        .format_list([VideoFormat::Rgb, VideoFormat::Bgr, VideoFormat::I420, VideoFormat::Nv12])
        .build();
    let mut caps = gst::Caps::new_empty_simple("image/jpeg");
    caps.merge(raw);
    caps
});

/// One always pad each way, taking and giving [`CAPS`].
pub(crate) fn always_pads() -> Vec<gst::PadTemplate> {
    [gst::PadDirection::Sink, gst::PadDirection::Src]
        .into_iter()
        .filter_map(|direction| {
            let name = if direction == gst::PadDirection::Sink { "sink" } else { "src" };
            gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &CAPS).ok()
        })
        .collect()
}

/// What the caps say about a stream of pictures.
#[derive(Debug, Clone)]
pub(crate) enum Picture {
    /// One JPEG a buffer; the size, in pixels, where the caps tell it.
    Jpeg(Option<(u32, u32)>),
    /// One raw frame a buffer.
    Raw(FrameFormat, VideoInfo),
}

impl Picture {
    /// Reads caps that fit [`CAPS`].
    pub(crate) fn from_caps(caps: &gst::CapsRef) -> Result<Self, glib::BoolError> {
        let structure = caps.structure(0).ok_or_else(|| glib::bool_error!("caps are empty"))?;
        if structure.name() == "image/jpeg" {
            let side = |name| structure.get::<i32>(name).ok().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
            return Ok(Self::Jpeg(side("width").zip(side("height"))));
        }
        let info = VideoInfo::from_caps(caps)?;
        let format = match info.format() {
            VideoFormat::Rgb => FrameFormat::Rgb,
            VideoFormat::Bgr => FrameFormat::Bgr,
            VideoFormat::I420 => FrameFormat::I420,
            VideoFormat::Nv12 => FrameFormat::Nv12,
            other => return Err(glib::bool_error!("format {} is not supported", other)),
        };
        Ok(Self::Raw(format, info))
    }

    /// Width and height in pixels, where known.
    pub(crate) fn size(&self) -> Option<(u32, u32)> {
        match self {
            Self::Jpeg(size) => *size,
            Self::Raw(_, info) => Some((info.width(), info.height())),
        }
    }

    /// The layout's name on the wire.
    pub(crate) fn format(&self) -> FrameFormat {
        match self {
            Self::Jpeg(_) => FrameFormat::Jpeg,
            Self::Raw(format, _) => *format,
        }
    }

    /// Maps a buffer for reading, without copying it.
    pub(crate) fn map(&self, buffer: gst::Buffer) -> Result<MappedPicture, glib::BoolError> {
        match self {
            Self::Jpeg(_) => buffer
                .into_mapped_buffer_readable()
                .map(MappedPicture::Bytes)
                .map_err(|_| glib::bool_error!("cannot map the buffer")),
            Self::Raw(_, info) => gst_video::VideoFrame::from_buffer_readable(buffer, info)
                .map(|frame| MappedPicture::Frame(Box::new(frame)))
                .map_err(|_| glib::bool_error!("the buffer is smaller than its caps say")),
        }
    }
}

/// A picture's bytes, held for as long as they are being sent.
pub(crate) enum MappedPicture {
    Bytes(gst::MappedBuffer<gst::buffer::Readable>),
    Frame(Box<gst_video::VideoFrame<gst_video::video_frame::Readable>>),
}

impl MappedPicture {
    /// The bytes as a worker expects them: rows without padding, in pieces as large as the memory allows.
    pub(crate) fn pieces(&self) -> Vec<&[u8]> {
        match self {
            Self::Bytes(bytes) => vec![bytes.as_slice()],
            Self::Frame(frame) => (0..frame.n_planes()).flat_map(|plane| plane_pieces(frame, plane)).collect(),
        }
    }

    /// The sum of all pieces, bytes.
    pub(crate) fn len(&self) -> usize {
        self.pieces().iter().map(|piece| piece.len()).sum()
    }
}

fn plane_pieces(frame: &gst_video::VideoFrame<gst_video::video_frame::Readable>, plane: u32) -> Vec<&[u8]> {
    let info = frame.info();
    let format = info.format_info();
    // The first component stored in the plane tells its subsampling, and its pixel stride the bytes of a sample group.
    let Some(component) = (0..format.n_components()).find(|c| format.plane()[*c as usize] == plane) else {
        return Vec::new();
    };
    let width = format.scale_width(component as u8, info.width()) as usize;
    let rows = format.scale_height(component as u8, info.height()) as usize;
    let row = width * format.pixel_stride()[component as usize] as usize;
    let stride = frame.plane_stride()[plane as usize] as usize;
    let Ok(data) = frame.plane_data(plane) else {
        return Vec::new();
    };
    if row == stride {
        return data.get(..rows * row).into_iter().collect();
    }
    (0..rows).filter_map(|n| data.get(n * stride..n * stride + row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed_len(format: VideoFormat, width: u32, height: u32) -> usize {
        let info = VideoInfo::builder(format, width, height).build().unwrap();
        let picture = Picture::from_caps(&info.to_caps().unwrap()).unwrap();
        assert_eq!(picture.size(), Some((width, height)));
        let buffer = gst::Buffer::with_size(info.size()).unwrap();
        picture.map(buffer).unwrap().len()
    }

    #[test]
    fn rows_are_sent_without_padding() {
        gst::init().unwrap();
        assert_eq!(packed_len(VideoFormat::Rgb, 639, 3), 639 * 3 * 3);
        assert_eq!(packed_len(VideoFormat::Bgr, 4, 4), 48);
        // Odd sizes: chroma is rounded up.
        assert_eq!(packed_len(VideoFormat::I420, 5, 3), 15 + 3 * 2 * 2);
        assert_eq!(packed_len(VideoFormat::Nv12, 5, 3), 15 + 3 * 2 * 2);
        assert_eq!(packed_len(VideoFormat::Nv12, 640, 480), 640 * 480 * 3 / 2);
    }

    #[test]
    fn padding_is_really_left_out() {
        gst::init().unwrap();
        let info = VideoInfo::builder(VideoFormat::Rgb, 1, 2).build().unwrap();
        assert_eq!(info.stride()[0], 4);
        let picture = Picture::from_caps(&info.to_caps().unwrap()).unwrap();
        let mapped = picture.map(gst::Buffer::from_slice([1u8, 2, 3, 99, 4, 5, 6, 99])).unwrap();
        assert_eq!(mapped.pieces().concat(), [1, 2, 3, 4, 5, 6]);
        assert!(picture.map(gst::Buffer::from_slice([0u8; 3])).is_err());
    }

    #[test]
    fn jpeg_size_is_unknown_where_the_caps_do_not_tell() {
        gst::init().unwrap();
        let caps = gst::Caps::new_empty_simple("image/jpeg");
        assert_eq!(Picture::from_caps(&caps).unwrap().size(), None);
        let caps = gst::Caps::builder("image/jpeg").field("width", 8i32).field("height", 6i32).build();
        assert_eq!(Picture::from_caps(&caps).unwrap().size(), Some((8, 6)));
    }
}
