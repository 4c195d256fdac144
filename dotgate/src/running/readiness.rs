//! Whether this instance is to be sent queries.
//!
//! It is unless it drains or cannot serve. An outage of all upstreams does not make it unready: it would apply all
//! instances at once, and a balancer without any has no better answer than the SERVFAIL and its reason given here;
//! the verdict is then `Degraded`. So that a balancer does not see it flap, it takes `LOST_AFTER` of being unable to
//! become unready and `BACK_AFTER` of being able to become ready again. This module reads no clock.

use std::fmt;
use std::time::Duration;

use dotgate_core::Moment;

/// How long an instance must be unable to serve before it reports that.
const LOST_AFTER: Duration = Duration::from_secs(3);

/// How long it must be able to serve again before it reports that.
const BACK_AFTER: Duration = Duration::from_secs(1);

/// Whether queries are to be sent here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Yes.
    Ready,
    /// Ready, with problems.
    Degraded,
    /// No.
    NotReady,
}

impl Verdict {
    /// The word in bodies.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Verdict::Ready => "ready",
            Verdict::Degraded => "degraded",
            Verdict::NotReady => "not ready",
        }
    }
}

/// A problem.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// The end was ordered.
    Draining,
    /// A worker, by number, is stuck: what the kernel gives it gets no response.
    WorkerStuck(usize),
    /// A worker, by number, has ended; the others have its share.
    WorkerEnded(usize),
    /// All workers have ended.
    NoWorkerLeft,
    /// No upstream of the default group is healthy; each with its failure.
    NoHealthyUpstream(String),
    /// The same of another group: the names of its route are not answered, all others are.
    GroupDown {
        /// The group.
        group: String,
        /// Its upstreams, each with its failure.
        failures: String,
    },
    /// No session to an upstream was opened yet, and the settings have this instance wait for one.
    NoUpstreamReached,
    /// This host does not have these listening addresses yet. A standby is to take them over when they come, so it is
    /// ready even if it has none.
    AddressesAwaited(String),
    /// Names are resolved in the clear.
    PortalWindow(String),
    /// The routes of this owner have expired: their names fail.
    RoutesExpired(String),
}

impl Reason {
    /// Whether it keeps this instance from serving.
    fn prevents_serving(&self) -> bool {
        match self {
            Reason::Draining
            | Reason::NoUpstreamReached
            | Reason::NoWorkerLeft
            | Reason::WorkerStuck(_) => true,
            Reason::WorkerEnded(_)
            | Reason::NoHealthyUpstream(_)
            | Reason::GroupDown { .. }
            | Reason::AddressesAwaited(_)
            | Reason::PortalWindow(_)
            | Reason::RoutesExpired(_) => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Draining => write!(f, "stopping: queries that still arrive are served"),
            Reason::WorkerStuck(number) => write!(f, "worker {number} is stuck"),
            Reason::WorkerEnded(number) => write!(f, "worker {number} has ended"),
            Reason::NoWorkerLeft => write!(f, "all workers have ended"),
            Reason::AddressesAwaited(addresses) => {
                write!(f, "not on this host yet: {addresses}")
            }
            Reason::PortalWindow(words) => f.write_str(words),
            Reason::RoutesExpired(owner) => {
                write!(f, "the routes of {owner} have expired: their names fail")
            }
            Reason::NoUpstreamReached => write!(
                f,
                "no session to any upstream since the start (DOTGATE_SERVER_START=wait)"
            ),
            Reason::NoHealthyUpstream(failures) => write!(f, "no upstream is healthy: {failures}"),
            Reason::GroupDown { group, failures } => {
                write!(f, "no upstream of group {group} is healthy: {failures}")
            }
        }
    }
}

/// What was last reported, and since when the opposite is true.
#[derive(Debug)]
pub(crate) struct Readiness {
    is_ready: bool,
    differs_since: Option<Moment>,
}

impl Readiness {
    /// Ready: it is asked only once the workers run.
    pub(crate) fn new() -> Readiness {
        Readiness {
            is_ready: true,
            differs_since: None,
        }
    }

