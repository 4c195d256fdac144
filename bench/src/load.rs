//! The load: clients that send queries over UDP and count what comes back.
//!
//! Either *saturating*, a fixed number of queries in flight (every response makes room for the
//! next query), or *paced*, a fixed rate whatever comes back. A response counts for the query it
//! answers alone: message ID, socket and question must fit. Latency runs from just before the
//! system call that sends to just after the one that receives.

mod client;
pub mod idle;
mod names;
pub mod streams;
mod tally;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use dotgate_net::boottime_nanos;

use crate::Error;
use crate::cpu::Measured;
use client::{Clients, Receiver, Sender};
pub use names::{Names, Popularity};
pub use tally::Tally;

/// How queries are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// As fast as responses come, with this many queries in flight, spread over the sockets.
    Window(usize),
    /// This many queries per second, one by one.
    PerSecond(u32),
}

/// When to stop sending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// After this time.
    After(Duration),
    /// After this many queries.
    Queries(u64),
    /// After this many queries, or this time.
    QueriesWithin(u64, Duration),
}

/// A load to put on a forwarder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load<'a> {
    /// The forwarder's UDP address.
    pub target: SocketAddr,
    /// Client sockets, 1 to 65,535.
    pub sockets: u16,
    /// How queries are sent.
    pub pace: Pace,
    /// When to stop.
    pub stop: Stop,
    /// A query not answered for so long is lost.
    pub timeout: Duration,
    /// Part of all names; a new one per load keeps them unique.
    pub seed: u32,
    /// What is asked for.
    pub names: Names<'a>,
    /// Whose CPU time is measured.
    pub measured: Option<Measured>,
}

/// What came of a load.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Queries sent.
    pub sent: u64,
    /// Those among them that this machine's kernel did not take; they are lost, too.
    pub unsent: u64,
    /// What came back.
    pub tally: Tally,
    /// Time from the first query to the last response, in nanoseconds.
    pub elapsed_nanos: u64,
    /// The process's CPU time between the first query and the end of the wait for responses.
    pub cpu_nanos: Option<u64>,
    /// How often its threads went to sleep in that time, and had to be woken.
    pub sleeps: Option<u64>,
}

impl Outcome {
    /// Queries without a response in time.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sent - self.tally.in_time()
    }

    /// Queries without an answer, in percent.
    #[must_use]
    pub fn unanswered_percent(&self) -> Option<f64> {
        let unanswered = self.sent - self.tally.answered;
        (self.sent > 0).then(|| unanswered as f64 * 100.0 / self.sent as f64)
    }

    /// Queries answered per second.
    #[must_use]
    pub fn answered_per_second(&self) -> f64 {
        self.tally.answered as f64 / (self.elapsed_nanos.max(1) as f64 / 1e9)
    }

    /// How many processors' time the process used.
    #[must_use]
    pub fn processors_used(&self) -> Option<f64> {
        let nanos = self.cpu_nanos.filter(|_| self.elapsed_nanos > 0)?;
        Some(nanos as f64 / self.elapsed_nanos as f64)
    }

    /// Times that a thread of the process went to sleep per query answered.
    #[must_use]
    pub fn sleeps_per_query(&self) -> Option<f64> {
        let answered = self.tally.answered;
        let sleeps = self.sleeps.filter(|_| answered > 0)?;
        Some(sleeps as f64 / answered as f64)
    }

    /// CPU time per query answered, in microseconds; SERVFAIL and lost queries count as work
    /// without a result.
    #[must_use]
    pub fn cpu_micros_per_query(&self) -> Option<f64> {
        let answered = self.tally.answered;
        let nanos = self.cpu_nanos.filter(|_| answered > 0)?;
        Some(nanos as f64 / 1e3 / answered as f64)
    }
}

/// Puts a load on a forwarder, waits for the last response or its timeout, and counts.
///
/// # Errors
/// Where a socket fails, or the process to measure has no CPU time to read.
pub fn run(load: &Load<'_>) -> Result<Outcome, Error> {
    let clients = Clients::bind(load)?;
    let before = load.measured.map(Measured::used).transpose()?;
    let start = boottime_nanos();
    let mut receiver = Receiver::new(load, &clients)?;
    let (sent, unsent) = match load.pace {
        Pace::Window(window) => saturate(load, &clients, &mut receiver, window)?,
        Pace::PerSecond(rate) => pace(load, &clients, &mut receiver, rate)?,
    };
    let after = load.measured.map(Measured::used).transpose()?;
    let used = before.zip(after).map(|(before, after)| after - before);
    let sending_ended = match load.stop {
        Stop::After(duration) => start + duration.as_nanos() as u64,
        // It ends with the last response.
        Stop::Queries(_) | Stop::QueriesWithin(..) => start,
    };
    let (tally, last_response) = receiver.finish(start, sending_ended);
    Ok(Outcome {
        sent,
        unsent,
        tally,
        elapsed_nanos: last_response.saturating_sub(start),
        cpu_nanos: used.map(|used| used.nanos),
        sleeps: used.map(|used| used.sleeps),
    })
}

