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
