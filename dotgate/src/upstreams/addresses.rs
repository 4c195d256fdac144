//! The addresses of an upstream's name, and what became of the connections to each.
//!
//! It is between the search for them, which sets them, and the workers, which open sessions to them and report what
//! happened. The one that led to the upstream last comes first, and then the families take turns (RFC 8305 section 4), so
//! that a family that does not work costs one try. An address that failed is passed over while another one has not. Addresses that led to the authenticated
//! upstream stay in use after the name has others: the answer about these may be false, and it came in the clear.
//! Limits: `FORMER`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Notify;

/// Addresses that stay in use although the name has them no longer.
const FORMER: usize = 8;

/// The addresses of one name, as all workers share them.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    known: ArcSwap<Known>,
    /// The one that led to the upstream last.
    latest: ArcSwapOption<SocketAddr>,
    all_failed: Notify,
    has_authenticated: AtomicBool,
}

#[derive(Debug, Default)]
struct Known {
    /// Those of the last answer, in the order in which they are to be tried.
    current: Vec<Candidate>,
    /// Those of earlier answers that led to the upstream, the latest first.
    former: Vec<Candidate>,
}

#[derive(Debug)]
struct Candidate {
    address: SocketAddr,
    /// Whether it ever led to the upstream.
    is_proven: AtomicBool,
    /// Whether the last connection to it came to nothing.
    has_failed: AtomicBool,
}

impl Candidate {
    fn new(address: SocketAddr, is_proven: bool) -> Candidate {
        Candidate {
            address,
            is_proven: AtomicBool::new(is_proven),
            has_failed: AtomicBool::new(false),
        }
    }
}

impl Known {
    fn all(&self) -> impl Iterator<Item = &Candidate> {
        self.current.iter().chain(&self.former)
    }
}

impl Addresses {
    /// Takes the addresses that the name has now; none of them has failed yet.
    pub(super) fn set(&self, addresses: &[SocketAddr]) {
        let before = self.known.load();
        let is_proven = |address: &SocketAddr| {
            let mut all = before.all();
            all.any(|it| it.address == *address && it.is_proven.load(Relaxed))
        };
        let current = addresses.iter();
        let current = current.map(|address| Candidate::new(*address, is_proven(address)));
        let former = before.all().map(|candidate| candidate.address);
        let former = former.filter(|it| is_proven(it) && !addresses.contains(it));
        let former = former.map(|address| Candidate::new(address, true));
        self.known.store(Arc::new(Known {
            current: current.collect(),
            former: former.take(FORMER).collect(),
        }));
    }

    /// The address for this try: each in turn of those that have not failed, former ones only where all others have;
    /// each in turn of all once all have failed.
    pub(super) fn pick(&self, try_number: u32) -> Option<SocketAddr> {
        let known = self.known.load();
        let untried = |candidates: &[Candidate]| -> Vec<SocketAddr> {
            let good = candidates.iter().filter(|it| !it.has_failed.load(Relaxed));
            good.map(|it| it.address).collect()
        };
        let mut candidates = untried(&known.current);
        if candidates.is_empty() {
            candidates = untried(&known.former);
        }
        if candidates.is_empty() {
            candidates = known.all().map(|it| it.address).collect();
        }
        let count = u32::try_from(candidates.len()).ok();
        let place = try_number.checked_rem(count?)?;
        if let Some(latest) = self.latest.load_full()
            && let Some(at) = candidates.iter().position(|it| *it == *latest)
        {
            candidates[..=at].rotate_right(1);
        }
        in_turns(&candidates).get(place as usize).copied()
    }

    /// How many addresses the name has now.
    pub(super) fn count(&self) -> usize {
        self.known.load().current.len()
    }

    /// All of them, in the order of their use.
    pub(super) fn all(&self) -> Vec<SocketAddr> {
        self.known.load().all().map(|it| it.address).collect()
    }

    /// A connection to this address came to nothing.
    pub(super) fn note_failed(&self, address: SocketAddr) {
        let known = self.known.load();
        for candidate in known.all().filter(|it| it.address == address) {
            candidate.has_failed.store(true, Relaxed);
        }
        let has_failed = |it: &Candidate| it.has_failed.load(Relaxed);
        if !known.current.is_empty() && known.current.iter().all(has_failed) {
            self.all_failed.notify_one();
        }
    }

    /// This address led to the authenticated upstream.
    pub(super) fn note_authenticated(&self, address: SocketAddr) {
        let known = self.known.load();
        for candidate in known.all().filter(|it| it.address == address) {
            candidate.has_failed.store(false, Relaxed);
            candidate.is_proven.store(true, Relaxed);
        }
        let before = self.latest.load();
        if before.as_deref() != Some(&address) {
            self.latest.store(Some(Arc::new(address)));
        }
        if known.current.iter().any(|it| it.address == address) {
            self.has_authenticated.store(true, Relaxed);
        }
    }

