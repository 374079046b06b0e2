// SPDX-License-Identifier: MPL-2.0
//! The last pictures of each camera, for as long as somebody watches.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

/// Pictures of a camera that are kept, at most.
const MOST: usize = 8;

/// JPEG pictures by camera.
#[derive(Debug, Default)]
pub(super) struct Album(Mutex<BTreeMap<String, VecDeque<Picture>>>);

#[derive(Debug)]
struct Picture {
    shows: Shows,
    jpeg: Bytes,
}

/// Which frame: its number, and when it arrived, ns on [`gst::get_timestamp`]'s clock. A camera that is connected anew counts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shows {
    pub(super) seq: u64,
    pub(super) arrived: u64,
}

impl Album {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, VecDeque<Picture>>> {
        // Plain lists: a panic elsewhere leaves them usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a picture; the oldest of too many goes.
    pub(super) fn add(&self, camera: &str, shows: Shows, jpeg: Bytes) {
        let mut album = self.lock();
        let page = album.entry(camera.to_owned()).or_default();
        page.retain(|picture| picture.shows.seq != shows.seq);
        if page.len() >= MOST {
            page.pop_front();
        }
        page.push_back(Picture { shows, jpeg });
    }

    /// Whether there is a picture of this very frame.
    pub(super) fn has(&self, camera: &str, shows: Shows) -> bool {
        self.lock().get(camera).is_some_and(|page| page.iter().any(|picture| picture.shows == shows))
    }

    /// The newest picture of a frame of this number.
    pub(super) fn get(&self, camera: &str, seq: u64) -> Option<Bytes> {
        let album = self.lock();
        album.get(camera)?.iter().find(|picture| picture.shows.seq == seq).map(|picture| picture.jpeg.clone())
    }

    /// Forgets all but these cameras.
    pub(super) fn keep(&self, cameras: &[String]) {
        self.lock().retain(|camera, _| cameras.contains(camera));
    }

    /// Whether nothing is kept.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_camera_the_last_pictures_are_kept() {
        let album = Album::default();
        let shows = |seq| Shows { seq, arrived: seq };
        for seq in 0..20 {
            album.add("a", shows(seq), Bytes::from(vec![seq as u8]));
        }
        album.add("b", shows(3), Bytes::from_static(b"b"));
        let again = Shows { arrived: 7, ..shows(3) };
        assert!(album.has("b", shows(3)) && !album.has("b", again));
        album.add("b", again, Bytes::from_static(b"again"));
        assert!(!album.has("b", shows(3)) && album.has("b", again));
        assert_eq!(album.get("a", 19).unwrap()[0], 19);
        assert_eq!(album.get("a", 20 - MOST as u64).unwrap()[0], 20 - MOST as u8);
        assert_eq!(album.get("a", 19 - MOST as u64), None);
        assert_eq!(album.get("b", 3).unwrap(), "again");
        assert_eq!((album.get("c", 1), album.lock()["b"].len()), (None, 1));
        album.keep(&["b".to_owned()]);
        assert!(album.get("a", 19).is_none() && album.get("b", 3).is_some());
        album.keep(&[]);
        assert!(album.is_empty());
    }
}
