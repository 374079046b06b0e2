// SPDX-License-Identifier: MPL-2.0
//! Whether a camera shows anything: a few lines of each frame tell a frozen and a black picture.

use std::{collections::VecDeque, time::Duration};

/// Lines of a frame that are looked at, evenly spread.
pub const LINES: usize = 16;

/// Mean brightness below which a picture may be black, of 255. Black is 16 in video (ITU-R BT.601), and sensors add some noise.
const DARK: f64 = 24.0;
/// Standard deviation of the brightness below which nothing can be made out.
const FLAT: f64 = 3.0;

/// Mean difference of the brightness, of 255, up to which two pictures are the same. An encoder shows a picture that stands still
/// a little differently at each key frame: by up to 0.05 over these lines where its quality is constant. Noise of a quarter of a
/// grey level, or a person as small as a hundredth of the picture, makes more.
const SAME: f64 = 0.05;

/// Times that [`News`] remembers: at five looks a second, half a minute, longer than any worker takes.
const KEPT: usize = 150;

/// What a frame's lines come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Luma {
    /// One line after the other.
    samples: Vec<u8>,
    mean: f64,
    deviation: f64,
}

impl Luma {
    /// Of samples of brightness (0..255), line by line.
    pub fn of<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let samples = lines.into_iter().collect::<Vec<_>>().concat();
        let (mut sum, mut squares) = (0u64, 0u64);
        for &sample in &samples {
            let sample = u64::from(sample);
            sum += sample;
            squares += sample * sample;
        }
        let n = samples.len().max(1) as f64;
        let mean = sum as f64 / n;
        let deviation = (squares as f64 / n - mean * mean).max(0.0).sqrt();
        Self { samples, mean, deviation }
    }

    fn is_black(&self) -> bool {
        self.mean < DARK && self.deviation < FLAT
    }

    /// Whether it is the same picture, but for what an encoder makes of it.
    fn is_same(&self, other: &Self) -> bool {
        if self.samples.len() != other.samples.len() {
            return false;
        }
        let pairs = self.samples.iter().zip(&other.samples);
        let sum: u64 = pairs.map(|(one, other)| u64::from(one.abs_diff(*other))).sum();
        sum as f64 <= SAME * self.samples.len() as f64
    }
}

/// The rows of a frame of this height that are looked at.
pub fn rows(height: usize) -> impl Iterator<Item = usize> {
    let lines = LINES.min(height);
    (0..lines).map(move |n| (2 * n + 1) * height / (2 * lines.max(1)))
}

/// What is wrong with the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Each frame is the same as the first of them, but for what an encoder makes of it. Noise, however faint, is no frozen picture.
    Frozen,
    /// It is dark, and nothing can be made out.
    Black,
}

/// Follows the pictures of one camera.
#[derive(Debug, Clone, Default)]
pub struct Watcher {
    /// The last frame that was another one than those before it; what changes slowly differs from it sooner or later.
    first: Option<Luma>,
    /// Since when all frames were the same, and all were black.
    same: Option<Duration>,
    black: Option<Duration>,
    now: Duration,
}

impl Watcher {
    /// A frame has come.
    pub fn frame(&mut self, now: Duration, luma: &Luma) {
        let same = self.first.as_ref().is_some_and(|first| first.is_same(luma));
        self.same = self.same.filter(|_| same).or(same.then_some(self.now));
        self.black = self.black.filter(|_| luma.is_black()).or(luma.is_black().then_some(now));
        if !same {
            self.first = Some(luma.clone());
        }
        self.now = now;
    }

    /// What has been wrong for so long, as of the newest frame; a limit of zero = not looked for. Black is told rather than frozen.
    pub fn flaw(&self, frozen_after: Duration, black_after: Duration) -> Option<Flaw> {
        let since = |start: Option<Duration>, limit: Duration| {
            !limit.is_zero() && start.is_some_and(|start| self.now.saturating_sub(start) >= limit)
        };
        if since(self.black, black_after) {
            Some(Flaw::Black)
        } else if since(self.same, frozen_after) {
            Some(Flaw::Frozen)
        } else {
            None
        }
    }

    /// Whether the newest frame shows anything that the one before did not; limits as for [`Watcher::flaw`]: repeated or black
    /// frames count where these are not looked for.
    pub fn is_news(&self, frozen_after: Duration, black_after: Duration) -> bool {
        (frozen_after.is_zero() || self.same.is_none()) && (black_after.is_zero() || self.black.is_none())
    }
}

/// When frames showed something new. What is found on a repeated picture is no newer than the picture: a camera that freezes, and
/// is not known to have, must not make a room look empty.
#[derive(Debug, Clone, Default)]
pub struct News(VecDeque<Duration>);

