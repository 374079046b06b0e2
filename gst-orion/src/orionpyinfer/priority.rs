// SPDX-License-Identifier: MPL-2.0
//! Lets a process load in the background, so that those at work keep their pace.

use std::{fs, io};

use rustix::process::{Pid, Resource, getpriority_process, getrlimit, setpriority_process};

/// Steps on the nice scale: where processors are short, the others go first (sched(7)).
const STEPS: i32 = 15;
/// The nice scale ends here.
const LOWEST: i32 = 19;
/// Number of `CAP_SYS_NICE`, capabilities(7).
const CAP_SYS_NICE: u32 = 23;

/// A process that runs at a lower priority for the time being.
pub(super) struct Background {
    pid: Pid,
    before: i32,
}

impl Background {
    /// Lowers the priority of a process and of what it will start, where it may be raised again afterwards; else it stays
    /// as it is.
    pub(super) fn enter(pid: u32) -> Option<Self> {
        let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let before = getpriority_process(None).ok()?;
        if !may_be_raised_to(before) {
            return None;
        }
        set(pid, lowered(before)).ok()?;
        Some(Self { pid, before })
    }

    /// Gives it back its priority. To be called only while the process lives or was not waited for.
    pub(super) fn leave(self) {
        // If the process has just ended, it needs none.
        let _ = set(self.pid, self.before);
    }
}

/// On Linux each thread has a nice value of its own, which those that it starts inherit; setpriority(2).
fn set(pid: Pid, nice: i32) -> io::Result<()> {
    setpriority_process(Some(pid), nice)?;
    for task in fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()))?.flatten() {
        let thread = task.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        // A thread may have ended meanwhile.
        let _ = thread.map(|thread| setpriority_process(Some(thread), nice));
    }
    Ok(())
}

fn lowered(nice: i32) -> i32 {
    (nice + STEPS).min(LOWEST)
}

fn may_be_raised_to(nice: i32) -> bool {
    // RLIMIT_NICE n allows nice values down to 20 - n, getrlimit(2); None = no limit.
    let floor = getrlimit(Resource::Nice).current.map_or(i64::MIN, |limit| 20 - i64::try_from(limit).unwrap_or(40));
    if i64::from(nice) >= floor {
        return true;
    }
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0);
    effective & (1 << CAP_SYS_NICE) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, thread};

    #[test]
    fn every_thread_goes_to_the_background_and_comes_back() {
        let (stop, stopped) = mpsc::channel::<()>();
        let (told, tid) = mpsc::channel();
        let thread = thread::spawn(move || {
            told.send(rustix::thread::gettid()).unwrap();
            let _ = stopped.recv();
        });
        let tid = tid.recv().unwrap();
        let before = getpriority_process(Some(tid)).unwrap();
        match Background::enter(std::process::id()) {
            Some(background) => {
                assert_eq!(getpriority_process(Some(tid)), Ok(lowered(before)));
                background.leave();
            }
            None => assert!(!may_be_raised_to(before)),
        }
        assert_eq!(getpriority_process(Some(tid)), Ok(before));
        drop(stop);
        thread.join().unwrap();
    }
}
