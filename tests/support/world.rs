// SPDX-License-Identifier: MPL-2.0
//! What surrounds the logic of swaps and supervision, as plain values: processes, the ways to them, buffers.

use std::{collections::VecDeque, time::Duration};

use orion_core::{
    hand::{DEPTH, Hand},
    ledger::{Cause, Ledger},
    reorder::Reorder,
    supervisor::{AfterExit, Exit, Policy, State, Supervisor, Verdict},
    swap::{Newcomers, Step, Swap},
};

use crate::Bound;

const POLICY: Policy =
    Policy { startup_timeout: Duration::from_secs(5), frame_timeout: Duration::from_secs(1), restart: true };

/// A frame on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Job {
    seq: u64,
    ticket: u64,
}

/// What lies on the way to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Request {
    Frame(Job),
    /// A frame that only a successor's check needs.
    Check,
    TakeOver,
    Begin,
    Retire,
}

/// What a successor tells its crew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Notice {
    Ready,
    Checked(bool),
    Failed,
}

/// The process of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Process {
    Runs,
    /// It neither reads nor answers.
    Hangs,
    /// It has ended; another one may be started.
    Gone,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Worker {
    id: u64,
    pub crew: u64,
    index: usize,
    pub supervisor: Supervisor,
    hand: Hand<Option<Job>>,
    process: Process,
    way: VecDeque<Request>,
    /// Its crew hears of what becomes of it.
    successor: bool,
    retires: bool,
    pub held: bool,
}

/// What leaves in the order of the frames.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Item {
    Answer(u64),
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fate {
    Inside,
    Forwarded,
    Dropped,
}

/// What may happen next; workers by their id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A buffer comes.
    Buffer,
    /// A worker's task takes the next request.
    Take(u64),
    /// A worker with room asks for a frame that came back.
    Offer(u64),
    Ready(u64),
    /// A process reads the oldest frame that it has not read.
    Read(u64),
    /// It answers the oldest frame; before it has read it, if that is so.
    Answer(u64),
    /// It answers a frame with what is no result.
    Fail(u64),
    /// It answers a frame that it does not have.
    Odd(u64),
    Die(u64),
    Hang(u64),
    /// It ends as it was told to.
    Leave(u64),
    /// It was told to, and does not.
    Kill(u64),
    /// Until the next deadline of one that hangs or pauses.
    Time,
    /// Frames that came back have waited for too long.
    Overdue,
    /// The crews hear of what a successor told.
    Hear,
    Wish,
    Begin,
    Flush,
    Stop,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    left: Bound,
    now: Duration,
    pub workers: Vec<Worker>,
    ids: u64,
    /// At work.
    pub crew: u64,
    crews: u64,
    pub incoming: Option<(u64, Swap)>,
    /// From successors: crew and place in it.
    notices: VecDeque<(u64, usize, Notice)>,
    /// A crew has taken over and holds back.
    handover: bool,
    newcomers: Option<Newcomers>,
    /// Crews that took over, and their first frame as it was told.
    pub applied: Vec<(u64, u64)>,
    /// Frames with the crew that answered them.
    answered: Vec<(u64, u64)>,
    given: Option<u64>,
    order: Reorder<Item>,
    ledger: Ledger,
    pub returned: VecDeque<Job>,
    fates: Vec<Fate>,
    pub stopped: bool,
    /// The first rule that was broken.
    pub broken: Option<&'static str>,
}

impl World {
    pub fn new(left: Bound) -> Self {
        let mut world = Self {
            left,
            now: Duration::ZERO,
            workers: Vec::new(),
            ids: 0,
            crew: 0,
            crews: 0,
            incoming: None,
            notices: VecDeque::new(),
            handover: false,
            newcomers: None,
            applied: Vec::new(),
            answered: Vec::new(),
            given: None,
            order: Reorder::default(),
            ledger: Ledger::default(),
            returned: VecDeque::new(),
            fates: Vec::new(),
            stopped: false,
            broken: None,
        };
        for index in 0..left.workers {
            world.start(0, index, false);
        }
        world
    }

