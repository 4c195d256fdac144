//! Client connections that are ready, and what they may cost in one turn.
//!
//! Thousands may become ready at once. They are served over several turns, so that datagrams and the responses of
//! upstreams, which every turn begins with, never wait for all of them.

use std::collections::VecDeque;

use dotgate_core::StreamKey;
use slotmap::SecondaryMap;

use super::poll::Ready;

/// What connections may cost in one turn, as [`work`] counts it: about a millisecond.
pub(super) const TURN_SHARE: usize = 1 << 20;

/// What each connection that is served costs, however little it sends.
const WORK_EACH: usize = 2_048;

/// What a byte of queries, or of the records that they come in, costs in bytes of responses: a short query costs as much as 2 KiB of
/// a response, and so does a change of keys.
const WORK_PER_BYTE_READ: usize = 64;

/// What a message of a TLS handshake costs; the first one of a client, with a signature, costs most.
const WORK_PER_HANDSHAKE: usize = 256 * 1024;

/// What a client has sent.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Served {
    /// Bytes that were read, whether or not there was a query in them.
    pub(super) read: usize,
    /// Whether it was a part of a TLS handshake.
    pub(super) has_shaken_hands: bool,
}

/// The cost of serving a connection, for which so many bytes of responses were written; a unit is about a nanosecond.
pub(super) fn work(served: &Served, written: usize) -> usize {
    let handshake = WORK_PER_HANDSHAKE * usize::from(served.has_shaken_hands);
    WORK_EACH + handshake + WORK_PER_BYTE_READ * served.read + written
}

/// Connections that are to be served, in the order in which they became ready.
#[derive(Default)]
pub(super) struct ReadyStreams {
    queue: VecDeque<StreamKey>,
    ready: SecondaryMap<StreamKey, Ready>,
}

impl ReadyStreams {
    /// Records that a connection is ready for this, too.
    pub(super) fn add(&mut self, key: StreamKey, ready: Ready) {
        if let Some(known) = self.ready.get_mut(key) {
            *known = known.and(ready);
        } else if self.ready.insert(key, ready).is_none() {
            self.queue.push_back(key);
        }
    }

    /// Removes a connection.
    pub(super) fn remove(&mut self, key: StreamKey) {
        self.ready.remove(key);
    }

    /// The next one, and for what it is ready.
    pub(super) fn next(&mut self) -> Option<(StreamKey, Ready)> {
        loop {
            let key = self.queue.pop_front()?;
            if let Some(ready) = self.ready.remove(key) {
                return Some((key, ready));
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ready.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    const WRITABLE: Ready = Ready {
        is_writable: true,
        is_read_closed: false,
    };

    #[test]
    fn each_has_one_place_in_the_order_in_which_it_became_ready() {
        let mut keys: SlotMap<StreamKey, ()> = SlotMap::with_key();
        let [first, second, third] = [(); 3].map(|()| keys.insert(()));
        let mut ready = ReadyStreams::default();
        ready.add(first, WRITABLE);
        ready.add(second, WRITABLE);
        ready.add(first, Ready::AGAIN);
        ready.add(third, Ready::AGAIN);
        ready.remove(second);
        assert_eq!(ready.len(), 2);
        let (key, is_ready) = ready.next().unwrap();
        assert_eq!(key, first);
        assert!(is_ready.is_writable && is_ready.is_read_closed);
        ready.add(first, WRITABLE);
        assert_eq!(ready.next().map(|(key, _)| key), Some(third));
        assert_eq!(ready.next().map(|(key, _)| key), Some(first));
        assert!(ready.is_empty() && ready.next().is_none());
    }

    #[test]
    fn a_crowd_with_long_responses_takes_few_connections_of_each_turn() {
        let cost = |read, written| {
            let has_shaken_hands = false;
            let served = Served {
                read,
                has_shaken_hands,
            };
            work(&served, written)
        };
        let long = cost(220, 3 * 57_922);
        assert!(TURN_SHARE / long < 8);
        let short = cost(40, 60);
        assert!(TURN_SHARE / short > 200);
    }
}
