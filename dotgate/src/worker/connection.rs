//! One connection of a client: its socket, and the layers above it up to the engine.

use std::sync::Arc;

use dotgate_core::{AccessList, Engine, Moment, StreamKey, StreamKind};
use dotgate_tls::{ClientProtocol, ServerTls, TlsFailure, WriteState};
use mio::net::TcpStream;

use super::channel::Channel;
use super::https::{HttpFate, Https};
use super::ready::Served;

pub(super) struct Connection {
    pub(super) socket: TcpStream,
    channel: Channel,
    https: Option<Box<Https>>,
    pub(super) place: usize,
    /// What came of a balancer's header, while that is awaited.
    pub(super) header: Option<Vec<u8>>,
}

/// The layers above the socket of a connection.
pub(super) struct Layers {
    channel: Channel,
    https: Option<Box<Https>>,
}

/// What one read of a connection brought.
pub(super) struct ReadOnce {
    pub(super) served: Served,
    pub(super) maybe_more: bool,
    /// Whether there is something to write in return that the engine does not know of.
    pub(super) wants_write: bool,
}

impl Layers {
    /// What clients speak on a connection of this kind; none if TLS cannot begin. The headers of `proxies` are believed.
    pub(super) fn of(
        kind: StreamKind,
        tls: Option<&ServerTls>,
        proxies: &Arc<AccessList>,
    ) -> Option<Layers> {
        let encrypted = |protocol| {
            let channel = tls?.accept(protocol).ok()?;
            Some(Channel::Tls(Box::new(channel)))
        };
        Some(match kind {
            StreamKind::Tcp => Layers {
                channel: Channel::Plain,
                https: None,
            },
            StreamKind::Dot => Layers {
                channel: encrypted(ClientProtocol::Dot)?,
                https: None,
            },
            StreamKind::Doh => Layers {
                channel: encrypted(ClientProtocol::Https)?,
                https: Some(Box::new(Https::new(None))),
            },
            StreamKind::DohProxy => {
                let proxies = Arc::clone(proxies);
                let trust = Arc::new(move |address| proxies.allows(address));
                Layers {
                    channel: Channel::Plain,
                    https: Some(Box::new(Https::new(Some(trust)))),
                }
            }
        })
    }
}

impl Connection {
    pub(super) fn new(socket: TcpStream, layers: Layers, place: usize) -> Connection {
        let Layers { channel, https } = layers;
        Connection {
            socket,
            channel,
            https,
            place,
            header: None,
        }
    }

    /// Whether it is to be read from now.
    pub(super) fn may_read(&mut self, key: StreamKey, engine: &Engine) -> bool {
        match &mut self.https {
            Some(https) => https.may_read(),
            None => engine.stream_reads(key),
        }
    }

    /// Reads once, and hands what the client has sent to the engine.
    pub(super) fn read(
        &mut self,
        key: StreamKey,
        engine: &mut Engine,
        buffer: &mut [u8],
        now: Moment,
    ) -> Result<ReadOnce, TlsFailure> {
        let was_handshaking = self.channel.is_handshaking();
        let mut read = 0;
        // The first queries may come with the end of the handshake, of which the engine must know before.
        let mut first = Vec::new();
        let https = &mut self.https;
        let mut take = |bytes: &[u8]| {
            read += bytes.len();
            match https {
                Some(https) => https.on_bytes(bytes),
                None if was_handshaking => first.extend_from_slice(bytes),
                None => {
                    engine.stream_bytes(now, key, bytes);
                }
            }
        };
        let progress = self.channel.read(&mut self.socket, buffer, &mut take)?;
        if progress.handshake_done_now {
            engine.stream_secured(now, key, self.channel.is_resumed());
            engine.stream_bytes(now, key, &first);
        }
        let has_ended = progress.peer_closed.is_some();
        match &mut self.https {
            Some(https) if has_ended => https.on_end(),
            None if has_ended => engine.stream_ended(key),
            Some(_) | None => {}
        }
        self.pass_queries(key, engine, now);
        Ok(ReadOnce {
            served: Served {
                read,
                has_shaken_hands: was_handshaking && !progress.would_block,
            },
            maybe_more: progress.maybe_more,
            wants_write: self.has_unsent(),
        })
    }

    /// Passes on what waits for the engine.
    pub(super) fn pass_queries(&mut self, key: StreamKey, engine: &mut Engine, now: Moment) {
        if let Some(https) = &mut self.https {
            https.pass_queries(key, engine, now);
        }
    }

    /// Writes what the socket takes, of `output` and of what the layers have to say.
    pub(super) fn write(&mut self, output: &mut Vec<u8>) -> Result<WriteState, TlsFailure> {
        match &mut self.https {
            Some(https) => {
                https.take_responses(output);
                https.write(&mut self.channel, &mut self.socket)
            }
            None => self.channel.write(&mut self.socket, output),
        }
    }

    /// Whether something waits to be written that the engine does not know of.
    pub(super) fn has_unsent(&mut self) -> bool {
        let has_output = |https: &mut Box<Https>| https.has_output() || https.is_over();
        self.channel.wants_write() || self.https.as_mut().is_some_and(has_output)
    }

    /// Whether it is to be served once more, although the socket says nothing new.
    pub(super) fn wants_turn(&self) -> bool {
        self.https.as_ref().is_some_and(|https| https.wants_turn())
    }

    /// Tells the engine if the layers know that the connection is over.
    pub(super) fn report_end(&self, key: StreamKey, engine: &mut Engine) {
        match self.https.as_ref().map(|https| https.fate()) {
            None | Some(HttpFate::Open) => {}
            Some(HttpFate::Ended) => engine.stream_ended(key),
            Some(HttpFate::CutOff(end)) => engine.stream_cut_off(key, end),
        }
    }

    /// Lets the client finish what it has begun, and sends it to another connection for more. False if its protocol has no word
    /// for that.
    pub(super) fn begin_end(&mut self) -> bool {
        let https = self.https.as_mut().map(|https| https.shut_down());
        https.is_some()
    }

    /// Says that nothing more will be sent.
    pub(super) fn close(&mut self) {
        self.begin_end();
        // The client may be gone, or read nothing; then it does not hear of it.
        if let Some(https) = &mut self.https {
            drop(https.write(&mut self.channel, &mut self.socket));
        }
        self.channel.close_notify();
        drop(self.channel.write(&mut self.socket, &mut Vec::new()));
    }
}
