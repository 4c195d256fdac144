//! The one order in which an engine is driven, for the program, the simulator and tests.

use super::Engine;
use crate::moment::Moment;
use crate::outbox::{Action, Event};

/// What carries out the wishes of an engine: sockets in the program, a simulated network in tests.
pub trait Io {
    /// Carries out one action; what comes of it at once is reported to the engine.
    fn act(&mut self, engine: &mut Engine, now: Moment, action: Action);

    /// Sends what [`Engine::datagrams`] holds, then clears it.
    fn send_datagrams(&mut self, engine: &mut Engine, now: Moment);

    /// Sends every [`Engine::poll_flight_message`] to its worker.
    fn send_flight_messages(&mut self, engine: &mut Engine);

    /// Logs an event.
    fn log(&mut self, now: Moment, event: Event);
}

/// Ends a turn, after input was read: lets time pass, then carries out what the engine wants.
pub fn drive(engine: &mut Engine, io: &mut impl Io, now: Moment) {
    if engine.next_deadline().is_some_and(|due| due <= now) {
        engine.on_timeout(now);
        debug_assert!(
            engine.next_deadline().is_none_or(|due| due > now),
            "after on_timeout the deadline is past"
        );
    }
    carry_out(engine, io, now);
}

/// Carries out what the engine wants, until it wants nothing more.
pub fn carry_out(engine: &mut Engine, io: &mut impl Io, now: Moment) {
    while let Some(action) = engine.poll_action() {
        io.act(engine, now, action);
    }
    io.send_datagrams(engine, now);
    io.send_flight_messages(engine);
    engine.publish_load();
    while let Some(event) = engine.poll_event() {
        io.log(now, event);
    }
}