    fn start(&mut self, crew: u64, index: usize, successor: bool) {
        let supervisor = Supervisor::new(POLICY, successor, self.now);
        let (id, process) = (self.ids, Process::Runs);
        self.ids += 1;
        let (hand, way) = (Hand::default(), VecDeque::new());
        let (retires, held) = (false, false);
        self.workers.push(Worker { id, crew, index, supervisor, hand, process, way, successor, retires, held });
    }

    fn breaks(&mut self, rule: &'static str) {
        self.broken.get_or_insert(rule);
    }

    fn worker(&mut self, id: u64) -> &mut Worker {
        self.workers.iter_mut().find(|worker| worker.id == id).unwrap()
    }

    pub fn inside(&self) -> u64 {
        self.fates.iter().filter(|fate| **fate == Fate::Inside).count() as u64
    }

    pub fn adds_up(&self) -> bool {
        let count = |wanted| self.fates.iter().filter(|fate| **fate == wanted).count() as u64;
        let (forwarded, dropped) = (count(Fate::Forwarded), count(Fate::Dropped));
        let book = &self.ledger;
        (book.received(), book.forwarded(), book.dropped().total(), book.in_flight())
            == (self.fates.len() as u64, forwarded, dropped, self.inside())
    }

    /// Those of the crew at work.
    pub fn at_work(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter().filter(|worker| worker.crew == self.crew && !worker.retires)
    }

    /// Nothing can happen any more.
    pub fn is_over(&self) -> bool {
        let mut actions = Vec::new();
        self.actions(&mut actions);
        actions.is_empty()
    }

    pub fn actions(&self, actions: &mut Vec<Action>) {
        if self.broken.is_some() {
            return;
        }
        let left = &self.left;
        for worker in &self.workers {
            worker.actions(left.faults > 0, !self.returned.is_empty(), actions);
        }
        if self.next_deadline().is_some() {
            actions.push(Action::Time);
        }
        if !self.notices.is_empty() {
            actions.push(Action::Hear);
        }
        if self.handover {
            actions.push(Action::Begin);
        }
        let given_up = |worker: &Worker| worker.supervisor.state() == State::Failed;
        if !self.returned.is_empty() && self.at_work().all(given_up) {
            actions.push(Action::Overdue);
        }
        if self.stopped {
            return;
        }
        if left.frames > 0 {
            actions.push(Action::Buffer);
        }
        if left.swaps > 0 {
            actions.push(Action::Wish);
        }
        if left.flushes > 0 {
            actions.push(Action::Flush);
        }
        if left.stop {
            actions.push(Action::Stop);
        }
    }

    /// When time may pass to: nobody who only has to be given a turn is overtaken by it.
    fn next_deadline(&self) -> Option<Duration> {
        let deadlines = self.workers.iter().filter_map(|worker| Some((worker.supervisor.deadline()?, worker)));
        let (first, worker) = deadlines.min_by_key(|(deadline, _)| *deadline)?;
        let waits = match worker.supervisor.state() {
            State::BackingOff => true,
            State::Stopped | State::Failed => false,
            _ => worker.process == Process::Hangs,
        };
        waits.then_some(first)
    }

