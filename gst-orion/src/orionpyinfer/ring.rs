// SPDX-License-Identifier: MPL-2.0
//! The memory that the host shares with one worker process: a sealed memfd, cut into slots of one size.
//!
//! Only the host writes, and it never reads: what a worker does cannot reach it. The seals keep the file at its size, so
//! that nobody gets SIGBUS, and keep everybody but the host's own mapping from writing to it. A slot is address space only;
//! memory is taken by the pages that pictures were written to, and is free again when both sides have ended.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    process::Command,
    sync::{Mutex, PoisonError},
};

use command_fds::{CommandFdExt, FdMapping};
use memmap2::MmapMut;
use orion_core::{
    framing::MAX_MESSAGE,
    hand::{DEPTH, MAX_BATCH},
};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

/// Tells the worker of the memory: number of the descriptor, slots, bytes of a slot, with colons between.
const VARIABLE: &str = "ORION_SHM";
/// How the memory is called in `/proc`.
const NAME: &str = "orion-frames";
/// For the frames in hand, and one that a worker may let go of late: of one camera, and of the largest batches. Where
/// addresses are scarce, what is beyond the former goes through the pipe.
pub(super) const SLOTS: u32 = if usize::BITS < 64 { FEWEST_SLOTS } else { slots_for(MAX_BATCH) };
/// How many are in use where frames go one by one.
pub(super) const FEWEST_SLOTS: u32 = slots_for(1);
/// No picture is larger, whichever way it goes: caps may change while frames flow, sealed memory cannot.
pub(super) const SLOT_SIZE: usize = MAX_MESSAGE;

/// How many slots the frames of batches of a size take.
pub(super) const fn slots_for(batch: usize) -> u32 {
    (DEPTH * batch) as u32 + 1
}

/// The host's view.
pub(super) struct Ring(Mutex<MmapMut>);

/// The worker's end, until the worker has it.
pub(super) struct Offer(OwnedFd);

impl Ring {
    /// New memory, with the end for the worker.
    ///
    /// # Errors
    /// What the operating system says, for example that it has no memfd, or cannot seal one as needed (Linux 5.1).
    pub(super) fn create() -> io::Result<(Self, Offer)> {
        let file = memfd_create(NAME, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, SLOT_SIZE as u64 * u64::from(SLOTS))?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW)?;
        // SAFETY: the file cannot be made smaller any more, so that every access is backed; nobody else has it yet, and once
        // the seals below are set nobody but this mapping can write to it, whoever gets it.
        let map = unsafe { MmapMut::map_mut(&file) }?;
        fcntl_add_seals(&file, SealFlags::FUTURE_WRITE | SealFlags::SEAL)?;
        Ok((Self(Mutex::new(map)), Offer(file)))
    }

    /// Writes a piece of a picture; false = it does not fit into the slot, and nothing was written.
    pub(super) fn write(&self, slot: u32, offset: usize, piece: &[u8]) -> bool {
        let Some(end) = offset.checked_add(piece.len()).filter(|end| *end <= SLOT_SIZE) else { return false };
        let start = slot as usize * SLOT_SIZE;
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = map.get_mut(start + offset..start + end);
        place.map(|place| place.copy_from_slice(piece)).is_some()
    }
}

impl Offer {
    /// Passes it to the process that is to be started. The descriptor keeps its number: another one could be in use by what
    /// starts the process.
    ///
    /// # Errors
    /// When the command has a descriptor of that number already.
    pub(super) fn pass(self, command: &mut Command) -> io::Result<()> {
        let number = self.0.as_raw_fd();
        command.env(VARIABLE, format!("{number}:{SLOTS}:{SLOT_SIZE}"));
        let mapping = FdMapping { parent_fd: self.0, child_fd: number };
        command.fd_mappings(vec![mapping]).map(|_| ()).map_err(io::Error::other)
    }

    /// Keeps one from reaching the process by way of the host's own environment.
    pub(super) fn pass_none(command: &mut Command) {
        command.env_remove(VARIABLE);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read, os::unix::fs::FileExt, process::Stdio};

    use super::*;

    #[test]
    fn what_is_written_is_seen_by_a_process_that_can_neither_write_nor_resize() {
        let (ring, offer) = Ring::create().unwrap();
        assert!(ring.write(SLOTS - 1, 10, b"picture"));
        let script = r#"IFS=:; set -- $ORION_SHM; exec 8<>"/proc/self/fd/$1"
            tail -c "$3" /proc/self/fd/8 | head -c 17 | tail -c 7; echo " $2 $3"
            printf x >&8 || echo sealed; truncate -s 1 /proc/self/fd/8 || echo fixed"#;
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::null());
        offer.pass(&mut command).unwrap();
        let mut child = command.spawn().unwrap();
        drop(command);
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        child.wait().unwrap();
        assert_eq!(said, format!("picture {SLOTS} {SLOT_SIZE}\nsealed\nfixed\n"));
    }

    #[test]
    fn nothing_is_written_outside_a_slot() {
        let (ring, offer) = Ring::create().unwrap();
        assert!(ring.write(0, SLOT_SIZE - 1, b"a") && ring.write(SLOTS - 1, 0, b"b"));
        assert!(!ring.write(0, SLOT_SIZE - 1, b"ab") && !ring.write(SLOTS, 0, b"a"));
        assert!(!ring.write(0, usize::MAX, b"ab") && ring.write(0, SLOT_SIZE, b""));
        let file = fs::File::from(offer.0);
        let mut found = [9; 3];
        file.read_exact_at(&mut found, SLOT_SIZE as u64 - 1).unwrap();
        assert_eq!(found, *b"a\0\0");
        assert!(file.write_at(b"x", 0).is_err() && file.set_len(0).is_err() && file.set_len(1 << 40).is_err());
    }

    #[test]
    fn a_process_that_is_offered_nothing_hears_of_nothing() {
        let mut command = Command::new("sh");
        command.env(VARIABLE, "3:3:3").args(["-c", "echo [$ORION_SHM]"]);
        Offer::pass_none(&mut command);
        assert_eq!(command.output().unwrap().stdout, b"[]\n");
    }
}
