// SPDX-License-Identifier: MPL-2.0
//! Where everything lies: what is read, what is written, and under which name as long as it is not whole.

use std::{
    fs::{self, Metadata},
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::cli;

/// What stands behind a file's name until it is whole.
const PART: &str = ".part";

/// What is wrong with the names of files.
#[derive(Debug, Error)]
pub(super) enum PlaceError {
    #[error("{}: {error}", path.display())]
    Input { path: PathBuf, error: io::Error },
    #[error("{}: not a file", .0.display())]
    NotAFile(PathBuf),
    #[error("{}: the recording itself would be overwritten", .0.display())]
    Itself(PathBuf),
    #[error("{}: exists already; --overwrite replaces it", .0.display())]
    Exists(PathBuf),
    #[error("{}: pictures and results cannot both be written there", .0.display())]
    Same(PathBuf),
}

/// A file that has its name when it is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Its name in the end.
    pub(super) path: PathBuf,
    /// Its name until then.
    pub(super) part: PathBuf,
}

impl Target {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), part: with_suffix(path, PART) }
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// The folder does not allow it.
    pub(super) fn finish(&self) -> Result<(), String> {
        fs::rename(&self.part, &self.path).map_err(|error| format!("{}: {error}", self.path.display()))
    }

    /// Removes what is not whole; nothing may be there.
    pub(super) fn discard(&self) {
        let _ = fs::remove_file(&self.part);
    }
}

/// Where results go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Results {
    Stdout,
    File(Target),
}

/// All files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) input: PathBuf,
    /// None = no pictures.
    pub(super) video: Option<Target>,
    pub(super) results: Results,
}

impl Places {
    /// Checks the names on the command line.
    ///
    /// # Errors
    /// [`PlaceError`] names the first file that is wrong.
    pub(super) fn of(options: &cli::Annotate) -> Result<Self, PlaceError> {
        let input = &options.input;
        let recording = fs::metadata(input).map_err(|error| PlaceError::Input { path: input.clone(), error })?;
        if !recording.is_file() {
            return Err(PlaceError::NotAFile(input.clone()));
        }
        fs::File::open(input).map_err(|error| PlaceError::Input { path: input.clone(), error })?;
        let video = options.output.as_deref().map(Target::new);
        let results = match (&options.results, &video) {
            (Some(path), _) if path.as_os_str() == "-" => Results::Stdout,
            (Some(path), _) => Results::File(Target::new(path)),
            (None, Some(video)) => Results::File(Target::new(&video.path.with_extension("jsonl"))),
            // The command line asks for one of the two.
            (None, None) => Results::Stdout,
        };
        let places = Self { input: input.clone(), video, results };
        let targets: Vec<_> = places.targets().collect();
        for target in &targets {
            for path in [&target.path, &target.part] {
                if fs::metadata(path).is_ok_and(|there| is_same(&there, &recording)) {
                    return Err(PlaceError::Itself(path.clone()));
                }
            }
            match fs::symlink_metadata(&target.path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(PlaceError::Input { path: target.path.clone(), error }),
                Ok(there) if there.is_dir() => return Err(PlaceError::NotAFile(target.path.clone())),
                Ok(_) if !options.overwrite => return Err(PlaceError::Exists(target.path.clone())),
                Ok(_) => {}
            }
        }
        if let [one, other] = targets.as_slice()
            && (one.path == other.path || one.path == other.part || one.part == other.path)
        {
            return Err(PlaceError::Same(one.path.clone()));
        }
        Ok(places)
    }

    fn targets(&self) -> impl Iterator<Item = &Target> {
        let results = match &self.results {
            Results::File(target) => Some(target),
            Results::Stdout => None,
        };
        self.video.iter().chain(results)
    }
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// The path with something behind its last part.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Arguments, Command};

    fn places(arguments: &[&str]) -> Result<Places, String> {
        let all = ["orion-launch", "annotate"].into_iter().chain(arguments.iter().copied());
        match Arguments::parse_from(all).command {
            Some(Command::Annotate(options)) => Places::of(&options).map_err(|error| error.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn results_lie_beside_the_pictures_and_nothing_is_overwritten_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (input, output, results) = (path("in.mp4"), path("out.mp4"), path("out.jsonl"));
        assert!(places(&[&input, &output]).unwrap_err().ends_with("in.mp4: No such file or directory (os error 2)"));
        fs::write(&input, "x").unwrap();
        let found = places(&[&input, &output]).unwrap();
        assert_eq!(found.video, Some(Target { path: output.clone().into(), part: path("out.mp4.part").into() }));
        assert_eq!(found.results, Results::File(Target::new(Path::new(&results))));
        assert_eq!(places(&[&input, "--no-video", "--results", "-"]).unwrap().results, Results::Stdout);
        for (arguments, expected) in [
            (vec![&*input, &input], "in.mp4: the recording itself would be overwritten"),
            (vec![&input, &output, "--results", &input], "in.mp4: the recording itself would be overwritten"),
            (vec![&input, &output, "--results", &output], "out.mp4: pictures and results cannot both be written there"),
            (vec![folder.path().to_str().unwrap(), &output], ": not a file"),
            (vec![&input, folder.path().to_str().unwrap(), "--overwrite"], ": not a file"),
        ] {
            let error = places(&arguments).unwrap_err();
            assert!(error.ends_with(expected), "{arguments:?}: {error}");
        }
        let link = path("link.mp4");
        std::os::unix::fs::symlink(&input, &link).unwrap();
        assert!(places(&[&input, &link, "--overwrite"]).unwrap_err().contains("recording itself"), "by another name");
        fs::write(&results, "").unwrap();
        assert!(
            places(&[&input, &output]).unwrap_err().ends_with("out.jsonl: exists already; --overwrite replaces it")
        );
        assert!(places(&[&input, &output, "--overwrite"]).is_ok());
    }
}
