//! All attempts made for one question: which upstreams were tried, which attempts run, and their results.
//!
//! It is between `inflight` and `select`. The attempts of an exchange end with the first response that can be delivered,
//! or when no client waits any longer. A deadline belongs to the waiter; attempts do not extend it.
//! Limits: `limits::ATTEMPTS` in all, two at once.

use std::sync::Arc;

use dotgate_wire::Question;

use crate::counters::labels::AttemptKind;
use crate::exchange::Lookup;
use crate::failure::Failure;
use crate::keys::{GroupId, SessionKey, UpstreamId, UpstreamSet};
use crate::limits;
use crate::moment::Moment;
use crate::select::order::Sequence;
use crate::settings::GroupSettings;

/// One question on one session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Attempt {
    pub(crate) session: SessionKey,
    pub(crate) upstream: UpstreamId,
    pub(crate) id: u16,
    /// Whether it was asked with EDNS.
    pub(crate) edns: bool,
    pub(crate) kind: AttemptKind,
    pub(crate) sent_at: Moment,
}

/// A copy of a question, sent while its first attempt was late.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Copied {
    /// The upstream that was late.
    pub(crate) from: UpstreamId,
    pub(crate) to: UpstreamId,
    pub(crate) sent_at: Moment,
}

/// Why a question has no answer, as far as its attempts show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cause {
    pub(crate) failure: Failure,
    /// Whose fault that was.
    pub(crate) upstream: Option<UpstreamId>,
    /// Whether no upstream is left to try.
    pub(crate) is_final: bool,
}

pub(crate) struct Attempts {
    pub(crate) question: Question,
    /// The only upstreams that are asked.
    pub(crate) group: Arc<GroupSettings>,
    /// The order in which they are; none before the first attempt, and once they are others.
    pub(crate) order: Option<Sequence>,
    /// The keyed hash of the question with DO, CD and route.
    pub(crate) hash: u64,
    /// That of the question alone.
    pub(crate) question_hash: u64,
    pub(crate) dnssec_ok: bool,
    pub(crate) checking_disabled: bool,
    /// Upstreams that refused EDNS for this question.
    pub(crate) without_edns: UpstreamSet,
    /// Upstreams that answered with an error: they are not asked again.
    pub(crate) answered_by: UpstreamSet,
    /// Upstreams that an attempt failed at: asked again on a fresh session alone.
    pub(crate) failed_at: UpstreamSet,
    /// A session counts as fresh when it became open no earlier.
    pub(crate) fresh_after: Option<Moment>,
    /// Whether a session failed under it: until it is answered, it is asked on isolation sessions alone.
    pub(crate) is_suspect: bool,
    /// The group of suspects it is in.
    pub(crate) suspects: Option<GroupId>,
    /// Sessions that the upstream ended while it was the only question on them.
    pub(crate) strikes: u8,
    /// Whether such a session may have ended because the probe had the only answer that the upstream gives on
    /// one. The question is then asked without one before it.
    pub(crate) is_asked_first: bool,
    /// The upstream whose response over UDP was truncated: it is asked over TCP.
    pub(crate) over_tcp: Option<UpstreamId>,
    /// The copy that was sent because the first attempt was late.
    pub(crate) copied: Option<Copied>,
    /// Since when it waits for a session. Its place in the queue counts only if it was taken then.
    pub(crate) waiting_since: Option<Moment>,
    /// The most telling failure so far, and the upstream it came from.
    failure: Failure,
    failed_upstream: Option<UpstreamId>,
    running: [Option<Attempt>; 2],
    made: u8,
    renewed: Moment,
}

