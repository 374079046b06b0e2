// SPDX-License-Identifier: MPL-2.0
//! Messages that the broker has not acknowledged yet.

use std::{collections::BTreeMap, time::Duration};

use tokio::task::JoinSet;

use super::outbox::Message;

/// Messages on the wire, in the order in which they were sent.
#[derive(Default)]
pub(super) struct Sent {
    messages: BTreeMap<u64, Message>,
    notices: JoinSet<(u64, bool)>,
    count: u64,
}

impl Sent {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn add(&mut self, message: Message, arrived: impl Future<Output = bool> + Send + 'static) {
        let number = self.count;
        self.count += 1;
        self.messages.insert(number, message);
        self.notices.spawn(async move { (number, arrived.await) });
    }

    pub(super) async fn next(&mut self) -> Option<(u64, bool)> {
        match self.notices.join_next().await {
            Some(told) => told.ok(),
            // Of those that are left nobody tells any more.
            None => std::future::pending().await,
        }
    }

    /// The message that has arrived, if one has.
    pub(super) fn arrived(&mut self, told: Option<(u64, bool)>) -> Option<Message> {
        let (number, _) = told.filter(|(_, arrived)| *arrived)?;
        self.messages.remove(&number)
    }

    /// Hears what came with the end of the connection.
    pub(super) async fn settle(&mut self) {
        let rest = async {
            while let Some(told) = self.notices.join_next().await {
                self.arrived(told.ok());
            }
        };
        // The notices end with their client; the limit is for a surprise.
        let _ = tokio::time::timeout(Duration::from_millis(100), rest).await;
    }

    pub(super) fn left(self) -> Vec<Message> {
        self.messages.into_values().collect()
    }
}
