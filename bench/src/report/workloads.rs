//! The workloads of a report, in the order of its page.

use std::time::Duration;

use crate::compare::{Traffic, Transport, Warm};
use crate::load::{Outcome, Pace, Popularity};
use crate::upstream::Behavior;

/// A load, and what a reader calls it.
pub(super) struct Workload {
    /// The name of its plot, and of the workload on the command line.
    pub(super) file: &'static str,
    pub(super) title: &'static str,
    /// What stands below the title.
    pub(super) remark: &'static str,
    pub(super) traffic: Traffic,
    pub(super) transport: Transport,
    pub(super) pace: Pace,
    pub(super) behavior: Behavior,
    pub(super) special: Special,
    /// Whether one round in three is enough: what counts is the distribution within a run.
    pub(super) is_short: bool,
    /// Whether system calls are counted, in a run of their own.
    pub(super) counts_calls: bool,
    pub(super) figure: Figure,
}

/// What is unusual about the upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Special {
    No,
    /// It is another program.
    OtherUpstream,
    /// It is killed and started again.
    Restart,
}

/// What a plot shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Figure {
    Cpu,
    P99,
    P999,
    Unanswered,
}

impl Figure {
    /// What it is, with its unit.
    pub(super) fn title(self) -> &'static str {
        match self {
            Figure::Cpu => "CPU time per query, us",
            Figure::P99 => "99th percentile of latency, ms",
            Figure::P999 => "99.9th percentile of latency, ms",
            Figure::Unanswered => "queries without an answer, %",
        }
    }

    pub(super) fn of(self, outcome: &Outcome) -> Option<f64> {
        match self {
            Figure::Cpu => outcome.cpu_micros_per_query(),
            Figure::P99 => outcome.tally.latency_micros(99.0).map(|it| it / 1e3),
            Figure::P999 => outcome.tally.latency_micros(99.9).map(|it| it / 1e3),
            Figure::Unanswered => outcome.unanswered_percent(),
        }
    }
}

/// Queries in flight when saturated.
const WINDOW: usize = 256;
/// Names that caches have.
pub(super) const NAMES: u32 = 10_000;

const HITS: Traffic = Traffic::Cached(Warm {
    names: NAMES,
    popularity: Popularity::Uniform,
});

const AT_ONCE: Behavior = Behavior {
    delay: Duration::ZERO,
    stall_every: 0,
};

const PLAIN: Workload = Workload {
    file: "",
    title: "",
    remark: "",
    traffic: Traffic::Unique,
    transport: Transport::Udp,
    pace: Pace::Window(WINDOW),
    behavior: AT_ONCE,
    special: Special::No,
    is_short: false,
    counts_calls: false,
    figure: Figure::Cpu,
};

