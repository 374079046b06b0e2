// SPDX-License-Identifier: MPL-2.0

use std::{fs, os::unix::fs::PermissionsExt};

use bytes::Bytes;

use super::*;
use crate::orionmqttsink::{
    outbox::Record,
    payload::{Draft, Now, OVERHEAD},
};

const NOW: Now = Now { wall: 1_000_000_000, running: 500 };

fn work(write: &[(u64, &str)], remove: &[u64], read: &[u64]) -> Work {
    let record = |&(key, text): &(u64, &str)| {
        let body = Body::Raw(Bytes::copy_from_slice(text.as_bytes()));
        let draft =
            Draft { topic: "t".into(), body, qos: 1, retain: false, content_type: None, origin: None, key: None };
        Record { key, frame: key / 2, born: 7, draft: Arc::new(draft) }
    };
    let write = write.iter().map(record).collect();
    Work { now: NOW, write, remove: remove.to_vec(), unsaid: None, read: read.to_vec() }
}

fn keys(former: &Former) -> Vec<u64> {
    former.leftovers.iter().map(|leftover| leftover.key).collect()
}

fn texts(bodies: Vec<(u64, Option<Body>)>) -> Vec<Option<String>> {
    let text = |body| match body {
        Body::Raw(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Body::Report(_) => panic!("none was written"),
    };
    bodies.into_iter().map(|(_, body)| body.map(text)).collect()
}

fn refused(folder: &Path) -> String {
    Store::open(folder).err().map(|error| error.to_string()).unwrap()
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("a/b");
    let (mut store, former) = Store::open(&folder).unwrap();
    assert!(former.leftovers.is_empty() && former.moved.is_none());
    let bodies = store.perform(&work(&[(3, "three"), (4, "four"), (10, "ten")], &[], &[4])).unwrap();
    assert_eq!(texts(bodies), [Some("four".into())]);
    assert_eq!(refused(&folder), "another sink uses this folder");
    drop(store);
    let (mut store, former) = Store::open(&folder).unwrap();
    assert_eq!(keys(&former), [3, 4, 10]);
    let four = &former.leftovers[1];
    assert_eq!((four.frame, four.born, four.slip.size), (2, 7, OVERHEAD + "t".len() + "four".len()));
    assert!(Arc::ptr_eq(&four.slip.label, &former.leftovers[2].slip.label), "what is common is shared");
    let bodies = store.perform(&work(&[(4, "4")], &[3], &[10, 3, 4])).unwrap();
    assert_eq!(texts(bodies), [Some("ten".into()), None, Some("4".into())]);
    for (path, mode) in [(&folder, 0o700), (&folder.join(FILE), 0o600), (&folder.join(LOCK), 0o600)] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, mode, "{path:?}");
    }
}

/// The files that were moved aside.
fn aside(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.to_str().unwrap().contains("damaged")).collect()
}

fn filled(folder: &Path) -> Vec<u8> {
    let (mut store, _) = Store::open(folder).unwrap();
    let text = "x".repeat(3000);
    let all: Vec<_> = (0..100).map(|key| (key, text.as_str())).collect();
    store.perform(&work(&all, &[], &[])).unwrap();
    drop(store);
    fs::read(folder.join(FILE)).unwrap()
}

#[test]
fn a_damaged_file_is_moved_aside_wherever_it_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let good = filled(dir.path());
    let at_content = good.windows(100).position(|part| part == [b'x'; 100]).unwrap();
    for (n, what) in ["magic number", "header", "content", "end", "everything"].into_iter().enumerate() {
        let mut bad = good.clone();
        match what {
            "magic number" => bad[0] ^= 1,
            "header" => bad[64..320].fill(0x55),
            "content" => bad[at_content + 50] ^= 1,
            "end" => bad.truncate(good.len() / 2),
            _ => bad.fill(b'?'),
        }
        fs::write(dir.path().join(FILE), &bad).unwrap();
        let (mut store, former) = Store::open(dir.path()).unwrap();
        let moved = former.moved.unwrap();
        assert!(former.leftovers.is_empty(), "{what}");
        assert_eq!(aside(dir.path()).len(), n + 1, "{what}: {moved}");
        let saved = aside(dir.path()).into_iter().find(|path| moved.contains(path.to_str().unwrap())).unwrap();
        assert!(fs::metadata(saved).unwrap().len() >= bad.len() as u64, "{what}: none of it is deleted");
        store.perform(&work(&[(1, "new")], &[], &[])).unwrap();
        drop(store);
        assert_eq!(keys(&Store::open(dir.path()).unwrap().1), [1], "{what}");
    }
}

#[test]
fn a_foreign_file_is_moved_aside_and_a_newer_one_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let other: TableDefinition<&str, u64> = TableDefinition::new("somebody's");
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(other).unwrap().insert("a", 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let (store, former) = Store::open(dir.path()).unwrap();
    assert!(former.moved.unwrap().contains("another program's database"));
    drop(store);
    let theirs = Database::open(&aside(dir.path())[0]).unwrap();
    assert_eq!(theirs.begin_read().unwrap().open_table(other).unwrap().get("a").unwrap().unwrap().value(), 1);

    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert(FORMAT, 2_u32.to_be_bytes().as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert_eq!(refused(dir.path()), "messages.redb was written by a newer version (format 2, this one knows 1)");
    assert_eq!(aside(dir.path()).len(), 1);
    let newer = Database::open(&path).unwrap().begin_read().unwrap().open_table(META).unwrap();
    assert_eq!(newer.get(FORMAT).unwrap().unwrap().value(), 2_u32.to_be_bytes(), "it stays as it is");
}

#[test]
fn a_folder_that_cannot_be_used_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for folder in [file.clone(), file.join("below"), PathBuf::from("/proc/orion")] {
        let why = refused(&folder);
        assert!(why.starts_with("cannot be made: "), "{folder:?}: {why}");
    }
    fs::create_dir(dir.path().join(FILE)).unwrap();
    let why = refused(dir.path());
    assert!(why.starts_with("its file cannot be opened: "), "{why}");
}

#[test]
fn a_disk_error_changes_nothing_and_is_not_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    store.perform(&work(&[(1, "one")], &[], &[])).unwrap();
    // As when the disk has gone: nothing can be opened in place of what was closed after an error.
    store.database = None;
    let path = dir.path().join(FILE);
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    fs::create_dir(&path).unwrap();
    let why = store.perform(&work(&[(2, "two")], &[], &[])).unwrap_err();
    assert!(why.contains("cannot be opened"), "{why}");
    fs::remove_dir(&path).unwrap();
    fs::rename(&elsewhere, &path).unwrap();
    let bodies = store.perform(&work(&[(2, "two")], &[], &[1, 2])).unwrap();
    assert_eq!(texts(bodies), [Some("one".into()), Some("two".into())]);
}
