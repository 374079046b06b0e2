// SPDX-License-Identifier: MPL-2.0
//! Makes pictures and words of frames, on a thread of its own: neither the streaming threads nor the control plane wait for it.

use std::{sync::Arc, thread};

use super::{
    album::{Album, Shows},
    hub::News,
    inbox::Inbox,
    shot::Taken,
};

/// The thread; it ends soon after this value, which waits for nothing.
#[derive(Debug)]
pub(super) struct Studio(Arc<Inbox<Taken>>);

impl Drop for Studio {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Studio {
    /// Takes frames out of `inbox` and tells `news` of them. Without an album no picture is made.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn open(inbox: &Arc<Inbox<Taken>>, album: Option<Arc<Album>>, news: News) -> std::io::Result<Self> {
        let frames = Arc::clone(inbox);
        thread::Builder::new().name("orion-page".into()).spawn(move || {
            let mut told = false;
            while let Some((camera, taken)) = frames.take() {
                if let Err(why) = develop(&camera, &taken, album.as_deref(), &news)
                    && !std::mem::replace(&mut told, true)
                {
                    tracing::warn!("{camera}: the live page has no picture of a frame: {why}");
                }
            }
        })?;
        Ok(Self(Arc::clone(inbox)))
    }
}

/// First the picture is there, then it is told of.
fn develop(camera: &str, taken: &Taken, album: Option<&Album>, news: &News) -> Result<(), String> {
    let Some((frame, found)) = taken.read() else { return Ok(()) };
    let shows = Shows { seq: frame.seq, arrived: frame.arrived };
    let picture = match album {
        // Of each worker a result, of all of them one picture.
        Some(album) if !album.has(camera, shows) => {
            taken.picture().map(|picture| album.add(camera, shows, picture)).map(|()| true)
        }
        Some(_) => Ok(true),
        None => Ok(false),
    };
    let there = matches!(picture, Ok(true));
    for told in found.iter().filter_map(|found| taken.told(camera, &frame, found, there)) {
        news.tell("result", &told);
    }
    picture.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::shot::tests::arrived;

    #[test]
    fn a_camera_that_counts_anew_is_not_shown_with_old_pictures() {
        let (album, news) = (Album::default(), News::default());
        for (at, size) in [(5_000_000, 5), (5_000_000, 6), (9_000_000, 7)] {
            develop("a", &arrived(at, "image/jpeg,width=64,height=32", size), Some(&album), &news).unwrap();
        }
        assert_eq!(album.get("a", 7).unwrap().len(), 7);
        develop("a", &arrived(9_000_000, "image/jpeg,width=64,height=32", 8), Some(&album), &news).unwrap();
        assert_eq!(album.get("a", 7).unwrap().len(), 7, "of one frame there is one picture");
    }
}