    /// What to say now, for these reasons.
    pub(crate) fn judge(&mut self, now: Moment, reasons: &[Reason]) -> Verdict {
        let can_serve = !reasons.iter().any(Reason::prevents_serving);
        if can_serve == self.is_ready {
            self.differs_since = None;
        } else {
            let since = *self.differs_since.get_or_insert(now);
            let delay = if self.is_ready {
                LOST_AFTER
            } else {
                BACK_AFTER
            };
            let is_at_once = reasons
                .iter()
                .any(|it| matches!(it, Reason::Draining | Reason::NoUpstreamReached));
            if is_at_once || now.since(since) >= delay {
                self.is_ready = can_serve;
                self.differs_since = None;
            }
        }
        match (self.is_ready, reasons) {
            (false, _) => Verdict::NotReady,
            (true, []) => Verdict::Ready,
            (true, _) => Verdict::Degraded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STILL: [Reason; 1] = [Reason::WorkerStuck(0)];

    fn at(milliseconds: u64) -> Moment {
        Moment::from_nanos(1_000_000_000) + Duration::from_millis(milliseconds)
    }

    #[test]
    fn it_is_ready_at_once_and_unready_at_once_when_the_end_is_ordered() {
        let mut readiness = Readiness::new();
        assert_eq!(readiness.judge(at(0), &[]), Verdict::Ready);
        let draining = [Reason::Draining];
        assert_eq!(readiness.judge(at(1), &draining), Verdict::NotReady);
    }

    #[test]
    fn before_the_first_session_it_is_unready_at_once_and_ready_a_second_after_it() {
        let mut readiness = Readiness::new();
        let waits = [Reason::NoUpstreamReached];
        assert_eq!(readiness.judge(at(0), &waits), Verdict::NotReady);
        assert_eq!(readiness.judge(at(60_000), &waits), Verdict::NotReady);
        assert_eq!(readiness.judge(at(60_100), &[]), Verdict::NotReady);
        assert_eq!(readiness.judge(at(61_100), &[]), Verdict::Ready);
    }

    #[test]
    fn an_outage_of_all_upstreams_leaves_it_ready_and_degraded() {
        let mut readiness = Readiness::new();
        let outage = [Reason::NoHealthyUpstream("a: connect: refused".to_owned())];
        for second in 0..100 {
            let verdict = readiness.judge(at(second * 1_000), &outage);
            assert_eq!(verdict, Verdict::Degraded);
        }
        let awaited = [Reason::AddressesAwaited("192.0.2.1:53".to_owned())];
        assert_eq!(readiness.judge(at(99_999), &awaited), Verdict::Degraded);
        let one_less = [Reason::WorkerEnded(3)];
        assert_eq!(readiness.judge(at(100_000), &one_less), Verdict::Degraded);
    }

    #[test]
    fn a_stuck_worker_makes_it_unready_after_three_seconds_and_ready_one_after_it_runs() {
        let mut readiness = Readiness::new();
        assert_eq!(readiness.judge(at(0), &STILL), Verdict::Degraded);
        assert_eq!(readiness.judge(at(2_999), &STILL), Verdict::Degraded);
        assert_eq!(readiness.judge(at(3_000), &STILL), Verdict::NotReady);
        assert_eq!(readiness.judge(at(4_000), &[]), Verdict::NotReady);
        assert_eq!(readiness.judge(at(4_999), &[]), Verdict::NotReady);
        assert_eq!(readiness.judge(at(5_000), &[]), Verdict::Ready);
    }

    #[test]
    fn what_comes_and_goes_changes_nothing() {
        let mut readiness = Readiness::new();
        for second in 0..10 {
            let still = readiness.judge(at(second * 2_000), &STILL);
            assert_eq!(still, Verdict::Degraded);
            assert_eq!(
                readiness.judge(at(second * 2_000 + 1_000), &[]),
                Verdict::Ready
            );
        }
    }
}
