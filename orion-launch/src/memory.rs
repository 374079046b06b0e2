// SPDX-License-Identifier: MPL-2.0
//! How the C library keeps the memory that it gives out.

/// Has all threads share two pools of memory ("arenas") instead of up to eight for each core.
///
/// Each new connection of a camera has new threads, which take further pools, and what each of these keeps for later adds up:
/// 25 connections took a daemon from 27 to 46 MiB, and from 23 to 27 MiB with two. To be called before there are threads.
pub(crate) fn share_arenas() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: mallopt(3) takes two numbers, and there are no other threads yet that it could race with.
        let taken = unsafe { libc::mallopt(libc::M_ARENA_MAX, 2) };
        debug_assert_eq!(taken, 1, "mallopt refuses");
    }
}

/// Gives back to the system what the C library keeps of memory that nobody has any more.
///
/// A connection of a camera that is made anew takes and leaves 2.5 MB in pieces, between which whole pages stay empty.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) takes a number and may be called by any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
