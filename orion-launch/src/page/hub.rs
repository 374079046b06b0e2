// SPDX-License-Identifier: MPL-2.0
//! Who watches, and what is done for them: with the first viewer it begins, with the last it ends.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use tokio::{
    sync::{Notify, broadcast},
    task::JoinHandle,
    time::{Interval, MissedTickBehavior},
};

use super::{album::Album, inbox::Inbox, studio::Studio, taps::Taps, telling};
use crate::{control::Window, overview::Overview, source};

/// Viewers at a time, at most.
pub(super) const VIEWERS: usize = 16;
/// How often the state of everything is told.
const STEP: Duration = Duration::from_secs(1);
/// How often it is told what can be said of persons, which is quickly out of date.
const PULSE: Duration = Duration::from_millis(250);
/// Messages that a viewer may be behind with; a slower one skips what is between.
const BEHIND: usize = 64;

/// Where all viewers are told something.
#[derive(Debug, Clone)]
pub(super) struct News(broadcast::Sender<Bytes>);

impl Default for News {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND))
    }
}

impl News {
    /// Something of this kind, in the form of server-sent events; written once for all.
    pub(super) fn tell(&self, kind: &str, what: &impl Serialize) {
        if let Ok(json) = serde_json::to_string(what) {
            self.say(kind, &json);
        }
    }

    fn say(&self, kind: &str, json: &str) {
        // With the last viewer nobody listens.
        let _ = self.0.send(event(kind, json));
    }
}

/// JSON has no line ends, so it is one line of data.
fn event(kind: &str, json: &str) -> Bytes {
    format!("event: {kind}\ndata: {json}\n\n").into()
}

/// Cheap to share.
#[derive(Debug, Clone)]
pub(crate) struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    overview: Overview,
    window: Window,
    /// None = no picture may leave the daemon.
    album: Option<Arc<Album>>,
    news: News,
    hall: Mutex<Hall>,
    /// There is nobody in it any more, or it is closed.
    left: Notify,
}

#[derive(Debug, Default)]
struct Hall {
    viewers: usize,
    /// Somebody is at work for them.
    staffed: bool,
    closed: bool,
}

/// Why nobody more is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Viewers,
    Closed,
}

impl Hub {
    pub(crate) fn new(overview: Overview, window: Window, pictures: bool) -> Self {
        let news = News::default();
        let album = pictures.then(Arc::default);
        Self(Arc::new(Inner { overview, window, album, news, hall: Mutex::default(), left: Notify::new() }))
    }

    fn hall(&self) -> MutexGuard<'_, Hall> {
        // Plain values: a panic elsewhere leaves them usable.
        self.0.hall.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn window(&self) -> &Window {
        &self.0.window
    }

    /// Whether there is a camera of this name.
    pub(super) fn knows(&self, camera: &str) -> bool {
        self.0.overview.cameras().iter().any(|status| status.instance_id == camera)
    }

    /// Whether pictures are shown.
    pub(super) fn shows_pictures(&self) -> bool {
        self.0.album.is_some()
    }

    /// The picture of a frame, if it is one of the last.
    pub(super) fn picture(&self, camera: &str, seq: u64) -> Option<Bytes> {
        self.0.album.as_ref()?.get(camera, seq)
    }

    /// One viewer more, until the value is dropped.
    pub(super) fn enter(&self) -> Result<Viewer, Full> {
        let mut hall = self.hall();
        if hall.closed {
            return Err(Full::Closed);
        }
        if hall.viewers >= VIEWERS {
            return Err(Full::Viewers);
        }
        hall.viewers += 1;
        let news = self.0.news.0.subscribe();
        if !std::mem::replace(&mut hall.staffed, true) {
            tokio::spawn(self.clone().work());
        }
        Ok(Viewer { hub: self.clone(), news, greeted: false, over: false })
    }

    /// Nobody is told anything any more; who watches hears so.
    pub(crate) fn close(&self) {
        self.hall().closed = true;
        self.0.left.notify_one();
    }

