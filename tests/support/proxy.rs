// SPDX-License-Identifier: MPL-2.0
//! A TCP proxy that breaks connections when a test wants it to.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{self, JoinHandle},
};

use super::broker::PATIENCE;

/// Where bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Towards {
    Server,
    Client,
}

#[derive(Default)]
struct Way {
    stalled: bool,
    /// Bytes until all connections are cut.
    left: Option<usize>,
}

#[derive(Default)]
struct State {
    ways: [Way; 2],
    streams: Vec<TcpStream>,
    pumps: Vec<JoinHandle<()>>,
    cuts: usize,
    refusing: bool,
    over: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn cut(&self, state: &mut State) {
        for stream in state.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        state.ways.iter_mut().for_each(|way| way.left = None);
        state.cuts += 1;
        self.changed.notify_all();
    }

    /// Waits until bytes may go this way and returns how many of them, and whether that was the last.
    fn admit(&self, towards: Towards, bytes: usize) -> (usize, bool) {
        let stalled = |state: &mut State| state.ways[towards as usize].stalled && !state.over;
        let mut state = self.changed.wait_while(self.state(), stalled).unwrap();
        let Some(left) = &mut state.ways[towards as usize].left else { return (bytes, false) };
        let admitted = bytes.min(*left);
        *left -= admitted;
        (admitted, *left == 0)
    }
}

/// Forwards to a port of the loopback interface; gone when dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// One that lets everything through, to `server`.
    pub fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { continue };
                if own.state().over {
                    return;
                }
                accept(&own, client, server);
            }
        });
        Self { port, shared, thread: Some(thread) }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        let mut state = self.shared.state();
        self.shared.cut(&mut state);
    }

    /// Cuts all connections when so many more bytes have gone this way, at least 1.
    pub fn cut_after(&self, towards: Towards, bytes: usize) {
        self.shared.state().ways[towards as usize].left = Some(bytes);
    }

    /// How often it has cut.
    pub fn cuts(&self) -> usize {
        self.shared.state().cuts
    }

    /// Waits until it has cut so often.
    pub fn wait_for_cuts(&self, cuts: usize) {
        let waiting = |state: &mut State| state.cuts < cuts;
        let (_state, timeout) = self.shared.changed.wait_timeout_while(self.shared.state(), PATIENCE, waiting).unwrap();
        assert!(!timeout.timed_out(), "not cut");
    }

    /// Lets nothing through this way until it is called with `false`.
    pub fn stall(&self, towards: Towards, stalled: bool) {
        self.shared.state().ways[towards as usize].stalled = stalled;
        self.shared.changed.notify_all();
    }

    /// Closes new connections at once until it is called with `false`.
    pub fn refuse(&self, refusing: bool) {
        self.shared.state().refusing = refusing;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let pumps = {
            let mut state = self.shared.state();
            state.over = true;
            self.shared.cut(&mut state);
            std::mem::take(&mut state.pumps)
        };
        // Wakes the listener.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        pumps.into_iter().chain(self.thread.take()).for_each(|thread| drop(thread.join()));
    }
}

fn accept(shared: &Arc<Shared>, client: TcpStream, server: u16) {
    if shared.state().refusing {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let mut state = shared.state();
    state.streams.push(client.try_clone().unwrap());
    state.streams.push(server.try_clone().unwrap());
    for (from, to, towards) in
        [(client.try_clone().unwrap(), server.try_clone().unwrap(), Towards::Server), (server, client, Towards::Client)]
    {
        let shared = Arc::clone(shared);
        state.pumps.push(thread::spawn(move || pump(&shared, from, to, towards)));
    }
}

fn pump(shared: &Shared, mut from: TcpStream, mut to: TcpStream, towards: Towards) {
    let mut buffer = [0; 4096];
    while let Ok(bytes @ 1..) = from.read(&mut buffer) {
        let (admitted, last) = shared.admit(towards, bytes);
        let written = to.write_all(&buffer[..admitted]);
        if last {
            let mut state = shared.state();
            shared.cut(&mut state);
        }
        if last || written.is_err() {
            break;
        }
    }
    // The other end learns of it, as soon as anything gets through.
    shared.admit(towards, 0);
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