pub(super) const WORKLOADS: [Workload; 14] = [
    Workload {
        file: "hits-saturated",
        title: "Cache hits, saturated",
        traffic: HITS,
        counts_calls: true,
        ..PLAIN
    },
    Workload {
        file: "hits-20k",
        title: "Cache hits, 20,000 queries per second",
        traffic: HITS,
        pace: Pace::PerSecond(20_000),
        counts_calls: true,
        ..PLAIN
    },
    Workload {
        file: "hits-tcp",
        title: "Cache hits over TCP, pipelined",
        remark: "32 connections that stay open, with 8 queries in flight on each.",
        traffic: HITS,
        transport: Transport::Tcp,
        ..PLAIN
    },
    Workload {
        file: "hits-tcp-once",
        title: "Cache hits over TCP, a connection for each query",
        remark: "32 connections at a time, each closed by the client after its response.",
        traffic: HITS,
        transport: Transport::TcpOnce,
        is_short: true,
        ..PLAIN
    },
    Workload {
        file: "hits-tls",
        title: "Cache hits over TLS, pipelined",
        remark: "32 connections that stay open, with 8 queries in flight on each (RFC 7858).",
        traffic: HITS,
        transport: Transport::Tls,
        ..PLAIN
    },
    Workload {
        file: "forwarded-saturated",
        title: "Forwarded, saturated",
        counts_calls: true,
        ..PLAIN
    },
    Workload {
        file: "forwarded-other",
        title: "Forwarded, saturated, with Unbound as the upstream",
        remark: "The same with an upstream that nobody here wrote, to see whether the other one favors anybody. It has two \
                 threads and answers from local data.",
        special: Special::OtherUpstream,
        is_short: true,
        ..PLAIN
    },
    Workload {
        file: "forwarded-1k",
        title: "Forwarded, 1,000 queries per second",
        pace: Pace::PerSecond(1_000),
        is_short: true,
        ..PLAIN
    },
    Workload {
        file: "forwarded-5k",
        title: "Forwarded, 5,000 queries per second",
        pace: Pace::PerSecond(5_000),
        counts_calls: true,
        ..PLAIN
    },
    Workload {
        file: "forwarded-20k",
        title: "Forwarded, 20,000 queries per second",
        pace: Pace::PerSecond(20_000),
        is_short: true,
        ..PLAIN
    },
    Workload {
        file: "mix-5k",
        title: "A realistic mix, 5,000 queries per second",
        remark: "A million names, the second half as often as the first, the third a third as often, and so on (Zipf's law); \
                 10 % do not exist, 5 % have responses of 1.2 kB, the upstream takes 200 ms for 2 %; TTLs from 5 s to a day. \
                 Only a load of the same kind goes before, so caches are as warm as that leaves them.",
        traffic: Traffic::Mixed,
        pace: Pace::PerSecond(5_000),
        ..PLAIN
    },
    Workload {
        file: "delay-20ms",
        title: "Forwarded, 5,000 queries per second, with an upstream that takes 20 ms",
        pace: Pace::PerSecond(5_000),
        behavior: Behavior {
            delay: Duration::from_millis(20),
            stall_every: 0,
        },
        is_short: true,
        figure: Figure::P99,
        ..PLAIN
    },
    Workload {
        file: "stalls",
        title: "Forwarded, 5,000 queries per second, of which the upstream stalls on 1 %",
        remark: "It takes 5 ms, and 400 ms longer for one query in a hundred; if it is asked the same again, that is another query. \
                 The plot shows the 99.9th percentile, because the 99th lies exactly between the queries that stalled and those \
                 that did not: without copies, exactly 1.00 % wait for 400 ms; with copies, slightly more than 1 % need one, and few \
                 wait so long.",
        pace: Pace::PerSecond(5_000),
        behavior: Behavior {
            delay: Duration::from_millis(5),
            stall_every: 100,
        },
        is_short: true,
        figure: Figure::P999,
        ..PLAIN
    },
    Workload {
        file: "restart",
        title: "Forwarded, 5,000 queries per second, while the upstream restarts",
        remark: "It is killed, and there again after one second with the same certificate. *longest gap* is the longest time in \
                 which no client got an answer: the second, and the time to recover. *lost* are clients that waited 5 s; SERVFAIL is no answer.",
        pace: Pace::PerSecond(5_000),
        special: Special::Restart,
        is_short: true,
        figure: Figure::Unanswered,
        ..PLAIN
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Tally;

    /// A hundred milliseconds for so many of 10,000 queries, and one for the others.
    fn with_late(late: usize) -> Outcome {
        let mut latencies = vec![1_000_000; 10_000 - late];
        latencies.resize(10_000, 100_000_000);
        Outcome {
            tally: Tally {
                latencies,
                ..Tally::default()
            },
            ..Outcome::default()
        }
    }

    #[test]
    fn the_figure_of_stalls_does_not_lie_between_late_queries_and_others() {
        let stalls = WORKLOADS.iter().find(|it| it.file == "stalls").unwrap();
        assert_eq!(stalls.figure, Figure::P999);
        // One in a hundred, and slightly more, as with a copy that stalls, too.
        for late in [100, 101] {
            assert_eq!(stalls.figure.of(&with_late(late)), Some(100.0));
        }
        assert_eq!(Figure::P99.of(&with_late(100)), Some(1.0));
        assert_eq!(Figure::P99.of(&with_late(101)), Some(100.0));
        // A forwarder whose copies are answered.
        assert_eq!(stalls.figure.of(&with_late(1)), Some(1.0));
    }
}
