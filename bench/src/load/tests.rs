use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;

use super::*;
use crate::cpu::Measured;
use crate::message;

/// Answers queries over UDP until dropped: of ten queries in a row it drops the tenth, fails the
/// fifth, and answers the third twice.
struct Responder {
    socket: Arc<UdpSocket>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Responder {
    fn start() -> Responder {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let thread = thread::spawn({
            let socket = Arc::clone(&socket);
            move || respond(&socket)
        });
        Responder {
            socket,
            thread: Some(thread),
        }
    }

    fn load(&self, pace: Pace, queries: u64) -> Load<'static> {
        Load {
            target: self.socket.local_addr().unwrap(),
            sockets: 7,
            pace,
            stop: Stop::Queries(queries),
            timeout: Duration::from_millis(300),
            seed: 42,
            names: Names::Unique,
            measured: Some(Measured::Process(std::process::id())),
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        // An empty datagram ends it.
        let address = self.socket.local_addr().unwrap();
        self.socket.send_to(&[], address).unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn respond(socket: &UdpSocket) {
    let mut buffer = [0; 512];
    let mut response = Vec::new();
    for number in 1.. {
        let (length, peer) = socket.recv_from(&mut buffer).unwrap();
        if length == 0 {
            return;
        }
        response.clear();
        assert!(message::answer(&buffer[..length], &mut response));
        match number % 10 {
            0 => continue,
            3 => assert_eq!(socket.send_to(&response, peer).unwrap(), response.len()),
            5 => response[3] |= 2,
            _ => {}
        }
        socket.send_to(&response, peer).unwrap();
    }
}

fn assert_counts(outcome: &Outcome) {
    assert_eq!(
        (outcome.sent, outcome.unsent, outcome.lost()),
        (1000, 0, 100)
    );
    let Tally {
        answered,
        server_failures,
        other,
        late,
        wrong,
        ..
    } = outcome.tally;
    assert_eq!(
        (answered, server_failures, other, late, wrong),
        (800, 100, 0, 100, 0)
    );
    let latencies = &outcome.tally.latencies;
    assert_eq!(latencies.len(), 900);
    assert!(latencies.is_sorted() && latencies[0] > 0);
    assert!(outcome.cpu_nanos.is_some());
    assert!(outcome.tally.gap > 0 && outcome.tally.gap < outcome.elapsed_nanos);
    assert_eq!(outcome.unanswered_percent(), Some(20.0));
}

#[test]
fn a_saturating_load_counts_what_is_dropped_failed_and_doubled() {
    let responder = Responder::start();
    assert_counts(&run(&responder.load(Pace::Window(64), 1000)).unwrap());
}

#[test]
fn a_paced_load_counts_what_is_dropped_failed_and_doubled_and_keeps_its_pace() {
    let responder = Responder::start();
    let outcome = run(&responder.load(Pace::PerSecond(4000), 1000)).unwrap();
    assert_counts(&outcome);
    // 1000 queries at 4000 per second take 249.75 ms; a busy machine makes it more, never less.
    assert!(
        outcome.elapsed_nanos >= 249_000_000,
        "{}",
        outcome.elapsed_nanos
    );
}

#[test]
fn names_asked_again_and_again_are_counted_like_new_ones() {
    let responder = Responder::start();
    for pace in [Pace::Window(64), Pace::PerSecond(4000)] {
        let outcome = run(&Load {
            names: Names::Listed(&[5, 6, 5]),
            ..responder.load(pace, 1000)
        })
        .unwrap();
        assert_counts(&outcome);
    }
}

#[test]
fn a_load_stops_after_its_time() {
    let responder = Responder::start();
    let stop = Stop::After(Duration::from_millis(200));
    let load = Load {
        stop,
        ..responder.load(Pace::PerSecond(1000), 0)
    };
    let start = boottime_nanos();
    let outcome = run(&load).unwrap();
    assert!(boottime_nanos() - start >= 200_000_000);
    assert!((1..=201).contains(&outcome.sent), "{}", outcome.sent);
    assert_eq!(outcome.lost(), outcome.sent / 10);
}

#[test]
fn a_load_of_so_many_queries_stops_after_its_time_too() {
    let unresponsive = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let responder = Responder::start();
    let within = |queries, millis| Stop::QueriesWithin(queries, Duration::from_millis(millis));
    let load = |pace, stop| Load {
        stop,
        timeout: Duration::from_millis(20),
        ..responder.load(pace, 0)
    };
    for pace in [Pace::Window(8), Pace::PerSecond(1000)] {
        let outcome = run(&Load {
            target: unresponsive.local_addr().unwrap(),
            ..load(pace, within(u64::MAX, 100))
        })
        .unwrap();
        assert_eq!(outcome.lost(), outcome.sent, "{pace:?}");
        let outcome = run(&load(pace, within(50, 60_000))).unwrap();
        assert_eq!(outcome.sent, 50, "{pace:?}");
    }
}

#[test]
fn a_window_ends_where_every_response_is_late() {
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let responder = Responder::start();
        let outcome = run(&Load {
            timeout: Duration::from_nanos(1),
            ..responder.load(Pace::Window(8), 1000)
        });
        sender.send(outcome.unwrap()).unwrap();
    });
    let outcome = receiver.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!((outcome.sent, outcome.tally.in_time()), (1000, 0));
    assert!(outcome.tally.late > 0, "{outcome:?}");
}

#[test]
fn a_load_without_a_server_loses_everything_and_ends() {
    // Bound and never read: nothing comes back.
    let unresponsive = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let responder = Responder::start();
    let target = unresponsive.local_addr().unwrap();
    for pace in [Pace::Window(8), Pace::PerSecond(1000)] {
        let outcome = run(&Load {
            target,
            ..responder.load(pace, 20)
        })
        .unwrap();
        assert_eq!(
            (outcome.sent, outcome.lost(), &outcome.tally),
            (20, 20, &Tally::default())
        );
        assert_eq!(outcome.cpu_nanos.map(|_| ()), Some(()));
        assert_eq!(outcome.unanswered_percent(), Some(100.0));
    }
    let outcome = run(&Load {
        target,
        ..responder.load(Pace::PerSecond(100), 0)
    });
    assert_eq!(outcome.unwrap().unanswered_percent(), None);
}

#[test]
fn the_time_without_an_answer_lasts_until_the_end_if_none_comes() {
    let unresponsive = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let responder = Responder::start();
    let outcome = run(&Load {
        target: unresponsive.local_addr().unwrap(),
        stop: Stop::After(Duration::from_millis(100)),
        ..responder.load(Pace::PerSecond(100), 0)
    })
    .unwrap();
    assert_eq!(outcome.tally.answered, 0);
    assert_eq!(outcome.tally.gap, 100_000_000);
}

#[test]
fn percentiles_are_latencies_that_occurred() {
    let tally = Tally {
        latencies: (1..=200).map(|i| i * 1000).collect(),
        ..Tally::default()
    };
    let percentiles = [0.0, 50.0, 99.0, 99.9, 100.0].map(|percent| tally.latency_micros(percent));
    assert_eq!(percentiles, [1.0, 100.0, 198.0, 200.0, 200.0].map(Some));
    assert_eq!(Tally::default().latency_micros(50.0), None);
}

#[test]
fn cpu_time_is_spread_over_answered_queries() {
    let tally = Tally {
        answered: 500,
        server_failures: 500,
        ..Tally::default()
    };
    let elapsed_nanos = 2_000_000_000;
    let outcome = Outcome {
        sent: 1000,
        unsent: 0,
        tally,
        elapsed_nanos,
        cpu_nanos: Some(4_000_000),
        sleeps: Some(250),
    };
    assert_eq!(outcome.cpu_micros_per_query(), Some(8.0));
    assert_eq!(outcome.sleeps_per_query(), Some(0.5));
    assert_eq!(outcome.processors_used(), Some(0.002));
    assert!((outcome.answered_per_second() - 250.0).abs() < 1e-9);
    assert_eq!(
        Outcome {
            cpu_nanos: None,
            ..outcome
        }
        .cpu_micros_per_query(),
        None
    );
    assert_eq!(
        Outcome {
            cpu_nanos: Some(1),
            ..Outcome::default()
        }
        .cpu_micros_per_query(),
        None
    );
}
