//! One connection between a worker and an upstream: what travels on it, in order, and what each side knows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dotgate_core::{Link, Moment};

use crate::event::Arrival;

/// Bytes on their way to an upstream that does not read, beyond which a worker can write no more.
pub(crate) const WINDOW: usize = 128 * 1024;

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) worker: usize,
    pub(crate) upstream: usize,
    /// Which address of the upstream it leads to.
    pub(crate) address: usize,
    /// What carries it; over UDP, it stands for the sockets of all queries to its upstream.
    pub(crate) link: Link,
    /// Over UDP: the queries whose sockets are open.
    pub(crate) sockets: BTreeSet<u16>,
    /// What the worker has not read yet.
    pub(crate) arrived: VecDeque<Arrival>,
    /// Whether the worker was notified that it is open.
    pub(crate) is_open: bool,
    /// Whether the worker has closed it or read its end.
    pub(crate) is_closed: bool,
    /// Whether the upstream has ended it.
    pub(crate) is_ended: bool,
    /// Whether the network swallows all of it.
    pub(crate) is_swallowed: bool,
    /// Whether the upstream knows nothing of it any more: what reaches it is answered by a reset.
    pub(crate) is_forgotten: bool,
    /// Whether the upstream answers nothing more on it.
    pub(crate) is_stalled: bool,
    /// Answers that the upstream has given on it.
    pub(crate) answers: u32,
    /// Whether a serial upstream works on a query of it.
    pub(crate) is_busy: bool,
    /// Queries that a serial upstream has read and not begun.
    pub(crate) waiting: VecDeque<Vec<u8>>,
    /// Bytes the upstream has not taken.
    pub(crate) unread: usize,
    /// Whether the worker waits for room.
    pub(crate) is_full: bool,
    /// Bytes that the upstream has read and not used.
    pub(crate) received: Vec<u8>,
    /// Message IDs the upstream has read and not answered.
    pub(crate) unanswered: BTreeMap<u16, Vec<u8>>,
    /// When the upstream last read a query or answered one.
    pub(crate) active: Moment,
    pub(crate) up_clock: Moment,
    pub(crate) down_clock: Moment,
    /// Bytes written by the worker that are no whole frame yet.
    pub(crate) written: Vec<u8>,
    /// Bytes read by the worker that are no whole frame yet.
    pub(crate) delivered: Vec<u8>,
    /// Messages read by the worker since the last right one.
    pub(crate) invalid: u32,
    /// Attempts without a response, by message ID.
    pub(crate) asked: BTreeMap<u16, usize>,
}

impl Connection {
    pub(crate) fn new(worker: usize, upstream: usize, link: Link, now: Moment) -> Self {
        Connection {
            worker,
            upstream,
            address: 0,
            link,
            sockets: BTreeSet::new(),
            arrived: VecDeque::new(),
            is_open: link == Link::Datagrams,
            is_closed: false,
            is_ended: false,
            is_swallowed: false,
            is_forgotten: false,
            is_stalled: false,
            answers: 0,
            is_busy: false,
            waiting: VecDeque::new(),
            unread: 0,
            is_full: false,
            received: Vec::new(),
            unanswered: BTreeMap::new(),
            active: now,
            up_clock: now,
            down_clock: now,
            written: Vec::new(),
            delivered: Vec::new(),
            invalid: 0,
            asked: BTreeMap::new(),
        }
    }
}
