//! The thread of a server: a listener, its connections, and the commands of its owner.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use dotgate_net::boottime_nanos;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::SockRef;

use super::connection::Connection;
use super::script::{End, Opening};
use super::{Command, Ordered, Shared};

const WAKER: Token = Token(0);
const LISTENER: Token = Token(1);
const FIRST_CONNECTION: usize = 2;

/// The shortest sleep, so that rounding does not make the loop poll without pause.
const SLEEP_MIN: Duration = Duration::from_micros(100);

/// The smallest receive buffer that the kernel allows, in bytes.
const LITTLE_ROOM: usize = 2_304;

/// The time since the host started.
pub(super) fn now() -> Duration {
    Duration::from_nanos(boottime_nanos())
}

pub(super) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    commands: Receiver<Ordered>,
    poll: Poll,
    listener: Option<TcpListener>,
    connections: HashMap<usize, Connection>,
    next: usize,
}

impl Server {
    pub(super) fn new(
        address: SocketAddr,
        shared: Arc<Shared>,
        commands: Receiver<Ordered>,
    ) -> io::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let server = Self {
            address,
            shared,
            commands,
            poll,
            listener: None,
            connections: HashMap::new(),
            next: FIRST_CONNECTION,
        };
        Ok((server, waker))
    }

    /// Serves until the owner ends it, or the system cannot poll.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(256);
        loop {
            let connections = self.connections.values();
            let due = connections.filter_map(Connection::next_due).min();
            let timeout = due.map(|due| due.saturating_sub(now()).max(SLEEP_MIN));
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
                Ok(()) => {}
            }
            for event in &events {
                match event.token() {
                    WAKER => {}
                    LISTENER => self.accept(),
                    Token(number) => self.serve(number),
                }
            }
            self.serve_due();
            while let Ok((command, done)) = self.commands.try_recv() {
                if matches!(command, Command::Quit) {
                    return;
                }
                // Its owner waits, unless it ends at this moment.
                drop(done.send(self.obey(command)));
            }
            self.shared.changed.notify_all();
        }
    }

    /// Serves the connections whose time has come.
    fn serve_due(&mut self) {
        let now = now();
        let is_due = |(number, connection): (&usize, &Connection)| {
            let due = connection.next_due();
            due.is_some_and(|due| due <= now).then_some(*number)
        };
        let due: Vec<usize> = self.connections.iter().filter_map(is_due).collect();
        for number in due {
            self.serve(number);
        }
    }

    fn accept(&mut self) {
        while let Some(listener) = &self.listener {
            let Ok((mut socket, _)) = listener.accept() else {
                return;
            };
            let script = self.shared.script();
            if self.connections.len() >= script.limits.connections {
                continue;
            }
            self.shared.record().connections += 1;
            if script.opening == Opening::Close {
                continue;
            }
            let number = self.next;
            self.next += 1;
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registry = self.poll.registry();
            let registered = registry.register(&mut socket, Token(number), interest);
            let connection_number = (number - FIRST_CONNECTION + 1) as u64;
            let connection = Connection::new(socket, connection_number, &script);
            // A connection that cannot be served is closed, like one beyond the limit.
            if let (Ok(()), Ok(connection)) = (registered, connection) {
                self.connections.insert(number, connection);
            }
        }
    }

    /// Serves a connection, and ends all if the script says so after its queries.
    fn serve(&mut self, number: usize) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        let outcome = connection.serve(&self.shared);
        self.settle(number, &outcome);
        let received = self.shared.record().received;
        let end = self.shared.script().take_end(received);
        if let Some(end) = end {
            self.end_all(end);
        }
    }

    /// Closes a connection that is over.
    fn settle(&mut self, number: usize, outcome: &io::Result<()>) {
        if outcome.is_err() && self.connections.remove(&number).is_some() {
            self.shared.record().ended += 1;
        }
    }

    fn end_all(&mut self, end: End) {
        let open: Vec<usize> = self.connections.keys().copied().collect();
        for number in open {
            if let Some(connection) = self.connections.get_mut(&number) {
                let outcome = connection.end(end);
                self.settle(number, &outcome);
            }
        }
    }

    fn obey(&mut self, command: Command) -> io::Result<()> {
        match command {
            Command::EndAll(end) => self.end_all(end),
            Command::FreezeAll => self.connections.values_mut().for_each(Connection::freeze),
            Command::ReleaseAll => {
                self.connections.values_mut().for_each(Connection::release);
                let open: Vec<usize> = self.connections.keys().copied().collect();
                for number in open {
                    self.serve(number);
                }
            }
            Command::Listen => self.listen()?,
            Command::StopListening => self.listener = None,
            Command::Quit => {}
        }
        Ok(())
    }

    /// Where it listens, or will.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn listen(&mut self) -> io::Result<()> {
        let mut listener = TcpListener::bind(self.address)?;
        self.address = listener.local_addr()?;
        if self.shared.script().has_little_room {
            // Connections have the buffers of their listener.
            SockRef::from(&listener).set_recv_buffer_size(LITTLE_ROOM)?;
        }
        let registry = self.poll.registry();
        registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        self.listener = Some(listener);
        Ok(())
    }
}
