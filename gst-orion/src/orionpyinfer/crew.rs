// SPDX-License-Identifier: MPL-2.0
//! The workers that share the frames of one group, and their replacement by another crew while frames flow.

use std::{collections::HashMap, future, mem, sync::Arc, time::Duration};

use orion_core::{
    ledger::Cause,
    memory::{MemoryWatch, Verdict},
    swap::{Step, Swap},
    wire::Ready,
};
use serde_json::Value;
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::{Id, JoinError, JoinSet},
    time::{self, Instant},
};

use super::{
    desk::Desk,
    process,
    report::{Listener, News, Notice, Report, Request, Who},
    router::Router,
    settings::Settings,
    tuning::{self, Setting, Tuning},
    worker::{Limits, Parts, Worker},
};

/// How often memory and waiting frames are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How long a check waits for a frame at least.
const WAIT_FOR_FRAME: Duration = Duration::from_secs(1);
/// And how many times as long as the last one took to come.
const FRAMES_TO_WAIT: u32 = 3;
/// How often it looks for one.
const LOOK_FOR_FRAME: Duration = Duration::from_millis(20);
/// How long a new crew waits for the old one to finish what it has in hand.
const HANDOVER: Duration = Duration::from_secs(2);

/// What a crew is made by.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub(super) argv: Vec<String>,
    pub(super) limits: Limits,
    /// From which the rest was made.
    pub(super) settings: Settings,
}

impl Spec {
    fn count(&self) -> usize {
        self.settings.workers as usize
    }

    fn set_frame_timeout(&mut self, limit: Duration) {
        self.limits.policy.frame_timeout = limit;
    }
}

/// A crew that is wanted.
pub(super) struct Wish {
    pub(super) spec: Box<Spec>,
    /// What its workers are to be asked for when they are ready.
    pub(super) tuning: Tuning,
    /// Even if it is the same as the one at work.
    pub(super) force: bool,
    /// What for, in words.
    pub(super) why: String,
}

/// What the element asks for.
pub(super) enum Order {
    /// Replace the crew.
    Swap(Wish),
    /// Change a setting of the running workers.
    Tune(Setting, Value),
    /// The limit for answers, of the running workers and of those to come.
    FrameTimeout(Duration),
}

struct Member {
    who: Who,
    way: UnboundedSender<Request>,
    /// Known of a successor that has proved itself.
    ready: Option<Box<Ready>>,
}

struct Crew {
    spec: Box<Spec>,
    number: u64,
    members: Vec<Member>,
    since: Instant,
}

struct Incoming {
    crew: Crew,
    swap: Swap,
    /// What its workers are asked for when they are ready.
    tuning: Tuning,
    /// Waits for a frame to be checked on until then.
    check: Option<(usize, Instant)>,
}

/// Runs on the pool's thread.
pub(super) struct Crews {
    orders: UnboundedReceiver<Order>,
    listener: Arc<dyn Listener>,
    router: Arc<Router>,
    desk: Arc<Desk>,
    notify: UnboundedSender<(Who, Notice)>,
    notices: UnboundedReceiver<(Who, Notice)>,
    runs: JoinSet<()>,
    /// Who runs as which task.
    tasks: HashMap<Id, Who>,
    crew: Crew,
    incoming: Option<Incoming>,
    /// Closes when those before the present crew have nothing in hand any more; and how long that may take.
    handover: Option<(mpsc::Receiver<()>, Instant)>,
    /// Those that finish what they have in hand; held, as letting go of the way to them would hurry them.
    retiring: Vec<Member>,
    memory: MemoryWatch,
    epoch: Instant,
    workers: u64,
    crews: u64,
}

