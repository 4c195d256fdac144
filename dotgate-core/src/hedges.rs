//! Hedges: which questions are late, and how many copies of them there may be.
//!
//! A question whose first attempt is late among the responses of its upstream (`lateness`) gets a copy, and its client the
//! first response that it can have. Copies are paid out of a budget that questions earn, so that of a hundred
//! questions at most so many are copied as the settings say, whatever upstreams do. Names that were late at both upstreams
//! are slow in themselves: their domains get no copies for a while. Does not know attempts and sessions; `upstreams` asks
//! here what to copy, and does it.

mod lateness;

use std::collections::VecDeque;
use std::time::Duration;

use self::lateness::Lateness;
use crate::keys::{ExchangeKey, UpstreamId};
use crate::limits;
use crate::moment::Moment;

/// A question whose first attempt was sent to this upstream then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FirstAttempt {
    pub(crate) key: ExchangeKey,
    pub(crate) upstream: UpstreamId,
    pub(crate) sent_at: Moment,
}

/// What one worker knows of hedging.
#[derive(Debug, Default)]
pub(crate) struct Hedges {
    /// How many questions of a hundred may be copied; none if 0.
    percent: u8,
    /// What was earned and not spent, in hundredths of a copy.
    credit: u32,
    upstreams: Vec<Upstream>,
    /// Questions to copy once a session is open.
    waiting: VecDeque<FirstAttempt>,
    /// The keyed hashes of domains that are slow everywhere, with the time until which they count as such.
    slow: VecDeque<(u64, Moment)>,
}

#[derive(Debug)]
struct Upstream {
    id: UpstreamId,
    lateness: Lateness,
    /// First attempts in the order of sending. Those that are over leave when they reach the front.
    sent: VecDeque<(Moment, ExchangeKey)>,
}

/// The price of a copy, in what a question earns with a budget of 1 %.
const PRICE: u32 = 100;

/// The most that is saved up.
const CREDIT_MAX: u32 = limits::HEDGE_CREDIT * PRICE;

impl Hedges {
    pub(crate) fn new(percent: u8) -> Hedges {
        Hedges {
            percent,
            ..Hedges::default()
        }
    }

    /// Another budget from now on. Without one, nothing is remembered.
    pub(crate) fn reconfigure(&mut self, percent: u8) {
        if percent == 0 {
            *self = Hedges::default();
        }
        self.percent = percent;
    }

    /// The ID of an upstream belongs to another one now.
    pub(crate) fn forget_upstream(&mut self, id: UpstreamId) {
        self.upstreams.retain(|upstream| upstream.id != id);
    }

    /// A question came: it earns its part of a copy.
    pub(crate) fn earn(&mut self) {
        let earned = self.credit + u32::from(self.percent);
        self.credit = earned.min(CREDIT_MAX);
    }

    /// The first attempt for a question was sent. False if it is not watched, because too many are.
    pub(crate) fn watch(&mut self, first: FirstAttempt) -> bool {
        if self.percent == 0 {
            return true;
        }
        let upstream = self.upstream(first.upstream);
        let has_room = upstream.sent.len() < limits::HEDGES_WATCHED;
        if has_room {
            upstream.sent.push_back((first.sent_at, first.key));
        }
        has_room
    }

    /// An upstream answered a question after so long.
    pub(crate) fn add_response(&mut self, id: UpstreamId, time: Duration) {
        if self.percent > 0 {
            let percent = self.percent;
            self.upstream(id).lateness.add(time, percent);
        }
    }

    /// First attempts to an upstream for questions that `runs` does not know are over.
    pub(crate) fn trim(&mut self, id: UpstreamId, runs: impl Fn(ExchangeKey) -> bool) {
        let mut upstreams = self.upstreams.iter_mut();
        if let Some(upstream) = upstreams.find(|it| it.id == id) {
            let sent = &mut upstream.sent;
            while sent.front().is_some_and(|(_, key)| !runs(*key)) {
                sent.pop_front();
            }
        }
    }

    /// A response of this upstream that takes longer is slow; none while too little is known.
    pub(crate) fn slow_after(&self, id: UpstreamId) -> Option<Duration> {
        let upstream = self.upstreams.iter().find(|it| it.id == id)?;
        upstream.lateness.slow_after()
    }

    /// When the next question is late.
    pub(crate) fn next_late(&self) -> Option<Moment> {
        let is_saved_up = self.is_saved_up();
        let upstreams = self.upstreams.iter();
        upstreams.filter_map(|it| it.next_late(is_saved_up)).min()
    }

    /// The next question that is late now.
    pub(crate) fn poll_late(&mut self, now: Moment) -> Option<FirstAttempt> {
        let is_saved_up = self.is_saved_up();
        let is_late =
            |it: &&mut Upstream| it.next_late(is_saved_up).is_some_and(|late| late <= now);
        let upstream = self.upstreams.iter_mut().find(is_late)?;
        let (sent_at, key) = upstream.sent.pop_front()?;
        Some(FirstAttempt {
            key,
            upstream: upstream.id,
            sent_at,
        })
    }

    /// Whether the percentile does not spend the budget: then what is slow is late.
    fn is_saved_up(&self) -> bool {
        self.credit >= CREDIT_MAX
    }

    /// Whether there may be one more copy.
    pub(crate) fn has_credit(&self) -> bool {
        self.credit >= PRICE || dotgate_wire::planted!("hedges-have-no-budget")
    }

    /// A copy was sent.
    pub(crate) fn pay(&mut self) {
        self.credit = self.credit.saturating_sub(PRICE);
    }

