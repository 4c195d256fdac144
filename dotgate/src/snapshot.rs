//! The cache over a restart: written into a file at the end, read from it at the start.
//!
//! Not on the path of a query: threads of their own read and write, the control thread waits for a write for a while,
//! workers never. `format` is what stands in the file, `own_file` how it is opened and replaced. The file is never
//! trusted: whole or not at all, then entry by entry through `dotgate_core::CacheImporter`. What is wrong with it is
//! one warning, and the cache begins empty. Time: ages grow by what the wall clock says has passed.

mod format;

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::log::message::say;
use dotgate_core::cache::{Cache, SavedEntry};
use dotgate_core::{CacheImporter, CacheSettings, Filter, Moment};
use thiserror::Error;

use self::format::{MAGIC, Unreadable, Verified, Writing};
use crate::clock::wall_clock;
use crate::own_file::{self, GivenUp, Kind, Refused};

const KIND: Kind = Kind {
    name: "a snapshot of dotgate's cache",
    magic: &MAGIC,
};

/// How long an end waits for a slow disk.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The name of the threads that read and write.
const THREAD: &str = "snapshot";

/// Why a snapshot was not read.
#[derive(Debug, Error)]
enum NotRead {
    /// The file is not this process's.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It is not as it was written here.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It would not fit.
    #[error(
        "it has {length} bytes and the cache {size}; it was written with a larger DOTGATE_CACHE_SIZE"
    )]
    TooLong {
        /// Of the file, in bytes.
        length: u64,
        /// Of the cache, in bytes.
        size: usize,
    },
    /// Its age is unknown.
    #[error(
        "its time is in the future: the clock was set back, and the age of its responses is unknown"
    )]
    FromLater,
    /// Nothing in it can be given to anybody.
    #[error(
        "it was written {} h ago, and DOTGATE_CACHE_TTL_MAX and DOTGATE_CACHE_STALE_MAX permit no response of that \
         age",
        .0.as_secs() / 3_600
    )]
    TooOld(Duration),
}

/// What a snapshot brought.
#[derive(Clone, Copy, Debug)]
struct Restored {
    entries: usize,
    left_out: usize,
    age: Duration,
}

/// The cache, its file, and how they come together.
#[derive(Clone, Debug)]
pub struct Snapshot {
    path: PathBuf,
    cache: Arc<Cache>,
    settings: CacheSettings,
    filter: Filter,
    /// One thread at a time: nothing is written before all that was there has been read.
    turn: Arc<Mutex<()>>,
}

impl Snapshot {
    /// Imports from the file at `path` into this cache with these `settings` what `filter` permits.
    pub fn new(
        path: &Path,
        cache: Arc<Cache>,
        settings: CacheSettings,
        filter: Filter,
    ) -> Snapshot {
        Snapshot {
            path: path.to_owned(),
            cache,
            settings,
            filter,
            turn: Arc::default(),
        }
    }

    /// Begins to read the file into the cache, while queries are served. How it went is in the log.
    pub fn restore(&self) {
        let snapshot = self.clone();
        let begun = thread::Builder::new()
            .name(THREAD.to_owned())
            .spawn(move || {
                let _turn = snapshot.turn.lock().unwrap_or_else(PoisonError::into_inner);
                let file = snapshot.path.display();
                match snapshot.read() {
                    Ok(Some(restored)) => say!(
                        SNAPSHOT_RESTORED,
                        file = %file,
                        entries = restored.entries,
                        left_out = restored.left_out,
                        age_seconds = restored.age.as_secs()
                    ),
                    Ok(None) => say!(SNAPSHOT_ABSENT, file = %file),
                    Err(problem) => {
                        say!(SNAPSHOT_UNREADABLE, file = %file, reason = %problem);
                    }
                }
            });
        if let Err(error) = begun {
            let file = self.path.display();
            say!(SNAPSHOT_UNREADABLE, file = %file, reason = %error);
        }
    }

    /// Writes the cache into the file; waits for that, but no longer than `WAIT_MAX`. How it went is in the log.
    pub async fn save(&self) {
        let snapshot = self.clone();
        let save = move |given_up: &GivenUp| {
            let _turn = snapshot.turn.lock().unwrap_or_else(PoisonError::into_inner);
            snapshot.write(given_up)
        };
        let file = self.path.display();
        match own_file::save_in_thread(THREAD, WAIT_MAX, save).await {
            Ok(entries) => say!(SNAPSHOT_SAVED, file = %file, entries = entries),
            Err(problem) => say!(SNAPSHOT_UNSAVED, file = %file, reason = %problem),
        }
    }

    fn read(&self) -> Result<Option<Restored>, NotRead> {
        let Some((file, length)) = own_file::open(&self.path)? else {
            return Ok(None);
        };
        let size = self.cache.usage().bytes_max;
        if length > size as u64 {
            return Err(NotRead::TooLong { length, size });
        }
        let verified = Verified::verify(file, length)?;
        let age = self.age(verified.written_at(), wall_clock())?;
        let now = Moment::from_nanos(dotgate_net::boottime_nanos());
        let mut importer = CacheImporter::new(&self.cache, &self.settings, &self.filter);
        let (mut entries, mut left_out) = (0, 0);
        verified.read(|entry| {
            let aged = SavedEntry {
                age: entry.age.saturating_add(age),
                ..entry
            };
            if importer.entry(now, &aged) {
                entries += 1;
            } else {
                left_out += 1;
            }
        })?;
        Ok(Some(Restored {
            entries,
            left_out,
            age,
        }))
    }

    /// How long ago it was written, both times in milliseconds since 1970.
    fn age(&self, written_at: u64, now: u64) -> Result<Duration, NotRead> {
        let age = now.checked_sub(written_at).ok_or(NotRead::FromLater)?;
        let age = Duration::from_millis(age);
        let longest = self.settings.ttl_max.max(self.settings.negative_ttl_max);
        let longest = Duration::from_secs(longest.into()) + self.settings.stale_max;
        if age >= longest {
            return Err(NotRead::TooOld(age));
        }
        Ok(age)
    }

    fn write(&self, given_up: &GivenUp) -> Result<usize, Refused> {
        own_file::replace(&self.path, KIND, |file| {
            let entries = self.write_to(file, given_up)?;
            file.sync_all()?;
            // A process that continues must not replace the file of a later one.
            given_up.check()?;
            Ok(entries)
        })
    }

    fn write_to(&self, file: &mut File, given_up: &GivenUp) -> io::Result<usize> {
        let mut writing = Writing::begin(BufWriter::new(file), wall_clock())?;
        let now = Moment::from_nanos(dotgate_net::boottime_nanos());
        let mut outcome = Ok(());
        self.cache.export(now, |entry| {
            if outcome.is_ok() {
                outcome = given_up.check().and_then(|()| writing.entry(&entry));
            }
        });
        outcome?;
        writing.end()
    }
}

#[cfg(test)]
mod tests;