impl Crews {
    /// To be called on the pool's runtime.
    pub(super) fn new(
        spec: Box<Spec>,
        orders: UnboundedReceiver<Order>,
        listener: Arc<dyn Listener>,
        router: Arc<Router>,
        desk: Arc<Desk>,
    ) -> Self {
        let now = Instant::now();
        let (notify, notices) = mpsc::unbounded_channel();
        let crew = Crew { spec, number: 0, members: Vec::new(), since: now };
        Self {
            orders,
            listener,
            router,
            desk,
            notify,
            notices,
            runs: JoinSet::new(),
            tasks: HashMap::new(),
            crew,
            incoming: None,
            handover: None,
            retiring: Vec::new(),
            memory: MemoryWatch::default(),
            epoch: now,
            workers: 0,
            crews: 0,
        }
    }

    /// Who the first crew consists of; ids count from 0.
    pub(super) fn first(count: usize) -> impl Iterator<Item = Who> {
        (0..count).map(|index| Who { id: index as u64, crew: 0, index })
    }

    /// Until the pool lets go of the other end of the orders, and all processes have ended.
    pub(super) async fn run(mut self) {
        for index in 0..self.crew.spec.count() {
            let member = self.start(&self.crew.spec.clone(), 0, index, None);
            self.crew.members.push(member);
        }
        let mut tick = time::interval(TICK);
        tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            let checking = self.incoming.as_ref().is_some_and(|incoming| incoming.check.is_some());
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.on_order(order),
                    None => break,
                },
                Some((who, notice)) = self.notices.recv() => self.on_notice(who, notice),
                Some(ended) = self.runs.join_next_with_id(), if !self.runs.is_empty() => self.on_end(ended),
                () = look(checking) => self.check(),
                () = finished(&mut self.handover) => self.begin_work(),
                () = self.desk.due() => self.desk.remind(),
                _ = tick.tick() => self.on_tick(),
            }
        }
        // Letting go of the ways to them stops them all.
        self.router.close_all();
        self.crew.members.clear();
        self.retiring.clear();
        self.incoming = None;
        while let Some(ended) = self.runs.join_next_with_id().await {
            self.on_end(ended);
        }
    }

    /// Starts a worker; `successor` is what one that has to prove itself is asked for when it is ready.
    fn start(&mut self, spec: &Spec, crew: u64, index: usize, successor: Option<&Tuning>) -> Member {
        let (way, requests) = mpsc::unbounded_channel();
        let who = Who { id: self.workers, crew, index };
        self.workers += 1;
        self.router.open(who.id, way.clone());
        let worker = Worker::new(Parts {
            who,
            argv: spec.argv.clone(),
            variables: spec.settings.worker_environment.clone(),
            transport: spec.settings.transport,
            limits: spec.limits,
            requests,
            listener: Arc::clone(&self.listener),
            router: Arc::clone(&self.router),
            notices: successor.map(|_| self.notify.clone()),
            wished: successor.cloned().unwrap_or_default(),
        });
        let task = self.runs.spawn(worker.run());
        self.tasks.insert(task.id(), who);
        Member { who, way, ready: None }
    }

    fn on_order(&mut self, order: Order) {
        match order {
            Order::Swap(mut wish) => {
                // Of many wishes at once only the last one is worth a process.
                while let Ok(next) = self.orders.try_recv() {
                    match next {
                        Order::Swap(next) => wish = next,
                        Order::Tune(setting, value) => {
                            // The wish was made before this, so that it does not know of it.
                            tuning::keep(&mut wish.tuning, setting, value.clone());
                            self.on_order(Order::Tune(setting, value));
                        }
                        Order::FrameTimeout(limit) => {
                            wish.spec.set_frame_timeout(limit);
                            self.on_order(Order::FrameTimeout(limit));
                        }
                    }
                }
                self.on_wish(wish);
            }
            Order::Tune(setting, value) => {
                if let Some(incoming) = &mut self.incoming {
                    tuning::keep(&mut incoming.tuning, setting, value.clone());
                }
                let incoming = self.incoming.iter().flat_map(|incoming| &incoming.crew.members);
                for member in self.crew.members.iter().chain(incoming) {
                    // One that has ended for good is not listening.
                    let _ = member.way.send(Request::Tune(setting, value.clone()));
                }
            }
            Order::FrameTimeout(limit) => {
                for crew in std::iter::once(&mut self.crew).chain(self.incoming.iter_mut().map(|one| &mut one.crew)) {
                    crew.spec.set_frame_timeout(limit);
                    for member in &crew.members {
                        // As above.
                        let _ = member.way.send(Request::FrameTimeout(limit));
                    }
                }
            }
        }
    }

    fn on_wish(&mut self, wish: Wish) {
        let same = |crew: &Crew| crew.spec.settings.is_same_crew(&wish.spec.settings);
        if !wish.force && self.incoming.as_ref().is_some_and(|incoming| same(&incoming.crew)) {
            return;
        }
        let needed = wish.force || !same(&self.crew);
        if let Some(incoming) = self.incoming.take() {
            self.give_up(incoming, "something else was asked for meanwhile".into(), true);
        }
        if needed {
            self.begin(wish);
        }
    }

    fn begin(&mut self, wish: Wish) {
        let Wish { spec, tuning, why, force: _ } = wish;
        self.crews += 1;
        let swap = Swap::new(spec.count());
        let crew = Crew { spec, number: self.crews, members: Vec::new(), since: Instant::now() };
        self.incoming = Some(Incoming { crew, swap, tuning, check: None });
        self.listener.keep_latest(true);
        self.listener.news(News::Begun(why));
        self.step(Step::Start(0));
    }

    fn on_notice(&mut self, who: Who, notice: Notice) {
        let Some(incoming) = self.incoming.as_mut().filter(|incoming| incoming.crew.number == who.crew) else {
            return;
        };
        let step = match notice {
            Notice::Ready(ready) => {
                if let Some(member) = incoming.crew.members.get_mut(who.index) {
                    member.ready = Some(ready);
                }
                incoming.swap.ready(who.index)
            }
            Notice::Checked(outcome) => incoming.swap.checked(who.index, outcome),
            Notice::Failed(reason) => incoming.swap.failed(who.index, reason),
        };
        self.step(step);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Nothing => {}
            Step::Start(index) => {
                if let Some(mut incoming) = self.incoming.take() {
                    let number = incoming.crew.number;
                    let member = self.start(&incoming.crew.spec, number, index, Some(&incoming.tuning));
                    incoming.crew.members.push(member);
                    self.incoming = Some(incoming);
                }
            }
            Step::Check(index) => {
                if let Some(incoming) = &mut self.incoming {
                    let limit = incoming.crew.spec.limits.policy.startup_timeout;
                    // Before the first frame nothing is lost by a model that proves to be broken.
                    let patience = self.listener.frame_interval().map_or(Duration::ZERO, |interval| {
                        (interval * FRAMES_TO_WAIT).clamp(WAIT_FOR_FRAME, limit.max(WAIT_FOR_FRAME))
                    });
                    incoming.check = Some((index, Instant::now() + patience));
                }
                self.check();
            }
            Step::Abort(reason) => {
                if let Some(incoming) = self.incoming.take() {
                    self.give_up(incoming, reason, false);
                }
            }
            Step::TakeOver => {
                let Some(incoming) = self.incoming.take() else { return };
                if incoming.crew.members.iter().any(|member| member.way.is_closed()) {
                    self.give_up(incoming, "a new worker ended after it was checked".into(), false);
                } else {
                    self.take_over(incoming.crew);
                }
            }
        }
    }

    /// Gives the latest frame to the successor that waits for one.
    fn check(&mut self) {
        let Some(incoming) = &mut self.incoming else { return };
        let Some((index, deadline)) = incoming.check else { return };
        let Some(member) = incoming.crew.members.get(index) else { return };
        let step = match self.listener.latest() {
            Some((seq, message)) => {
                // If it has ended, it says so itself.
                let _ = member.way.send(Request::Check(seq, message));
                Step::Nothing
            }
            None if Instant::now() < deadline => return,
            None => incoming.swap.checked(index, Ok(())),
        };
        incoming.check = None;
        self.step(step);
    }

    fn give_up(&mut self, incoming: Incoming, reason: String, overtaken: bool) {
        self.listener.keep_latest(false);
        let Crew { spec, members, .. } = incoming.crew;
        self.retire(members, None);
        self.listener.news(News::GivenUp { spec, reason, overtaken });
    }

    fn take_over(&mut self, mut crew: Crew) {
        self.listener.keep_latest(false);
        crew.since = Instant::now();
        let mut old = mem::replace(&mut self.crew, crew);
        let members = self.crew.members.iter_mut();
        let members = members.filter_map(|member| Some((member.who, *member.ready.take()?))).collect();
        let (spec, number) = (self.crew.spec.clone(), self.crew.number);
        for member in &old.members {
            self.router.close(member.who.id);
        }
        self.listener.news(News::TakenOver { spec, crew: number, members });
        for member in &self.crew.members {
            // If it has ended since, that is supervised like any other end.
            let _ = member.way.send(Request::TakeOver);
        }
        // While the old ones finish, the new ones would only slow them down.
        let (told, finished) = mpsc::channel(1);
        self.retire(mem::take(&mut old.members), Some(&told));
        self.handover = Some((finished, Instant::now() + HANDOVER));
    }

    /// The old ones have finished, or had their time.
    fn begin_work(&mut self) {
        self.handover = None;
        for member in &self.crew.members {
            let _ = member.way.send(Request::Begin);
        }
    }

    fn retire(&mut self, members: Vec<Member>, told: Option<&mpsc::Sender<()>>) {
        for member in members {
            self.router.close(member.who.id);
            if member.way.send(Request::Retire(told.cloned())).is_ok() {
                self.retiring.push(member);
            }
        }
    }

    fn on_end(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let Some(who) = self.tasks.remove(&id) else { return };
        self.router.close(who.id);
        self.retiring.retain(|member| member.who != who);
        // A bug of ours must not look like a worker that is busy for ever.
        if let Err(error) = ended {
            let text = format!("cannot be looked after any more: {error}");
            self.on_notice(who, Notice::Failed(text.clone()));
            if self.crew.members.iter().any(|member| member.who == who) {
                self.listener.report(who, Report::Failed { text, tail: String::new() });
            }
        }
    }

    fn on_tick(&mut self) {
        let patience = self.crew.spec.limits.policy.startup_timeout;
        for job in self.router.take_overdue(patience) {
            let who = Who { id: u64::MAX, crew: job.crew, index: 0 };
            let text = format!("no worker was ready within {patience:?}");
            self.listener.report(who, Report::Lost(job, Cause::WorkerRestart, text));
        }
        let limit = self.crew.spec.settings.max_worker_memory;
        if limit == 0 || self.incoming.is_some() {
            return;
        }
        let resident = self.listener.pids().into_iter().map(process::resident_bytes).max().unwrap_or(0);
        match self.memory.check(resident, limit, self.crew.since.elapsed(), self.epoch.elapsed()) {
            Verdict::Fine => {}
            Verdict::Replace => {
                let why = format!("a worker holds {resident} bytes, more than the {limit} of max-worker-memory");
                if let Some(wish) = self.listener.renewal(why) {
                    self.begin(wish);
                }
            }
            Verdict::TooLow => self.listener.news(News::Warning(format!(
                "max-worker-memory is {limit} bytes, but a fresh worker already holds {resident}; it is left alone"
            ))),
        }
    }
}

async fn finished(handover: &mut Option<(mpsc::Receiver<()>, Instant)>) {
    match handover {
        // Nothing is ever sent: it ends when the last one lets go of it.
        Some((told, deadline)) => {
            let _ = time::timeout_at(*deadline, told.recv()).await;
        }
        None => future::pending().await,
    }
}

async fn look(checking: bool) {
    if checking {
        time::sleep(LOOK_FOR_FRAME).await;
    } else {
        future::pending::<()>().await;
    }
}
