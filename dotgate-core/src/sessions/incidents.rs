//! What failed at an upstream, and what was done next, for operators.

use std::time::Duration;

use super::Sessions;
use crate::failure::Failure;
use crate::health::{HealthState, IncidentKind, NextStep, Stage};
use crate::keys::UpstreamId;
use crate::moment::Moment;
use crate::session::Session;

/// An attempt that failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempted {
    pub(crate) upstream: UpstreamId,
    /// How long it took.
    pub(crate) took: Duration,
    /// Its number; none where no single attempt failed.
    pub(crate) number: Option<u32>,
}

impl Attempted {
    /// Questions that have had no response since then, or none that clients can have.
    pub(crate) fn unanswered(
        now: Moment,
        upstream: UpstreamId,
        since: Option<Moment>,
    ) -> Attempted {
        Attempted {
            upstream,
            took: since.map_or(Duration::ZERO, |since| now.since(since)),
            number: None,
        }
    }

    /// A session that ended, or that could not be opened.
    pub(crate) fn session(now: Moment, session: &Session, failure: Failure) -> Attempted {
        let since = match (session.is_open(), failure) {
            (true, _) => session.opened,
            (false, Failure::Tls(_)) => session.connected,
            (false, _) => None,
        };
        Attempted {
            upstream: session.upstream,
            took: now.since(since.unwrap_or(session.started)),
            number: (!session.is_open()).then_some(session.handshake.try_number + 1),
        }
    }
}

impl Sessions {
    /// Records that an attempt failed, and what is done next.
    pub(crate) fn record(
        &self,
        now: Moment,
        attempted: Attempted,
        failure: Failure,
        next: NextStep,
    ) {
        if let Some(health) = self.health(attempted.upstream) {
            let kind = IncidentKind::Failed {
                stage: Stage::of(failure),
                failure,
                next,
                took: attempted.took,
                attempt: attempted.number,
            };
            health.recorder().record(now, kind);
        }
    }

    /// The state of an upstream, before something is reported of it.
    pub(crate) fn state(&self, upstream: UpstreamId) -> Option<HealthState> {
        Some(self.health(upstream)?.state())
    }

    /// Records a failure that was reported of its upstream, which was in the state `before`.
    pub(crate) fn record_reported(
        &self,
        now: Moment,
        attempted: Attempted,
        failure: Failure,
        before: Option<HealthState>,
    ) {
        let down = Some(HealthState::Down);
        let next = match (before == down, self.state(attempted.upstream) == down) {
            (_, false) => NextStep::NewSession,
            (false, true) => NextStep::MarkedDown,
            (true, true) => NextStep::TriedAgain,
        };
        self.record(now, attempted, failure, next);
    }
}
