//! Clients behind balancers that name them in a PROXY header: all limits are those of the client, and responses go back
//! to the balancer.
//!
//! A header is read before anything else is decided about a client, and only where it comes from a listed balancer; there
//! it must be. Elsewhere it is a malformed query.

use std::net::IpAddr;

use dotgate_wire::{ProxyFault, ProxyHeader, parse_front, parse_proxy_header};

use super::{Clients, Handled};
use crate::counters::labels::{Outcome, ProxyResult, StreamEnd};
use crate::exchange::Client;
use crate::keys::StreamKey;
use crate::moment::Moment;
use crate::query::Refusal;
use crate::stream::{AcceptedStream, StreamKind};

/// What the bytes of a connection are, of which a balancer's header comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamHeader {
    /// A part of the header, which has at least this many bytes.
    Incomplete {
        /// More than there are.
        length: usize,
    },
    /// The header, which has so many bytes; what follows is the client's.
    Complete {
        /// Bytes of the header.
        length: usize,
        /// The connection from now on.
        key: StreamKey,
    },
    /// No header, or that of a client that is not allowed or is above a limit. The connection has ended.
    Refused,
}

impl Clients {
    /// Who sent a datagram that came from a balancer or from somebody else, and what was sent, if it is not shed.
    #[inline(never)]
    pub(super) fn examine_datagram<'m>(
        &mut self,
        now: Moment,
        client: Client,
        peer: IpAddr,
        message: &'m [u8],
    ) -> Result<(IpAddr, &'m [u8]), Handled> {
        let (peer, message) = self.sender_of(client, peer, message)?;
        match self.shed_above_rate(now, client, peer, message) {
            Some(handled) => Err(handled),
            None => Ok((peer, message)),
        }
    }

    fn sender_of<'m>(
        &mut self,
        client: Client,
        peer: IpAddr,
        message: &'m [u8],
    ) -> Result<(IpAddr, &'m [u8]), Handled> {
        if !self.is_proxy(peer) {
            return Ok((peer, message));
        }
        match parse_proxy_header(message) {
            Ok(ProxyHeader::Complete { length, client }) => {
                self.count_header(client);
                let query = message.get(length..).unwrap_or_default();
                Ok((client.unwrap_or(peer), query))
            }
            Ok(ProxyHeader::Incomplete { .. }) | Err(ProxyFault::Malformed) => {
                self.tally.proxy(ProxyResult::Malformed);
                Err(self.ignore(client))
            }
            Err(ProxyFault::Missing) => {
                self.tally.proxy(ProxyResult::Missing);
                Err(self.refuse_without_header(client, peer, message))
            }
        }
    }

    /// Whether a peer must name its clients.
    fn is_proxy(&self, peer: IpAddr) -> bool {
        let is_everybody = dotgate_wire::planted!("anybody-may-send-proxy-headers");
        is_everybody || self.settings.proxies.allows(peer)
    }

    fn count_header(&self, client: Option<IpAddr>) {
        self.tally.proxy(match client {
            Some(_) => ProxyResult::Client,
            None => ProxyResult::Local,
        });
    }

    /// Refuses a balancer's query without a header: whose it is cannot be known.
    fn refuse_without_header(&mut self, client: Client, peer: IpAddr, message: &[u8]) -> Handled {
        let Ok(front) = parse_front(message) else {
            return self.ignore(client);
        };
        let refusal = Refusal::WITHOUT_PROXY_HEADER;
        let outcome = Outcome::Prohibited;
        self.tally
            .at_once(client.transport(), front.qtype, outcome, refusal.rcode);
        let ended = || refusal.ended(outcome);
        self.record((client, peer, front.id), front.question, ended);
        let parameters = self.parameters_of_front(client, &front);
        let question = (front.question, front.flags.opcode());
        self.deliver_error(client, &parameters, question, refusal, None);
        Handled::Answered
    }

    /// Takes a new connection: of a client, or of a balancer that is to name one. None: close it at once, for the client may
    /// not ask or a limit is reached. One of a kind with TLS begins with the handshake, which ends with `stream_secured` or
    /// `stream_failed`.
    pub fn stream_opened(&mut self, now: Moment, accepted: AcceptedStream) -> Option<StreamKey> {
        // No balancer writes headers into QUIC.
        let is_quic = accepted.kind == StreamKind::Doq;
        if is_quic || self.settings.proxies.is_empty() || !self.is_proxy(accepted.peer) {
            return self.admit_stream(now, accepted);
        }
        // It has as many connections without a client as a client may have.
        self.displace_handshake(now, accepted.peer);
        self.place_stream(now, accepted, true)
    }

    /// Whether a balancer's PROXY header comes next on a connection, before TLS: the driver reads it, no byte more, and calls
    /// `stream_header`.
    pub fn stream_awaits_header(&self, key: StreamKey) -> bool {
        let stream = self.streams.get(key);
        stream.is_some_and(|stream| stream.awaits_header)
    }

    /// Takes the first bytes of a balancer's connection, from its start. With the end of the header the connection becomes
    /// that of the client.
    pub fn stream_header(&mut self, now: Moment, key: StreamKey, bytes: &[u8]) -> StreamHeader {
        let Some(stream) = self.streams.get(key) else {
            return StreamHeader::Refused;
        };
        let accepted = stream.accepted();
        let (length, client) = match parse_proxy_header(bytes) {
            Ok(ProxyHeader::Incomplete { length }) => return StreamHeader::Incomplete { length },
            Ok(ProxyHeader::Complete { length, client }) => (length, client),
            Err(fault) => {
                self.tally.proxy(match fault {
                    ProxyFault::Missing => ProxyResult::Missing,
                    ProxyFault::Malformed => ProxyResult::Malformed,
                });
                self.tally
                    .counters()
                    .clients()
                    .add_stream_end(StreamEnd::ProxyHeader);
                self.forget_stream(key);
                return StreamHeader::Refused;
            }
        };
        self.count_header(client);
        self.forget_stream(key);
        let peer = client.unwrap_or(accepted.peer);
        match self.admit_stream(now, AcceptedStream { peer, ..accepted }) {
            Some(key) => StreamHeader::Complete { length, key },
            None => StreamHeader::Refused,
        }
    }
}
