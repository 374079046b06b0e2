// SPDX-License-Identifier: MPL-2.0
//! One child process: its pipes, its end, and no zombie.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    sys::{
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};
use orion_core::{environment, supervisor::Exit};
use tokio::{
    net::unix::pipe::{Receiver, Sender},
    sync::oneshot,
};

use super::ring::Offer;

/// What a pipe is asked to hold, bytes: a raw VGA frame then takes one write instead of fifteen.
const PIPE_SIZE: i32 = 1 << 20;

/// A running child with its own process group, so that a signal for the host's terminal does not reach it.
pub(super) struct Process {
    pub(super) stdin: Sender,
    pub(super) stdout: Receiver,
    pub(super) stderr: Receiver,
    pub(super) exit: oneshot::Receiver<ExitStatus>,
    pub(super) group: Group,
}

/// The child's process group; signals are sent only while its number cannot belong to anybody else.
#[derive(Clone)]
pub(super) struct Group {
    pid: Pid,
    alive: Arc<Mutex<bool>>,
}

impl Process {
    /// Starts `argv`, with memory to share, and with the host's variables that `variables` names beside the usual ones. Needs a
    /// tokio runtime with I/O.
    ///
    /// # Errors
    /// What the operating system says, for example that the program does not exist.
    pub(super) fn spawn(argv: &[String], variables: &str, offer: Option<Offer>) -> io::Result<Self> {
        let (program, args) = argv.split_first().ok_or_else(|| io::Error::other("the worker command is empty"))?;
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .envs(environment::passed(std::env::vars_os(), variables))
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        match offer {
            Some(offer) => offer.pass(&mut command)?,
            None => Offer::pass_none(&mut command),
        }
        let mut child = command.spawn()?;
        // The worker has its end now.
        drop(command);
        let group = Group { pid: Pid::from_raw(child.id() as i32), alive: Arc::new(Mutex::new(true)) };
        let missing = || io::Error::other("a pipe is missing");
        let stdin = OwnedFd::from(child.stdin.take().ok_or_else(missing)?);
        let stdout = OwnedFd::from(child.stdout.take().ok_or_else(missing)?);
        let stderr = OwnedFd::from(child.stderr.take().ok_or_else(missing)?);
        // Smaller pipes work too, so a refusal (a limit of the system) does not matter.
        let _ = fcntl(stdin.as_fd(), FcntlArg::F_SETPIPE_SZ(PIPE_SIZE));
        let exit = watch(child, group.clone())?;
        let pipes =
            || Ok((Sender::from_owned_fd(stdin)?, Receiver::from_owned_fd(stdout)?, Receiver::from_owned_fd(stderr)?));
        match pipes() {
            Ok((stdin, stdout, stderr)) => Ok(Self { stdin, stdout, stderr, exit, group }),
            Err(error) => {
                group.signal(Signal::SIGKILL);
                Err(error)
            }
        }
    }
}

impl Group {
    /// The process id of the child.
    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw() as u32
    }

    /// Signals every process of the group, if the child is still there.
    pub(super) fn signal(&self, signal: Signal) {
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        if *alive {
            // It may have ended this very moment; then there is nothing left to signal.
            let _ = killpg(self.pid, signal);
        }
    }
}

/// Waits on a thread of its own: no signal handler is installed in the host, and the end is known at once.
fn watch(child: Child, group: Group) -> io::Result<oneshot::Receiver<ExitStatus>> {
    let (tell, exit) = oneshot::channel();
    let name = format!("orion-wait-{}", group.pid());
    let child = Arc::new(Mutex::new(child));
    let waited = Arc::clone(&child);
    let wait = move || {
        // Until it is reaped its number stays taken, so what it left behind in its group can be swept safely.
        while waitid(Id::Pid(group.pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
        let mut alive = group.alive.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = killpg(group.pid, Signal::SIGKILL);
        *alive = false;
        if let Ok(status) = waited.lock().unwrap_or_else(PoisonError::into_inner).wait() {
            // Nobody may be listening any more.
            let _ = tell.send(status);
        }
    };
    if let Err(error) = thread::Builder::new().name(name).spawn(wait) {
        let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill().and_then(|()| child.wait());
        return Err(error);
    }
    Ok(exit)
}

/// Memory that a process holds by itself, bytes; 0 when it is not there. What it shares, the pictures above all, is the
/// host's doing and not counted.
pub(super) fn resident_bytes(pid: u32) -> u64 {
    own_bytes(&std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default())
}

/// Resident memory but for the shared one, bytes, of a text like `/proc/PID/status` (proc(5)).
fn own_bytes(status: &str) -> u64 {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok())
    };
    field("VmRSS").unwrap_or(0).saturating_sub(field("RssShmem").unwrap_or(0)) * 1024
}

