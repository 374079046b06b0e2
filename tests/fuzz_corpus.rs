// SPDX-License-Identifier: MPL-2.0
//! What `make fuzz` asks of orion-core for any input, asked for the inputs that are kept.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../fuzz/src/core.rs"]
mod core;
#[path = "../fuzz/src/replay.rs"]
mod replay;

macro_rules! targets {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            replay::corpus(stringify!($name), core::$name::run);
        }
    )*};
}

targets! { framing worker_message host_message command rois topic attention profiles }
