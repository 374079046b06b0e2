// SPDX-License-Identifier: MPL-2.0
//! The daemon's own MQTT broker: mosquitto on loopback.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        prctl,
        signal::{Signal, kill},
    },
    unistd::{Pid, User, geteuid},
};
use thiserror::Error;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    sync::oneshot,
    task::JoinHandle,
};

/// How long the broker may take to accept connections.
const START_LIMIT: Duration = Duration::from_secs(5);
/// Between two tries to connect.
const TRY_EVERY: Duration = Duration::from_millis(50);
/// How long it may take to end by itself.
const STOP_LIMIT: Duration = Duration::from_secs(1);
/// Between its death and its next start.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// Debian keeps it where users have no path to.
const DIRECTORIES: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/bin"];

/// Whom it runs as where the daemon runs as root, best first.
const SERVICE_USERS: [&str; 2] = ["mosquitto", "nobody"];

/// Why there is no broker.
#[derive(Debug, Error)]
pub(crate) enum BrokerError {
    #[error(
        "mqtt.embedded: mosquitto is not installed; try `apt install mosquitto`, or set mqtt.uri to another broker"
    )]
    Missing,
    #[error("mqtt.embedded: {what}: {source}")]
    Io { what: &'static str, source: std::io::Error },
    #[error(
        "mqtt.embedded: mosquitto does not accept connections at {0}; is the port taken? Port 0 takes any free one"
    )]
    NotReady(SocketAddr),
}

/// A broker that ends with the daemon, however that ends.
pub(crate) struct Broker {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    keeper: JoinHandle<BrokerError>,
}

impl Broker {
    /// Starts it at `host` and waits until it accepts; port 0 = any free one. It is started again whenever it dies.
    ///
    /// # Errors
    /// [`BrokerError`] names the cause and the remedy.
    pub(crate) async fn start(host: &str, port: u16) -> Result<Self, BrokerError> {
        let ip = host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let free = |source| BrokerError::Io { what: "no free port", source };
        let port = if port == 0 { free_port(ip).map_err(free)? } else { port };
        let address = SocketAddr::new(ip, port);
        let program = find().ok_or(BrokerError::Missing)?;
        // The port must not be another's: that one would take our messages.
        if TcpStream::connect(address).await.is_ok() {
            return Err(BrokerError::NotReady(address));
        }
        let child = start(&program, address).await?;
        let (stop, stopped) = oneshot::channel();
        // On the thread of the whole runtime, to which the broker's life is tied.
        let keeper = tokio::spawn(keep(child, program, address, stopped));
        Ok(Self { address, stop, keeper })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it is down and cannot be started again.
    pub(crate) async fn failed(&mut self) -> BrokerError {
        match (&mut self.keeper).await {
            Ok(error) => error,
            Err(error) => BrokerError::Io { what: "it is no longer looked after", source: error.into() },
        }
    }

    /// Ends it.
    pub(crate) async fn stop(self) {
        // An error says that the keeper has ended already, and the broker before it.
        let _ = self.stop.send(());
        if !self.keeper.is_finished() {
            let _ = self.keeper.await;
        }
    }
}

/// Starts it again whenever it dies, until it is told to stop (then the result means nothing) or that fails.
async fn keep(mut child: Child, program: PathBuf, address: SocketAddr, mut stop: oneshot::Receiver<()>) -> BrokerError {
    loop {
        let ended = tokio::select! {
            _ = &mut stop => {
                end(child).await;
                return BrokerError::NotReady(address);
            }
            ended = child.wait() => ended,
        };
        tracing::warn!(
            "the broker ended ({}), starting it again",
            ended.map_or_else(|e| e.to_string(), |s| s.to_string())
        );
        // Not in a hurry if it dies again and again.
        tokio::select! {
            _ = &mut stop => return BrokerError::NotReady(address),
            () = tokio::time::sleep(RESTART_PAUSE) => {}
        }
        child = match start(&program, address).await {
            Ok(child) => child,
            Err(error) => return error,
        };
    }
}

async fn start(program: &Path, address: SocketAddr) -> Result<Child, BrokerError> {
    let failed = |source| BrokerError::Io { what: "mosquitto does not start", source };
    let mut child = spawn(program, address.port()).map_err(failed)?;
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let ended = matches!(child.try_wait(), Ok(Some(_)));
        if !ended && TcpStream::connect(address).await.is_ok() {
            return Ok(child);
        }
        if ended || Instant::now() > deadline {
            end(child).await;
            return Err(BrokerError::NotReady(address));
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}

async fn end(mut child: Child) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // An error says that it is gone already.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    if tokio::time::timeout(STOP_LIMIT, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

fn spawn(program: &Path, port: u16) -> std::io::Result<Child> {
    let mut command = Command::new(program);
    // Without a configuration it listens on loopback only, needs no password and keeps nothing on disk: whatever is
    // retained is said again on each connection.
    command.arg("-p").arg(port.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    // Ctrl-C at a terminal goes to the daemon alone, which ends the broker last.
    command.process_group(0);
    // Started by root it would change its user itself, and with that forget that it shall die with us.
    if let Some(user) =
        SERVICE_USERS.iter().filter(|_| geteuid().is_root()).find_map(|name| User::from_name(name).ok()?)
    {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    // SAFETY: prctl is a plain system call, allowed between fork and exec.
    unsafe { command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGTERM)?)) };
    let mut child = command.spawn()?;
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                tracing::debug!(target: "mosquitto", "{line}");
            }
        });
    }
    Ok(child)
}

fn free_port(ip: IpAddr) -> std::io::Result<u16> {
    TcpListener::bind((ip, 0)).and_then(|listener| listener.local_addr()).map(|address| address.port())
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(DIRECTORIES.map(PathBuf::from));
    directories.map(|directory| directory.join("mosquitto")).find(|program| program.is_file())
}
