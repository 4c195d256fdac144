//! A worker: one thread, one poll loop, and everything it owns.
//!
//! Carries the path of a query between sockets and the engine and decides nothing itself: datagrams and bytes of
//! streams go in with the time, datagrams and bytes to write come out. One turn: read what upstreams sent; read
//! batches of queries; serve client connections, as far as their share of a turn goes; let time pass; then carry out
//! what the engine wants, with at most one write per session. It never logs, waits for nobody, and touches no other
//! worker's sockets. Limits: `ROUNDS` batches or reads of one socket per turn, so that none starves the others.

mod channel;
mod connection;
mod control;
mod datagrams;
mod driver;
mod header;
mod https;
mod mailbox;
mod plain;
mod poll;
mod pulse;
mod quic;
mod ready;
mod sessions;
mod spare;
mod streams;
mod tokens;

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use dotgate_core::{Count, Counters, Engine, Moment, Settings, Shared, WorkerId, carry_out, drive};
use mio::{Events, Poll, Waker};

use self::control::ReportSender;
#[cfg(test)]
pub(crate) use self::control::STANDING;
pub use self::control::{
    LateSockets, Reconfiguration, SessionOpened, StreamListener, WorkerCommand, WorkerEvent,
    WorkerEvents, WorkerSetup,
};
use self::datagrams::Datagrams;
use self::driver::WorkerDriver;
use self::mailbox::Mailboxes;
pub use self::mailbox::{MAILBOX_MESSAGES, Mailbox, Message};
use self::plain::Hands;
use self::poll::{LAST_ROUNDS, ROUNDS, Ready};
pub use self::pulse::Heartbeat;
use self::quic::{Quic, QuicListening};
use self::sessions::Sessions;
use self::streams::{Accepted, Streams};
use self::tokens::{Owner, TokenTable};
use crate::clock::now;
use crate::log;
use crate::views::{RecordSender, TapSender};

/// Readiness events taken from the system at once.
const EVENTS: usize = 1_024;

/// The room that reads of streams share, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// One worker, before and while it runs.
pub struct Worker {
    poll: Poll,
    places: TokenTable,
    engine: Engine,
    datagrams: Datagrams,
    sessions: Sessions,
    streams: Streams,
    quic: Quic,
    /// Owners that may have more to read than their share of a turn.
    again: Vec<Owner>,
    /// The same of the turn before, while they are served.
    unfinished: Vec<Owner>,
    buffer: Vec<u8>,
    phase: Phase,
    settings: Arc<Settings>,
    shared: Shared,
    commands: Receiver<WorkerCommand>,
    messages: Receiver<Message>,
    mailboxes: Mailboxes,
    records: RecordSender,
    copies: TapSender,
    outlet: ReportSender,
    pulse: Arc<Heartbeat>,
    last_packet: Arc<AtomicU64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    Draining,
    Finishing,
}

impl Worker {
    /// Makes a worker and the waker with which orders are announced to it.
    ///
    /// # Errors
    /// Those of the system: no descriptor for the poll loop, or no randomness.
    pub fn new(parts: WorkerSetup) -> io::Result<(Worker, Arc<Waker>)> {
        let poll = Poll::new()?;
        let mut places = TokenTable::default();
        let waker = Waker::new(poll.registry(), places.take(Owner::Commands))?;
        let datagrams = Datagrams::new(poll.registry(), &mut places, parts.udp, parts.udp_path)?;
        let quic_setup = QuicListening {
            worker: parts.id,
            sockets: parts.quic,
            path: parts.udp_path,
            idle: parts.settings.doq_idle,
        };
        let quic = Quic::new(poll.registry(), &mut places, quic_setup, parts.tls.as_ref())?;
        let streams = Streams::new(poll.registry(), &mut places, parts.streams, parts.tls)?;
        let mut engine = new_engine(parts.id, &parts.settings, &parts.shared, &parts.counters)?;
        engine
            .clients_mut()
            .set_datagram_listeners(datagrams.addresses());
        parts.pulse.beat(now());
        let worker = Worker {
            poll,
            places,
            engine,
            datagrams,
            sessions: Sessions::new(parts.upstreams),
            streams,
            quic,
            again: Vec::new(),
            unfinished: Vec::new(),
            buffer: vec![0; READ_BYTES],
            phase: Phase::Serving,
            settings: parts.settings,
            shared: parts.shared,
            commands: parts.commands,
            messages: parts.messages,
            mailboxes: Mailboxes::default(),
            records: parts.records,
            copies: parts.copies,
            outlet: ReportSender {
                id: parts.id,
                reports: parts.reports,
                counters: parts.counters,
            },
            pulse: parts.pulse,
            last_packet: parts.last_packet,
        };
        Ok((worker, Arc::new(waker)))
    }

