// SPDX-License-Identifier: MPL-2.0
//! The folder of `buffer-directory`: a redb database and a lock.
//!
//! redb, since it is one file of pure Rust whose every commit is atomic and durable; fjall (LSM) has threads of its own and many
//! files, and a plain queue file cannot remove from the middle, as `outage-policy=newest` does.

use std::{
    any::Any,
    collections::HashSet,
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition, TableError,
    backends::FileBackend,
};
use thiserror::Error;

use super::{
    outbox::{Label, Leftover, Unsaid, Work},
    payload::Body,
    record,
};

const FILE: &str = "messages.redb";
const LOCK: &str = "lock";

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("orionmqttsink");
const HEADERS: TableDefinition<u64, &[u8]> = TableDefinition::new("headers");
const CONTENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("contents");

/// How long a lock may be held by chance.
const MOMENT: Duration = Duration::from_millis(500);

const FORMAT: &str = "format";
/// Of the tables and of what is in them.
const VERSION: u32 = 1;
const GAPS: &str = "gaps";

/// redb would take 1 GiB.
const CACHE: usize = 8 << 20;

/// Why a folder cannot be used.
#[derive(Debug, Error)]
pub(super) enum StoreError {
    #[error("another sink uses this folder")]
    InUse,
    #[error("{FILE} was written by a newer version (format {0}, this one knows {VERSION})")]
    Newer(u32),
    #[error("{FILE} is in another database format ({0})")]
    Database(u8),
    #[error("{what}: {source}")]
    Io { what: &'static str, source: io::Error },
    #[error("{0}")]
    Failed(String),
}

/// Why a file cannot be used.
enum Trouble {
    /// It is not what it should be.
    Damaged(String),
    Other(StoreError),
}

/// What was found at the start.
#[derive(Debug, Default)]
pub(super) struct Former {
    pub(super) leftovers: Vec<Leftover>,
    pub(super) unsaid: Unsaid,
    /// For people: a file was moved aside.
    pub(super) moved: Option<String>,
}

/// An open folder.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    /// None after an error, until the next try.
    database: Option<Database>,
    /// Held, so that the folder stays ours while the database is closed.
    _lock: File,
}

impl Store {
    /// Opens a folder, or makes one, and reads what is there. What cannot be read is moved aside.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be used.
    pub(super) fn open(folder: &Path) -> Result<(Self, Former), StoreError> {
        let io = |what| move |source| StoreError::Io { what, source };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io("cannot be made"))?;
        let lock = private(&folder.join(LOCK)).map_err(io("cannot be written to"))?;
        match patiently(|| lock.try_lock(), |error| matches!(error, TryLockError::WouldBlock)) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse),
            Err(TryLockError::Error(source)) => return Err(StoreError::Io { what: "cannot be locked", source }),
        }
        let path = folder.join(FILE);
        let begun = match begin(&path) {
            Err(Trouble::Damaged(why)) => {
                let aside = move_aside(&path).map_err(io("a damaged file cannot be moved aside"))?;
                let moved = format!("{} is not usable ({why}); it is now {}", path.display(), aside.display());
                begin(&path).map(|(database, former)| (database, Former { moved: Some(moved), ..former }))
            }
            other => other,
        };
        match begun {
            Ok((database, former)) => {
                // A file that is not in its folder yet would not survive a power cut, nor would a new folder.
                File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("cannot be synchronised"))?;
                let parent = folder.canonicalize().ok().and_then(|folder| File::open(folder.parent()?).ok());
                // Somebody else's folder may be closed to us; then it was there before.
                let _ = parent.map(|parent| parent.sync_all());
                Ok((Self { path, database: Some(database), _lock: lock }, former))
            }
            Err(Trouble::Damaged(why)) => Err(StoreError::Failed(why)),
            Err(Trouble::Other(error)) => Err(error),
        }
    }

    /// Makes all changes at once, so that they survive a power cut, then reads.
    ///
    /// # Errors
    /// A text for people; then nothing has changed.
    pub(super) fn perform(&mut self, work: &Work) -> Result<Vec<(u64, Option<Body>)>, String> {
        let done = self.database().and_then(|database| {
            guarded(|| {
                if work.commits() {
                    write(database, work).map_err(|error| error.to_string())?;
                }
                read(database, work).map_err(|error| error.to_string())
            })
            .unwrap_or_else(Err)
        });
        if done.is_err() {
            // After an error redb wants to be opened anew.
            let database = self.database.take();
            let _ = guarded(|| drop(database));
        }
        done
    }

    fn database(&mut self) -> Result<&Database, String> {
        let database = match self.database.take() {
            Some(database) => database,
            // Its state is known; what it holds need not be read again.
            None => guarded(|| database(&self.path, false)).unwrap_or_else(|why| Err(Trouble::Damaged(why))).map_err(
                |trouble| match trouble {
                    Trouble::Damaged(why) => why,
                    Trouble::Other(error) => error.to_string(),
                },
            )?,
        };
        Ok(self.database.insert(database))
    }
}

/// Opens a file for nobody else, since results are personal data.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// redb may panic on a damaged file; that must not end the thread.
fn guarded<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("the database gave up").to_owned()
    })
}

/// Tries again for a moment while somebody else has the lock: a process that is being started (a worker) has all files open for as
/// long as it has not yet become another program, those that were closed here meanwhile, too.
fn patiently<T, E>(mut attempt: impl FnMut() -> Result<T, E>, is_busy: impl Fn(&E) -> bool) -> Result<T, E> {
    let deadline = Instant::now() + MOMENT;
    loop {
        match attempt() {
            Err(error) if is_busy(&error) && Instant::now() < deadline => thread::sleep(MOMENT / 50),
            outcome => return outcome,
        }
    }
}

