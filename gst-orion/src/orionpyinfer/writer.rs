// SPDX-License-Identifier: MPL-2.0
//! The only writer of a worker's stdin: message after message on a task of its own, so that reading goes on meanwhile.

use std::{io, sync::Arc};

use orion_core::hand::{DEPTH, MAX_BATCH};
use tokio::{io::AsyncWriteExt, net::unix::pipe::Sender, sync::mpsc, task::JoinHandle};

use super::{job::Message, lane::Place, tuning::Setting};

/// What is to be written.
pub(super) enum Outgoing {
    /// A frame, with the place of its picture if that goes by shared memory.
    Frame(Arc<Message>, Option<Place>),
    /// A framed command.
    Command(Vec<u8>),
}

/// Starts writing; what was written comes back, or the error that ended it. Dropping the sender closes the pipe, after
/// everything before that was written.
pub(super) fn start(stdin: Sender) -> (mpsc::Sender<Outgoing>, mpsc::Receiver<io::Result<Outgoing>>, JoinHandle<()>) {
    // All frames in hand and one command a setting.
    let room = DEPTH * MAX_BATCH + Setting::ALL.len();
    let (writer, messages) = mpsc::channel(room);
    let (done, written) = mpsc::channel(room);
    (writer, written, tokio::spawn(write(stdin, messages, done)))
}

async fn write(mut stdin: Sender, mut messages: mpsc::Receiver<Outgoing>, done: mpsc::Sender<io::Result<Outgoing>>) {
    while let Some(message) = messages.recv().await {
        let result = write_one(&mut stdin, &message).await;
        let failed = result.is_err();
        if done.send(result.map(|()| message)).await.is_err() || failed {
            return;
        }
    }
}

async fn write_one(stdin: &mut Sender, message: &Outgoing) -> io::Result<()> {
    match message {
        Outgoing::Command(bytes) => stdin.write_all(bytes).await,
        Outgoing::Frame(message, Some(place)) => {
            place.fill(&message.picture.pieces()).await?;
            // Only now: the message lends the slot to the worker.
            stdin.write_all(&place.head).await
        }
        Outgoing::Frame(message, None) => {
            stdin.write_all(&message.head).await?;
            for piece in message.picture.pieces() {
                stdin.write_all(piece).await?;
            }
            Ok(())
        }
    }
}
