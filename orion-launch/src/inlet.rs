// SPDX-License-Identifier: MPL-2.0
//! Where frames come in: when they came, how often, and which the gate lets pass.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use gst::prelude::*;
use orion_core::{
    camera::LossCause,
    ledger::{Cause, Ledger},
    rate::RateGate,
    warmup::{FpsMeter, Warmup},
};
use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    eye::{self, Eye},
    pipeline::Note,
};

/// What the stream does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StreamState {
    /// No frame has come yet.
    #[default]
    Connecting,
    /// Frames come.
    Streaming,
    /// They came, or were to come.
    Lost,
}

/// The connection to the camera.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) state: StreamState,
    /// Since when.
    pub(crate) since: Instant,
    /// Why it is lost, and the same in words.
    pub(crate) cause: Option<LossCause>,
    pub(crate) detail: String,
    /// The number of the stream's connection, as in the frames; counts from 0.
    pub(crate) epoch: u64,
    /// How often the stream came back.
    pub(crate) reconnects: u64,
}

/// The frames of the source.
#[derive(Debug)]
pub(crate) struct Inlet {
    state: Mutex<State>,
    eye: Eye,
    created: Instant,
    notes: UnboundedSender<Note>,
}

#[derive(Debug)]
struct State {
    gate: RateGate,
    ledger: Ledger,
    last: Option<Instant>,
    meter: FpsMeter,
    /// What is wanted at most, Hz; none for a recording, which has no gate.
    max_rate: Option<f64>,
    warming: Option<Warming>,
    connection: Connection,
    streams: u64,
}

/// The time in which the camera is measured and no frame passes.
#[derive(Debug)]
struct Warming {
    length: Duration,
    began: Option<Instant>,
    measure: Warmup,
}

impl Inlet {
    /// With `max_rate` (Hz) at most, after a warm-up of this length; both mean nothing where there is no rate.
    pub(crate) fn new(max_rate: Option<f64>, warmup: Duration, notes: UnboundedSender<Note>) -> Self {
        let now = Instant::now();
        let mut gate = RateGate::default();
        gate.set_rate(max_rate.unwrap_or(0.0));
        let warms = max_rate.is_some() && warmup > Duration::ZERO;
        let state = State {
            gate,
            ledger: Ledger::default(),
            last: None,
            meter: FpsMeter::default(),
            max_rate,
            warming: warms.then(|| Warming { length: warmup, began: None, measure: Warmup::default() }),
            connection: Connection {
                state: StreamState::Connecting,
                since: now,
                cause: None,
                detail: String::new(),
                epoch: 0,
                reconnects: 0,
            },
            streams: 0,
        };
        Self { state: Mutex::new(state), eye: Eye::default(), created: now, notes }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain numbers: a panic elsewhere leaves them usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets only frames that the gate admits through this pad.
    pub(crate) fn watch(self: std::sync::Arc<Self>, pad: &gst::Pad) {
        pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM, move |pad, info| {
            if let Some(event) = info.event() {
                match event.view() {
                    gst::EventView::StreamStart(_) => self.begin(),
                    gst::EventView::Caps(caps) => self.eye.caps(caps.caps()),
                    _ => {}
                }
                return gst::PadProbeReturn::Ok;
            }
            let buffer = info.buffer();
            if let Some(buffer) = buffer {
                self.eye.frame(eye::now(), buffer);
            }
            let time = buffer.and_then(|buffer| running_time(pad, buffer));
            match self.admit(time, Instant::now()) {
                true => gst::PadProbeReturn::Ok,
                // With `Drop` GStreamer 1.22 misses the buffer that the bindings have taken already.
                false => gst::PadProbeReturn::Handled,
            }
        });
    }

