//! An upstream's thread: a listener, its connections, and a test's commands.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::SockRef;

use super::connection::{Connection, Progress};
use super::script::{End, Form, Opening, Step};
use super::{Command, Shared};
use crate::world::wait::now;

const WAKER: Token = Token(0);
const LISTENER: Token = Token(1);
const FIRST_CONNECTION: usize = 2;

pub(super) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    commands: Receiver<(Command, SyncSender<()>)>,
    poll: Poll,
    listener: Option<TcpListener>,
    connections: HashMap<usize, Connection>,
    next: usize,
}

impl Server {
    pub(super) fn new(
        address: SocketAddr,
        shared: Arc<Shared>,
        commands: Receiver<(Command, SyncSender<()>)>,
    ) -> (Server, Waker) {
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), WAKER).unwrap();
        let server = Server {
            address,
            shared,
            commands,
            poll,
            listener: None,
            connections: HashMap::new(),
            next: FIRST_CONNECTION,
        };
        (server, waker)
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(256);
        loop {
            let due = self
                .connections
                .values()
                .filter_map(Connection::next_due)
                .min();
            let timeout = due.map(|due| due.saturating_sub(now()).max(Duration::from_micros(100)));
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => outcome.unwrap(),
            }
            for event in &events {
                match event.token() {
                    WAKER => {}
                    LISTENER => self.accept(),
                    Token(number) => self.serve(number),
                }
            }
            let due = now();
            let late = |(number, it): (&usize, &Connection)| {
                it.next_due().is_some_and(|it| it <= due).then_some(*number)
            };
            let late: Vec<usize> = self.connections.iter().filter_map(late).collect();
            for number in late {
                self.serve(number);
            }
            while let Ok((command, done)) = self.commands.try_recv() {
                if matches!(command, Command::Quit) {
                    return;
                }
                self.obey(command);
                done.send(()).expect("the test waits");
            }
            self.shared.changed.notify_all();
        }
    }

    fn accept(&mut self) {
        while let Some(listener) = &self.listener {
            let Ok((mut socket, _)) = listener.accept() else {
                return;
            };
            self.shared.record().connections += 1;
            let script = self.shared.script();
            if script.opening == Opening::Close {
                continue;
            }
            let number = self.next;
            self.next += 1;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(&mut socket, Token(number), interest)
                .unwrap();
            let connection_number = (number - FIRST_CONNECTION + 1) as u64;
            let connection = Connection::new(socket, connection_number, &script);
            self.connections.insert(number, connection);
        }
    }

    /// Reads, acts, writes; what ends the connection is recorded.
    fn serve(&mut self, number: usize) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        let progress = connection.serve(&self.shared);
        self.settle(number, progress);
        let end = {
            let mut script = self.shared.script();
            let count = self.shared.record().queries.len();
            let end = script.end_at.take_if(|(at, _)| count >= *at);
            if end.is_some() {
                script.all = vec![Step::Send(Form::Right)];
            }
            end
        };
        if let Some((_, end)) = end {
            self.end_all(end);
        }
    }

    fn settle(&mut self, number: usize, progress: Progress) {
        if progress == Progress::Over && self.connections.remove(&number).is_some() {
            self.shared.record().ended += 1;
        }
    }

    fn end_all(&mut self, end: End) {
        let open: Vec<usize> = self.connections.keys().copied().collect();
        for number in open {
            if let Some(connection) = self.connections.get_mut(&number) {
                let progress = connection.end(end);
                self.settle(number, progress);
            }
        }
    }

    fn obey(&mut self, command: Command) {
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
            Command::Listen => {
                let mut listener = TcpListener::bind(self.address).unwrap();
                if self.shared.script().has_little_room {
                    // Connections have what their listener has.
                    SockRef::from(&listener)
                        .set_recv_buffer_size(2_304)
                        .unwrap();
                }
                let registry = self.poll.registry();
                registry
                    .register(&mut listener, LISTENER, Interest::READABLE)
                    .unwrap();
                self.listener = Some(listener);
            }
            Command::StopListening => self.listener = None,
            Command::Quit => {}
        }
    }
}
