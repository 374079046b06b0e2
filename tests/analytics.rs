// SPDX-License-Identifier: MPL-2.0
//! Detections in GStreamer's own analytics metas (feature `v1_24`), and the elements that read them, where they are installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "support/rig.rs"]
mod rig;

use gst::prelude::*;
use gst_analytics::{AnalyticsMetaRefExt, AnalyticsODMtd, AnalyticsRelationMeta, AnalyticsTrackingMtd, RelTypes};
use gst_check::Harness;
use gst_video::VideoRegionOfInterestMeta;
use rig::{Rig, init};

const WIDTH: usize = 160;
const HEIGHT: usize = 120;
const CAPS: &str = "video/x-raw,format=RGB,width=160,height=120,framerate=10/1";

/// What a relation meta says of an object: label, x, y, width and height in pixels, confidence.
type Object = (String, [i32; 4], f32);

/// A patch that the stub sees: channel (0 red, 1 green), left, top, side; pixels.
type Patch = (usize, usize, usize, usize);

/// `orionpyinfer`, with a stub that sees patches, in front of other elements.
struct Stage(Harness);

impl Stage {
    /// None where this machine has no element of that name.
    fn before(reader: &str, after: &str) -> Option<Self> {
        init();
        if gst::ElementFactory::find(reader).is_none() {
            println!("not tested: there is no {reader} here");
            return None;
        }
        Some(Self::of(&format!("{} ! {reader} {after}", infer("--scene 0"))))
    }

    fn of(description: &str) -> Self {
        init();
        let bin = gst::parse::bin_from_description(description, true).unwrap();
        let mut harness = Harness::with_element(&bin, Some("sink"), Some("src"));
        harness.set_live(false);
        harness.set_src_caps_str(CAPS);
        harness.play();
        Self(harness)
    }

    fn show(&mut self, patches: &[Patch]) -> gst::Buffer {
        let mut buffer = gst::Buffer::from_slice(picture(patches));
        self.date(buffer.get_mut().unwrap());
        self.0.push(buffer).unwrap();
        self.0.pull().expect("a buffer comes out")
    }

    fn date(&self, buffer: &mut gst::BufferRef) {
        buffer.set_pts(gst::ClockTime::from_mseconds(100 * u64::from(self.0.buffers_received())));
    }
}

fn infer(stub: &str) -> String {
    let program = env!("CARGO_BIN_EXE_orion-stub-worker");
    format!("orionpyinfer worker-command=\"'{program}' {stub}\"")
}

fn picture(patches: &[Patch]) -> Vec<u8> {
    let mut pixels = vec![0; WIDTH * HEIGHT * 3];
    for (channel, left, top, side) in patches {
        for (y, x) in (*top..top + side).flat_map(|y| (*left..left + side).map(move |x| (y, x))) {
            pixels[(y * WIDTH + x) * 3 + channel] = 255;
        }
    }
    pixels
}

/// Where in an RGB picture something other than black was drawn, as left, top, right, bottom in pixels.
fn drawn(buffer: &gst::Buffer) -> Option<[usize; 4]> {
    let map = buffer.map_readable().unwrap();
    let bright = map.as_slice().chunks(3).enumerate().filter(|(_, pixel)| pixel.iter().any(|value| *value > 64));
    let places = bright.map(|(n, _)| [n % WIDTH, n / WIDTH, n % WIDTH + 1, n / WIDTH + 1]);
    places.reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])])
}

/// All objects on a buffer, which has one relation meta.
fn objects(buffer: &gst::BufferRef) -> Vec<Object> {
    assert_eq!(buffer.iter_meta::<AnalyticsRelationMeta>().count(), 1);
    let meta = buffer.meta::<AnalyticsRelationMeta>().unwrap();
    let objects = meta.iter::<AnalyticsODMtd>().map(|object| {
        let place = object.location().unwrap();
        let label = object.obj_type().unwrap().as_str().to_string();
        (label, [place.x, place.y, place.w, place.h], place.loc_conf_lvl)
    });
    objects.collect()
}

/// The number of the track that the only object on a buffer belongs to.
fn track(buffer: &gst::BufferRef) -> u64 {
    let meta = buffer.meta::<AnalyticsRelationMeta>().unwrap();
    let object = meta.iter::<AnalyticsODMtd>().next().unwrap().id();
    let mut tracks = meta.iter_direct_related::<AnalyticsTrackingMtd>(object, RelTypes::RELATE_TO);
    tracks.next().unwrap().info().0
}

fn red(place: [i32; 4]) -> Object {
    ("red".into(), place, 0.9)
}

