//! Copies of whole messages, for dnstap.
//!
//! While nobody does, a message on a connection or of an upstream costs the test of a flag, and a batch of datagrams of
//! clients one for all of them. Messages are copied as they are: a query of a client as it came, what is sent to an upstream with
//! its padding.
//! Limit: `limits::TAPPED_BYTES` in one turn, for clients and for upstreams; what is more is dropped and counted.

use std::net::IpAddr;

use crate::counters::labels::ClientTransport;
use crate::keys::UpstreamId;
use crate::limits;
use crate::link::Link;

/// What a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessageKind {
    /// From a client.
    ClientQuery,
    /// To a client.
    ClientResponse,
    /// To an upstream; also a probe.
    ForwarderQuery,
    /// From an upstream.
    ForwarderResponse,
}

/// The other end of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessagePeer {
    /// A client; its port over UDP.
    Client(IpAddr, Option<u16>, ClientTransport),
    /// An upstream.
    Upstream(UpstreamId, Link),
}

/// A copy of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TappedMessage<'t> {
    /// What it is.
    pub kind: MessageKind,
    /// The other end.
    pub peer: MessagePeer,
    /// All of it, without a length in front.
    pub bytes: &'t [u8],
}

/// Where messages are copied.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    is_on: bool,
    /// Each with the end of its bytes.
    heads: Vec<(MessageKind, MessagePeer, usize)>,
    bytes: Vec<u8>,
    dropped: u64,
}

impl Tap {
    pub(crate) fn set(&mut self, is_on: bool) {
        self.is_on = is_on;
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Copies a message, if somebody wants copies.
    #[inline(always)]
    pub(crate) fn add(&mut self, kind: MessageKind, peer: MessagePeer, message: &[u8]) {
        if self.is_on {
            self.copy(kind, peer, message);
        }
    }

    /// The same with the frame that was written last, from `start` on.
    #[inline(always)]
    pub(crate) fn add_frame(
        &mut self,
        kind: MessageKind,
        peer: MessagePeer,
        (written, start): (&[u8], usize),
    ) {
        if self.is_on {
            /// The length in front of a message (RFC 1035 section 4.2.2).
            const PREFIX: usize = 2;
            self.copy(
                kind,
                peer,
                written.get(start + PREFIX..).unwrap_or_default(),
            );
        }
    }

    #[inline(never)]
    fn copy(&mut self, kind: MessageKind, peer: MessagePeer, message: &[u8]) {
        if self.bytes.len() + message.len() > limits::TAPPED_BYTES {
            self.dropped += 1;
            return;
        }
        self.bytes.extend_from_slice(message);
        self.heads.push((kind, peer, self.bytes.len()));
    }

    /// The messages since they were cleared, in their order.
    pub(crate) fn messages(&self) -> impl Iterator<Item = TappedMessage<'_>> {
        let mut start = 0;
        self.heads.iter().map(move |(kind, peer, end)| {
            let bytes = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            TappedMessage {
                kind: *kind,
                peer: *peer,
                bytes,
            }
        })
    }

    /// Forgets them, and returns how many had no room.
    pub(crate) fn clear(&mut self) -> u64 {
        self.heads.clear();
        self.bytes.clear();
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: MessagePeer = MessagePeer::Client(
        IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        Some(5_353),
        ClientTransport::Udp,
    );

    #[test]
    fn messages_are_copied_whole_while_they_are_wanted() {
        let mut tap = Tap::default();
        tap.add(MessageKind::ClientQuery, CLIENT, b"not wanted");
        tap.set(true);
        tap.add(MessageKind::ClientQuery, CLIENT, b"one");
        let frames = b"\0\x05first\0\x06second";
        tap.add_frame(MessageKind::ClientResponse, CLIENT, (frames, 7));
        let copied: Vec<&[u8]> = tap.messages().map(|it| it.bytes).collect();
        assert_eq!(copied, [b"one".as_slice(), b"second"]);
        assert_eq!(tap.clear(), 0);
        assert_eq!(tap.messages().count(), 0);
    }

    #[test]
    fn what_has_no_room_in_a_turn_is_counted() {
        let mut tap = Tap::default();
        tap.set(true);
        let long = vec![0; 40_000];
        let fitting = limits::TAPPED_BYTES / long.len();
        for _ in 0..fitting + 3 {
            tap.add(MessageKind::ClientQuery, CLIENT, &long);
        }
        assert_eq!(tap.messages().count(), fitting);
        assert_eq!(tap.clear(), 3);
        assert_eq!(tap.clear(), 0);
    }
}
