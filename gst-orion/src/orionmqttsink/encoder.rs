// SPDX-License-Identifier: MPL-2.0
//! Makes JPEG pictures of raw frames, away from the streaming thread.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, SyncSender},
    },
    thread::JoinHandle,
};

use bytes::Bytes;

/// Time for one picture.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(2);

/// A raw frame and what is to become of its picture.
struct Job {
    sample: gst::Sample,
    done: Box<dyn FnOnce(Result<Bytes, String>) + Send>,
}

/// A thread that encodes one frame at a time; none waits.
pub(super) struct Encoder {
    jobs: Option<SyncSender<Job>>,
    busy: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Encoder {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub(super) fn start(name: &str) -> std::io::Result<Self> {
        let busy = Arc::new(AtomicBool::new(false));
        let idle = Arc::clone(&busy);
        let (jobs, work) = mpsc::sync_channel::<Job>(1);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            for Job { sample, done } in work {
                done(encode(&sample));
                idle.store(false, Ordering::Release);
            }
        })?;
        Ok(Self { jobs: Some(jobs), busy, thread: Some(thread) })
    }

    /// Takes a frame with its caps; says whether there was room. `done` is called from the thread with the picture.
    pub(super) fn offer(&self, sample: gst::Sample, done: impl FnOnce(Result<Bytes, String>) + Send + 'static) -> bool {
        let Some(jobs) = &self.jobs else { return false };
        // It is emptied before the thread is free again, so there is room.
        !self.busy.swap(true, Ordering::AcqRel) && jobs.try_send(Job { sample, done: Box::new(done) }).is_ok()
    }
}

impl Drop for Encoder {
    /// Waits for the picture in the making.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // An error would mean that it panicked; it is gone either way.
            let _ = thread.join();
        }
    }
}

fn encode(sample: &gst::Sample) -> Result<Bytes, String> {
    let jpeg = gst::Caps::new_empty_simple("image/jpeg");
    let picture = gst_video::convert_sample(sample, &jpeg, Some(PATIENCE)).map_err(|error| error.to_string())?;
    let map = picture.buffer().and_then(|buffer| buffer.map_readable().ok()).ok_or("the encoder gave no picture")?;
    Ok(Bytes::copy_from_slice(&map))
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    fn sample(caps: &str, size: usize) -> gst::Sample {
        let caps: gst::Caps = caps.parse().unwrap();
        gst::Sample::builder().buffer(&gst::Buffer::from_slice(vec![128_u8; size])).caps(&caps).build()
    }

    #[test]
    fn a_raw_frame_becomes_a_picture_and_nonsense_an_error() {
        gst::init().unwrap();
        let encoder = Encoder::start("snapshots").unwrap();
        let (sender, results) = mpsc::channel();
        let frames = [
            sample("video/x-raw,format=RGB,width=16,height=8,framerate=1/1", 16 * 8 * 3),
            sample("video/x-raw,format=RGB,width=16,height=8,framerate=1/1", 5),
        ];
        let mut outcome = frames.into_iter().map(|frame| {
            let sender = sender.clone();
            // It may not have come back from the one before.
            while !encoder.offer(frame.clone(), {
                let sender = sender.clone();
                move |result| sender.send(result).unwrap()
            }) {
                std::thread::yield_now();
            }
            results.recv_timeout(Duration::from_secs(20)).unwrap()
        });
        let picture = outcome.next().unwrap().unwrap();
        assert!(picture.starts_with(&[0xff, 0xd8]) && picture.ends_with(&[0xff, 0xd9]));
        assert!(outcome.next().unwrap().is_err());
    }
}
