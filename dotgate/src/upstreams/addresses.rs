//! The addresses of an upstream's name, and what became of the connections to each.
//!
//! It is between the search for them, which sets them, and the workers, which open sessions to them and report what
//! happened. An address that failed is passed over while another one has not. Addresses that led to the authenticated
//! upstream stay in use after the name has others: the answer about these may be false, and it came in the clear.
//! Limits: `FORMER`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

/// Addresses that stay in use although the name has them no longer.
const FORMER: usize = 8;

/// The addresses of one name, as all workers share them.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    known: ArcSwap<Known>,
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
        candidates.get(place as usize).copied()
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
        assert_eq!(picked(&addresses), [one, two, one, two]);
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
        let kept: Vec<SocketAddr> = (11..20).rev().map(address).collect();
        assert_eq!(addresses.all(), kept);
        assert_eq!(Addresses::default().pick(0), None);
    }
}
