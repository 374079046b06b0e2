// SPDX-License-Identifier: MPL-2.0
//! The side of the storage thread.

use std::{sync::PoisonError, time::Instant};

use super::{
    super::{
        outbox::Work,
        payload::{Body, Now},
        store::Former,
    },
    Book, Link,
};

impl Link {
    /// See [`Outbox::restore`].
    pub(in super::super) fn restore(&self, former: Former, now: Now) {
        self.book().outbox.restore(former.leftovers, former.unsaid, now);
        self.tidy(now);
    }

    /// Wakes the storage thread if it has nothing to look at its watch for.
    pub(super) fn rouse_storage(&self, book: &mut Book) {
        if std::mem::take(&mut book.storage_idle) {
            self.storage.notify_one();
        }
    }

    /// Waits until something is to be done on the disk; none = that was all.
    pub(in super::super) fn storage_work(&self, now: fn() -> Now) -> Option<Work> {
        let mut book = self.book();
        loop {
            if book.storage_end.is_some_and(|end| end <= Instant::now()) {
                return None;
            }
            let closing = book.storage_end.is_some();
            let time = now();
            let work = book.outbox.storage_work(time, closing);
            if work.is_some() || closing {
                return work;
            }
            let pause = book.outbox.storage_pause(time);
            book.storage_idle = pause.is_none();
            book = match pause {
                Some(pause) => self.storage.wait_timeout(book, pause).unwrap_or_else(PoisonError::into_inner).0,
                None => self.storage.wait(book).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// See [`Outbox::storage_done`].
    pub(in super::super) fn storage_done(&self, work: &Work, bodies: Vec<(u64, Option<Body>)>) {
        let read = !bodies.is_empty();
        self.book().outbox.storage_done(work, bodies);
        if read {
            self.wake.notify_one();
            // What cannot be read is no longer waited for.
            self.changed.notify_all();
        }
    }

    /// See [`Outbox::storage_failed`]. At the end there is no other try.
    pub(in super::super) fn storage_failed(&self, work: &Work, now: Now) {
        let mut book = self.book();
        book.outbox.storage_failed(work, now);
        if let Some(end) = &mut book.storage_end {
            *end = Instant::now();
        }
        drop(book);
        self.wake.notify_one();
        self.changed.notify_all();
    }

    /// Asks the storage thread to write what is left until `end` and to go.
    pub(in super::super) fn stop_storage(&self, end: Instant) {
        self.book().storage_end = Some(end);
        self.storage.notify_one();
    }
}
