// SPDX-License-Identifier: MPL-2.0
//! What is printed, and who reads it.

use std::{
    io::{self, Write},
    os::fd::AsFd,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::failure::Failure;

/// Prints a text as one or more lines.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| failed(&error))
}

/// A line for people beside the answer.
pub(crate) fn note(text: &str) {
    // With standard error closed nobody is there to be told.
    let _ = writeln!(io::stderr(), "orion-config: {}", line(text));
}

/// Why nothing can be printed.
pub(crate) fn failed(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::NoReader,
        _ => Failure::Refused(format!("cannot print: {error}")),
    }
}

/// A text of somebody else in one line, with nothing in it that a terminal would obey.
pub(crate) fn line(text: &str) -> String {
    text.split('\n')
        .map(|line| line.trim_end().replace(char::is_control, "?"))
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

/// Ends when nobody reads the output any more; a pipe tells that only to who asks, or writes.
pub(crate) async fn reader_gone() {
    let (gone, told) = tokio::sync::oneshot::channel::<()>();
    // A thread of its own: it may wait for ever, and nothing waits for it.
    std::thread::spawn(move || {
        let out = io::stdout();
        loop {
            // Errors of the other end are told without being asked for.
            let mut watched = [PollFd::new(out.as_fd(), PollFlags::empty())];
            match poll(&mut watched, PollTimeout::NONE) {
                Ok(_) => break drop(gone),
                Err(nix::errno::Errno::EINTR) => {}
                // It cannot be watched: the next line tells.
                Err(_) => std::thread::park(),
            }
        }
    });
    let _ = told.await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_is_one_line_without_commands_to_the_terminal() {
        assert_eq!(line("a\r\n\nb\x1b[2Jc\n"), "a; b?[2Jc");
        assert_eq!(failed(&io::Error::from(io::ErrorKind::BrokenPipe)).code(), 0);
        assert_eq!(failed(&io::Error::other("disk full")).code(), 1);
    }
}
