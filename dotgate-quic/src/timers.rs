//! When connections are to be looked at.

use std::collections::BTreeSet;

use dotgate_core::{Moment, StreamKey};

/// One entry for each connection that has a timer.
#[derive(Default)]
pub(crate) struct Timers(BTreeSet<(Moment, StreamKey)>);

impl Timers {
    /// Sets the timer of a connection, which is `timer` now.
    pub(crate) fn set(&mut self, key: StreamKey, timer: &mut Option<Moment>, due: Option<Moment>) {
        if let Some(before) = std::mem::replace(timer, due) {
            self.0.remove(&(before, key));
        }
        self.0.extend(due.map(|due| (due, key)));
    }

    /// Removes the next entry that is due.
    pub(crate) fn pop_due(&mut self, now: Moment) -> Option<StreamKey> {
        let (due, key) = *self.0.first()?;
        (due <= now).then(|| {
            self.0.pop_first();
            key
        })
    }

    pub(crate) fn next(&self) -> Option<Moment> {
        self.0.first().map(|(due, _)| *due)
    }
}