    pub fn act(&mut self, action: Action) {
        match action {
            Action::Buffer => self.buffer(),
            Action::Take(id) => self.take(id),
            Action::Offer(id) => {
                let job = self.returned.pop_front().unwrap();
                self.give(id, Some(job));
            }
            Action::Ready(id) => {
                let now = self.now;
                let worker = self.worker(id);
                worker.supervisor.ready(now);
                let (crew, index, successor) = (worker.crew, worker.index, worker.successor);
                if successor {
                    self.notices.push_back((crew, index, Notice::Ready));
                }
            }
            Action::Read(id) => {
                self.worker(id).hand.written();
                self.free(id);
            }
            Action::Answer(id) => self.answer(id, true),
            Action::Fail(id) => {
                self.left.faults -= 1;
                self.answer(id, false);
            }
            Action::Odd(id) => {
                self.left.faults -= 1;
                if self.worker(id).hand.answered(Some(u64::MAX)).is_some() {
                    self.breaks("an answer to a frame that was not given is taken for one that was");
                }
            }
            Action::Die(id) => {
                self.left.faults -= 1;
                self.end(id, Exit::Own);
            }
            Action::Hang(id) => {
                self.left.faults -= 1;
                self.worker(id).process = Process::Hangs;
            }
            Action::Leave(id) | Action::Kill(id) => self.end(id, Exit::Signal),
            Action::Time => self.time(),
            Action::Overdue => {
                while let Some(job) = self.returned.pop_front() {
                    self.lose(job, Cause::WorkerRestart);
                }
            }
            Action::Hear => self.hear(),
            Action::Wish => self.wish(),
            Action::Begin => {
                self.handover = false;
                let crew = self.crew;
                for worker in self.workers.iter_mut().filter(|worker| worker.crew == crew) {
                    worker.way.push_back(Request::Begin);
                }
            }
            Action::Flush => {
                self.left.flushes -= 1;
                self.flush(Cause::Flush);
            }
            Action::Stop => self.stop(),
        }
    }

    /// A buffer goes to the worker that has the least to do; without one, patience is over.
    fn buffer(&mut self) {
        self.left.frames -= 1;
        let seq = self.fates.len() as u64;
        self.fates.push(Fate::Inside);
        self.ledger.receive();
        let free = self.at_work().filter(|worker| worker.is_idle());
        let Some(id) = free.min_by_key(|worker| worker.hand.len()).map(|worker| worker.id) else {
            self.fates[seq as usize] = Fate::Dropped;
            return self.ledger.drop_frame(Cause::WorkerRestart);
        };
        let ticket = self.order.promise();
        if let Some(newcomers) = &mut self.newcomers {
            newcomers.given(seq);
        }
        self.given = self.given.max(Some(seq));
        self.worker(id).way.push_back(Request::Frame(Job { seq, ticket }));
    }

    fn take(&mut self, id: u64) {
        let Some(request) = self.worker(id).way.pop_front() else { return };
        match request {
            Request::Frame(job) if self.worker(id).can_work() => self.give(id, Some(job)),
            Request::Frame(job) if self.stopped => self.lose(job, Cause::Shutdown),
            Request::Frame(job) => self.give_back(job),
            Request::Check => self.give(id, None),
            Request::Begin => self.worker(id).held = false,
            Request::TakeOver => self.worker(id).take_over(),
            Request::Retire => {
                let worker = self.worker(id);
                worker.retires = true;
                worker.supervisor.stopping();
            }
        }
    }

    /// A frame that was not begun goes before all later ones.
    fn give_back(&mut self, job: Job) {
        let place = self.returned.partition_point(|other| other.seq < job.seq);
        self.returned.insert(place, job);
    }

    /// A frame to work on; none = one to be checked by.
    fn give(&mut self, id: u64, job: Option<Job>) {
        let now = self.now;
        let worker = self.worker(id);
        let state = worker.supervisor.state();
        let fit = matches!(state, State::Ready | State::Busy) || (job.is_none() && state == State::Swapping);
        let number = job.map_or(1000, |job| job.seq);
        worker.hand.push(number, job);
        worker.supervisor.sent(now);
        let too_many = worker.hand.len() > DEPTH;
        if !fit || worker.retires || worker.process == Process::Gone {
            self.breaks("a frame goes to a worker that is not there for it");
        }
        if too_many {
            self.breaks("a worker has more in hand than it may");
        }
    }

    fn answer(&mut self, id: u64, good: bool) {
        let worker = self.worker(id);
        let (crew, index, successor) = (worker.crew, worker.index, worker.successor);
        let due = worker.hand.due();
        let answered = worker.hand.answered(due).expect("what is due can be answered");
        match answered.item.flatten() {
            Some(job) if good => self.arrive(job, crew),
            Some(job) => self.lose(job, Cause::WorkerError),
            None if successor => {
                self.notices.push_back((crew, index, Notice::Checked(good)));
            }
            None => {}
        }
        self.free(id);
    }

