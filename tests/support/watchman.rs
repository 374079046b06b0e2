// SPDX-License-Identifier: MPL-2.0
//! Ends a process in which something waits for ever, and counts what a process holds.

use std::{
    collections::BTreeMap,
    fs,
    io::{Write, stderr},
    process::{self, Command},
    sync::{
        Arc, Mutex,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use gst::glib;

use crate::support::leaks;

/// No step takes longer: the longest wait for the end of a worker (its time-outs, and two signals with a second of grace
/// each), several times over for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Aborts the process when a step takes too long, and says which one and where all threads are.
pub struct Watchman {
    step: Arc<Mutex<(u64, String, Instant)>>,
    longest: Mutex<Duration>,
    over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchman {
    pub fn new(name: String) -> Self {
        let step = Arc::new(Mutex::new((0, String::from("start"), Instant::now())));
        let (over, is_over) = mpsc::channel();
        let watched = Arc::clone(&step);
        let watch = move || {
            while is_over.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                let (number, what, since) = watched.lock().unwrap().clone();
                if since.elapsed() > PATIENCE {
                    // Not held back by the test runner, which ends here.
                    let _ = writeln!(stderr(), "{name}: step {number} ({what}) has taken {:?}", since.elapsed());
                    let _ = writeln!(stderr(), "{}", threads());
                    process::abort();
                }
            }
        };
        Self { step, longest: Mutex::default(), over: Some(over), thread: Some(thread::spawn(watch)) }
    }

    /// What is done now.
    pub fn step(&self, number: u64, what: String) {
        if std::env::var_os("ORION_VERBOSE").is_some() {
            eprintln!("step {number}: {what}");
        }
        let now = Instant::now();
        let (_, _, since) = std::mem::replace(&mut *self.step.lock().unwrap(), (number, what, now));
        let mut longest = self.longest.lock().unwrap();
        *longest = (*longest).max(now - since);
    }

    /// What the longest step has taken that is over.
    pub fn longest(&self) -> Duration {
        *self.longest.lock().unwrap()
    }
}

impl Drop for Watchman {
    fn drop(&mut self) {
        self.over = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Where all threads are: back traces by gdb if it is there, else what the kernel says of each.
fn threads() -> String {
    let pid = process::id().to_string();
    let gdb = Command::new("gdb").args(["-batch", "-p", &pid, "-ex", "thread apply all backtrace 30"]).output();
    if let Ok(output) = gdb
        && output.status.success()
    {
        return String::from_utf8_lossy(&output.stdout).into_owned();
    }
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let told = tasks.map(|task| {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default().trim().to_owned();
        format!(
            "{} {}: wchan {}, syscall {}\n",
            task.file_name().display(),
            read("comm"),
            read("wchan"),
            read("syscall")
        )
    });
    told.collect()
}

/// Processes with this among their arguments.
pub fn tagged(tag: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ours = |entry: &fs::DirEntry| {
        fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| line.split(|byte| *byte == 0).any(|argument| argument == tag.as_bytes()))
    };
    entries.filter(ours).filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).collect()
}

/// How much there is of everything that has to be given back, by name.
#[derive(Debug, PartialEq, Eq)]
pub struct Belongings(BTreeMap<String, usize>);

impl Belongings {
    fn now() -> Self {
        // GLib keeps idle threads for a while.
        glib::ThreadPool::stop_unused_threads();
        let mut all = BTreeMap::new();
        let mut add = |kind: &str, name: String| *all.entry(format!("{kind} {name}")).or_default() += 1;
        for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
            let target = fs::read_link(entry.path()).map(|path| path.display().to_string()).unwrap_or_default();
            // Without the numbers of pipes and sockets.
            add("descriptor", target.split(['[', '(']).next().unwrap_or_default().to_owned());
        }
        for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
            add("thread", fs::read_to_string(task.path().join("comm")).unwrap_or_default().trim().to_owned());
        }
        for (kind, count) in leaks::alive() {
            (0..count).for_each(|_| add("object", kind.clone()));
        }
        let me = process::id().to_string();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // "pid (name) state parent ..."; zombies count as well.
            if let Some((name, rest)) = stat.rsplit_once(')')
                && rest.split_whitespace().nth(1) == Some(me.as_str())
            {
                add("process", name.split_once('(').unwrap_or_default().1.to_owned());
            }
        }
        Self(all)
    }

    /// When it does not change any more.
    pub fn settled() -> Self {
        let mut last = Self::now();
        let mut same = 0;
        let start = Instant::now();
        while same < 5 && start.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(20));
            let now = Self::now();
            same = if now == last { same + 1 } else { 0 };
            last = now;
        }
        last
    }

    /// Panics if there is more now, and stays.
    pub fn are_all_there_is(&self, who: &str) {
        let start = Instant::now();
        loop {
            let now = Self::now();
            let more: Vec<_> =
                now.0.iter().filter(|(name, count)| **count > self.0.get(*name).copied().unwrap_or(0)).collect();
            if more.is_empty() {
                return;
            }
            let was: Vec<_> = more.iter().map(|(name, _)| (name, self.0.get(*name))).collect();
            assert!(start.elapsed() < PATIENCE, "{who}: left over: {more:?}; before: {was:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}