impl News {
    /// A frame of that time showed something new. Times do not go back.
    pub fn at(&mut self, at: Duration) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(at);
    }

    /// When what was to be seen at `at` was new; none = that is not known any more, or nothing was ever new.
    pub fn of(&self, at: Duration) -> Option<Duration> {
        let later = self.0.partition_point(|news| *news <= at);
        later.checked_sub(1).and_then(|index| self.0.get(index)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    fn after(frames: impl IntoIterator<Item = Vec<u8>>) -> Option<Flaw> {
        let mut watcher = Watcher::default();
        for (n, frame) in frames.into_iter().enumerate() {
            watcher.frame(Duration::from_millis(n as u64 * 100), &Luma::of(frame.chunks(8)));
        }
        watcher.flaw(LIMIT, LIMIT)
    }

    fn still() -> Vec<u8> {
        (0..128).collect()
    }

    fn noisy(level: u8, n: u8) -> Vec<u8> {
        (0..128u8).map(|x| level + (x.wrapping_mul(37) ^ n.wrapping_mul(101)) % 3).collect()
    }

    #[test]
    fn the_same_picture_for_long_is_frozen() {
        assert_eq!(after((0..21).map(|_| still())), Some(Flaw::Frozen));
        assert_eq!(after((0..20).map(|_| still())), None, "not yet");
        let mut moved: Vec<_> = (0..40).map(|_| still()).collect();
        moved[30][5] ^= 8;
        assert_eq!(after(moved), None, "something has moved");
        assert_eq!(after((0..40).map(|n| vec![100 + n / 10; 128])), None, "slowly it grows light");
        assert_eq!(after((0..40).map(|n| vec![100; 128 + n])), None, "of another size");
    }

    #[test]
    fn what_an_encoder_makes_of_a_picture_that_stands_still_is_no_news() {
        // At each key frame some samples of a line are shown differently, for one frame.
        let coded = |n: usize| {
            let mut picture: Vec<u8> = (0..1280).map(|x| (x % 200) as u8).collect();
            if n.is_multiple_of(5) {
                picture[700..704].iter_mut().for_each(|sample| *sample += 14);
            }
            picture
        };
        assert_eq!(after((0..21).map(coded)), Some(Flaw::Frozen));
        let mut watcher = Watcher::default();
        let news = (0..21).filter(|n| {
            watcher.frame(Duration::from_millis(*n as u64 * 200), &Luma::of([coded(*n).as_slice()]));
            watcher.is_news(LIMIT, LIMIT)
        });
        assert_eq!(news.collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn a_still_room_at_night_with_noise_is_neither_frozen_nor_black() {
        assert_eq!(after((0..100).map(|n| noisy(60, n))), None);
        let lit: Vec<u8> = (0..128).map(|x| if x % 16 == 0 { 90 } else { 16 }).collect();
        assert_eq!(after((0..100).map(|n| lit.iter().map(|s| s + n % 2).collect())), None, "dark, with a lamp");
    }

    #[test]
    fn a_covered_camera_is_black_even_with_noise() {
        assert_eq!(after((0..21).map(|n| noisy(16, n))), Some(Flaw::Black));
        assert_eq!(after((0..30).map(|_| vec![16; 128])), Some(Flaw::Black), "rather than frozen");
        assert_eq!(after((0..30).map(|n| if n < 29 { vec![16; 128] } else { still() })), None, "light again");
        let mut watcher = Watcher::default();
        for n in 0..100 {
            watcher.frame(Duration::from_secs(n), &Luma::of([still().as_slice()]));
        }
        assert_eq!(watcher.flaw(Duration::ZERO, Duration::ZERO), None, "not looked for");
    }

    #[test]
    fn a_repeated_picture_is_as_old_as_it_was_new() {
        let (mut watcher, mut news) = (Watcher::default(), News::default());
        assert_eq!(news.of(Duration::from_secs(1)), None);
        let (dark, other) = (vec![16; 128], noisy(90, 1));
        for (n, picture) in [still(), still(), other.clone(), other.clone(), dark, other].iter().enumerate() {
            let at = Duration::from_secs(n as u64 + 1);
            watcher.frame(at, &Luma::of(picture.chunks(8)));
            if watcher.is_news(LIMIT, LIMIT) {
                news.at(at);
            }
            assert!(watcher.is_news(Duration::ZERO, Duration::ZERO), "not looked for");
        }
        let of = |news: &News, at| news.of(Duration::from_millis(at)).map(|news| news.as_secs());
        let known = [500, 1000, 2500, 3000, 5900, 7000].map(|at| of(&news, at));
        assert_eq!(known, [None, Some(1), Some(1), Some(3), Some(3), Some(6)]);
        (0..2 * KEPT as u64).for_each(|n| news.at(Duration::from_secs(10 + n)));
        assert_eq!((of(&news, 7000), news.0.len()), (None, KEPT));
    }

    #[test]
    fn rows_are_spread_and_within_the_frame() {
        assert_eq!(rows(480).next(), Some(15));
        assert_eq!(rows(480).count(), LINES);
        assert!(rows(480).all(|row| row < 480));
        assert_eq!(rows(3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(rows(0).count(), 0);
    }
}