/// The end in words, and whether the process chose it.
pub(super) fn describe(status: ExitStatus) -> (String, Exit) {
    match (status.code(), status.signal()) {
        (Some(code), _) => (format!("exited with code {code}"), Exit::Own),
        (None, Some(number)) => {
            let name = Signal::try_from(number).map_or_else(|_| number.to_string(), |s| s.as_str().to_owned());
            (format!("was ended by {name}"), Exit::Signal)
        }
        (None, None) => ("ended".to_owned(), Exit::Own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    fn argv(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    fn exists(pid: u32) -> bool {
        std::path::Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn pipes_work_and_the_end_is_told() {
        run(async {
            let mut process = Process::spawn(&argv("cat; echo done >&2; exit 3"), "", None).unwrap();
            process.stdin.write_all(b"hello").await.unwrap();
            drop(process.stdin);
            let (mut out, mut err) = (String::new(), String::new());
            process.stdout.read_to_string(&mut out).await.unwrap();
            process.stderr.read_to_string(&mut err).await.unwrap();
            assert_eq!((out.as_str(), err.as_str()), ("hello", "done\n"));
            let status = process.exit.await.unwrap();
            assert_eq!(describe(status), ("exited with code 3".to_owned(), Exit::Own));
            assert!(!exists(process.group.pid()), "no zombie is left");
            process.group.signal(Signal::SIGKILL);
        });
    }

    #[test]
    fn a_signal_ends_the_whole_group() {
        run(async {
            let mut process = Process::spawn(&argv("sleep 1000 & echo $!; wait"), "", None).unwrap();
            let mut line = [0u8; 16];
            let n = process.stdout.read(&mut line).await.unwrap();
            let grandchild: u32 = std::str::from_utf8(&line[..n]).unwrap().trim().parse().unwrap();
            process.group.signal(Signal::SIGTERM);
            let status = process.exit.await.unwrap();
            assert_eq!(describe(status), ("was ended by SIGTERM".to_owned(), Exit::Signal));
            // Its pipe closes only when the last process of the group is gone.
            assert_eq!(process.stdout.read(&mut line).await.unwrap(), 0);
            let start = std::time::Instant::now();
            let gone = || {
                let stat = std::fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
                stat.is_empty() || stat.contains(") Z")
            };
            while !gone() {
                assert!(start.elapsed().as_secs() < 10, "the grandchild lives on");
                std::thread::yield_now();
            }
        });
    }

    #[test]
    fn memory_is_known_while_a_process_lives() {
        let mine = resident_bytes(std::process::id());
        assert!(mine > 1 << 20 && mine < 1 << 40, "{mine}");
        assert_eq!(resident_bytes(u32::MAX), 0);
    }

    #[test]
    fn shared_memory_is_not_the_process_s_own() {
        let status = "Name:\tVmRSS\nVmRSS:\t    5000 kB\nRssAnon:\t    1000 kB\nRssShmem:\t    3000 kB\n";
        assert_eq!(own_bytes(status), 2000 * 1024);
        assert_eq!(own_bytes("VmRSS:\t7 kB\n"), 7 * 1024);
        assert_eq!(own_bytes("VmRSS:\tmuch\n"), 0);
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error() {
        run(async {
            let error = Process::spawn(&["/no/such/worker".to_owned()], "", None).err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert!(Process::spawn(&[], "", None).is_err());
        });
    }
}