    /// Passes the worker the mailboxes of all workers, itself included, in the order of their numbers.
    pub fn meet(&mut self, mailboxes: Vec<Mailbox>) {
        self.mailboxes = Mailboxes::new(mailboxes);
        self.quic.set_workers(self.mailboxes.len());
    }

    /// Runs until it gets the command to finish.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while self.phase != Phase::Finishing || self.engine.load().queries > 0 {
            if let Err(error) = self.wait(&mut events) {
                self.outlet.send(WorkerEvent::Broken {
                    reason: error.to_string(),
                });
                return;
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.turn(&events))) {
                self.restart_engine(panic.as_ref());
            }
        }
        self.shut_down();
    }

    /// Sleeps until something is ready or due.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let is_done = self.again.is_empty()
            && !self.streams.has_ready()
            && !self.streams.is_measuring()
            && !self.quic.wants_turn();
        let timeout = if is_done {
            let due = [
                self.engine.next_deadline(),
                self.streams.accept_again_at(),
                self.quic.next_deadline(),
            ];
            due.into_iter().flatten().min().map(|due| due.since(now()))
        } else {
            Some(Duration::ZERO)
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn turn(&mut self, events: &Events) {
        let now = now();
        self.pulse.beat(now);
        let detail = log::detail();
        self.engine.sessions_mut().set_log_detail(detail);
        self.engine.clients_mut().set_log_detail(detail);
        self.engine
            .clients_mut()
            .set_recording(self.records.is_wanted());
        self.engine.set_tapping(self.copies.is_wanted());
        std::mem::swap(&mut self.again, &mut self.unfinished);
        // Responses of upstreams answer clients that wait already, so they come first.
        for is_upstreams_turn in [true, false] {
            for index in 0..self.unfinished.len() {
                if let Some(&owner) = self.unfinished.get(index)
                    && owner.is_upstream() == is_upstreams_turn
                {
                    self.serve(owner, Ready::AGAIN, now);
                }
            }
            for event in events {
                if let Some(owner) = self.places.owner(event.token())
                    && owner.is_upstream() == is_upstreams_turn
                {
                    self.serve(owner, Ready::of(event), now);
                }
            }
        }
        self.unfinished.clear();
        self.serve_streams(ready::TURN_SHARE, now);
        if self.streams.measure_some(&mut self.engine, now) {
            self.engine.free_client_memory(now);
        }
        self.accept_again(now);
        self.quic
            .take_turn(ready::TURN_SHARE, &mut self.engine, now);
        for (owner, passed_on) in self.quic.take_misdirected() {
            self.mailboxes.put_packet(owner, passed_on, &self.engine);
        }
        drive(&mut self.driver(), now);
        self.quic.send(&self.engine, now);
        self.renew_sockets(now);
    }

    /// The engine, and everything that carries out what it wants.
    fn driver(&mut self) -> WorkerDriver<'_> {
        WorkerDriver {
            engine: &mut self.engine,
            registry: self.poll.registry(),
            places: &mut self.places,
            datagrams: &mut self.datagrams,
            sessions: &mut self.sessions,
            streams: &mut self.streams,
            quic: &mut self.quic,
            mailboxes: &mut self.mailboxes,
            records: &mut self.records,
            copies: &mut self.copies,
            outlet: &self.outlet,
        }
    }

    fn serve(&mut self, owner: Owner, ready: Ready, now: Moment) {
        match owner {
            Owner::Commands => {
                self.take_orders(now);
                self.take_messages(now);
            }
            Owner::Udp(socket) => {
                let read = self.datagrams.receive(socket, &mut self.engine, now);
                if read.count > 0 {
                    self.note_packet(now);
                } else if let Some(reason) = self.datagrams.take_refusal() {
                    self.outlet.send(WorkerEvent::ReceiveRefused { reason });
                }
                if read.maybe_more {
                    self.again.push(owner);
                }
            }
            Owner::Listener(listener) => {
                if self.accept(listener, now) == Accepted::Some {
                    self.again.push(owner);
                }
            }
            Owner::Session(key) => {
                let Worker {
                    sessions,
                    engine,
                    buffer,
                    outlet,
                    ..
                } = self;
                if sessions.serve(key, ready, engine, buffer, outlet, now) {
                    self.again.push(owner);
                }
            }
            Owner::Query(socket) => {
                let hands = &mut Hands {
                    registry: self.poll.registry(),
                    places: &mut self.places,
                    engine: &mut self.engine,
                    outlet: &self.outlet,
                    now,
                };
                let (plain, _) = self.sessions.plain();
                if plain.serve(socket, &mut self.buffer, hands) {
                    self.again.push(owner);
                }
            }
            Owner::Stream(key) => self.streams.note_ready(key, ready),
            Owner::Quic(socket) => {
                let read = self.quic.receive(socket, &mut self.engine, now);
                if read.count > 0 {
                    self.note_packet(now);
                }
                if read.maybe_more {
                    self.again.push(owner);
                }
            }
        }
    }

    /// Serves client connections that are ready, until they have had this share of the turn.
    fn serve_streams(&mut self, share: usize, now: Moment) {
        let Worker {
            streams,
            engine,
            buffer,
            places,
            ..
        } = self;
        if streams.serve(share, engine, buffer, places, now) {
            self.note_packet(now);
        }
    }

    /// No query waits for sockets that are opened ahead.
    fn renew_sockets(&mut self, now: Moment) {
        let hands = &mut Hands {
            registry: self.poll.registry(),
            places: &mut self.places,
            engine: &mut self.engine,
            outlet: &self.outlet,
            now,
        };
        self.sessions.plain().0.renew(hands);
    }

    fn accept(&mut self, listener: usize, now: Moment) -> Accepted {
        let Worker {
            sessions,
            streams,
            engine,
            places,
            ..
        } = self;
        let accepted = match sessions.hold_descriptors() {
            true => streams.accept(listener, engine, places, now),
            false => streams.pause_accepting(engine, now),
        };
        match &accepted {
            Accepted::All | Accepted::Some => {}
            Accepted::NoDescriptor => self.outlet.send(WorkerEvent::AcceptPaused),
            Accepted::Refused(reason) => self.outlet.send(WorkerEvent::AcceptRefused {
                reason: reason.clone(),
            }),
        }
        accepted
    }

    /// Accepts connections again, where a pause in that is over.
    fn accept_again(&mut self, now: Moment) {
        if self.streams.accept_again_at().is_some_and(|due| due <= now) {
            self.streams.end_pause();
            self.again
                .extend((0..self.streams.listener_count()).map(Owner::Listener));
        }
    }

    fn take_orders(&mut self, now: Moment) {
        loop {
            match self.commands.try_recv() {
                Ok(WorkerCommand::Drain) => self.drain(now),
                Ok(WorkerCommand::HandOver(addresses)) => self.hand_over(&addresses, now),
                Ok(WorkerCommand::Listen(sockets)) => self.listen(&sockets),
                Ok(WorkerCommand::OpenFirstSession(upstream)) => {
                    self.engine.open_first_session(now, upstream);
                }
                Ok(WorkerCommand::Probe(upstream)) => self.engine.probe(now, upstream),
                Ok(WorkerCommand::Recheck) => self.engine.on_network_change(now),
                Ok(WorkerCommand::Reconfigure(to)) => self.reconfigure(now, &to),
                #[cfg(test)]
                Ok(WorkerCommand::StandStill) => drop(STANDING.lock()),
                #[cfg(test)]
                Ok(WorkerCommand::Panic) => panic!("ordered by a test"),
                // Without a control thread, this worker could not be stopped.
                Ok(WorkerCommand::Finish) | Err(TryRecvError::Disconnected) => {
                    return self.finish();
                }
                Err(TryRecvError::Empty) => return,
            }
        }
    }

    /// Serves the sockets of one more address, unless the end is near.
    fn listen(&mut self, sockets: &LateSockets) {
        if self.phase == Phase::Finishing {
            return;
        }
        let (registry, places) = (self.poll.registry(), &mut self.places);
        let streams = sockets.streams.lock();
        let streams = streams.unwrap_or_else(PoisonError::into_inner).take();
        let udp = sockets.udp.as_ref().map(Arc::clone);
        let added = udp
            .map_or(Ok(()), |udp| self.datagrams.add(registry, places, udp))
            .and_then(|()| self.streams.add_listener(places, streams));
        let quic = sockets.quic.as_ref().map(Arc::clone);
        let added = added.and_then(|()| self.quic.add(registry, places, quic));
        let addresses = self.datagrams.addresses();
        self.engine.clients_mut().set_datagram_listeners(addresses);
        if let Err(error) = added {
            let reason = error.to_string();
            self.outlet.send(WorkerEvent::NotListening { reason });
        }
    }

    /// Leaves the sockets of these addresses to another process; what is in flight is answered still.
    fn hand_over(&mut self, addresses: &[SocketAddr], now: Moment) {
        self.stop_taking(|address| addresses.contains(&address));
        self.drain(now);
    }

    /// Notes when packets come from now on, and sends clients elsewhere whose protocol has a word for that.
    fn drain(&mut self, now: Moment) {
        if self.phase == Phase::Finishing {
            return;
        }
        self.phase = Phase::Draining;
        self.streams.accept_at_once();
        self.streams
            .send_elsewhere(&mut self.engine, &mut self.places, now);
        self.quic.shut_down(now);
    }

    fn reconfigure(&mut self, now: Moment, to: &Reconfiguration) {
        self.settings = Arc::clone(&to.settings);
        self.sessions.set_upstreams(Arc::clone(&to.upstreams));
        self.streams.set_tls(to.tls.as_ref());
        self.quic.set_tls(to.tls.as_ref(), to.settings.doq_idle);
        self.engine.reconfigure(now, Arc::clone(&to.settings));
    }

    fn stop_taking(&mut self, is_meant: impl Fn(SocketAddr) -> bool) {
        let (registry, places) = (self.poll.registry(), &mut self.places);
        self.datagrams.stop(registry, places, &is_meant);
        self.streams.stop_accepting(places, &is_meant);
        self.quic.stop(registry, places, &is_meant);
    }

    /// Messages of other workers, at most as many as a mailbox holds.
    fn take_messages(&mut self, now: Moment) {
        for message in self.messages.try_iter().take(MAILBOX_MESSAGES) {
            match message {
                Message::Flight(message) => self.engine.on_flight_message(now, message),
                Message::Packet(passed_on, _place) => {
                    self.quic.take_passed_on(&passed_on, &mut self.engine, now)
                }
            }
        }
    }

    /// Reads what the system has queued already, then nothing more.
    fn finish(&mut self) {
        if self.phase == Phase::Finishing {
            return;
        }
        self.phase = Phase::Finishing;
        let now = now();
        self.datagrams.receive_last(&mut self.engine, now);
        self.quic.receive_last(&mut self.engine, now);
        self.receive_last_of_streams(now);
        // Queries that came meanwhile over connections that waited for them.
        self.receive_last_of_streams(now);
        self.stop_taking(|_| true);
        self.quic.shut_down(now);
        self.again
            .retain(|owner| !matches!(owner, Owner::Udp(_) | Owner::Listener(_) | Owner::Quic(_)));
    }

    /// Accepts the connections that wait, and reads what all have sent.
    fn receive_last_of_streams(&mut self, now: Moment) {
        for listener in 0..self.streams.listener_count() {
            for _ in 0..LAST_ROUNDS {
                if self.accept(listener, now) != Accepted::Some {
                    break;
                }
            }
        }
        self.streams.note_all_ready();
        for _ in 0..ROUNDS {
            self.serve_streams(usize::MAX, now);
        }
    }

    fn shut_down(&mut self) {
        let now = now();
        self.engine.close_all_sessions();
        self.engine.clients_mut().close_all_streams();
        carry_out(&mut self.driver(), now);
        self.quic.send(&self.engine, now);
    }

    fn note_packet(&self, now: Moment) {
        if self.phase == Phase::Draining {
            self.last_packet.fetch_max(now.nanos(), Ordering::Relaxed);
        }
    }

    /// After a bug in dotgate: those who wait get SERVFAIL, connections are dropped, and a new engine continues.
    fn restart_engine(&mut self, panic: &(dyn Any + Send)) {
        self.outlet.counters.add(Count::Panics);
        self.outlet.send(WorkerEvent::Panicked {
            message: panic_message(panic),
        });
        let farewell = catch_unwind(AssertUnwindSafe(|| {
            let now = now();
            self.engine.fail_all(now);
            carry_out(&mut self.driver(), now);
            self.quic.send(&self.engine, now);
        }));
        // A second panic leaves clients without this answer; they ask again.
        drop(farewell);
        self.again.clear();
        self.unfinished.clear();
        self.sessions.drop_all(&mut self.places);
        self.streams.drop_all(&mut self.places);
        self.quic.drop_all();
        match new_engine(
            self.outlet.id,
            &self.settings,
            &self.shared,
            &self.outlet.counters,
        ) {
            Ok(engine) => self.engine = engine,
            Err(error) => self.outlet.send(WorkerEvent::Broken {
                reason: error.to_string(),
            }),
        }
        let addresses = self.datagrams.addresses();
        self.engine.clients_mut().set_datagram_listeners(addresses);
        // What became ready meanwhile is announced no second time.
        self.again
            .extend((0..self.datagrams.count()).map(Owner::Udp));
        self.again
            .extend((0..self.streams.listener_count()).map(Owner::Listener));
        self.again.extend((0..self.quic.count()).map(Owner::Quic));
    }
}

fn new_engine(
    id: WorkerId,
    settings: &Arc<Settings>,
    shared: &Shared,
    counters: &Arc<Counters>,
) -> io::Result<Engine> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    Ok(Engine::new(
        id,
        Arc::clone(settings),
        shared.clone(),
        Arc::clone(counters),
        seed,
    ))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests;
