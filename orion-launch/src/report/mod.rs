// SPDX-License-Identifier: MPL-2.0
//! `orion-launch report`: a page of diagrams from lines of results.

mod axis;
mod bins;
mod chart;
mod charts;
mod entry;
mod gather;
mod html;
mod page;
mod series;
mod spread;

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::cli;
use gather::Gathered;

/// The command line is wrong.
const USAGE: u8 = 2;
/// How far into a page its mark is looked for, bytes.
const HEAD: u64 = 512;

/// Makes a page.
pub(crate) fn run(options: &cli::Report) -> ExitCode {
    match make(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, text)) => {
            complain(&text);
            ExitCode::from(code)
        }
    }
}

fn make(options: &cli::Report) -> Result<(), (u8, String)> {
    let is_stdin = is_dash(&options.input);
    let name = if is_stdin { "standard input".to_owned() } else { options.input.display().to_string() };
    let input: Box<dyn BufRead> = if is_stdin {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(&options.input).map_err(|error| (USAGE, format!("{name}: {error}")))?))
    };
    let output = match &options.output {
        Some(path) if is_dash(path) => None,
        Some(path) => Some(path.clone()),
        None if is_stdin => None,
        None => Some(options.input.with_extension("html")),
    };
    if let Some(path) = &output {
        check(path, options).map_err(|text| (USAGE, text))?;
    }
    let all = Gathered::read(input).map_err(|error| (1, format!("{name}: {error}")))?;
    for (number, reason) in &all.named {
        complain(&format!("{name}:{number}: {reason}"));
    }
    if all.broken > all.named.len() as u64 {
        complain(&format!("{name}: {} lines are broken in all", all.broken));
    }
    if all.results == 0 {
        return Err((1, format!("{name}: there is no result in {} lines", all.lines)));
    }
    let title =
        options.input.file_name().filter(|_| !is_stdin).map_or(name, |name| name.to_string_lossy().into_owned());
    let page = page::html(&title, &all);
    match output {
        None => io::stdout().write_all(page.as_bytes()).map_err(|error| (1, format!("standard output: {error}"))),
        Some(path) => {
            write(&path, &page).map_err(|error| (1, format!("{}: {error}", path.display())))?;
            let told = format!("{}: {} results, {} cameras and kinds", path.display(), all.results, all.series.len());
            writeln!(io::stdout(), "{told}").map_err(|error| (1, format!("standard output: {error}")))
        }
    }
}

fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Whether a page may be written there: what is there is a page of ours, or may be replaced.
fn check(path: &Path, options: &cli::Report) -> Result<(), String> {
    let there = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("{}: {error}", path.display())),
        Ok(there) => there,
    };
    let same = |input: fs::Metadata| {
        use std::os::unix::fs::MetadataExt;
        (input.dev(), input.ino()) == (there.dev(), there.ino())
    };
    if !is_dash(&options.input) && fs::metadata(&options.input).is_ok_and(same) {
        return Err(format!("{}: the results themselves would be overwritten", path.display()));
    }
    if !there.is_file() {
        // A device or a pipe takes what it gets.
        return if there.is_dir() { Err(format!("{}: not a file", path.display())) } else { Ok(()) };
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    let is_ours = read.is_ok() && String::from_utf8_lossy(&head).contains(page::MARK);
    match is_ours || options.overwrite {
        true => Ok(()),
        false => Err(format!("{}: exists and is no such page; --overwrite replaces it", path.display())),
    }
}

/// Writes a page so that it is whole or not there.
fn write(path: &Path, page: &str) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return File::options().write(true).open(path)?.write_all(page.as_bytes());
    }
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let written = fs::write(&part, page).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        // It may not be there.
        let _ = fs::remove_file(&part);
    }
    written
}

fn complain(text: &str) {
    // With standard error closed nobody is there to be told.
    let _ = writeln!(io::stderr(), "report: {text}");
}