    fn free(&mut self, id: u64) {
        let now = self.now;
        let worker = self.worker(id);
        let released = worker.hand.release();
        worker.supervisor.answered(released, now);
    }

    /// A result.
    fn arrive(&mut self, job: Job, crew: u64) {
        self.answered.push((job.seq, crew));
        let news = self.newcomers.take_if(|newcomers| newcomers.crew == crew);
        if let Some(newcomers) = news {
            self.applied.push((crew, newcomers.begin(job.seq)));
        }
        let early = |(by, first): &(u64, u64)| self.answered.iter().any(|(seq, crew)| crew < by && seq >= first);
        if self.applied.iter().any(early) {
            self.breaks("a frame from which on the new crew works is answered by one before it");
        }
        // What was promised before a flush is not waited for any more.
        self.order.fulfil(job.ticket, Item::Answer(job.seq));
        self.push();
    }

    fn lose(&mut self, job: Job, cause: Cause) {
        if self.order.fulfil(job.ticket, Item::Lost) {
            self.ledger.drop_frame(cause);
            self.settle(job.seq, Fate::Dropped);
        }
        self.push();
    }

    fn push(&mut self) {
        while let Some(item) = self.order.pop() {
            if let Item::Answer(seq) = item {
                self.ledger.forward();
                self.settle(seq, Fate::Forwarded);
            }
        }
    }

    fn settle(&mut self, seq: u64, fate: Fate) {
        let before = std::mem::replace(&mut self.fates[seq as usize], fate);
        if before != Fate::Inside {
            self.breaks("a frame has two fates");
        }
    }

    /// A process has ended.
    fn end(&mut self, id: u64, exit: Exit) {
        let (now, stopped) = (self.now, self.stopped);
        let worker = self.worker(id);
        let (worked_on, not_begun) = worker.hand.clear();
        worker.process = Process::Gone;
        // What was on its way is looked at once more.
        let mut back: Vec<Job> = not_begun.into_iter().flatten().collect();
        for request in std::mem::take(&mut worker.way) {
            match request {
                Request::Frame(job) => back.push(job),
                Request::TakeOver => worker.take_over(),
                Request::Begin => worker.held = false,
                Request::Retire => worker.retires = true,
                Request::Check => {}
            }
        }
        let (crew, index, successor) = (worker.crew, worker.index, worker.successor);
        let goes = worker.retires || successor || stopped;
        if !goes && worker.supervisor.exited(now, exit) == AfterExit::GiveUp && worker.supervisor.deadline().is_some() {
            self.breaks("one that was given up has a deadline");
        }
        if goes {
            self.workers.retain(|worker| worker.id != id);
        }
        for job in worked_on.into_iter().flatten() {
            self.lose(job, if stopped { Cause::Shutdown } else { Cause::WorkerRestart });
        }
        for job in back {
            if stopped { self.lose(job, Cause::Shutdown) } else { self.give_back(job) }
        }
        if successor {
            self.notices.push_back((crew, index, Notice::Failed));
        }
    }

