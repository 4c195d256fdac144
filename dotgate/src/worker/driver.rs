//! Carries out what the engine wants, with the sockets of a worker.

use dotgate_core::{Action, Driver, Engine, Event, Moment};
use mio::Registry;

use super::control::{ReportSender, WorkerEvent};
use super::datagrams::Datagrams;
use super::mailbox::Mailboxes;
use super::plain::Hands;
use super::poll::Ready;
use super::quic::Quic;
use super::sessions::{Opening, Sessions};
use super::streams::Streams;
use super::tokens::TokenTable;
use crate::views::{RecordSender, TapSender};

/// A worker at the end of a turn.
pub(super) struct WorkerDriver<'w> {
    pub(super) engine: &'w mut Engine,
    pub(super) registry: &'w Registry,
    pub(super) places: &'w mut TokenTable,
    pub(super) datagrams: &'w mut Datagrams,
    pub(super) sessions: &'w mut Sessions,
    pub(super) streams: &'w mut Streams,
    pub(super) quic: &'w mut Quic,
    pub(super) mailboxes: &'w mut Mailboxes,
    pub(super) records: &'w mut RecordSender,
    pub(super) copies: &'w mut TapSender,
    pub(super) outlet: &'w ReportSender,
}

impl Driver for WorkerDriver<'_> {
    fn engine(&mut self) -> &mut Engine {
        self.engine
    }

    fn act(&mut self, now: Moment, action: Action) {
        let WorkerDriver {
            engine,
            registry,
            sessions,
            streams,
            quic,
            places,
            outlet,
            ..
        } = self;
        match action {
            Action::OpenSession {
                session,
                upstream,
                link,
                try_number,
                alpn,
                key_exchange,
            } => {
                let opening = Opening {
                    session,
                    upstream,
                    link,
                    try_number,
                    alpn,
                    key_exchange,
                };
                sessions.open(opening, registry, engine, places, outlet, now);
            }
            Action::FlushSession(key) if sessions.plain().0.has(key) => {
                let hands = &mut Hands {
                    registry,
                    places,
                    engine,
                    outlet,
                    now,
                };
                let (plain, spare) = sessions.plain();
                plain.flush(key, spare, hands);
            }
            Action::FlushSession(session) => sessions.flush(session, engine, outlet, now),
            Action::CloseSession(session) => sessions.close(session, places, now),
            Action::FlushStream(stream) if quic.has(stream) => quic.respond(stream, engine, now),
            Action::ResumeStream(stream) if quic.has(stream) => quic.resume(stream),
            Action::CloseStream(stream, end) if quic.has(stream) => quic.close(stream, end, now),
            Action::FlushStream(stream) => streams.flush(stream, engine, places, now),
            Action::ResumeStream(stream) => streams.note_ready(stream, Ready::AGAIN),
            Action::MeasureStreams => streams.begin_measuring(),
            Action::CloseStream(stream, _) => streams.close(stream, places),
        }
        self.sessions.forget_closed(self.places);
    }

    fn send_datagrams(&mut self, _now: Moment) {
        self.datagrams.send(self.engine);
    }

    fn send_flight_messages(&mut self) {
        self.mailboxes.send(self.engine);
    }

    fn take_records(&mut self, now: Moment) {
        self.records.send(self.engine, now);
        self.copies
            .send(self.engine, self.sessions.upstreams(), now);
    }

    fn log(&mut self, _now: Moment, event: Event) {
        self.outlet.send(WorkerEvent::Event(event));
    }
}
