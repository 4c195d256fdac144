//! Views of queries: one thread reads the records of all workers and passes them to the query log and to readers.
//!
//! Each worker writes its records to a ring of its own, which only this thread reads. A worker never waits: a record that
//! does not fit is dropped and counted. While nobody wants records, workers make none, and this thread sleeps.
//! Limit: `ring::RING` records for each worker.

mod dnstap;
mod filter;
mod labels;
mod line;
mod log_lines;
mod privacy;
mod query_log;
mod readers;
mod ring;
mod view_thread;
mod wall_time;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use dotgate_config::{Config, DnstapReader, QueryForms};
use dotgate_core::LogDetail;

use self::dnstap::Dnstap;
pub use self::dnstap::{TapReceiver, TapSender, tap};
use self::labels::Labels;
pub(crate) use self::line::QueryLine;
use self::line::Shown;
use self::privacy::Pseudonyms;
pub use self::query_log::QueryLogError;
use self::query_log::{QueryLog, QueryLogSetup};
use self::readers::ReaderViews;
pub use self::ring::{RecordReceiver, RecordSender, Wants, ring};
use self::view_thread::{Orders, ViewThread};
use self::wall_time::WallTime;
use crate::clock::now;
use crate::log;
use crate::running::Running;

/// How often rings are read while records are wanted.
const READ_EVERY: Duration = Duration::from_millis(20);

/// How often it is looked whether the level of the log wants records.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The thread that reads records.
#[derive(Debug)]
pub struct Views {
    thread: ViewThread<Prepared>,
    wants: Arc<Wants>,
    dnstap: Dnstap,
    running: Arc<Running>,
}

/// The rings of all workers, and whether anybody wants what they carry.
#[derive(Debug, Default)]
pub(crate) struct Rings {
    records: Vec<RecordReceiver>,
    wants: Arc<Wants>,
    copies: Vec<TapReceiver>,
    copies_wanted: Arc<AtomicBool>,
}

impl Rings {
    /// Makes those of one more worker, and returns its ends.
    pub(crate) fn add_worker(&mut self) -> (RecordSender, TapSender) {
        let (records, ring) = ring(&self.wants);
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
    /// What readers may see; none while queries are not shown.
    shown: Option<QueryForms>,
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
            shown: (config.admin().shows_queries).then(|| config.query_log().forms()),
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
            wants,
            copies,
            copies_wanted,
        } = rings;
        let dnstap = Dnstap::start((copies, copies_wanted), Arc::clone(&running))?;
        let reader = Reader {
            wants: Arc::clone(&wants),
            rings: records,
            query_log: None,
            readers: ReaderViews::default(),
            pseudonyms: Pseudonyms::new(now()),
            running: Arc::clone(&running),
        };
        let views = Views {
            thread: ViewThread::start("views", move |orders| reader.run(orders))?,
            wants,
            dnstap,
            running,
        };
        let is_wanted = Arc::clone(&views.wants.readers);
        let thread = views.thread.thread().clone();
        views.running.query_readers().begin(is_wanted, thread);
        views.set(prepared);
        Ok(views)
    }

    /// Uses other settings from now on.
    pub(crate) fn set(&self, prepared: Prepared) {
        self.dnstap.set(prepared.dnstap.clone());
        self.running.query_readers().set_forms(prepared.shown);
        let is_logged = prepared.query_log.is_some();
        self.wants.log.store(is_logged, Relaxed);
        self.thread.set(prepared);
    }
}

/// The thread itself.
struct Reader {
    wants: Arc<Wants>,
    rings: Vec<RecordReceiver>,
    query_log: Option<QueryLog>,
    readers: ReaderViews,
    pseudonyms: Pseudonyms,
    running: Arc<Running>,
}

impl Reader {
    fn run(mut self, orders: &Orders<Prepared>) {
        loop {
            // In this order, so that what was written before the end is read.
            let is_ending = orders.is_ending();
            self.take_settings(orders);
            self.read();
            if is_ending {
                return;
            }
            let is_wanted = self.query_log.is_some()
                || self.wants.readers.load(Relaxed)
                || log::detail() > LogDetail::Usual;
            thread::park_timeout(if is_wanted { READ_EVERY } else { LOOK_EVERY });
        }
    }

    fn take_settings(&mut self, orders: &Orders<Prepared>) {
        if let Some(Prepared { query_log, .. }) = orders.take_settings() {
            // What was recorded before a file is rotated may be in either; before the log ends, it is still logged.
            if query_log.is_none() {
                self.read();
            }
            self.query_log = query_log.map(QueryLog::new);
        }
    }

    fn read(&mut self) {
        let Reader {
            rings,
            query_log,
            readers,
            pseudonyms,
            running,
            ..
        } = self;
        readers.begin(running);
        if rings.iter().all(RecordReceiver::is_empty) {
            return;
        }
        pseudonyms.renew(now());
        let labels = Labels::of(running);
        let (detail, time) = (log::detail(), WallTime::now());
        let shown = Shown {
            labels: &labels,
            pseudonyms,
            time: &time,
        };
        for ring in rings {
            ring.read_all(|record| {
                if let Some(query_log) = query_log {
                    query_log.write(record, &shown);
                }
                readers.offer(record, &shown);
                log_lines::log(record, detail, &labels);
            });
        }
        if let Some(query_log) = query_log {
            query_log.flush();
            running.lose_of_query_log(query_log.take_lost());
        }
    }
}
