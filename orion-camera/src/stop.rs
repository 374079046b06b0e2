// SPDX-License-Identifier: MPL-2.0
//! When to stop: signals, and the end of standard input; what else is read there.

use std::io::{BufRead, BufReader, Read};

use anyhow::Context;
use gst::glib;
use nix::sys::{
    signal::{SigSet, Signal},
    stat::{SFlag, fstat},
};

/// No line is longer, bytes.
const LONGEST: u64 = 256;

/// SIGINT and SIGTERM, kept from ending the process on the spot.
pub(crate) struct Signals(SigSet);

impl Signals {
    /// Holds the signals back; to be called before any other thread starts, because threads inherit this.
    pub(crate) fn hold() -> anyhow::Result<Self> {
        let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
        signals.thread_block().context("cannot hold back SIGINT and SIGTERM")?;
        Ok(Self(signals))
    }

    /// Quits `main_loop` on the first signal, or when standard input ends, whose lines go to `read`. The threads for it end
    /// with the process.
    pub(crate) fn quit(self, main_loop: &glib::MainLoop, read: impl Fn(&str) + Send + 'static) -> anyhow::Result<()> {
        let quit = main_loop.clone();
        thread("signals", move || {
            // An error is a signal set that the kernel does not know: then there is nothing to wait for.
            let _ = self.0.wait();
            quit_soon(quit);
        })?;
        // Only a pipe's end says that the parent is gone: a shell gives background jobs /dev/null, which ends at once.
        let kind = fstat(std::io::stdin()).map(|stat| stat.st_mode & SFlag::S_IFMT.bits());
        if kind.is_ok_and(|kind| kind == SFlag::S_IFIFO.bits() || kind == SFlag::S_IFSOCK.bits()) {
            let quit = main_loop.clone();
            thread("stdin", move || {
                let mut input = BufReader::new(std::io::stdin());
                let mut line = Vec::new();
                while matches!(input.by_ref().take(LONGEST).read_until(b'\n', &mut line), Ok(length) if length > 0) {
                    read(&String::from_utf8_lossy(&line));
                    line.clear();
                }
                quit_soon(quit);
            })?;
        }
        Ok(())
    }
}

/// From within the loop: a loop that is told to quit before it runs would run for ever.
fn quit_soon(main_loop: glib::MainLoop) {
    glib::idle_add_once(move || main_loop.quit());
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map(drop).with_context(|| format!("cannot start thread {name}"))
}
