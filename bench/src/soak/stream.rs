//! Clients over TCP: each connection asks several questions with one write, at a steady pace, and is
//! closed and opened again after some thousand (RFC 7766).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use dotgate_net::boottime_nanos;
use dotgate_wire::split_frame;

use crate::load::{Outcome, Tally};
use crate::message::{self, Name};

/// The pause between two writes of a connection.
const PAUSE: Duration = Duration::from_millis(20);

/// Writes on a connection before the client opens another one.
const WRITES: u32 = 250;

/// A load over TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Streams {
    pub(super) target: SocketAddr,
    pub(super) connections: u16,
    /// Queries per second of all connections together.
    pub(super) rate: u32,
    pub(super) length: Duration,
    /// A query not answered for so long is lost, and its connection given up.
    pub(super) timeout: Duration,
    pub(super) seed: u32,
    /// The number of the first connection, as part of names.
    pub(super) first_socket: u16,
}

/// Puts the load on the forwarder. What a connection that failed had asked is lost.
pub(super) fn run(streams: &Streams) -> Outcome {
    let start = boottime_nanos();
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let clients: Vec<_> = (0..streams.connections)
            .map(|number| {
                scope.spawn(move || {
                    let mut client = Client::new(streams, number);
                    client.run();
                    client.outcome
                })
            })
            .collect();
        clients
            .into_iter()
            .filter_map(|client| client.join().ok())
            .collect()
    });
    let mut all = Outcome::default();
    for outcome in outcomes {
        all.sent += outcome.sent;
        add(&mut all.tally, outcome.tally);
    }
    all.tally.latencies.sort_unstable();
    all.elapsed_nanos = boottime_nanos() - start;
    all
}

fn add(all: &mut Tally, one: Tally) {
    all.answered += one.answered;
    all.server_failures += one.server_failures;
    all.other += one.other;
    all.late += one.late;
    all.wrong += one.wrong;
    all.latencies.extend(one.latencies);
}

struct Client<'a> {
    streams: &'a Streams,
    socket: u16,
    stream: Option<TcpStream>,
    writes: u32,
    /// Bytes that do not make a whole response yet.
    received: Vec<u8>,
    next_number: u64,
    outcome: Outcome,
}