    /// Waits until all addresses that the name has now have failed, or returns at once if they did since the last call.
    pub(super) async fn all_failed(&self) {
        self.all_failed.notified().await;
    }

    /// Whether one of the name's present addresses led to the upstream since the last call.
    pub(super) fn take_authenticated(&self) -> bool {
        self.has_authenticated.swap(false, Relaxed)
    }
}

/// The same addresses, of each family in turn, beginning with that of the first.
fn in_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_first =
        |it: &&SocketAddr| Some(it.is_ipv6()) == addresses.first().map(SocketAddr::is_ipv6);
    let (first, other): (Vec<&SocketAddr>, Vec<&SocketAddr>) = addresses.iter().partition(is_first);
    let pairs = first.len().min(other.len());
    let turns = first
        .iter()
        .zip(&other)
        .flat_map(|(one, two)| [**one, **two]);
    let rest = first[pairs..].iter().chain(&other[pairs..]);
    turns.chain(rest.map(|it| **it)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        ([192, 0, 2, last], 853).into()
    }

    fn addresses(last: &[u8]) -> Addresses {
        let addresses = Addresses::default();
        addresses.set(&last.iter().copied().map(address).collect::<Vec<_>>());
        addresses
    }

    fn picked(addresses: &Addresses) -> Vec<SocketAddr> {
        (0..4).filter_map(|n| addresses.pick(n)).collect()
    }

    /// Whether all have failed since this was asked last.
    fn have_failed(addresses: &Addresses) -> bool {
        use std::task::{Context, Waker};
        let mut wait = std::pin::pin!(addresses.all_failed());
        let mut context = Context::from_waker(Waker::noop());
        wait.as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn an_address_that_failed_is_passed_over_until_all_have_or_it_is_found_again() {
        let [one, two] = [1, 2].map(address);
        let addresses = addresses(&[1, 2]);
        assert_eq!(picked(&addresses), [one, two, one, two]);
        addresses.note_failed(one);
        assert_eq!(picked(&addresses), [two; 4]);
        assert!(!have_failed(&addresses));
        addresses.note_failed(two);
        assert_eq!(picked(&addresses), [one, two, one, two]);
        assert!(have_failed(&addresses));
        assert!(!have_failed(&addresses), "said once for each failure");
        addresses.note_authenticated(two);
        assert_eq!(picked(&addresses), [two; 4]);
        addresses.set(&[one, two]);
        assert_eq!(picked(&addresses), [two, one, two, one], "the winner first");
    }

    #[test]
    fn families_take_turns_and_the_one_that_worked_last_comes_first() {
        let six = |last: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 853));
        let (a, b, c, d) = (six(1), six(2), address(1), address(2));
        let addresses = Addresses::default();
        addresses.set(&[a, b, six(3), c, d]);
        assert_eq!(picked(&addresses), [a, c, b, d]);
        addresses.note_authenticated(c);
        assert_eq!(picked(&addresses), [c, a, d, b]);
        addresses.note_failed(c);
        assert_eq!(picked(&addresses), [a, d, b, six(3)]);
        addresses.set(&[a, d]);
        assert_eq!(addresses.count(), 2);
        assert_eq!(picked(&addresses)[..2], [a, d], "it is not known any more");
    }

    #[test]
    fn an_address_that_authenticated_stays_in_use_behind_new_ones_that_fail() {
        let [old, never, new] = [1, 2, 3].map(address);
        let addresses = addresses(&[1, 2]);
        addresses.note_authenticated(old);
        assert!(addresses.take_authenticated() && !addresses.take_authenticated());
        addresses.set(&[new]);
        assert_eq!(addresses.all(), [new, old], "not {never}");
        assert_eq!(picked(&addresses), [new; 4]);
        addresses.note_failed(new);
        assert!(have_failed(&addresses));
        assert_eq!(picked(&addresses), [old; 4]);
        addresses.note_authenticated(old);
        assert!(
            !addresses.take_authenticated(),
            "the new ones are still wrong"
        );
        addresses.set(&[new]);
        assert_eq!(addresses.all(), [new, old], "through further answers");
        addresses.set(&[old]);
        assert_eq!(addresses.all(), [old]);
    }

    #[test]
    fn former_addresses_have_a_bound() {
        let addresses = addresses(&[]);
        for last in 0..20 {
            addresses.set(&[address(last)]);
            addresses.note_authenticated(address(last));
        }
        let newest: Vec<SocketAddr> = (11..20).rev().map(address).collect();
        assert_eq!(addresses.all(), newest);
        assert_eq!(Addresses::default().pick(0), None);
    }
}
