// SPDX-License-Identifier: MPL-2.0
//! The storage thread: the only one that waits for the disk.

use std::{
    io,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use super::{client::Notice, link::Link, payload::Now, retry::Gate, store::Store};

/// How long a stop waits for what is left to be written. A disk that hangs cannot be interrupted, and must not be waited for.
const LAST_WRITES: Duration = Duration::from_secs(3);

/// A running storage thread.
#[derive(Debug)]
pub(super) struct Keeper {
    link: Arc<Link>,
    over: mpsc::Receiver<()>,
}

impl Keeper {
    /// Starts the thread. `now` reads both clocks, `say` is called from the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        link: Arc<Link>,
        store: Store,
        folder: &str,
        name: &str,
        now: fn() -> Now,
        say: impl Fn(Notice) + Send + 'static,
    ) -> io::Result<Self> {
        let (alive, over) = mpsc::channel();
        let runner = Runner { link: Arc::clone(&link), store, folder: folder.to_owned(), now, say };
        std::thread::Builder::new().name(format!("{name}-disk")).spawn(move || {
            runner.run();
            drop(alive);
        })?;
        Ok(Self { link, over })
    }

    /// Writes what is left and ends the thread; after this nobody uses the folder, unless the disk hangs.
    pub(super) fn stop(self) {
        self.link.stop_storage(Instant::now() + LAST_WRITES);
        // It never sends, it only goes; one transaction may be under way when the time is over.
        let _ = self.over.recv_timeout(2 * LAST_WRITES);
    }
}

struct Runner<F> {
    link: Arc<Link>,
    store: Store,
    folder: String,
    now: fn() -> Now,
    say: F,
}

impl<F: Fn(Notice)> Runner<F> {
    fn run(mut self) {
        let mut gate = Gate::default();
        while let Some(work) = self.link.storage_work(self.now) {
            match self.store.perform(&work) {
                Ok(bodies) => {
                    let lost = bodies.iter().filter(|(_, body)| body.is_none()).count();
                    if lost > 0 {
                        self.complain(&mut gate, &format!("{lost} messages cannot be read and are given up"));
                    }
                    self.link.storage_done(&work, bodies);
                }
                Err(why) => {
                    self.complain(&mut gate, &format!("{why}; until it works again messages are kept in memory only"));
                    self.link.storage_failed(&work, (self.now)());
                }
            }
        }
    }

    /// The cause may differ from time to time; one warning a minute says enough.
    fn complain(&self, gate: &mut Gate, why: &str) {
        if gate.admits(&self.folder, Instant::now()) {
            (self.say)(Notice::Storage(format!("buffer-directory {:?}: {why}", self.folder)));
        }
    }
}