impl<'a> Client<'a> {
    fn new(streams: &'a Streams, number: u16) -> Client<'a> {
        Client {
            streams,
            socket: streams.first_socket + number,
            stream: None,
            writes: 0,
            received: Vec::new(),
            next_number: 0,
            outcome: Outcome::default(),
        }
    }

    fn run(&mut self) {
        let start = boottime_nanos();
        let length = self.streams.length.as_nanos() as u64;
        let per_second = u64::from(self.streams.rate) / u64::from(self.streams.connections.max(1));
        loop {
            let elapsed = boottime_nanos() - start;
            if elapsed >= length {
                return;
            }
            let due = per_second * elapsed / 1_000_000_000;
            let count = due.saturating_sub(self.next_number);
            if count > 0 && self.exchange(count).is_err() {
                self.stream = None;
            }
            thread::sleep(PAUSE);
        }
    }

    /// Asks `count` questions and waits for the responses.
    fn exchange(&mut self, count: u64) -> io::Result<()> {
        let first = self.next_number;
        self.next_number += count;
        self.outcome.sent += count;
        let mut bytes = Vec::new();
        for number in first..self.next_number {
            let query = message::query(number as u16, self.name(number));
            bytes.extend_from_slice(&(query.len() as u16).to_be_bytes());
            bytes.extend_from_slice(&query);
        }
        let sent_at = boottime_nanos();
        self.connect()?.write_all(&bytes)?;
        let mut is_out = vec![true; count as usize];
        let deadline = sent_at + self.streams.timeout.as_nanos() as u64;
        while is_out.contains(&true) {
            self.read(deadline)?;
            self.take(first, sent_at, &mut is_out);
        }
        self.writes += 1;
        if self.writes >= WRITES {
            self.stream = None;
        }
        Ok(())
    }

    fn name(&self, number: u64) -> Name {
        Name {
            seed: self.streams.seed,
            socket: self.socket,
            number,
        }
    }

    fn connect(&mut self) -> io::Result<&mut TcpStream> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                self.received.clear();
                self.writes = 0;
                let timeout = self.streams.timeout;
                let stream = TcpStream::connect_timeout(&self.streams.target, timeout)?;
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(timeout))?;
                stream
            }
        };
        Ok(self.stream.insert(stream))
    }

    fn read(&mut self, deadline: u64) -> io::Result<()> {
        let left = deadline.saturating_sub(boottime_nanos());
        let Some(stream) = self.stream.as_mut().filter(|_| left > 0) else {
            return Err(io::ErrorKind::TimedOut.into());
        };
        stream.set_read_timeout(Some(Duration::from_nanos(left.max(1_000))))?;
        let mut buffer = [0; 16_384];
        match stream.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => self.received.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Counts the whole responses that came.
    fn take(&mut self, first: u64, sent_at: u64, is_out: &mut [bool]) {
        let now = boottime_nanos();
        let mut rest = &*self.received;
        while let Some((response, more)) = split_frame(rest) {
            rest = more;
            let response = message::response(response).filter(|response| {
                let number = response.name.number;
                response.name == self.name(number) && response.id == number as u16
            });
            let tally = &mut self.outcome.tally;
            let Some(response) = response else {
                tally.wrong += 1;
                continue;
            };
            let place = response.name.number.checked_sub(first);
            let place = place.and_then(|place| is_out.get_mut(place as usize));
            match place.map(|is_out| std::mem::replace(is_out, false)) {
                Some(true) => {}
                Some(false) | None => {
                    tally.late += 1;
                    continue;
                }
            }
            tally.count_in_time(response.verdict, now - sent_at, now);
        }
        let used = self.received.len() - rest.len();
        self.received.drain(..used);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    /// Answers everything on each connection; fails the question with each tenth number.
    fn respond(mut stream: TcpStream) {
        let mut length = [0; 2];
        while stream.read_exact(&mut length).is_ok() {
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut query).unwrap();
            let mut response = Vec::new();
            assert!(message::answer(&query, &mut response));
            if u16::from_be_bytes([query[0], query[1]]).is_multiple_of(10) {
                response[3] |= 2;
            }
            let length = (response.len() as u16).to_be_bytes();
            let frame = [&length[..], &response].concat();
            if stream.write_all(&frame).is_err() {
                return;
            }
        }
    }

    fn streams(listener: &TcpListener) -> Streams {
        Streams {
            target: listener.local_addr().unwrap(),
            connections: 2,
            rate: 2_000,
            length: Duration::from_millis(300),
            timeout: Duration::from_secs(5),
            seed: 7,
            first_socket: 100,
        }
    }

    #[test]
    fn every_question_is_counted_once() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let streams = streams(&listener);
        thread::spawn(move || {
            for stream in listener.incoming() {
                thread::spawn(move || respond(stream.unwrap()));
            }
        });
        let outcome = run(&streams);
        let tally = &outcome.tally;
        assert!((100..=600).contains(&outcome.sent), "{}", outcome.sent);
        assert_eq!((outcome.lost(), tally.late, tally.wrong), (0, 0, 0));
        let failed = (outcome.sent / 10..=outcome.sent / 10 + 2).contains(&tally.server_failures);
        assert!(failed, "{} of {}", tally.server_failures, outcome.sent);
        assert_eq!(tally.answered + tally.server_failures, outcome.sent);
    }

    #[test]
    fn what_a_connection_that_is_closed_had_asked_is_lost() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let streams = streams(&listener);
        thread::spawn(move || listener.incoming().for_each(drop));
        let outcome = run(&streams);
        assert!(outcome.sent > 0);
        assert_eq!((outcome.lost(), outcome.tally.in_time()), (outcome.sent, 0));
    }
}
