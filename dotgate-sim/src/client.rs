//! A client's connection over TCP: what was sent and read on it. Clients over UDP have no state.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use dotgate_core::{Moment, StreamKey, StreamKind};

use crate::event::Segment;
use crate::random::Span;

/// One way between a client and its worker.
pub(crate) const CLIENT_LATENCY: Span = Span {
    least: Duration::from_micros(50),
    most: Duration::from_micros(900),
};

/// Bytes that the systems of both sides take for a client that does not read.
pub(crate) const CLIENT_WINDOW: usize = 64 * 1024;

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) worker: usize,
    pub(crate) peer: IpAddr,
    pub(crate) kind: StreamKind,
    /// The engine's name for it, once accepted.
    pub(crate) key: Option<StreamKey>,
    /// What has arrived at the worker and was not read.
    pub(crate) arrived: VecDeque<Segment>,
    /// Bytes that were read by the engine.
    pub(crate) fed: usize,
    /// Where each query ends in what the client sent, and its number.
    pub(crate) queries: VecDeque<(usize, usize)>,
    /// Bytes written for the client that it has not read.
    pub(crate) unread: usize,
    /// Bytes that it has read.
    pub(crate) acknowledged: u64,
    /// Whether the worker waits for room.
    pub(crate) is_full: bool,
    /// Whether there is room again and the worker was not notified yet.
    pub(crate) has_room: bool,
    /// Whether the worker reads again without a notice.
    pub(crate) reads_again: bool,
    /// Whether the client keeps the rules: it reads, and has sent no half message.
    pub(crate) is_proper: bool,
    /// Whether the client has left, or sent what is no message: what it gets answers anything.
    pub(crate) is_mangled: bool,
    /// Whether one side has ended it.
    pub(crate) is_over: bool,
    /// Whether the client has heard that its worker closed it.
    pub(crate) has_heard_of_end: bool,
    pub(crate) reads: bool,
    pub(crate) sent: usize,
    pub(crate) postponed: usize,
    pub(crate) clock: Moment,
    pub(crate) back_clock: Moment,
    pub(crate) written: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(worker: usize, peer: IpAddr, kind: StreamKind, now: Moment) -> Stream {
        Stream {
            worker,
            peer,
            kind,
            key: None,
            arrived: VecDeque::new(),
            fed: 0,
            queries: VecDeque::new(),
            unread: 0,
            acknowledged: 0,
            is_full: false,
            has_room: false,
            reads_again: false,
            is_proper: true,
            is_mangled: false,
            is_over: false,
            has_heard_of_end: false,
            reads: true,
            sent: 0,
            postponed: 0,
            clock: now,
            back_clock: now,
            written: Vec::new(),
        }
    }
}
