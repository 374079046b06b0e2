// SPDX-License-Identifier: MPL-2.0
//! The last pictures of each camera, for as long as somebody watches.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

/// Pictures of a camera that are kept, at most.
const MOST: usize = 8;

/// JPEG pictures by camera and number of the frame.
#[derive(Debug, Default)]
pub(super) struct Album(Mutex<BTreeMap<String, VecDeque<(u64, Bytes)>>>);

impl Album {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, VecDeque<(u64, Bytes)>>> {
        // Plain lists: a panic elsewhere leaves them usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a picture; the oldest of too many goes.
    pub(super) fn add(&self, camera: &str, seq: u64, picture: Bytes) {
        let mut album = self.lock();
        let page = album.entry(camera.to_owned()).or_default();
        // A camera that was removed and added again counts anew.
        page.retain(|(other, _)| *other != seq);
        if page.len() >= MOST {
            page.pop_front();
        }
        page.push_back((seq, picture));
    }

    /// The picture of a frame.
    pub(super) fn get(&self, camera: &str, seq: u64) -> Option<Bytes> {
        let album = self.lock();
        let (_, picture) = album.get(camera)?.iter().find(|(other, _)| *other == seq)?;
        Some(picture.clone())
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
        for seq in 0..20 {
            album.add("a", seq, Bytes::from(vec![seq as u8]));
        }
        album.add("b", 3, Bytes::from_static(b"b"));
        album.add("b", 3, Bytes::from_static(b"again"));
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
