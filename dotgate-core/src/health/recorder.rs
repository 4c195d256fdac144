//! The last failures of an upstream, and what was done next, for operators.
//!
//! It is not on the path of a query: workers write here when something failed, and nothing on the path reads it.
//! Contains neither names nor addresses of clients. Limits: `limits::INCIDENTS` entries; equal ones in a row are one
//! entry.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::Duration;

use crate::failure::Failure;
use crate::limits;
use crate::moment::Moment;
use crate::sync::Mutex;

/// Where an attempt failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The TCP connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// A session that was open, or a response on it.
    Upstream,
}

impl Stage {
    /// Its label in metrics and reports.
    pub const fn label(self) -> &'static str {
        match self {
            Stage::Connect => "connect",
            Stage::Tls => "tls",
            Stage::Upstream => "upstream",
        }
    }
}

/// What was done after a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NextStep {
    /// The same upstream is asked at once in another way: without EDNS, without ALPN, with a smaller handshake.
    AskedDifferently,
    /// The upstream counts as down; others are used, and it is tried again at short intervals.
    MarkedDown,
    /// The query was sent to another upstream, or failed if there was none left.
    AskedOthers,
    /// The upstream stays in use, on its other sessions or on a new one.
    NewSession,
    /// It was down already, and is tried again.
    TriedAgain,
}

impl NextStep {
    /// Its label in reports.
    pub const fn label(self) -> &'static str {
        match self {
            NextStep::AskedDifferently => "asked-differently",
            NextStep::MarkedDown => "marked-down",
            NextStep::AskedOthers => "asked-others",
            NextStep::NewSession => "new-session",
            NextStep::TriedAgain => "tried-again",
        }
    }
}

impl Stage {
    /// Where an attempt failed that failed for this reason.
    pub(crate) fn of(failure: Failure) -> Stage {
        match failure {
            Failure::Connect(_) => Stage::Connect,
            Failure::Tls(_) => Stage::Tls,
            Failure::Answered { .. }
            | Failure::Closed
            | Failure::Harmful
            | Failure::Internal
            | Failure::Loop
            | Failure::Misbehaved(_)
            | Failure::NoResponse
            | Failure::NotReady
            | Failure::Overload => Stage::Upstream,
        }
    }
}

/// What happened at an upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IncidentKind {
    /// An attempt failed.
    Failed {
        /// Where.
        stage: Stage,
        /// Why.
        failure: Failure,
        /// What was done next.
        next: NextStep,
        /// How long the attempt had taken.
        took: Duration,
        /// Its number: of the attempts to open a session since the upstream last recovered, or of those for one query. None
        /// for a session that was open, and what was in flight on it.
        attempt: Option<u32>,
    },
    /// It responds again.
    Recovered,
}

impl IncidentKind {
    /// Whether both are equal apart from time and number.
    fn is_like(self, other: IncidentKind) -> bool {
        match (self, other) {
            (
                IncidentKind::Failed {
                    stage,
                    failure,
                    next,
                    ..
                },
                IncidentKind::Failed {
                    stage: other_stage,
                    failure: other_failure,
                    next: other_next,
                    ..
                },
            ) => (stage, failure, next) == (other_stage, other_failure, other_next),
            (IncidentKind::Recovered, IncidentKind::Recovered) => true,
            (IncidentKind::Failed { .. } | IncidentKind::Recovered, _) => false,
        }
    }
}

/// One event, or several equal ones in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Incident {
    /// When the first came.
    pub first: Moment,
    /// When the last came.
    pub last: Moment,
    /// How many there were.
    pub count: u32,
    /// The last of them.
    pub kind: IncidentKind,
}

/// The last incidents of an upstream, oldest first.
#[derive(Debug, Default)]
pub struct Recorder {
    incidents: Mutex<VecDeque<Incident>>,
}

impl Recorder {
    /// All incidents that are still known, oldest first.
    pub fn read(&self) -> Vec<Incident> {
        let incidents = self.incidents.lock();
        let incidents = incidents.unwrap_or_else(PoisonError::into_inner);
        incidents.iter().copied().collect()
    }

    pub(crate) fn record(&self, now: Moment, kind: IncidentKind) {
        if dotgate_wire::planted!("failures-are-not-recorded") {
            return;
        }
        let incidents = self.incidents.lock();
        let mut incidents = incidents.unwrap_or_else(PoisonError::into_inner);
        if let Some(latest) = incidents.back_mut()
            && latest.kind.is_like(kind)
        {
            latest.last = latest.last.max(now);
            latest.count = latest.count.saturating_add(1);
            latest.kind = kind;
            return;
        }
        if incidents.len() >= limits::INCIDENTS {
            incidents.pop_front();
        }
        incidents.push_back(Incident {
            first: now,
            last: now,
            count: 1,
            kind,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::ConnectFault;

    const START: Moment = Moment::from_nanos(1_000_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn failed(fault: ConnectFault, attempt: u32) -> IncidentKind {
        IncidentKind::Failed {
            stage: Stage::Connect,
            failure: Failure::Connect(fault),
            next: NextStep::TriedAgain,
            took: SECOND,
            attempt: Some(attempt),
        }
    }

    #[test]
    fn equal_events_in_a_row_are_one_entry_and_a_recovery_ends_it() {
        let recorder = Recorder::default();
        let refused = |attempt| failed(ConnectFault::Refused, attempt);
        for attempt in 1..=5 {
            recorder.record(START + SECOND * attempt, refused(attempt));
        }
        recorder.record(START + SECOND * 6, IncidentKind::Recovered);
        recorder.record(START + SECOND * 7, refused(1));
        let [first, second, third] = recorder.read()[..] else {
            panic!("three entries");
        };
        assert_eq!((first.count, first.kind), (5, refused(5)));
        assert_eq!(
            (first.first, first.last),
            (START + SECOND, START + SECOND * 5)
        );
        assert_eq!((second.count, second.kind), (1, IncidentKind::Recovered));
        assert_eq!((third.count, third.kind), (1, refused(1)));
    }

    #[test]
    fn the_oldest_entries_give_way() {
        let recorder = Recorder::default();
        for number in 0..2 * limits::INCIDENTS as u32 {
            let fault = match number % 2 {
                0 => ConnectFault::Refused,
                _ => ConnectFault::TimedOut,
            };
            recorder.record(START + SECOND * number, failed(fault, number));
        }
        let incidents = recorder.read();
        assert_eq!(incidents.len(), limits::INCIDENTS);
        assert_eq!(
            incidents[0].first,
            START + SECOND * limits::INCIDENTS as u32
        );
    }
}
