// SPDX-License-Identifier: MPL-2.0
//! Frames between the streaming threads, which never wait, and the one that makes pictures of them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// Frames of a camera that wait, at most: one for each of a few workers.
const MOST: usize = 3;

/// Things of several cameras that wait; of too many the oldest of that camera goes.
#[derive(Debug)]
pub(super) struct Inbox<T> {
    waiting: Mutex<Waiting<T>>,
    news: Condvar,
}

#[derive(Debug)]
struct Waiting<T> {
    cameras: BTreeMap<String, VecDeque<T>>,
    /// Whose turn it was last.
    last: String,
    closed: bool,
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        let waiting = Waiting { cameras: BTreeMap::new(), last: String::new(), closed: false };
        Self { waiting: Mutex::new(waiting), news: Condvar::new() }
    }
}

impl<T> Inbox<T> {
    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        // Plain lists: a panic elsewhere leaves them usable.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves something.
    pub(super) fn offer(&self, camera: &str, thing: T) {
        let mut waiting = self.lock();
        if waiting.closed {
            return;
        }
        match waiting.cameras.get_mut(camera) {
            Some(queue) => {
                if queue.len() >= MOST {
                    queue.pop_front();
                }
                queue.push_back(thing);
            }
            None => {
                waiting.cameras.insert(camera.to_owned(), VecDeque::from([thing]));
            }
        }
        self.news.notify_one();
    }

    /// Waits for something, of one camera after the other; none = nothing more comes.
    pub(super) fn take(&self) -> Option<(String, T)> {
        let mut waiting = self.lock();
        loop {
            if waiting.closed {
                return None;
            }
            let full = |(camera, queue): (&String, &VecDeque<T>)| (!queue.is_empty()).then(|| camera.clone());
            let next = waiting
                .cameras
                .range::<String, _>((std::ops::Bound::Excluded(&waiting.last), std::ops::Bound::Unbounded))
                .find_map(full)
                .or_else(|| waiting.cameras.iter().find_map(full));
            if let Some(camera) = next
                && let Some(thing) = waiting.cameras.get_mut(&camera).and_then(VecDeque::pop_front)
            {
                waiting.last.clone_from(&camera);
                return Some((camera, thing));
            }
            waiting = self.news.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing is taken any more, and what waits is dropped.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.cameras.clear();
        self.news.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cameras_take_turns_and_the_newest_win() {
        let inbox = Inbox::default();
        (0..10).for_each(|n| inbox.offer("a", n));
        inbox.offer("b", 100);
        let taken: Vec<_> = (0..MOST + 1).map(|_| inbox.take().unwrap()).collect();
        let of = |camera: &str, n| (camera.to_owned(), n);
        assert_eq!(taken, [of("a", 7), of("b", 100), of("a", 8), of("a", 9)]);
    }

    #[test]
    fn who_waits_is_woken_by_news_and_by_the_end() {
        let inbox = std::sync::Arc::new(Inbox::default());
        let other = inbox.clone();
        let taker = std::thread::spawn(move || std::iter::from_fn(|| other.take()).count());
        inbox.offer("a", 1);
        while !inbox.lock().cameras.values().all(VecDeque::is_empty) {
            std::thread::yield_now();
        }
        inbox.close();
        inbox.offer("a", 2);
        assert_eq!((taker.join().unwrap(), inbox.take()), (1, None));
    }
}
