//! Views of queries: one thread reads the records of all workers and hands them to whoever wants to see them.
//!
//! Each worker writes its records to a ring of its own, which only this thread reads. A worker never waits: a record that
//! does not fit is dropped and counted. While nobody wants records, workers make none, and this thread sleeps.
//! Limit: `ring::RING` records for each worker.

mod dnstap;
mod labels;
mod log_lines;
mod privacy;
mod query_log;
mod ring;
mod wall_time;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io};

use dotgate_config::{Config, DnstapReader};
use dotgate_core::LogDetail;

use self::dnstap::Dnstap;
pub use self::dnstap::{TapReceiver, TapSender, tap};
use self::labels::Labels;
pub use self::query_log::QueryLogError;
use self::query_log::{QueryLog, QueryLogSetup};
pub use self::ring::{RecordReceiver, RecordSender, ring};
use crate::clock::now;
use crate::log;
use crate::running::Running;

/// How often rings are read while records are wanted.
const READ_EVERY: Duration = Duration::from_millis(20);

/// How often it is looked whether the level of the log wants records.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long the end of the program waits for the last records to be written.
const END_WAIT: Duration = Duration::from_millis(500);

/// The thread that reads records.
#[derive(Debug)]
pub struct Views {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    dnstap: Dnstap,
}

struct Shared {
    /// Whether a view other than the log of the program wants records.
    is_wanted: Arc<AtomicBool>,
    is_ending: AtomicBool,
    /// The settings that the thread has not taken yet.
    next: Mutex<Option<Prepared>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// The rings of all workers, and whether anybody wants what they carry.
#[derive(Debug, Default)]
pub(crate) struct Rings {
    records: Vec<RecordReceiver>,
    records_wanted: Arc<AtomicBool>,
    copies: Vec<TapReceiver>,
    copies_wanted: Arc<AtomicBool>,
}

impl Rings {
    /// Makes those of one more worker, and returns its ends.
    pub(crate) fn add_worker(&mut self) -> (RecordSender, TapSender) {
        let (records, ring) = ring(&self.records_wanted);
        self.records.push(ring);
        let (copies, receiver) = tap(&self.copies_wanted);
        self.copies.push(receiver);
        (records, copies)
    }
}

/// What other settings need, found to be right.
#[derive(Debug)]
pub struct Prepared {
    query_log: Option<QueryLogSetup>,
    dnstap: Option<DnstapReader>,
}

impl Prepared {
    /// Opens what the settings name.
    ///
    /// # Errors
    /// The file of the query log cannot be opened.
    pub fn new(config: &Config) -> Result<Prepared, QueryLogError> {
        Ok(Prepared {
            query_log: QueryLogSetup::open(config.query_log())?,
            dnstap: config.dnstap().cloned(),
        })
    }
}

impl Views {
    /// Starts to read records and copies of messages.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(
        rings: Rings,
        prepared: Prepared,
        running: Arc<Running>,
    ) -> io::Result<Views> {
        let Rings {
            records,
            records_wanted: is_wanted,
            copies,
            copies_wanted,
        } = rings;
        let shared = Arc::new(Shared {
            is_wanted,
            is_ending: AtomicBool::new(false),
            next: Mutex::default(),
        });
        let dnstap = Dnstap::start((copies, copies_wanted), Arc::clone(&running))?;
        let reader = Reader {
            shared: Arc::clone(&shared),
            rings: records,
            query_log: None,
            running,
        };
        let thread = thread::Builder::new().name("views".to_owned());
        let views = Views {
            thread: thread.spawn(move || reader.run())?,
            shared,
            dnstap,
        };
        views.set(prepared);
        Ok(views)
    }

    /// Uses other settings from now on.
    pub(crate) fn set(&self, prepared: Prepared) {
        self.dnstap.set(prepared.dnstap.clone());
        let wants = prepared.query_log.is_some();
        let next = self.shared.next.lock();
        *next.unwrap_or_else(PoisonError::into_inner) = Some(prepared);
        self.shared.is_wanted.store(wants, Relaxed);
        self.thread.thread().unpark();
    }
}

impl Drop for Views {
    /// What is in the rings is written, unless that takes too long: a blocked pipe must not keep the program from its end.
    fn drop(&mut self) {
        self.shared.is_ending.store(true, Relaxed);
        self.thread.thread().unpark();
        let given_up = now() + END_WAIT;
        while !self.thread.is_finished() && now() < given_up {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The thread itself.
struct Reader {
    shared: Arc<Shared>,
    rings: Vec<RecordReceiver>,
    query_log: Option<QueryLog>,
    running: Arc<Running>,
}

impl Reader {
    fn run(mut self) {
        loop {
            // In this order, so that what was written before the end is read.
            let is_ending = self.shared.is_ending.load(Relaxed);
            self.take_settings();
            self.read();
            if is_ending {
                return;
            }
            let is_wanted = self.query_log.is_some() || log::detail() > LogDetail::Usual;
            thread::park_timeout(if is_wanted { READ_EVERY } else { LOOK_EVERY });
        }
    }

    fn take_settings(&mut self) {
        let next = self.shared.next.lock();
        let next = next.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Prepared { query_log, .. }) = next {
            // What was recorded before a file is rotated may be in either; before the log ends, it is still logged.
            if query_log.is_none() {
                self.read();
            }
            self.query_log = query_log.map(|setup| QueryLog::new(setup, self.query_log.take()));
        }
    }

    fn read(&mut self) {
        let Reader {
            rings,
            query_log,
            running,
            ..
        } = self;
        if rings.iter().all(RecordReceiver::is_empty) {
            return;
        }
        let labels = Labels::of(running);
        let detail = log::detail();
        if let Some(query_log) = query_log {
            query_log.begin(now());
        }
        for ring in rings {
            ring.read_all(|record| {
                if let Some(query_log) = query_log {
                    query_log.write(record, &labels);
                }
                log_lines::log(record, detail, &labels);
            });
        }
        if let Some(query_log) = query_log {
            query_log.flush();
        }
    }
}