#[test]
fn an_object_stands_where_its_region_stands() {
    let mut rig = Rig::new("", &[]);
    rig.push().unwrap();
    let buffer = rig.harness.pull().unwrap();
    assert_eq!(objects(&buffer), [("person".to_owned(), [0, 1, 3, 1], 0.75)]);
    let region = buffer.iter_meta::<VideoRegionOfInterestMeta>().next().unwrap();
    assert_eq!((region.roi_type(), region.rect()), ("person", (0, 1, 3, 1)));
}

#[test]
fn a_frame_on_which_nothing_was_seen_says_so() {
    let mut stage = Stage::of(&infer("--scene 0"));
    assert_eq!(objects(&stage.show(&[(0, 10, 20, 30)])), [red([10, 20, 30, 30])]);
    let empty = stage.show(&[]);
    assert_eq!(objects(&empty), [], "a relation meta without objects");
    assert_eq!(empty.iter_meta::<VideoRegionOfInterestMeta>().count(), 0);
}

#[test]
fn results_of_two_detectors_stand_in_one_meta() {
    let mut stage = Stage::of(&format!("{} ! {}", infer("--scene 0"), infer("--type motion_detection")));
    let both = stage.show(&[(0, 10, 20, 30), (1, 60, 20, 30)]);
    let green = ("green".to_owned(), [60, 20, 30, 30], 0.9);
    assert_eq!(objects(&both), [red([10, 20, 30, 30]), green, ("person".to_owned(), [0, 1, 3, 1], 0.75)]);
    assert_eq!(gstorion::meta::inferences(&both).len(), 2);
}

#[test]
fn a_buffer_that_a_pool_hands_out_again_has_no_objects_of_its_last_frame() {
    let mut stage = Stage::of(&infer("--scene 0"));
    let pool = gst::BufferPool::new();
    let mut config = pool.config();
    let caps: gst::Caps = CAPS.parse().unwrap();
    config.set_params(Some(&caps), (WIDTH * HEIGHT * 3) as u32, 1, 1);
    pool.set_config(config).unwrap();
    pool.set_active(true).unwrap();
    for left in [10, 20, 30] {
        // There is one only: it comes when the frame before was let go of.
        let mut buffer = pool.acquire_buffer(None).unwrap();
        let target = buffer.get_mut().unwrap();
        target.copy_from_slice(0, &picture(&[(0, left, 20, 30)])).unwrap();
        stage.date(target);
        stage.0.push(buffer).unwrap();
        let buffer = stage.0.pull().unwrap();
        assert_eq!(objects(&buffer), [red([left as i32, 20, 30, 30])]);
    }
    pool.set_active(false).unwrap();
}

#[test]
fn an_overlay_draws_a_box_where_it_is_and_none_of_the_frame_before() {
    let Some(mut stage) = Stage::before("objectdetectionoverlay", "draw-labels=false") else { return };
    let seen = stage.show(&[(0, 40, 30, 50)]);
    assert_eq!(objects(&seen), [red([40, 30, 50, 50])]);
    let [left, top, right, bottom] = drawn(&seen).unwrap();
    // A line has a width, and lies half outside of what it is drawn around.
    assert!((36..=40).contains(&left) && (26..=30).contains(&top), "{left} {top}");
    assert!((90..=94).contains(&right) && (80..=84).contains(&bottom), "{right} {bottom}");
    assert_ne!(seen.map_readable().unwrap().as_slice(), picture(&[(0, 40, 30, 50)]), "something was drawn");
    let moved = drawn(&stage.show(&[(0, 100, 60, 20)])).unwrap();
    assert!(moved[0] >= 96 && moved[1] >= 56, "{moved:?}: only where it is now");
    assert_eq!(drawn(&stage.show(&[])), None, "nobody, so nothing is drawn");
}

#[test]
fn a_tracker_follows_what_was_seen() {
    let Some(mut stage) = Stage::before("ioutracker", "") else { return };
    let first = track(&stage.show(&[(0, 10, 20, 40)]));
    for left in [14, 18, 22] {
        let buffer = stage.show(&[(0, left, 20, 40)]);
        assert_eq!((objects(&buffer).len(), track(&buffer)), (1, first), "the same one");
    }
    assert_ne!(track(&stage.show(&[(0, 110, 70, 40)])), first, "another one elsewhere");
}

#[test]
fn objects_become_onvif_metadata() {
    let Some(mut stage) = Stage::before("relationmeta2onvifmeta", "time-source=running-time") else { return };
    let buffer = stage.show(&[(0, 40, 30, 50)]);
    let meta = gst::meta::CustomMeta::from_buffer(&buffer, "OnvifXMLFrameMeta").unwrap();
    let frames: gst::BufferList = meta.structure().get("frames").unwrap();
    let map = frames.get(0).unwrap().map_readable().unwrap();
    let text = std::str::from_utf8(map.as_slice()).unwrap();
    for part in [r#"left="40""#, r#"top="30""#, r#"right="90""#, r#"bottom="80""#, r#"Likelihood="0.9""#, ">red<"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