impl Attempts {
    /// None yet, for this question.
    pub(crate) fn new(lookup: &Lookup<'_>, group: Arc<GroupSettings>, now: Moment) -> Attempts {
        Attempts {
            question: lookup.question.clone(),
            group,
            order: None,
            hash: lookup.key.hash(),
            question_hash: lookup.key.question_hash(),
            dnssec_ok: lookup.dnssec_ok,
            checking_disabled: lookup.checking_disabled,
            without_edns: UpstreamSet::default(),
            answered_by: UpstreamSet::default(),
            failed_at: UpstreamSet::default(),
            fresh_after: None,
            is_suspect: false,
            suspects: None,
            strikes: 0,
            is_asked_first: false,
            over_tcp: None,
            copied: None,
            waiting_since: None,
            failure: Failure::NotReady,
            failed_upstream: None,
            running: [None; 2],
            made: 0,
            renewed: now,
        }
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = Attempt> + use<> {
        self.running.into_iter().flatten()
    }

    pub(crate) fn runs_at(&self, upstream: UpstreamId) -> bool {
        self.running().any(|attempt| attempt.upstream == upstream)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running().next().is_some()
    }

    /// The only attempt that runs, if it is the first one and nothing came of it yet.
    pub(crate) fn first_alone(&self) -> Option<Attempt> {
        let mut running = self.running();
        let first = running.next().filter(|it| it.kind == AttemptKind::First);
        let is_free = !self.is_suspect && self.waiting_since.is_none() && self.over_tcp.is_none();
        first.filter(|_| running.next().is_none() && is_free && self.copied.is_none())
    }

    /// How many were made.
    pub(crate) fn made(&self) -> u8 {
        self.made
    }

    /// Whether one more attempt may be made now.
    pub(crate) fn may_ask(&self) -> bool {
        let max = if dotgate_wire::planted!("attempts-without-end") {
            u8::MAX
        } else {
            limits::ATTEMPTS
        };
        self.made < max && self.running.iter().any(Option::is_none)
    }

    pub(crate) fn begin(&mut self, attempt: Attempt) {
        self.made = self.made.saturating_add(1);
        if let Some(place) = self.running.iter_mut().find(|place| place.is_none()) {
            *place = Some(attempt);
        }
    }

    /// Ends the attempt with this ID on this session. None if there was none.
    pub(crate) fn end(&mut self, session: SessionKey, id: u16) -> Option<Attempt> {
        self.running
            .iter_mut()
            .find(|place| {
                place.is_some_and(|running| (running.session, running.id) == (session, id))
            })?
            .take()
    }

    /// Ends the attempts on sessions that have ended.
    pub(crate) fn end_all_on(&mut self, is_gone: impl Fn(SessionKey) -> bool) {
        for place in &mut self.running {
            if place.is_some_and(|attempt| is_gone(attempt.session)) {
                *place = None;
            }
        }
    }

    /// Discards what an earlier upstream with this ID did.
    pub(crate) fn forget_upstream(&mut self, upstream: UpstreamId) {
        for set in [
            &mut self.without_edns,
            &mut self.answered_by,
            &mut self.failed_at,
        ] {
            set.remove(upstream);
        }
        self.failed_upstream = self.failed_upstream.filter(|failed| *failed != upstream);
        self.over_tcp = self.over_tcp.filter(|truncating| *truncating != upstream);
    }

    /// What failed at this upstream was not its fault, nor this question's.
    pub(crate) fn forgive(&mut self, upstream: UpstreamId) {
        self.failed_at.remove(upstream);
        self.fresh_after = None;
    }

    /// Removes the attempts on sessions that ended without a fault.
    pub(crate) fn take_back_on(&mut self, is_gone: impl Fn(SessionKey) -> bool) {
        let before = self.running().count();
        self.end_all_on(is_gone);
        let taken_back = before - self.running().count();
        self.made = self.made.saturating_sub(taken_back as u8);
    }

    /// Takes back one attempt: what follows from its response belongs to it.
    pub(crate) fn take_back_one(&mut self) {
        self.made = self.made.saturating_sub(1);
    }

    /// The older of two running attempts, if one more may be made.
    pub(crate) fn oldest_to_replace(&self) -> Option<Attempt> {
        let may_replace = self.made < limits::ATTEMPTS && self.running.iter().all(Option::is_some);
        let oldest = self.running().min_by_key(|attempt| attempt.sent_at);
        oldest.filter(|_| may_replace)
    }

    /// Makes room for one more attempt: with two running, the older one ends and is returned, to be retired.
    pub(crate) fn make_room(&mut self) -> Option<Attempt> {
        if self.running.iter().any(Option::is_none) {
            return None;
        }
        let oldest = self
            .running
            .iter_mut()
            .min_by_key(|place| place.map(|attempt| attempt.sent_at))?;
        self.made = self.made.saturating_sub(1);
        oldest.take()
    }

    /// It was answered: it is no suspect any more. True if it was one.
    pub(crate) fn clear_suspicion(&mut self) -> bool {
        self.strikes = 0;
        self.is_asked_first = false;
        self.suspects = None;
        std::mem::take(&mut self.is_suspect)
    }

    /// Records why an attempt failed, unless a more informative reason is known.
    pub(crate) fn note(&mut self, failure: Failure, upstream: Option<UpstreamId>) {
        let (new, old) = (failure.weight(), self.failure.weight());
        if new > old || (new == old && upstream.is_some()) {
            self.failure = failure;
            self.failed_upstream = upstream;
        }
    }

    /// Why it failed, if it ends now, and whose fault that was.
    pub(crate) fn failure(&self) -> (Failure, Option<UpstreamId>) {
        (self.failure, self.failed_upstream)
    }

    /// Gives those who still wait, after the first of them has left without a response, another attempt in place of the older
    /// one of two, and once the budget is spent a new one. Returns the attempts that end with that, which the caller retires;
    /// none if nothing changes.
    pub(crate) fn renew(&mut self, now: Moment) -> Option<[Option<Attempt>; 2]> {
        if now.since(self.renewed) < limits::RENEW_AFTER {
            return None;
        }
        let oldest = self.oldest_to_replace();
        let is_stuck = dotgate_wire::planted!("attempts-without-end-are-waited-for");
        let ended = match oldest.filter(|_| !is_stuck) {
            Some(oldest) => {
                self.end(oldest.session, oldest.id);
                self.failed_at.add(oldest.upstream);
                [Some(oldest), None]
            }
            None if self.made < limits::ATTEMPTS => return None,
            None => {
                self.made = 0;
                self.answered_by = UpstreamSet::default();
                self.failed_at = UpstreamSet::default();
                std::mem::take(&mut self.running)
            }
        };
        self.renewed = now;
        Some(ended)
    }
}