    /// A question is to be copied once a session is open. Of too many, the oldest is not.
    pub(crate) fn wait(&mut self, first: FirstAttempt) {
        if self.waiting.len() >= limits::HEDGES_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(first);
    }

    /// The questions that wait for a session.
    pub(crate) fn take_waiting(&mut self) -> VecDeque<FirstAttempt> {
        std::mem::take(&mut self.waiting)
    }

    /// A name in this domain was late at two upstreams.
    pub(crate) fn note_slow(&mut self, now: Moment, domain: u64) {
        self.slow
            .retain(|(known, until)| *known != domain && *until > now);
        if self.slow.len() >= limits::SLOW_DOMAINS {
            self.slow.pop_front();
        }
        self.slow.push_back((domain, now + limits::SLOW_DOMAIN_FOR));
    }

    /// Whether names in this domain are slow everywhere.
    pub(crate) fn is_slow(&self, now: Moment, domain: u64) -> bool {
        let mut slow = self.slow.iter();
        slow.any(|(known, until)| *known == domain && *until > now)
            && !dotgate_wire::planted!("slow-names-are-copied-again")
    }

    fn upstream(&mut self, id: UpstreamId) -> &mut Upstream {
        let place = self.upstreams.iter().position(|it| it.id == id);
        let place = place.unwrap_or_else(|| {
            self.upstreams.push(Upstream {
                id,
                lateness: Lateness::default(),
                sent: VecDeque::new(),
            });
            self.upstreams.len() - 1
        });
        &mut self.upstreams[place]
    }
}

impl Upstream {
    fn next_late(&self, is_saved_up: bool) -> Option<Moment> {
        let (sent_at, _) = self.sent.front()?;
        let late = self.lateness.late_after()?;
        let slow = self.lateness.slow_after().filter(|_| is_saved_up);
        Some(*sent_at + slow.map_or(late, |slow| slow.min(late)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_nanos(1_000_000_000);
    const MS: Duration = Duration::from_millis(1);

    fn first(number: u32) -> FirstAttempt {
        FirstAttempt {
            key: ExchangeKey::default(),
            upstream: UpstreamId(0),
            sent_at: START + MS * number,
        }
    }

    #[test]
    fn a_budget_is_earned_before_it_is_spent_and_saved_up_to_a_bound() {
        let mut hedges = Hedges::new(3);
        let mut copies = 0;
        for questions in 1..=10_000_u32 {
            hedges.earn();
            if hedges.has_credit() {
                hedges.pay();
                copies += 1;
            }
            assert!(copies * 100 <= questions * 3);
        }
        assert_eq!(copies, 300);
        for _ in 0..10_000 {
            hedges.earn();
        }
        let saved = std::iter::from_fn(|| hedges.has_credit().then(|| hedges.pay()));
        assert_eq!(saved.count(), limits::HEDGE_CREDIT as usize);
    }

    #[test]
    fn what_waits_for_longer_than_others_took_is_late() {
        let mut hedges = Hedges::new(3);
        assert!(hedges.watch(first(0)));
        assert_eq!(hedges.next_late(), None);
        for _ in 0..100 {
            hedges.add_response(UpstreamId(0), 10 * MS);
        }
        hedges.trim(UpstreamId(0), |_| true);
        let late = hedges.next_late().unwrap();
        assert!(
            (START + 20 * MS..START + 25 * MS).contains(&late),
            "{late:?}"
        );
        assert_eq!(hedges.poll_late(START + 19 * MS), None);
        assert_eq!(hedges.poll_late(late), Some(first(0)));
        assert_eq!(hedges.poll_late(late), None);
    }

    #[test]
    fn what_is_answered_is_not_watched_any_more_and_the_rest_is_bounded() {
        let mut hedges = Hedges::new(3);
        for number in 0..limits::HEDGES_WATCHED as u32 {
            assert!(hedges.watch(first(number)));
        }
        assert!(!hedges.watch(first(0)));
        for _ in 0..100 {
            hedges.add_response(UpstreamId(0), 10 * MS);
        }
        assert!(hedges.next_late().is_some());
        hedges.trim(UpstreamId(0), |_| false);
        assert_eq!(hedges.next_late(), None);
        for _ in 0..2 * limits::HEDGES_WAITING {
            hedges.wait(first(0));
        }
        assert_eq!(hedges.take_waiting().len(), limits::HEDGES_WAITING);
    }

    #[test]
    fn without_a_budget_nothing_is_kept() {
        let mut hedges = Hedges::new(3);
        hedges.watch(first(0));
        hedges.reconfigure(0);
        for _ in 0..1_000 {
            hedges.earn();
            hedges.watch(first(0));
            hedges.add_response(UpstreamId(0), MS);
        }
        assert!(!hedges.has_credit());
        assert_eq!(hedges.next_late(), None);
    }

    #[test]
    fn slow_domains_are_bounded_and_forgotten() {
        let mut hedges = Hedges::new(3);
        for domain in 0..2 * limits::SLOW_DOMAINS as u64 {
            hedges.note_slow(START, domain);
        }
        assert!(!hedges.is_slow(START, 0));
        assert!(hedges.is_slow(START, 2 * limits::SLOW_DOMAINS as u64 - 1));
        assert_eq!(hedges.slow.len(), limits::SLOW_DOMAINS);
        let later = START + limits::SLOW_DOMAIN_FOR;
        assert!(!hedges.is_slow(later, 2 * limits::SLOW_DOMAINS as u64 - 1));
        hedges.note_slow(later, 7);
        assert_eq!(hedges.slow.len(), 1);
    }
}
