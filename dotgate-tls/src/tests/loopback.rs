//! The embedded resolver asked over a real socket, as a worker would: non-blocking, by poll.

use std::net::TcpStream as StdStream;

use dotgate_message::{framed, query, split_frame};
use dotgate_testbed::resolver::{Resolver, ResolverConfig};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::*;

/// One session to the embedded resolver.
struct Session {
    poll: Poll,
    socket: TcpStream,
    tls: TlsChannel,
    received: Vec<u8>,
}

impl Session {
    fn open(resolver: &Resolver, upstream: &UpstreamTls) -> Self {
        let socket = StdStream::connect(resolver.address()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut socket = TcpStream::from_std(socket);
        let poll = Poll::new().unwrap();
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(&mut socket, Token(0), interest)
            .unwrap();
        Self {
            poll,
            socket,
            tls: upstream.connect(true, KeyExchange::Hybrid).unwrap(),
            received: Vec::new(),
        }
    }

    /// Sends the frames and goes on until `enough` of what came.
    fn run(&mut self, mut frames: Vec<u8>, enough: impl Fn(&Self) -> bool) -> Progress {
        let mut buffer = vec![0; 65_536];
        let mut events = Events::with_capacity(4);
        let mut progress = Progress::default();
        loop {
            self.tls.write(&mut self.socket, &mut frames).unwrap();
            if enough(self) {
                return progress;
            }
            self.poll
                .poll(&mut events, Some(std::time::Duration::from_secs(20)))
                .unwrap();
            assert!(!events.is_empty(), "nothing happened for 20 seconds");
            loop {
                let received = &mut self.received;
                let read = self
                    .tls
                    .read(&mut self.socket, &mut buffer, &mut |plaintext| {
                        received.extend_from_slice(plaintext);
                    });
                progress = read.unwrap();
                if !progress.maybe_more {
                    break;
                }
            }
        }
    }
}

fn frame(id: u16, name: &str) -> Vec<u8> {
    framed(&query(id, name))
}

/// The message IDs of all whole frames, in the order they came.
fn ids(mut bytes: &[u8]) -> Vec<u16> {
    let mut ids = Vec::new();
    while let Some((message, rest)) = split_frame(bytes) {
        ids.push(u16::from_be_bytes([message[0], message[1]]));
        bytes = rest;
    }
    ids
}

#[test]
fn a_slow_answer_comes_last_over_a_real_socket_and_the_next_session_is_resumed() {
    let resolver = Resolver::start(&ResolverConfig::default()).unwrap();
    let roots = Roots::trusting(resolver.authority()).unwrap();
    let upstream = UpstreamTls::new(&strict(name(resolver.name())), &roots).unwrap();

    let mut session = Session::open(&resolver, &upstream);
    let queries = [
        frame(1, "slow.example.test"),
        frame(2, "example.test"),
        frame(3, "no.test"),
    ];
    session.run(queries.concat(), |session| {
        ids(&session.received).len() == 3
    });
    assert_eq!(ids(&session.received), [2, 3, 1]);
    assert!(!session.tls.facts().unwrap().resumed);

    let mut session = Session::open(&resolver, &upstream);
    session.run(frame(4, "example.test"), |session| {
        ids(&session.received).len() == 1
    });
    assert_eq!(ids(&session.received), [4]);
    assert!(session.tls.facts().unwrap().resumed);
    assert_eq!((resolver.connections(), resolver.queries()), (2, 4));
}

#[test]
fn ten_thousand_queries_through_one_session_are_all_answered() {
    let resolver = Resolver::start(&ResolverConfig::default()).unwrap();
    let roots = Roots::trusting(resolver.authority()).unwrap();
    let upstream = UpstreamTls::new(&strict(name(resolver.name())), &roots).unwrap();
    let mut session = Session::open(&resolver, &upstream);
    let queries: Vec<u8> = (0..10_000)
        .flat_map(|id| frame(id, "example.test"))
        .collect();
    session.run(queries, |session| ids(&session.received).len() == 10_000);
    assert_eq!(ids(&session.received), (0..10_000).collect::<Vec<u16>>());
}

#[test]
fn a_resolver_that_stops_is_seen_as_the_end_of_the_stream() {
    let resolver = Resolver::start(&ResolverConfig::default()).unwrap();
    let address = resolver.address();
    let roots = Roots::trusting(resolver.authority()).unwrap();
    let upstream = UpstreamTls::new(&strict(name(resolver.name())), &roots).unwrap();
    let mut session = Session::open(&resolver, &upstream);
    session.run(frame(1, "example.test"), |session| {
        ids(&session.received).len() == 1
    });
    drop(resolver);
    let seen = std::cell::Cell::new(0);
    let progress = session.run(Vec::new(), |_| seen.replace(seen.get() + 1) > 0);
    assert_eq!(progress.peer_closed, Some(Close::Fin));
    assert!(
        StdStream::connect(address).is_err(),
        "nobody listens any more"
    );
}
