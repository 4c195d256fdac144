//! Who looks at queries as they end: a bounded number of readers, each with a bounded queue.
//!
//! The thread of the views offers each query to all readers and waits for none: what does not fit into a reader's queue is
//! lost for that reader, and it gets the number. Workers make records for readers only while there is one.
//! Limits: `READERS` at once, `QUEUE` queries that wait for each.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use dotgate_config::{ClientForm, NameForm, QueryFilter, QueryForms};
use hyper::body::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Readers at once.
pub(crate) const READERS: usize = 8;

/// Queries that may wait for a reader.
pub(crate) const QUEUE: usize = 1_024;

/// Why somebody cannot become a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoReader {
    /// The settings do not show queries.
    Off,
    /// There are enough.
    TooMany,
    /// The filter would reveal the clients that the settings hide.
    ClientsHidden,
    /// The filter would reveal the names that the settings hide.
    NamesHidden,
}

/// All readers.
#[derive(Debug, Default)]
pub(crate) struct QueryReaders {
    state: Mutex<State>,
    /// Whom to notify that there is a reader, once the views have started.
    views: OnceLock<(Arc<AtomicBool>, Thread)>,
    /// Queries that did not reach a reader.
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// What readers may see; none while queries are not shown.
    forms: Option<QueryForms>,
    readers: Arc<[Arc<QueryReader>]>,
}

/// A reader, as the thread of the views sees it.
pub(crate) struct QueryReader {
    pub(crate) filter: QueryFilter,
    queries: Sender<Bytes>,
    lost: Arc<AtomicU64>,
    /// Queries that passed the filter, for samples.
    passed: AtomicU64,
}

impl fmt::Debug for QueryReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryReader").finish_non_exhaustive()
    }
}

/// A reader's own end. It is no reader any more when this is dropped.
pub(crate) struct QueryStream {
    /// Queries as JSON; the end when the settings change what may be seen.
    pub(crate) queries: Receiver<Bytes>,
    lost: Arc<AtomicU64>,
    all: Arc<QueryReaders>,
}

impl fmt::Debug for QueryStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryStream").finish_non_exhaustive()
    }
}

impl QueryReaders {
    /// Notes which flag the workers read and which thread offers queries.
    pub(crate) fn begin(&self, is_wanted: Arc<AtomicBool>, views: Thread) {
        self.views.get_or_init(|| (is_wanted, views));
    }

    /// What readers may see from now on; nobody may where there are no forms. Others than before end all streams.
    pub(crate) fn set_forms(&self, forms: Option<QueryForms>) {
        let mut state = self.state();
        if state.forms != forms {
            state.forms = forms;
            self.replace(&mut state, [].into());
        }
    }

    /// Whether queries are shown at all.
    pub(crate) fn is_on(&self) -> bool {
        self.state().forms.is_some()
    }

    /// Ends all streams; those who still may open others.
    pub(crate) fn end_all(&self) {
        self.replace(&mut self.state(), [].into());
    }

    /// The readers of this moment, and what they may see.
    pub(crate) fn all(&self) -> (Option<QueryForms>, Arc<[Arc<QueryReader>]>) {
        let state = self.state();
        (state.forms, Arc::clone(&state.readers))
    }

    /// How many readers there are.
    pub(crate) fn count(&self) -> usize {
        self.state().readers.len()
    }

    /// Queries that did not reach a reader, since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Adds a reader of the queries that pass a filter.
    pub(crate) fn open(self: &Arc<Self>, filter: QueryFilter) -> Result<QueryStream, NoReader> {
        let mut state = self.state();
        let forms = state.forms.ok_or(NoReader::Off)?;
        if !filter.clients.is_empty() && forms.clients != ClientForm::Full {
            return Err(NoReader::ClientsHidden);
        }
        if !filter.suffixes.is_empty() && forms.names != NameForm::Full {
            return Err(NoReader::NamesHidden);
        }
        if state.readers.len() >= READERS {
            return Err(NoReader::TooMany);
        }
        let (queries, receiver) = channel(QUEUE);
        let lost = Arc::<AtomicU64>::default();
        let reader = Arc::new(QueryReader {
            filter,
            queries,
            lost: Arc::clone(&lost),
            passed: AtomicU64::new(0),
        });
        let readers = state.readers.iter().cloned().chain([reader]).collect();
        self.replace(&mut state, readers);
        Ok(QueryStream {
            queries: receiver,
            lost,
            all: Arc::clone(self),
        })
    }

    /// A query did not reach its readers: workers had no room for its record.
    pub(crate) fn lose(&self, readers: &[Arc<QueryReader>], count: u64) {
        for reader in readers {
            reader.lost.fetch_add(count, Relaxed);
        }
        self.lost.fetch_add(count * readers.len() as u64, Relaxed);
    }

