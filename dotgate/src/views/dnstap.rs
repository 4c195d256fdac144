//! dnstap: copies of all messages for one reader, which may be slow, away, or never there.
//!
//! Workers copy and encode messages while a reader is connected, and at no other time; each writes them to a ring of its own
//! (`ring`). A thread of its own connects, and writes what is in the rings to the reader as Frame Streams (`frames`). No
//! query waits for any of this: what does not fit into a ring is dropped and counted.
//! Limits: `ring::RING` bytes for each worker, `CONNECT_WAIT` for each step of a connection, `AGAIN_MAX` between two attempts.

mod frames;
mod message;
mod ring;

use std::io::{self, Write as _};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use dotgate_config::DnstapReader;
use dotgate_core::Moment;
use socket2::{Domain, SockAddr, Socket, Type};

pub use self::ring::{TapReceiver, TapSender, tap};
use super::view_thread::{END_WAIT, Orders, ViewThread};
use crate::clock::now;
use crate::log::message::say;
use crate::running::Running;

/// How often rings are read while a reader is connected.
const READ_EVERY: Duration = Duration::from_millis(20);

/// How long the reader may take to accept a connection, to answer, and to read what is written.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// The time from one attempt to connect to the next: twice as long each time, up to the other.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// The thread that writes to the reader.
#[derive(Debug)]
pub(super) struct Dnstap(ViewThread<Option<DnstapReader>>);

impl Dnstap {
    pub(super) fn start(
        (rings, is_wanted): (Vec<TapReceiver>, Arc<AtomicBool>),
        running: Arc<Running>,
    ) -> io::Result<Dnstap> {
        let writer = Writer {
            rings,
            is_wanted,
            running,
            reader: None,
            connection: None,
            again: AGAIN,
            again_at: None,
            is_lost_logged: false,
        };
        ViewThread::start("dnstap", move |orders| writer.run(orders)).map(Dnstap)
    }

    /// Uses another reader, or none, from now on.
    pub(super) fn set(&self, reader: Option<DnstapReader>) {
        self.0.set(reader);
    }
}

/// The thread itself.
struct Writer {
    rings: Vec<TapReceiver>,
    /// Whether workers are to copy messages.
    is_wanted: Arc<AtomicBool>,
    running: Arc<Running>,
    reader: Option<DnstapReader>,
    connection: Option<Socket>,
    /// The time until the next attempt to connect, if this one fails.
    again: Duration,
    again_at: Option<Moment>,
    is_lost_logged: bool,
}

impl Writer {
    fn run(mut self, orders: &Orders<Option<DnstapReader>>) {
        loop {
            let is_ending = orders.is_ending();
            self.take_settings(orders);
            if is_ending {
                self.write();
                return self.disconnect();
            }
            if self.connection.is_some() {
                self.write();
            } else if self.reader.is_some() && self.again_at.is_none_or(|at| at <= now()) {
                self.connect();
            }
            match (&self.reader, &self.connection) {
                (None, _) => thread::park(),
                (Some(_), Some(_)) => thread::park_timeout(READ_EVERY),
                (Some(_), None) => {
                    let until = self.again_at.map_or(AGAIN, |at| at.since(now()));
                    thread::park_timeout(until);
                }
            }
        }
    }

    fn take_settings(&mut self, orders: &Orders<Option<DnstapReader>>) {
        let next = orders.take_settings();
        if let Some(reader) = next.filter(|reader| *reader != self.reader) {
            self.write();
            self.disconnect();
            let is_set = reader.is_some();
            self.running.dnstap().is_set.store(is_set, Relaxed);
            self.reader = reader;
            self.again = AGAIN;
            self.again_at = None;
            self.is_lost_logged = false;
        }
    }

    fn connect(&mut self) {
        let Some(reader) = &self.reader else {
            return;
        };
        match connect(reader) {
            Ok(connection) => {
                say!(DNSTAP_CONNECTED, reader = %reader);
                // Messages from before the connection are not sent.
                self.rings.iter_mut().for_each(TapReceiver::discard);
                self.connection = Some(connection);
                self.again = AGAIN;
                self.is_lost_logged = false;
                self.set_connected(true);
            }
            Err(reason) => self.lose(&reason),
        }
    }

    /// Writes what is in the rings.
    fn write(&mut self) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        for ring in &mut self.rings {
            if let Err(reason) = ring.read(|bytes| connection.write_all(bytes)) {
                return self.lose(&reason);
            }
        }
    }

    /// There is no reader; another attempt is made later.
    fn lose(&mut self, reason: &io::Error) {
        if let (Some(reader), false) = (&self.reader, self.is_lost_logged) {
            say!(DNSTAP_LOST, reader = %reader, reason = %reason);
        }
        self.is_lost_logged = true;
        self.connection = None;
        self.set_connected(false);
        self.again_at = Some(now() + self.again);
        self.again = (self.again * 2).min(AGAIN_MAX);
    }

    /// Ends the stream, as the protocol wants it.
    fn disconnect(&mut self) {
        self.set_connected(false);
        if let Some(mut connection) = self.connection.take() {
            // A reader that does not answer gets the end of the connection.
            let stopped = connection
                .set_read_timeout(Some(END_WAIT))
                .and_then(|()| frames::stop(&mut connection));
            drop(stopped.and_then(|()| connection.shutdown(Shutdown::Both)));
        }
    }

    fn set_connected(&self, is_connected: bool) {
        self.is_wanted.store(is_connected, Relaxed);
        let state = self.running.dnstap();
        state.is_connected.store(is_connected, Relaxed);
    }
}

fn connect(reader: &DnstapReader) -> io::Result<Socket> {
    let address = match reader {
        DnstapReader::Unix(path) => SockAddr::unix(path)?,
        DnstapReader::Tcp(address) => address.resolve()?.into(),
    };
    let mut socket = Socket::new(
        Domain::from(i32::from(address.family())),
        Type::STREAM,
        None,
    )?;
    socket.connect_timeout(&address, CONNECT_WAIT)?;
    socket.set_read_timeout(Some(CONNECT_WAIT))?;
    socket.set_write_timeout(Some(CONNECT_WAIT))?;
    frames::start(&mut socket)?;
    Ok(socket)
}
