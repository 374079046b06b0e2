// SPDX-License-Identifier: MPL-2.0
//! The way on which pictures go to one worker process: in the messages, or in memory that it shares.

use std::{collections::VecDeque, io, sync::Arc};

use orion_core::{slots::Slots, wire::SharedPicture};

use super::{
    job::Message,
    ring::{FEWEST_SLOTS, Offer, Ring, SLOT_SIZE, SLOTS, slots_for},
    settings::Transport,
};

/// What a process is started with.
pub(super) struct Lane {
    transport: Transport,
    /// None without shared memory, and once it is known that the worker takes none.
    ring: Option<Arc<Ring>>,
    /// The worker has said that it takes pictures from there.
    open: bool,
    slots: Slots,
    /// The slot of each frame in hand, for those that have one.
    lent: VecDeque<Option<u32>>,
}

/// A picture's place in shared memory, and the message that names it.
pub(super) struct Place {
    ring: Arc<Ring>,
    slot: u32,
    pub(super) head: Vec<u8>,
}

impl Lane {
    /// The way for a process that is to be started, what is to be passed to it, and why there is no shared memory where that
    /// was wanted.
    ///
    /// # Errors
    /// With [`Transport::Shm`]: what the operating system says.
    pub(super) fn new(transport: Transport) -> io::Result<(Self, Option<Offer>, Option<io::Error>)> {
        let created = if transport == Transport::Pipe { None } else { Some(Ring::create()) };
        let (ring, offer, error) = match created {
            None => (None, None, None),
            Some(Ok((ring, offer))) => (Some(Arc::new(ring)), Some(offer), None),
            Some(Err(error)) if transport == Transport::Shm => return Err(error),
            Some(Err(error)) => (None, None, Some(error)),
        };
        let slots = Slots::new(FEWEST_SLOTS);
        Ok((Self { transport, ring, open: false, slots, lent: VecDeque::new() }, offer, error))
    }

    /// The worker is ready; `shm`: whether it takes pictures from shared memory.
    ///
    /// # Errors
    /// A text, when it does not although it has to.
    pub(super) fn agree(&mut self, shm: bool) -> Result<(), &'static str> {
        self.open = shm && self.ring.is_some();
        if !self.open {
            self.ring = None;
            if self.transport == Transport::Shm {
                return Err("takes no pictures from shared memory (its `ready` does not say `shm`), but transport=shm");
            }
        }
        Ok(())
    }

    /// The frames in hand may be as many as batches of a size need. Slots are written to in turns, so that each of them costs
    /// memory: there are no more than that.
    pub(super) fn make_room(&mut self, batch: usize) {
        self.slots.grow(slots_for(batch).min(SLOTS));
    }

    /// Notes the next frame in hand; its place in shared memory, if it goes that way.
    pub(super) fn place(&mut self, message: &Message) -> Option<Place> {
        let place = self.find(message);
        self.lent.push_back(place.as_ref().map(|place| place.slot));
        place
    }

    fn find(&mut self, message: &Message) -> Option<Place> {
        // A JPEG is too small to gain anything.
        let suits = message.length <= SLOT_SIZE && (message.raw || self.transport == Transport::Shm);
        let ring = self.ring.as_ref().filter(|_| self.open && suits)?;
        let slot = self.slots.lend()?;
        let shared = SharedPicture { slot, offset: 0, length: message.length as u64 };
        match message.start.shared(shared) {
            Ok(head) => Some(Place { ring: Arc::clone(ring), slot, head }),
            Err(_) => {
                self.take_back(slot);
                None
            }
        }
    }

    /// So many frames, the oldest first, are not in hand any more.
    pub(super) fn released(&mut self, frames: usize) {
        for _ in 0..frames {
            if let Some(slot) = self.lent.pop_front().flatten() {
                self.take_back(slot);
            }
        }
    }

    /// The process has ended.
    pub(super) fn end(&mut self) {
        self.lent.clear();
        self.slots.reclaim();
        self.ring = None;
    }

    fn take_back(&mut self, slot: u32) {
        let known = self.slots.give_back(slot);
        debug_assert_eq!(known, Ok(()));
    }
}

impl Place {
    /// Copies a picture to its place, in steps that let others have their turn in between.
    pub(super) async fn fill(&self, pieces: &[&[u8]]) -> io::Result<()> {
        const STEP: usize = 4 << 20;
        let (mut at, mut since) = (0, 0);
        for piece in pieces.iter().flat_map(|piece| piece.chunks(STEP)) {
            if !self.ring.write(self.slot, at, piece) {
                return Err(io::Error::other("the picture is larger than its slot"));
            }
            at += piece.len();
            since += piece.len();
            if since >= STEP {
                since = 0;
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> Message {
        Message { raw: true, ..crate::orionpyinfer::job::tests::message(length) }
    }

    fn lane(transport: Transport) -> Lane {
        Lane::new(transport).unwrap().0
    }

    #[test]
    fn a_worker_that_cannot_gets_everything_through_the_pipe() {
        let mut lane = lane(Transport::Auto);
        lane.agree(false).unwrap();
        assert!(lane.ring.is_none(), "what nobody uses is let go of");
        assert!(lane.place(&message(3)).is_none());
        lane.released(1);
        let error = super::tests::lane(Transport::Shm).agree(false).unwrap_err();
        assert!(error.contains("transport=shm"), "{error}");
    }

    #[test]
    fn nothing_is_offered_for_pipes() {
        let (mut lane, offer, error) = Lane::new(Transport::Pipe).unwrap();
        assert!(offer.is_none() && error.is_none());
        // It cannot have got any memory.
        lane.agree(true).unwrap();
        assert!(lane.place(&message(3)).is_none());
    }

    #[test]
    fn a_jpeg_goes_through_the_pipe_unless_that_is_forbidden() {
        let jpeg = || Message { raw: false, ..message(3) };
        for (transport, shared) in [(Transport::Auto, false), (Transport::Shm, true)] {
            let mut lane = lane(transport);
            lane.agree(true).unwrap();
            assert_eq!(lane.place(&jpeg()).is_some(), shared);
            assert!(lane.place(&message(3)).is_some());
            lane.released(2);
            assert_eq!(lane.slots.lent(), 0);
        }
    }

    #[test]
    fn each_frame_in_hand_has_a_slot_of_its_own_until_it_is_released() {
        let mut lane = lane(Transport::Auto);
        assert!(lane.place(&message(3)).is_none(), "nobody has agreed yet");
        lane.released(1);
        lane.agree(true).unwrap();
        let mut slot = || lane.place(&message(3)).map(|place| place.slot);
        assert_eq!((slot(), slot(), slot(), slot()), (Some(0), Some(1), Some(2), None));
        lane.released(2);
        assert_eq!(lane.slots.lent(), 1);
        assert_eq!(lane.place(&message(3)).map(|place| place.slot), Some(0));
        lane.released(3);
        assert_eq!((lane.slots.lent(), lane.lent.len()), (0, 0), "the one in the pipe was the last but one");
        lane.released(9);
        lane.make_room(4);
        let placed = (0..10).filter(|_| lane.place(&message(3)).is_some()).count();
        assert_eq!(placed, if usize::BITS < 64 { 3 } else { 9 }, "the rest goes through the pipe");
        lane.released(10);
        assert_eq!(lane.slots.lent(), 0);
        lane.place(&message(3));
        lane.end();
        assert_eq!(lane.slots.lent(), 0);
    }
}