    fn time(&mut self) {
        self.now = self.next_deadline().unwrap();
        let now = self.now;
        let ids: Vec<u64> = self.workers.iter().map(|worker| worker.id).collect();
        for id in ids {
            let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == id) else { continue };
            match worker.supervisor.check(now) {
                Verdict::Wait => {}
                Verdict::Kill(_) => self.end(id, Exit::Signal),
                // One whose pause ends just as it is stopped is started, and ended as the next thing.
                Verdict::Spawn => worker.process = Process::Runs,
            }
        }
    }

    fn wish(&mut self) {
        self.left.swaps -= 1;
        if let Some((crew, _)) = self.incoming.take() {
            self.retire(crew);
        }
        self.crews += 1;
        self.incoming = Some((self.crews, Swap::new(self.left.workers)));
        self.start(self.crews, 0, true);
    }

    fn hear(&mut self) {
        let Some((crew, index, notice)) = self.notices.pop_front() else { return };
        let Some((_, swap)) = self.incoming.as_mut().filter(|(incoming, _)| *incoming == crew) else { return };
        let step = match notice {
            Notice::Ready => swap.ready(index),
            Notice::Checked(true) => swap.checked(index, Ok(())),
            Notice::Checked(false) => swap.checked(index, Err("no result".to_owned())),
            Notice::Failed => swap.failed(index, "ended".to_owned()),
        };
        let members = self.workers.iter().filter(|worker| worker.crew == crew).count();
        match step {
            // It has told so already, and is not heard yet.
            Step::TakeOver if members < self.left.workers => {
                self.incoming = None;
                self.retire(crew);
            }
            Step::Nothing => {}
            Step::Start(index) => self.start(crew, index, true),
            Step::Check(index) => {
                let mut workers = self.workers.iter_mut();
                // If it has ended, it says so itself.
                if let Some(worker) = workers.find(|worker| (worker.crew, worker.index) == (crew, index)) {
                    worker.way.push_back(Request::Check);
                }
            }
            Step::Abort(_) => {
                self.incoming = None;
                self.retire(crew);
            }
            Step::TakeOver => {
                self.incoming = None;
                let old = std::mem::replace(&mut self.crew, crew);
                self.newcomers = Some(Newcomers::new(crew, self.given));
                for worker in self.workers.iter_mut().filter(|worker| worker.crew == crew) {
                    worker.way.push_back(Request::TakeOver);
                }
                self.retire(old);
                self.handover = true;
            }
        }
    }

    fn retire(&mut self, crew: u64) {
        for worker in self.workers.iter_mut().filter(|worker| worker.crew == crew) {
            worker.way.push_back(Request::Retire);
        }
    }

    fn flush(&mut self, cause: Cause) {
        self.ledger.drop_all_but(0, cause);
        self.order.clear();
        for fate in self.fates.iter_mut().filter(|fate| **fate == Fate::Inside) {
            *fate = Fate::Dropped;
        }
    }

    fn stop(&mut self) {
        self.stopped = true;
        self.flush(Cause::Shutdown);
        self.incoming = None;
        self.handover = false;
        self.notices.clear();
        self.returned.clear();
        // Behind what is on its way already.
        for worker in &mut self.workers {
            worker.way.push_back(Request::Retire);
        }
    }
}

impl Worker {
    /// Whether it may be given a frame.
    fn can_work(&self) -> bool {
        let state = self.supervisor.state();
        self.process != Process::Gone && matches!(state, State::Ready | State::Busy) && self.hand.room() > 0
    }

    /// Whether it has offered itself.
    fn is_idle(&self) -> bool {
        let on_its_way = self.way.iter().filter(|request| matches!(request, Request::Frame(_))).count();
        self.can_work() && !self.held && !self.successor && !self.retires && self.hand.room() > on_its_way
    }

    fn take_over(&mut self) {
        (self.successor, self.held) = (false, true);
        self.supervisor.take_over();
    }

    /// What it can do, or what can happen to it.
    fn actions(&self, faults: bool, waiting: bool, actions: &mut Vec<Action>) {
        let id = self.id;
        let state = self.supervisor.state();
        if !self.way.is_empty() {
            actions.push(Action::Take(id));
        }
        if self.process == Process::Gone {
            // One that was given up ends when it is told to.
            if self.retires {
                actions.push(Action::Leave(id));
            }
            return;
        }
        if waiting && self.can_work() && !self.held && self.way.is_empty() {
            actions.push(Action::Offer(id));
        }
        if faults {
            actions.push(Action::Die(id));
        }
        if self.process == Process::Hangs {
            if self.retires {
                actions.push(Action::Kill(id));
            }
            return;
        }
        if faults {
            actions.extend([Action::Hang(id), Action::Odd(id)]);
        }
        if state == State::Starting {
            return actions.push(Action::Ready(id));
        }
        if self.hand.is_empty() {
            if self.retires {
                actions.push(Action::Leave(id));
            }
            return;
        }
        if self.hand.is_front_unwritten() {
            actions.push(Action::Read(id));
        }
        if self.hand.due().is_some() {
            actions.push(Action::Answer(id));
            if faults {
                actions.push(Action::Fail(id));
            }
        }
    }
}