/// Whether, so long after the start and after so many queries, another may be sent.
fn goes_on(stop: Stop, elapsed_nanos: u64, sent: u64) -> bool {
    match stop {
        Stop::After(duration) => u128::from(elapsed_nanos) < duration.as_nanos(),
        Stop::Queries(queries) => sent < queries,
        Stop::QueriesWithin(queries, duration) => {
            sent < queries && u128::from(elapsed_nanos) < duration.as_nanos()
        }
    }
}

fn timeout_nanos(load: &Load<'_>) -> u64 {
    load.timeout.as_nanos() as u64
}

/// Keeps the window full; one thread, so that the load costs the machine little.
fn saturate(
    load: &Load<'_>,
    clients: &Clients,
    receiver: &mut Receiver<'_>,
    window: usize,
) -> Result<(u64, u64), Error> {
    let mut sender = Sender::new(load, clients);
    let sockets = usize::from(load.sockets);
    let mut in_flight = vec![0; sockets];
    let start = boottime_nanos();
    loop {
        let now = boottime_nanos();
        for (socket, in_flight) in in_flight.iter_mut().enumerate() {
            // A window that is no multiple of the sockets gives the first ones one more.
            let share = window / sockets + usize::from(socket < window % sockets);
            while *in_flight < share && goes_on(load.stop, now - start, sender.sent()) {
                let limit = match load.stop {
                    Stop::After(_) => u64::MAX,
                    Stop::Queries(queries) | Stop::QueriesWithin(queries, _) => {
                        queries - sender.sent()
                    }
                };
                let count = (share - *in_flight).min(usize::try_from(limit).unwrap_or(usize::MAX));
                *in_flight += sender.send(socket, count);
            }
        }
        let is_waiting = in_flight.iter().any(|count| *count > 0);
        if !is_waiting {
            return Ok((sender.sent(), sender.unsent()));
        }
        receiver.receive(|socket| in_flight[socket] -= 1)?;
        let deadline = boottime_nanos().saturating_sub(timeout_nanos(load));
        sender.forget_before(deadline, |socket| in_flight[socket] -= 1);
    }
}

/// Sends at a fixed rate from a thread of its own, so that neither waits for the other.
fn pace(
    load: &Load<'_>,
    clients: &Clients,
    receiver: &mut Receiver<'_>,
    rate: u32,
) -> Result<(u64, u64), Error> {
    let is_done = AtomicBool::new(false);
    let (sent, unsent) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let sender = send_evenly(load, clients, rate);
            sent.store(sender.sent(), Ordering::Relaxed);
            unsent.store(sender.unsent(), Ordering::Relaxed);
            is_done.store(true, Ordering::Release);
        });
        let mut done_at = None;
        loop {
            receiver.receive(|_| {})?;
            if is_done.load(Ordering::Acquire) {
                let now = boottime_nanos();
                let waited = now - *done_at.get_or_insert(now);
                let total = sent.load(Ordering::Relaxed);
                if receiver.in_time() == total || waited > timeout_nanos(load) {
                    return Ok((total, unsent.load(Ordering::Relaxed)));
                }
            }
        }
    })
}

fn send_evenly<'a>(load: &Load<'a>, clients: &'a Clients, rate: u32) -> Sender<'a> {
    let mut sender = Sender::new(load, clients);
    let start = boottime_nanos();
    loop {
        let elapsed = boottime_nanos() - start;
        if !goes_on(load.stop, elapsed, sender.sent()) {
            return sender;
        }
        let due = u128::from(sender.sent()) * 1_000_000_000 / u128::from(rate.max(1));
        match u64::try_from(due).unwrap_or(u64::MAX).checked_sub(elapsed) {
            Some(early) if early > 0 => thread::sleep(Duration::from_nanos(early)),
            Some(_) | None => {
                let socket = sender.sent() % u64::from(load.sockets.max(1));
                sender.send(socket as usize, 1);
            }
        }
    }
}

#[cfg(test)]
mod tests;
