//! The ring between a worker and the thread that reads its records.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use dotgate_core::{Count, Engine, LogDetail, Moment, QueryRecord};
use rtrb::{Consumer, Producer, RingBuffer};

use crate::log;

/// Records of a worker that may wait to be read.
const RING: usize = 8_192;

/// A query that has ended, and when.
#[derive(Clone, Debug)]
pub(super) struct TimedRecord {
    /// When its response was ready.
    pub(super) ended_at: Moment,
    /// The query.
    pub(super) query: QueryRecord,
}

/// Who wants records, in addition to the log of the program.
#[derive(Debug, Default)]
pub struct Wants {
    /// The query log.
    pub(super) log: AtomicBool,
    /// Readers of queries as they end.
    pub(super) readers: Arc<AtomicBool>,
}

/// A worker's end.
pub struct RecordSender {
    records: Producer<TimedRecord>,
    wants: Arc<Wants>,
}

/// The other end.
pub struct RecordReceiver(Consumer<TimedRecord>);

impl fmt::Debug for RecordReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordReceiver").finish_non_exhaustive()
    }
}

/// Makes a ring, whose records are made while somebody wants them. Its memory is taken by the first records that it has.
pub fn ring(wants: &Arc<Wants>) -> (RecordSender, RecordReceiver) {
    let (records, consumer) = RingBuffer::new(RING);
    let sender = RecordSender {
        records,
        wants: Arc::clone(wants),
    };
    (sender, RecordReceiver(consumer))
}

impl RecordSender {
    /// Whether queries of this turn are to be recorded.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wants.log.load(Relaxed)
            || self.wants.readers.load(Relaxed)
            || log::detail() > LogDetail::Usual
    }

    /// Sends the records of a turn that ended at `now`.
    pub(crate) fn send(&mut self, engine: &mut Engine, now: Moment) {
        let made = engine.clients().records();
        if made.is_empty() {
            return;
        }
        let room = self.records.slots();
        let fitting = made.iter().take(room).map(|query| TimedRecord {
            ended_at: now,
            query: *query,
        });
        if let Ok(chunk) = self.records.write_chunk_uninit(made.len().min(room)) {
            chunk.fill_from_iter(fitting);
        }
        let dropped = made.len().saturating_sub(room);
        engine
            .counters()
            .add_many(Count::QueryRecordsDropped, dropped as u64);
        engine.clients_mut().clear_records();
    }
}

impl RecordReceiver {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads what is there, at most as many records as there is room for.
    pub(super) fn read_all(&mut self, mut take: impl FnMut(&TimedRecord)) {
        for _ in 0..RING {
            let Ok(record) = self.0.pop() else { return };
            take(&record);
        }
    }
}
