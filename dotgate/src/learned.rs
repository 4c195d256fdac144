//! What sessions showed of their upstreams, over a restart: written into a small file whenever it changes.
//!
//! Not on the path of a query: a thread of its own writes, the file is read before there are workers. `format` is what
//! stands in it, `own_file` how it is opened and replaced. The file is never trusted: it is read as a whole or not at
//! all, each value has a range, and all that it decides is which of two handshakes is tried first and how long an idle session
//! is kept. What is wrong with it is one warning, and then nothing is known. Time: what ends at some time is written by the wall clock.

mod format;

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dotgate_core::Moment;
use thiserror::Error;

use self::format::{Entry, MAGIC, Unreadable};
use crate::clock::{now, wall_clock};
use crate::log::message::say;
use crate::own_file::{self, Kind, Refused};
use crate::running::Running;
use crate::upstreams::Upstream;

/// How long an end waits for a slow disk.
const WAIT_MAX: Duration = Duration::from_secs(2);

const KIND: Kind = Kind {
    name: "a state file of dotgate's upstreams",
    magic: MAGIC,
};

/// Why a state file was not read.
#[derive(Debug, Error)]
enum NotRead {
    /// The file is not this process's.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It is not as it was written here.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// What is known of one upstream.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Known {
    label: String,
    classical_until: Option<Moment>,
    idle_timeout: Option<Duration>,
}

impl Known {
    fn of(upstream: &Upstream) -> Known {
        Known {
            label: upstream.label().to_owned(),
            classical_until: upstream.handshakes().classical_until(now()),
            idle_timeout: upstream.idle_timeout().seen(),
        }
    }
}

/// Takes what is in the file at `path`, if there is one, for these upstreams. How it went is in the log.
pub fn restore(path: &Path, upstreams: &[Arc<Upstream>]) {
    let file = path.display();
    match read(path) {
        Ok(None) => {}
        Ok(Some(entries)) => {
            let (now, wall) = (now(), wall_clock());
            let mut restored = 0;
            for entry in &entries {
                let is_meant = |upstream: &&Arc<Upstream>| upstream.label() == entry.upstream;
                for upstream in upstreams.iter().filter(is_meant) {
                    restored += 1;
                    if let Some(until) = entry.classical_until {
                        let left = until.saturating_mul(1_000).saturating_sub(wall);
                        let until = now + Duration::from_millis(left);
                        upstream.handshakes().restore(now, until);
                    }
                    if let Some(millis) = entry.idle_timeout_ms {
                        let seen = Duration::from_millis(millis);
                        upstream.idle_timeout().restore(seen);
                    }
                }
            }
            say!(STATE_RESTORED, file = %file, upstreams = restored);
        }
        Err(problem) => say!(STATE_UNREADABLE, file = %file, reason = %problem),
    }
}

fn read(path: &Path) -> Result<Option<Vec<Entry>>, NotRead> {
    let Some((file, _)) = own_file::open(path)? else {
        return Ok(None);
    };
    let mut text = Vec::new();
    let mut file = file.take(format::BYTES_MAX + 1);
    file.read_to_end(&mut text).map_err(Refused::from)?;
    Ok(Some(format::parse(&text)?))
}

/// The file, and what was last written into it.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
    running: Arc<Running>,
    /// One thread at a time.
    written: Arc<Mutex<Vec<Known>>>,
}

impl StateFile {
    /// That of a process which has restored what it found there.
    pub fn new(path: &Path, running: &Arc<Running>) -> StateFile {
        let file = StateFile {
            path: path.to_owned(),
            running: Arc::clone(running),
            written: Arc::default(),
        };
        *file.lock_written() = file.known();
        file
    }

    /// Writes it if something is known that is not in it; waits for that, but no longer than `WAIT_MAX`. A failure is in
    /// the log.
    pub async fn save(&self) {
        let known = self.known();
        // A thread that writes has the lock: it writes what is new, or the next call does.
        let is_written = self
            .written
            .try_lock()
            .is_ok_and(|written| *written == known);
        if is_written {
            return;
        }
        let file = self.path.display();
        let this = self.clone();
        let saved =
            own_file::save_in_thread("state-file", WAIT_MAX, move |_| this.write(known)).await;
        if let Err(problem) = saved {
            say!(STATE_UNSAVED, file = %file, reason = %problem);
        }
    }

    fn write(&self, known: Vec<Known>) -> Result<(), Refused> {
        let mut written = self.lock_written();
        // Also if it fails: it is tried again when something else is learned.
        written.clone_from(&known);
        let (now, wall) = (now(), wall_clock());
        let seconds = |until: Moment| {
            let left = u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX);
            wall.saturating_add(left) / 1_000
        };
        let entries = known.into_iter().filter_map(|known| {
            let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            let is_known = known.classical_until.is_some() || known.idle_timeout.is_some();
            is_known.then(|| Entry {
                upstream: known.label,
                classical_until: known.classical_until.map(seconds),
                idle_timeout_ms: known.idle_timeout.map(millis),
            })
        });
        let text = format::write(entries.collect()).map_err(io::Error::other)?;
        own_file::replace(&self.path, KIND, |file| file.write_all(&text))
    }

    fn known(&self) -> Vec<Known> {
        let upstreams = self.running.upstreams();
        upstreams.iter().map(|it| Known::of(it)).collect()
    }

    fn lock_written(&self) -> std::sync::MutexGuard<'_, Vec<Known>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
