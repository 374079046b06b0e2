// SPDX-License-Identifier: MPL-2.0
//! What the elements' properties have in common.

use std::sync::{Mutex, MutexGuard, PoisonError};

use gst::{glib, prelude::*};

/// Locks even after a panic elsewhere: settings and counters are whole at any moment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a property's value in its place; GObject has checked its type.
pub(crate) fn keep<T: for<'a> glib::value::FromValue<'a> + 'static>(value: &glib::Value, place: &mut T) {
    if let Ok(value) = value.get_owned() {
        *place = value;
    }
}

/// The read-only property `stats`.
pub(crate) fn stats(blurb: &str) -> glib::ParamSpec {
    glib::ParamSpecBoxed::builder::<gst::Structure>("stats").nick("Statistics").blurb(blurb).read_only().build()
}
