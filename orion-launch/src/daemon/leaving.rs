// SPDX-License-Identifier: MPL-2.0
//! Cameras on their way to their end.

use std::collections::HashMap;

use orion_core::command::Request;
use tokio::task::{Id, JoinSet};

use crate::sensor::Sensor;

/// A camera that has come to its end: its name, and who wanted that.
pub(super) type Left = (String, Option<Request>);

/// Until they are at their end, no other camera of the same name may begin: the broker would be told by both of them.
#[derive(Default)]
pub(super) struct Leaving {
    ends: JoinSet<Sensor>,
    by_task: HashMap<Id, Left>,
}

impl Leaving {
    /// A camera ends as `end` does; `request` is to be answered then.
    pub(super) fn add(
        &mut self,
        id: &str,
        request: Option<Request>,
        end: impl Future<Output = Sensor> + Send + 'static,
    ) {
        let task = self.ends.spawn(end);
        self.by_task.insert(task.id(), (id.to_owned(), request));
    }

    /// Whether a camera of this name is among them.
    pub(super) fn contains(&self, id: &str) -> bool {
        self.by_task.values().any(|(leaving, _)| leaving == id)
    }

    /// The next one that has come to its end; none = nobody is left.
    pub(super) async fn next(&mut self) -> Option<Left> {
        let task = match self.ends.join_next_with_id().await? {
            Ok((task, _)) => task,
            // A panic is an end, too.
            Err(error) => error.id(),
        };
        self.by_task.remove(&task)
    }

    /// Those that have not come to their end in time.
    pub(super) fn rest(&mut self) -> Vec<Left> {
        self.by_task.drain().map(|(_, left)| left).collect()
    }
}