    /// Another connection's frames follow.
    pub(crate) fn begin(&self) {
        let mut state = self.lock();
        state.connection.epoch = state.streams;
        state.streams += 1;
        state.connection.cause = None;
        state.connection.detail.clear();
        state.connection.state = StreamState::Streaming;
        state.connection.since = Instant::now();
        state.meter.reset();
        if let Some(warming) = &mut state.warming {
            warming.measure.interrupt();
        }
    }

    /// The stream is lost, or for another cause now.
    pub(crate) fn lose(&self, cause: LossCause, detail: &str) {
        let connection = &mut self.lock().connection;
        if connection.state != StreamState::Lost {
            connection.since = Instant::now();
        }
        connection.state = StreamState::Lost;
        connection.cause = Some(cause);
        connection.detail = detail.to_owned();
    }

    /// The stream came back.
    pub(crate) fn restored(&self) {
        self.lock().connection.reconnects += 1;
    }

    /// Whether the frame of this running time (ns) passes; the time of arrival counts where there is none.
    fn admit(&self, time: Option<u64>, now: Instant) -> bool {
        let arrival = now.saturating_duration_since(self.created);
        let time = time.unwrap_or(arrival.as_nanos() as u64);
        let mut guard = self.lock();
        let state = &mut *guard;
        state.last = Some(now);
        state.ledger.receive();
        state.meter.frame(arrival);
        let pass = match state.warming.as_mut().map(|warming| warming.frame(time, now)) {
            Some(true) => false,
            Some(false) => {
                let report = state.warming.take().zip(state.max_rate).map(|(warming, max)| warming.measure.report(max));
                if let Some(report) = report {
                    state.gate.set_rate(report.rate_hz);
                    // Nobody listens any more once the daemon has left its loop.
                    let _ = self.notes.send(Note::WarmedUp(report));
                }
                state.gate.admit(Some(time))
            }
            None => state.gate.admit(Some(time)),
        };
        if pass {
            state.ledger.forward();
        } else {
            state.ledger.drop_frame(Cause::RateLimit);
        }
        pass
    }

    /// Frames a second that pass at most from the next frame on, Hz. During the warm-up, what it chooses from. Recordings
    /// have no rate: nothing changes.
    pub(crate) fn set_rate(&self, hz: f64) {
        let mut state = self.lock();
        if state.max_rate.is_none() {
            return;
        }
        state.max_rate = Some(hz);
        if state.warming.is_none() {
            state.gate.set_rate(hz);
        }
    }

    /// Frames a second that pass at most, Hz; 0 = no limit. During the warm-up, what it chooses from.
    pub(crate) fn rate(&self) -> f64 {
        let state = self.lock();
        match state.warming {
            Some(_) => state.max_rate.unwrap_or(0.0),
            None => state.gate.rate(),
        }
    }

    /// What the camera sends, Hz, over the last seconds; none unless frames come.
    pub(crate) fn fps(&self) -> Option<f64> {
        self.lock().meter.fps(self.created.elapsed())
    }

    /// What looks at the pictures.
    pub(crate) fn eye(&self) -> &Eye {
        &self.eye
    }

    /// What became of the frames.
    pub(crate) fn ledger(&self) -> Ledger {
        self.lock().ledger
    }

    /// The connection to the camera.
    pub(crate) fn connection(&self) -> Connection {
        self.lock().connection.clone()
    }

    /// When the last frame came; none before the first.
    pub(crate) fn last(&self) -> Option<Instant> {
        self.lock().last
    }

    /// How long ago that was.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.last().map(|last| last.elapsed())
    }
}

impl Warming {
    /// Takes a frame into account; false once the time is over.
    fn frame(&mut self, time: u64, now: Instant) -> bool {
        self.measure.frame(time);
        now.saturating_duration_since(*self.began.get_or_insert(now)) < self.length
    }
}