    fn replace(&self, state: &mut State, readers: Arc<[Arc<QueryReader>]>) {
        state.readers = readers;
        if let Some((is_wanted, views)) = self.views.get() {
            is_wanted.store(!state.readers.is_empty(), Relaxed);
            views.unpark();
        }
    }

    fn remove(&self, lost: &Arc<AtomicU64>) {
        let mut state = self.state();
        let others = state.readers.iter();
        let others = others.filter(|it| !Arc::ptr_eq(&it.lost, lost)).cloned();
        let others = others.collect();
        self.replace(&mut state, others);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueryReader {
    /// Whether a query that passes the filter is one of those that are sampled.
    pub(crate) fn is_sampled(&self) -> bool {
        let passed = self.passed.fetch_add(1, Relaxed);
        (passed + 1).is_multiple_of(u64::from(self.filter.sample))
    }

    /// Sends a query, unless the reader is too slow; it is written only if there is room.
    pub(crate) fn offer(&self, all: &QueryReaders, written: impl FnOnce() -> Bytes) {
        match self.queries.try_reserve() {
            Ok(place) => place.send(written()),
            Err(_) => {
                self.lost.fetch_add(1, Relaxed);
                all.lost.fetch_add(1, Relaxed);
            }
        }
    }
}

impl QueryStream {
    /// Queries that were lost since this was asked last.
    pub(crate) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Relaxed)
    }
}

impl Drop for QueryStream {
    fn drop(&mut self) {
        self.all.remove(&self.lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: QueryForms = QueryForms {
        clients: ClientForm::Full,
        names: NameForm::Full,
    };

    fn readers(forms: Option<QueryForms>) -> Arc<QueryReaders> {
        let readers = Arc::new(QueryReaders::default());
        readers.set_forms(forms);
        readers
    }

    fn open(readers: &Arc<QueryReaders>, filter: &str) -> Result<QueryStream, NoReader> {
        readers.open(filter.parse().unwrap())
    }

    #[test]
    fn a_slow_reader_loses_queries_and_learns_how_many() {
        let readers = readers(Some(FULL));
        let mut stream = open(&readers, "").unwrap();
        let mut written = 0;
        for _ in 0..QUEUE + 3 {
            readers.all().1[0].offer(&readers, || {
                written += 1;
                Bytes::new()
            });
        }
        assert_eq!(written, QUEUE, "what is lost is not even written");
        assert_eq!((stream.take_lost(), stream.take_lost()), (3, 0));
        assert_eq!(readers.lost(), 3);
        for _ in 0..QUEUE {
            assert!(stream.queries.try_recv().is_ok());
        }
        assert!(stream.queries.try_recv().is_err());
    }

    #[test]
    fn their_number_is_bounded_and_who_leaves_makes_room() {
        let readers = readers(Some(FULL));
        let mut streams: Vec<_> = (0..READERS).map(|_| open(&readers, "").unwrap()).collect();
        assert_eq!(open(&readers, "").unwrap_err(), NoReader::TooMany);
        streams.pop();
        assert_eq!(readers.all().1.len(), READERS - 1);
        open(&readers, "").unwrap();
    }

    #[test]
    fn records_are_wanted_only_while_somebody_reads() {
        let readers = readers(Some(FULL));
        let is_wanted = Arc::<AtomicBool>::default();
        readers.begin(Arc::clone(&is_wanted), std::thread::current());
        assert!(!is_wanted.load(Relaxed));
        let stream = open(&readers, "").unwrap();
        assert!(is_wanted.load(Relaxed));
        drop(stream);
        assert!(!is_wanted.load(Relaxed));
    }

    #[test]
    fn other_forms_end_all_streams_and_the_same_none() {
        let readers = readers(Some(FULL));
        let mut stream = open(&readers, "").unwrap();
        readers.set_forms(Some(FULL));
        assert_eq!(readers.all().1.len(), 1);
        readers.set_forms(None);
        assert!(stream.queries.try_recv().is_err() && stream.queries.is_closed());
        assert_eq!(open(&readers, "").unwrap_err(), NoReader::Off);
    }

    #[test]
    fn a_filter_reveals_nothing_that_the_settings_hide() {
        let clients = ClientForm::Hashed;
        let hidden = readers(Some(QueryForms { clients, ..FULL }));
        let filter = "client=192.0.2.1/32";
        assert_eq!(open(&hidden, filter).unwrap_err(), NoReader::ClientsHidden);
        let names = NameForm::Domain;
        let hidden = readers(Some(QueryForms { names, ..FULL }));
        let filter = "suffix=www.example.com";
        assert_eq!(open(&hidden, filter).unwrap_err(), NoReader::NamesHidden);
        open(&hidden, "failed,slow>1s,client=192.0.2.1/32").unwrap();
    }
}
