//! Carries out what the engine wants, with the sockets of a worker.

use dotgate_core::{Action, Engine, Event, Io, Moment};
use mio::Registry;

use super::control::{Report, ReportSender};
use super::datagrams::Datagrams;
use super::mailbox::Mailboxes;
use super::places::Places;
use super::plain::Hands;
use super::poll::Ready;
use super::sessions::{Opening, Sessions};
use super::streams::Streams;

/// A worker but for its engine.
pub(super) struct WorkerIo<'w> {
    pub(super) registry: &'w Registry,
    pub(super) places: &'w mut Places,
    pub(super) datagrams: &'w mut Datagrams,
    pub(super) sessions: &'w mut Sessions,
    pub(super) streams: &'w mut Streams,
    pub(super) mailboxes: &'w mut Mailboxes,
    pub(super) outlet: &'w ReportSender,
}

impl Io for WorkerIo<'_> {
    fn act(&mut self, engine: &mut Engine, now: Moment, action: Action) {
        let WorkerIo {
            registry,
            sessions,
            streams,
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
            Action::FlushStream(stream) => streams.flush(stream, engine, places, now),
            Action::ResumeStream(stream) => streams.note_ready(stream, Ready::AGAIN),
            Action::MeasureStreams => streams.begin_measuring(),
            Action::CloseStream(stream) => streams.close(stream, places),
        }
        self.sessions.forget_closed(self.places);
    }

    fn send_datagrams(&mut self, engine: &mut Engine, _now: Moment) {
        self.datagrams.send(engine);
    }

    fn send_flight_messages(&mut self, engine: &mut Engine) {
        self.mailboxes.send(engine);
    }

    fn log(&mut self, _now: Moment, event: Event) {
        self.outlet.tell(Report::Event(event));
    }
}
