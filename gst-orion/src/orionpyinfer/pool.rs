// SPDX-License-Identifier: MPL-2.0
//! The thread on which the workers of one group are looked after.

use std::{io, sync::Arc, thread};

use nix::sys::signal::{SigSet, Signal};
use tokio::sync::mpsc::{self, UnboundedSender};

use super::{
    crew::{Crews, Order, Spec},
    desk::Desk,
    report::Listener,
    router::Router,
};

/// The workers' thread; dropping it without [`Pool::stop`] stops them too, but does not wait.
pub(super) struct Pool {
    thread: Option<thread::JoinHandle<()>>,
    orders: UnboundedSender<Order>,
}

impl Pool {
    /// Starts a crew.
    ///
    /// # Errors
    /// When the thread or its event loop cannot be made; a process that does not start is reported instead.
    pub(super) fn start(
        spec: Box<Spec>,
        listener: Arc<dyn Listener>,
        router: Arc<Router>,
        desk: Arc<Desk>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (orders, receiver) = mpsc::unbounded_channel();
        let run = move || {
            // A write to a worker that died raises SIGPIPE, which would end a host that does not ignore it.
            // Blocked here, it is an error of the write and nothing else; children start with nothing blocked.
            let mut pipe = SigSet::empty();
            pipe.add(Signal::SIGPIPE);
            let _ = pipe.thread_block();
            runtime.block_on(async { Crews::new(spec, receiver, listener, router, desk).run().await });
        };
        let thread = thread::Builder::new().name("orion-workers".into()).spawn(run)?;
        Ok(Self { thread: Some(thread), orders })
    }

    /// Asks for something; the outcome is told to the listener.
    pub(super) fn order(&self, order: Order) {
        // The thread only ends before this by a panic, and then nobody can help.
        let _ = self.orders.send(order);
    }

    /// Ends all processes and waits for that, at most the shutdown time-out and two seconds.
    pub(super) fn stop(self) {
        let Self { thread, orders } = self;
        drop(orders);
        if let Some(thread) = thread {
            // A panic there has been reported by then.
            let _ = thread.join();
        }
    }
}
