//! Responses that leave later: of an upstream that is far away, or that stalls, and those to the slow names of the mix.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use dotgate_net::boottime_nanos;

use crate::message::{self, mix};

/// How an upstream answers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Behavior {
    /// How long it takes for every response.
    pub delay: Duration,
    /// Of so many queries of a load, it takes [`STALL`] longer for one; 0 for none.
    pub stall_every: u32,
}

/// How much longer a query takes that stalls.
pub const STALL: Duration = Duration::from_millis(400);

/// What an upstream counts, and the responses that wait.
#[derive(Default)]
pub(super) struct Service {
    pub(super) behavior: Behavior,
    /// Queries of a load, which are not all: forwarders ask on their own account, too.
    pub(super) answered: u64,
    /// The connection that is served.
    pub(super) connection: (usize, u64),
    waiting: BinaryHeap<Reverse<Delayed>>,
}

/// A response that waits: when it is due, and for which connection, first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Delayed {
    due: u64,
    connection: (usize, u64),
    response: Vec<u8>,
}

impl Service {
    /// Counts a query. Whether its response leaves later, of which a copy is made then.
    pub(super) fn delays(&mut self, query: &[u8], response: &[u8]) -> bool {
        let mut delay = self.behavior.delay;
        if message::is_of_a_load(query) {
            self.answered += 1;
            let every = u64::from(self.behavior.stall_every);
            if every > 0 && self.answered.is_multiple_of(every) {
                delay += STALL;
            }
            if mix::number(query).is_some_and(mix::is_slow) {
                delay += mix::SLOW;
            }
        }
        if delay.is_zero() {
            return false;
        }
        self.waiting.push(Reverse(Delayed {
            due: boottime_nanos() + delay.as_nanos() as u64,
            connection: self.connection,
            response: response.to_vec(),
        }));
        true
    }

    /// How long until the next response is due.
    pub(super) fn next(&self) -> Option<Duration> {
        let Reverse(first) = self.waiting.peek()?;
        Some(Duration::from_nanos(
            first.due.saturating_sub(boottime_nanos()),
        ))
    }

    /// What is due for one connection: all of it that is due in a row.
    pub(super) fn take_due(&mut self) -> Option<((usize, u64), Vec<u8>)> {
        let now = boottime_nanos();
        let mut taken: Option<((usize, u64), Vec<u8>)> = None;
        while let Some(Reverse(first)) = self.waiting.peek()
            && first.due <= now
            && taken
                .as_ref()
                .is_none_or(|(connection, _)| *connection == first.connection)
        {
            let Some(Reverse(first)) = self.waiting.pop() else {
                break;
            };
            match &mut taken {
                Some((_, responses)) => responses.extend_from_slice(&first.response),
                None => taken = Some((first.connection, first.response)),
            }
        }
        taken
    }
}