/// Presentation times begin anew with each connection or segment; running time goes on.
fn running_time(pad: &gst::Pad, buffer: &gst::Buffer) -> Option<u64> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = event.segment().downcast_ref::<gst::ClockTime>()?;
    segment.to_running_time(buffer.pts()?).map(gst::ClockTime::nseconds)
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;

    fn inlet(max_rate: Option<f64>, warmup_s: u64) -> (Inlet, UnboundedReceiver<Note>) {
        let (sender, notes) = unbounded_channel();
        (Inlet::new(max_rate, Duration::from_secs(warmup_s), sender), notes)
    }

    /// So many seconds of a camera from second `from` on; how many frames passed.
    fn play(inlet: &Inlet, from: u64, seconds: u64, fps: u64, timed: bool) -> u64 {
        let frames = (from * fps..(from + seconds) * fps).filter(|n| {
            let time = Duration::from_millis(n * 1000 / fps);
            inlet.admit(timed.then_some(time.as_nanos() as u64), inlet.created + time)
        });
        frames.count() as u64
    }

    #[test]
    fn the_gate_counts_what_it_drops_as_rate_limit() {
        for timed in [true, false] {
            let (inlet, _notes) = inlet(Some(10.0), 0);
            assert_eq!(inlet.age(), None);
            let passed = play(&inlet, 0, 2, 30, timed);
            let ledger = inlet.ledger();
            assert_eq!((ledger.received(), ledger.forwarded(), ledger.in_flight()), (60, passed, 0));
            assert_eq!(ledger.dropped().get(Cause::RateLimit), 60 - passed);
            assert!((19..=21).contains(&passed) && inlet.last().is_some(), "{passed}");
        }
    }

    #[test]
    fn a_warm_up_lets_nothing_pass_then_chooses_the_rate_once() {
        let (inlet, mut notes) = inlet(Some(30.0), 3);
        assert_eq!(play(&inlet, 0, 2, 20, true), 0);
        inlet.set_rate(25.0);
        assert_eq!(inlet.rate(), 25.0);
        assert_eq!(play(&inlet, 2, 1, 20, true), 0);
        assert!(notes.try_recv().is_err(), "not over yet");
        let passed = play(&inlet, 3, 10, 20, true);
        assert!((178..=182).contains(&passed), "nine tenths of 200: {passed}");
        let Ok(Note::WarmedUp(report)) = notes.try_recv() else { panic!("no report") };
        assert_eq!((report.frames, report.rate_hz.round()), (61, 18.0));
        inlet.begin();
        assert_ne!(play(&inlet, 13, 1, 20, true), 0, "once only");
        assert!(notes.try_recv().is_err());
    }

    #[test]
    fn a_rate_is_changed_from_the_next_frame_on() {
        let (inlet, _notes) = inlet(Some(1.0), 0);
        play(&inlet, 0, 2, 30, true);
        inlet.set_rate(10.0);
        let passed = play(&inlet, 2, 10, 30, true);
        assert!((99..=101).contains(&passed), "{passed}");
        assert_eq!(inlet.rate(), 10.0);
    }

    #[test]
    fn of_a_recording_every_frame_passes() {
        let (inlet, _notes) = inlet(None, 5);
        inlet.set_rate(1.0);
        assert_eq!((play(&inlet, 0, 2, 30, true), inlet.rate()), (60, 0.0));
    }

    #[test]
    fn the_connection_is_known() {
        let (inlet, _notes) = inlet(None, 0);
        assert_eq!(inlet.connection().state, StreamState::Connecting);
        inlet.begin();
        let connection = inlet.connection();
        assert_eq!((connection.state, connection.epoch, connection.reconnects), (StreamState::Streaming, 0, 0));
        inlet.lose(LossCause::Lost, "the stream ended");
        inlet.lose(LossCause::Refused, "no");
        let lost = inlet.connection();
        assert_eq!((lost.state, lost.cause, lost.detail.as_str()), (StreamState::Lost, Some(LossCause::Refused), "no"));
        inlet.begin();
        inlet.restored();
        let back = inlet.connection();
        assert_eq!((back.state, back.cause, back.epoch, back.reconnects), (StreamState::Streaming, None, 1, 1));
    }
}
