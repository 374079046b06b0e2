// SPDX-License-Identifier: MPL-2.0
//! The files that are kept of each target, read by the same functions in `make test`.

use std::{fs, path::Path};

/// Runs a target on each of its files.
pub(crate) fn corpus(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = folder.ancestors().map(|folder| folder.join("fuzz/corpus")).find(|folder| folder.is_dir());
    let folder = corpus.expect("fuzz/corpus").join(target);
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("a corpus").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() >= 3, "{}: {} files", folder.display(), files.len());
    for file in files {
        let data = fs::read(&file).expect("a file");
        if std::panic::catch_unwind(|| run(&data)).is_err() {
            panic!("{} breaks a rule of {target}, see above", file.display());
        }
    }
}
