// SPDX-License-Identifier: MPL-2.0
//! Completions for shells and manual pages, made from the command line as it is.

use std::{
    io::{self, Write},
    path::Path,
};

use clap::Command;
use clap_complete::Shell;

/// Prints completions.
///
/// # Errors
/// They cannot be printed.
pub(crate) fn completions(mut command: Command, shell: Shell) -> io::Result<()> {
    // Into memory first: the library panics where it cannot write.
    let mut text = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut text);
    let mut out = io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush())
}

/// Prints the manual page, or writes it and that of each command to a folder, which is made.
///
/// # Errors
/// It cannot be written.
pub(crate) fn manual(command: Command, directory: Option<&Path>) -> io::Result<()> {
    match directory {
        Some(directory) => {
            std::fs::create_dir_all(directory)?;
            clap_mangen::generate_to(command, directory)
        }
        None => {
            let mut out = io::stdout().lock();
            clap_mangen::Man::new(command).render(&mut out).and_then(|()| out.flush())
        }
    }
}