fn database(path: &Path, check: bool) -> Result<Database, Trouble> {
    let other = |what| move |source| Trouble::Other(StoreError::Io { what, source });
    let open = || {
        let file = private(path).map_err(other("its file cannot be opened"))?;
        FileBackend::new(file).map_err(trouble)
    };
    let backend = patiently(open, |error| matches!(error, Trouble::Other(StoreError::InUse)))?;
    Builder::new()
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(check)
        .create_with_backend(backend)
        .map_err(trouble)
}

fn trouble(error: DatabaseError) -> Trouble {
    match error {
        DatabaseError::DatabaseAlreadyOpen => Trouble::Other(StoreError::InUse),
        DatabaseError::UpgradeRequired(version) => Trouble::Other(StoreError::Database(version)),
        DatabaseError::Storage(error) => storage_trouble(error),
        error => Trouble::Damaged(error.to_string()),
    }
}

fn storage_trouble(error: StorageError) -> Trouble {
    match error {
        StorageError::Io(source) if !matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => {
            Trouble::Other(StoreError::Io { what: "its file cannot be used", source })
        }
        error => Trouble::Damaged(error.to_string()),
    }
}

/// Opens the file and reads all headers.
fn begin(path: &Path) -> Result<(Database, Former), Trouble> {
    guarded(|| {
        let database = database(path, true)?;
        let former = former(&database)?;
        Ok((database, former))
    })
    .unwrap_or_else(|why| Err(Trouble::Damaged(why)))
}

/// Any other error means that the file is not ours or not whole.
fn sorted(error: impl Into<redb::Error>) -> Trouble {
    match error.into() {
        redb::Error::Io(source) => storage_trouble(StorageError::Io(source)),
        error => Trouble::Damaged(error.to_string()),
    }
}

fn former(database: &Database) -> Result<Former, Trouble> {
    let transaction = database.begin_read().map_err(sorted)?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => {
            let foreign = transaction.list_tables().map_err(sorted)?.next().is_some();
            if foreign {
                return Err(Trouble::Damaged("another program's database".to_owned()));
            }
            drop(transaction);
            return set_up(database).map(|()| Former::default());
        }
        Err(error) => return Err(sorted(error)),
    };
    let version = meta.get(FORMAT).map_err(sorted)?;
    let version = version.and_then(|bytes| bytes.value().try_into().ok().map(u32::from_be_bytes));
    match version {
        Some(VERSION) => {}
        Some(newer) if newer > VERSION => return Err(Trouble::Other(StoreError::Newer(newer))),
        _ => return Err(Trouble::Damaged("it says no format".to_owned())),
    }
    let unsaid = match meta.get(GAPS).map_err(sorted)? {
        Some(bytes) => rmp_serde::from_slice(bytes.value()).map_err(|e| Trouble::Damaged(e.to_string()))?,
        None => Unsaid::default(),
    };
    let headers = transaction.open_table(HEADERS).map_err(sorted)?;
    let mut labels: HashSet<Arc<Label>> = HashSet::new();
    let mut leftovers = Vec::new();
    for entry in headers.iter().map_err(sorted)? {
        let (key, header) = entry.map_err(sorted)?;
        let leftover = record::leftover(key.value(), header.value(), &mut labels);
        leftovers.push(leftover.map_err(|e| Trouble::Damaged(format!("message {} {e}", key.value())))?);
    }
    Ok(Former { leftovers, unsaid, moved: None })
}

fn set_up(database: &Database) -> Result<(), Trouble> {
    let transaction = database.begin_write().map_err(sorted)?;
    transaction.open_table(META).map_err(sorted)?.insert(FORMAT, VERSION.to_be_bytes().as_slice()).map_err(sorted)?;
    transaction.open_table(HEADERS).map_err(sorted)?;
    transaction.open_table(CONTENTS).map_err(sorted)?;
    transaction.commit().map_err(sorted)
}

fn write(database: &Database, work: &Work) -> Result<(), redb::Error> {
    let other = |error: record::RecordError| redb::Error::Io(io::Error::other(error));
    let transaction = database.begin_write()?;
    {
        let mut headers = transaction.open_table(HEADERS)?;
        let mut contents = transaction.open_table(CONTENTS)?;
        for record in &work.write {
            headers.insert(record.key, record::header(record).map_err(other)?.as_slice())?;
            let content = record::content(&record.draft.body, work.now).map_err(other)?;
            contents.insert(record.key, content.as_slice())?;
        }
        for key in &work.remove {
            headers.remove(key)?;
            contents.remove(key)?;
        }
        if let Some(unsaid) = &work.unsaid {
            let bytes = rmp_serde::to_vec_named(unsaid).map_err(|error| other(error.into()))?;
            transaction.open_table(META)?.insert(GAPS, bytes.as_slice())?;
        }
    }
    transaction.commit()?;
    Ok(())
}

fn read(database: &Database, work: &Work) -> Result<Vec<(u64, Option<Body>)>, redb::Error> {
    if work.read.is_empty() {
        return Ok(Vec::new());
    }
    let transaction = database.begin_read()?;
    let contents = transaction.open_table(CONTENTS)?;
    let body = |key: &u64| {
        let content = contents.get(key)?;
        Ok((*key, content.and_then(|content| record::body(content.value(), work.now).ok())))
    };
    work.read.iter().map(body).collect()
}

fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let names = (0_u32..).map(|n| path.with_extension(format!("redb.damaged-{seconds}-{n}")));
    // The folder is locked, so nobody else takes the name.
    let free = names.into_iter().find(|name| !name.exists()).unwrap_or_else(|| path.with_extension("redb.damaged"));
    std::fs::rename(path, &free)?;
    Ok(free)
}

#[cfg(test)]
mod tests;
