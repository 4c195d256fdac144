//! Queries for those who look at them as they end (`running::QueryReaders`).

use std::sync::Arc;

use dotgate_config::QueryForms;
use dotgate_core::Count;
use hyper::body::Bytes;

use super::filter::passes;
use super::line::{QueryLine, Shown};
use super::ring::TimedRecord;
use crate::running::{QueryReader, QueryReaders, Running};

/// The readers of this moment, and what they may see.
#[derive(Default)]
pub(super) struct ReaderViews {
    all: Arc<QueryReaders>,
    forms: Option<QueryForms>,
    readers: Arc<[Arc<QueryReader>]>,
    /// Records that workers had no room for until now.
    dropped: u64,
}

impl ReaderViews {
    /// Prepares for the records that have come.
    pub(super) fn begin(&mut self, running: &Running) {
        let all = running.query_readers();
        self.all = Arc::clone(all);
        (self.forms, self.readers) = all.all();
        let dropped = running.count(Count::QueryRecordsDropped);
        if dropped > self.dropped {
            self.all.lose(&self.readers, dropped - self.dropped);
        }
        self.dropped = dropped;
    }

    /// Offers a query to those whose filters it passes. It is written at most once.
    pub(super) fn offer(&self, record: &TimedRecord, shown: &Shown<'_>) {
        let Some(forms) = self.forms else { return };
        let mut written: Option<Bytes> = None;
        for reader in &*self.readers {
            if !passes(&reader.filter, &record.query) || !reader.is_sampled() {
                continue;
            }
            reader.offer(&self.all, || {
                let line = || {
                    let mut line = Vec::new();
                    QueryLine::of(record, forms, shown).write_json(&mut line);
                    Bytes::from(line)
                };
                written.get_or_insert_with(line).clone()
            });
        }
    }
}
