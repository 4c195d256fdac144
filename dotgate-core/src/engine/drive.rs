//! The one order in which an engine is driven, for the program, the simulator and tests.

use super::Engine;
#[cfg(doc)]
use crate::clients::Clients;
use crate::moment::Moment;
use crate::outbox::{Action, Event};

/// An engine with what carries out its wishes: sockets in the program, a simulated network in tests.
pub trait Driver {
    /// The engine that is driven.
    fn engine(&mut self) -> &mut Engine;

    /// Executes one action; immediate results are reported to the engine.
    fn act(&mut self, now: Moment, action: Action);

    /// Sends what [`Clients::datagrams`] has, then clears it.
    fn send_datagrams(&mut self, now: Moment);

    /// Sends every [`Engine::poll_flight_message`] to its worker.
    fn send_flight_messages(&mut self);

    /// Takes what [`Clients::records`] has, then clears it. Without anybody who reads them there are none.
    fn take_records(&mut self, _now: Moment) {
        self.engine().clients_mut().clear_records();
    }

    /// Logs an event.
    fn log(&mut self, now: Moment, event: Event);
}

/// Ends a turn, after input was read: lets time pass, then carries out what the engine wants.
pub fn drive(driver: &mut impl Driver, now: Moment) {
    let engine = driver.engine();
    if engine.next_deadline().is_some_and(|due| due <= now) {
        engine.on_timeout(now);
        debug_assert!(
            engine.next_deadline().is_none_or(|due| due > now),
            "after on_timeout the deadline is past"
        );
    }
    carry_out(driver, now);
}

/// Executes the engine's actions until there are no more.
pub fn carry_out(driver: &mut impl Driver, now: Moment) {
    while let Some(action) = driver.engine().poll_action() {
        driver.act(now, action);
    }
    driver.send_datagrams(now);
    driver.send_flight_messages();
    driver.take_records(now);
    driver.engine().publish_load();
    while let Some(event) = driver.engine().poll_event() {
        driver.log(now, event);
    }
}
