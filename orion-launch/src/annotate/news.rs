// SPDX-License-Identifier: MPL-2.0
//! What the two pipelines say.

use gst::prelude::*;
use gstorion::message::WorkerEvent;
use tokio::sync::mpsc;

use crate::camera;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Reader,
    Writer,
}

/// What one of them says.
#[derive(Debug)]
pub(super) enum News {
    /// All frames have come back, or have gone into the file.
    Ended(Whose),
    /// It cannot go on.
    Failed(Whose, String),
    /// It cannot go on because another part of it cannot, which may be told later.
    Follows(Whose, String),
    /// About a worker process.
    Worker(WorkerEvent),
}

/// Passes on what a pipeline says.
pub(super) fn listen(pipeline: &gst::Pipeline, whose: Whose, news: mpsc::UnboundedSender<News>) {
    let Some(bus) = pipeline.bus() else { return };
    bus.set_sync_handler(move |_, message| {
        if let Some(said) = said(whose, message) {
            // Nobody listens once it is over.
            let _ = news.send(said);
        }
        gst::BusSyncReply::Drop
    });
}

fn said(whose: Whose, message: &gst::Message) -> Option<News> {
    match message.view() {
        // The frames' own end is told behind the last of them.
        gst::MessageView::Eos(_) => (whose == Whose::Writer).then_some(News::Ended(whose)),
        gst::MessageView::Error(error) => {
            let details = error.debug().unwrap_or_default();
            // The first line only says where in the program.
            let text = match details.lines().nth(1) {
                Some(_) => camera::words(&error.error(), &details),
                None => error.error().to_string(),
            };
            // A source says so when whoever takes its frames refuses them.
            let follows =
                error.error().matches(gst::StreamError::Failed) && details.contains("streaming stopped, reason");
            Some(if follows { News::Follows(whose, text) } else { News::Failed(whose, text) })
        }
        gst::MessageView::Element(_) => WorkerEvent::parse(message).map(News::Worker),
        _ => None,
    }
}
