// SPDX-License-Identifier: MPL-2.0
//! Presentation times that go on when the media clock of a camera jumps.

/// A step that no camera makes while its clock runs, ns.
const JUMP: i64 = 2_000_000_000;

/// Puts frames of a live stream where they belong although its media clock jumps.
///
/// A decoder that is given times that run backwards may repeat the last one for ever (GStreamer 1.26), and nothing behind
/// it that goes by time lets anything pass then.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timeline {
    /// Added to what the stream says, ns.
    offset: i64,
    /// The time of the frame before, as the stream said it, ns.
    before: Option<i64>,
    /// How far a frame was ahead of its arrival at most, ns: that of one that nothing has held up.
    ahead: i64,
}

impl Timeline {
    /// Where a frame of presentation time `pts` belongs that came at `arrival`, a clock that never jumps; all in ns.
    ///
    /// Frames that were held up, and those that come after a gap, stay where they are.
    pub fn place(&mut self, pts: u64, arrival: u64) -> u64 {
        let (pts, arrival) = (signed(pts), signed(arrival));
        let lead = pts.saturating_add(self.offset).saturating_sub(arrival);
        match self.before.replace(pts) {
            None => self.ahead = lead,
            Some(before) => {
                let step = pts.saturating_sub(before);
                if step < -JUMP || (step > JUMP && lead > self.ahead.saturating_add(JUMP)) {
                    self.offset = arrival.saturating_add(self.ahead).saturating_sub(pts);
                } else {
                    self.ahead = self.ahead.max(lead);
                }
            }
        }
        u64::try_from(pts.saturating_add(self.offset)).unwrap_or(0)
    }

    /// What is added to the stream's times now, ns.
    pub fn offset(&self) -> i64 {
        self.offset
    }
}

fn signed(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: u64 = 66_666_666;
    const SECOND: u64 = 1_000_000_000;

    /// Frames of these times, arriving one interval apart from `start` on.
    fn play(timeline: &mut Timeline, start: u64, times: impl Iterator<Item = u64>) -> Vec<u64> {
        times.zip(0..).map(|(pts, n)| timeline.place(pts, start + n * FRAME)).collect()
    }

    #[test]
    fn times_go_on_when_the_clock_jumps_ahead_and_back() {
        let mut timeline = Timeline::default();
        let hour = 3600 * SECOND;
        let times = (0..90).map(|n| 5 * SECOND + n * FRAME + if (30..60).contains(&n) { hour } else { 0 });
        let placed = play(&mut timeline, 7 * SECOND, times);
        let expected: Vec<_> = (0..90).map(|n| 5 * SECOND + n * FRAME).collect();
        assert_eq!(placed, expected);
        assert_eq!(timeline.offset(), 0);
    }

    #[test]
    fn a_clock_that_begins_anew_goes_on() {
        let mut timeline = Timeline::default();
        let placed =
            play(&mut timeline, 0, (0..30).map(|n| 100 * SECOND + n * FRAME).chain((0..30).map(|n| n * FRAME)));
        assert!(placed.windows(2).all(|pair| pair[1] - pair[0] == FRAME), "{placed:?}");
    }

    #[test]
    fn frames_that_were_held_up_keep_their_times() {
        let mut timeline = Timeline::default();
        play(&mut timeline, 0, (0..30).map(|n| n * FRAME));
        // The network stands still for 8 s; then two old frames come, and at once the present ones: the camera dropped the rest.
        let late = 30 * FRAME + 8 * SECOND;
        for pts in [30 * FRAME, 31 * FRAME, late, late + FRAME] {
            assert_eq!(timeline.place(pts, late), pts);
        }
        assert_eq!(timeline.offset(), 0);
    }

    #[test]
    fn a_burst_at_the_start_and_a_gap_are_no_jumps() {
        let mut timeline = Timeline::default();
        for pts in (0..90).map(|n| n * FRAME) {
            assert_eq!(timeline.place(pts, 1), pts, "what a server kept comes all at once");
        }
        let after = 90 * FRAME + 20 * SECOND;
        assert_eq!(timeline.place(after, 20 * SECOND), after, "as long as the frames were away");
    }

    #[test]
    fn times_of_any_size_are_taken() {
        let mut timeline = Timeline::default();
        for (pts, arrival) in [(u64::MAX, 0), (0, u64::MAX), (u64::MAX, u64::MAX), (0, 0), (1, 1)] {
            timeline.place(pts, arrival);
        }
    }
}
