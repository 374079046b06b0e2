// SPDX-License-Identifier: MPL-2.0
//! The control plane: commands in, answers, events and the state out.

mod desk;
mod effect;
mod greeting;
mod ids;
mod link;
mod news;
mod outbox;
mod parts;
mod reception;
mod sent;
mod voice;
mod waiting;
mod window;

pub(crate) use desk::{Action, Desk};
pub(crate) use effect::is_fixed;
pub(crate) use link::{Heard, Link};
pub(crate) use news::News;
use orion_core::timestamp;
pub(crate) use parts::Parts;
pub(crate) use reception::{Errand, Reception};
pub(crate) use voice::Voice;
#[cfg(test)]
pub(crate) use window::test_window;
pub(crate) use window::{Said, Window};

/// Why a command is refused whose id was that of another one.
const TAKEN: &str = "id: was that of another command";

/// The time as it stands in messages.
fn now() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    timestamp::rfc3339(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