    /// Works for the viewers until the last has left.
    async fn work(self) {
        tracing::debug!("somebody watches the live page");
        let inbox = Arc::new(Inbox::default());
        let studio = Studio::open(&inbox, self.0.album.clone(), self.0.news.clone());
        if let Err(error) = &studio {
            tracing::warn!("no thread for the live page, so it shows no pictures: {error}");
        }
        let mut taps = Taps::new(&inbox);
        let mut said = self.0.window.listen();
        let mut reading: Option<JoinHandle<()>> = None;
        let (mut step, mut pulse) = (every(STEP), every(PULSE));
        let closed = loop {
            tokio::select! {
                _ = step.tick() => {
                    let cameras = self.0.overview.cameras();
                    if studio.is_ok() {
                        let sinks = |elements: &[gst::Element]| {
                            elements.iter().filter(|element| source::is(element, "orionmqttsink")).cloned().collect()
                        };
                        let wanted: Vec<_> = cameras.iter().map(|c| (c.instance_id.clone(), sinks(&c.elements))).collect();
                        taps.set(&wanted);
                        if let Some(album) = &self.0.album {
                            album.keep(&wanted.into_iter().map(|(camera, _)| camera).collect::<Vec<_>>());
                        }
                    }
                    // Reading the elements may take its time, and for ever where one is stuck.
                    if reading.as_ref().is_none_or(JoinHandle::is_finished) {
                        let (window, news) = (self.0.window.clone(), self.0.news.clone());
                        let read = move || news.tell("state", &telling::state(&cameras, &window));
                        reading = Some(tokio::task::spawn_blocking(read));
                    }
                }
                _ = pulse.tick() => {
                    let told = self.0.overview.cameras();
                    told.iter().filter_map(telling::presence).for_each(|told| self.0.news.tell("presence", &told));
                }
                heard = said.recv() => match heard {
                    Ok(heard) => self.0.news.say("said", &telling::said(&heard)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => break true,
                },
                () = self.0.left.notified() => {
                    let mut hall = self.hall();
                    if hall.closed {
                        break true;
                    }
                    if hall.viewers == 0 {
                        hall.staffed = false;
                        break false;
                    }
                }
            }
        };
        if closed {
            while let Ok(heard) = said.try_recv() {
                self.0.news.say("said", &telling::said(&heard));
            }
            self.0.news.tell("bye", &json!({}));
        }
        drop((taps, studio));
        if let Some(album) = &self.0.album {
            album.keep(&[]);
        }
        tracing::debug!("nobody watches the live page any more");
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    interval
}

/// Somebody who watches.
#[derive(Debug)]
pub(super) struct Viewer {
    hub: Hub,
    news: broadcast::Receiver<Bytes>,
    greeted: bool,
    over: bool,
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let mut hall = self.hub.hall();
        hall.viewers -= 1;
        if hall.viewers == 0 {
            self.hub.0.left.notify_one();
        }
    }
}

impl Viewer {
    /// What it is told next; none = nothing more.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        if !std::mem::replace(&mut self.greeted, true) {
            return Some(self.hello());
        }
        match self.news.recv().await {
            Ok(news) => {
                self.over = news.starts_with(b"event: bye\n");
                Some(news)
            }
            // It was too slow: it goes on with what is new, and is told again what it may have missed.
            Err(broadcast::error::RecvError::Lagged(_)) if !self.hub.hall().closed => {
                self.news = self.news.resubscribe();
                Some(self.hello())
            }
            Err(_) => {
                self.over = true;
                Some(event("bye", "{}"))
            }
        }
    }

    fn hello(&self) -> Bytes {
        let recent: Vec<_> = self.hub.0.window.recent().iter().map(telling::said).collect();
        let (pictures, version) = (self.hub.shows_pictures(), env!("CARGO_PKG_VERSION"));
        event("hello", &format!(r#"{{"version":"{version}","pictures":{pictures},"recent":[{}]}}"#, recent.join(",")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{control::test_window, page::album::Shows};

    fn text(bytes: Option<Bytes>) -> String {
        String::from_utf8(bytes.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn work_is_done_only_while_somebody_watches() {
        let hub = Hub::new(Overview::default(), test_window(), true);
        let staffed = async |wanted: bool| {
            while hub.hall().staffed != wanted {
                tokio::task::yield_now().await;
            }
        };
        assert!(!hub.hall().staffed);
        let mut viewer = hub.enter().unwrap();
        let other = hub.enter().unwrap();
        assert!(text(viewer.next().await).starts_with("event: hello\ndata: {\"version\":\""));
        assert_eq!(text(viewer.next().await), "event: state\ndata: {\"cameras\":[]}\n\n");
        drop(viewer);
        tokio::task::yield_now().await;
        staffed(true).await;
        hub.0.album.as_ref().unwrap().add("a", Shows { seq: 1, arrived: 1 }, Bytes::new());
        drop(other);
        staffed(false).await;
        while !hub.0.album.as_ref().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(hub.0.news.0.receiver_count(), 0);
        let mut again = hub.enter().unwrap();
        staffed(true).await;
        assert!(text(again.next().await).starts_with("event: hello"));
    }

    #[tokio::test]
    async fn there_are_not_too_many_viewers_and_a_slow_one_skips() {
        let hub = Hub::new(Overview::default(), test_window(), false);
        let mut viewers: Vec<_> = (0..VIEWERS).map(|_| hub.enter().unwrap()).collect();
        assert_eq!(hub.enter().err(), Some(Full::Viewers));
        let slow = viewers.first_mut().unwrap();
        assert!(text(slow.next().await).contains("\"pictures\":false"));
        (0..10 * BEHIND).for_each(|n| hub.0.news.tell("result", &n));
        assert!(text(slow.next().await).starts_with("event: hello"), "it has missed something");
        hub.0.news.tell("result", &7);
        assert_eq!(text(slow.next().await), "event: result\ndata: 7\n\n");
    }

    #[tokio::test]
    async fn at_the_end_nobody_is_held() {
        let hub = Hub::new(Overview::default(), test_window(), true);
        let (mut viewer, mut slow) = (hub.enter().unwrap(), hub.enter().unwrap());
        viewer.next().await;
        slow.next().await;
        hub.close();
        let mut last = String::new();
        while let Some(news) = viewer.next().await {
            last = text(Some(news));
        }
        assert_eq!(last, "event: bye\ndata: {}\n\n");
        (0..10 * BEHIND).for_each(|n| hub.0.news.tell("result", &n));
        assert!(text(slow.next().await).starts_with("event: bye") && slow.next().await.is_none());
        assert_eq!(hub.enter().err(), Some(Full::Closed));
    }
}
