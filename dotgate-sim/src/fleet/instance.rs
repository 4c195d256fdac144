//! One instance: the real cache, asked as the engine asks it, and what came of it.

use std::time::Duration;

use dotgate_core::cache::{Cache, Found, Scope, Terms};
use dotgate_core::{Moment, RouteId, limits};

use super::load::SAMPLE;
use super::names::Names;
use crate::random::Random;

/// Bytes of a cached answer: a CNAME and two addresses.
const ANSWER: [u8; 120] = [0; 120];

/// What an instance was asked, and what it asked, as weights.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Seen {
    queries: f64,
    hits: f64,
    prefetches: f64,
}

impl Seen {
    /// The share of queries answered from the cache.
    pub(super) fn hit_share(&self) -> f64 {
        self.hits / self.queries.max(1.0)
    }

    /// Queries to upstreams for each query of a client.
    pub(super) fn upstream_share(&self) -> f64 {
        1.0 - self.hit_share() + self.prefetches / self.queries.max(1.0)
    }
}

/// An instance with its cache.
pub(super) struct Instance {
    cache: Cache,
    now: Moment,
    /// Queries that are due and not yet whole.
    due: f64,
    prefetch_credit: u32,
    bytes: Vec<u8>,
}

impl Instance {
    /// One that was just started.
    pub(super) fn new(cache_bytes: u32) -> Instance {
        Instance {
            cache: Cache::new((cache_bytes / SAMPLE) as usize, (1, 2)),
            now: Moment::from_nanos(0),
            due: 0.0,
            prefetch_credit: 0,
            bytes: Vec::new(),
        }
    }

    /// Serves so many queries per second for so many seconds.
    pub(super) fn serve(
        &mut self,
        names: &Names,
        queries: f64,
        seconds: u64,
        random: &mut Random,
    ) -> Seen {
        let mut seen = Seen::default();
        for _ in 0..seconds {
            self.due += queries * names.share();
            while self.due >= 1.0 {
                self.due -= 1.0;
                self.ask(names, random, &mut seen);
            }
            self.now = self.now + Duration::from_secs(1);
        }
        seen
    }

    fn ask(&mut self, names: &Names, random: &mut Random, seen: &mut Seen) {
        let Some((name, question)) = names.draw(random) else {
            return;
        };
        let key = self.cache.key(question, RouteId::DEFAULT, false, false);
        self.prefetch_credit = (self.prefetch_credit + 1).min(limits::PREFETCH_CREDIT);
        let terms = Terms {
            generation: 0,
            stale_max: Duration::from_secs(86_400),
            may_prefetch: self.prefetch_credit >= limits::PREFETCH_COST,
            shares_nxdomain: false,
        };
        self.bytes.clear();
        let found = self
            .cache
            .lookup(self.now, &key, question, terms, &mut self.bytes);
        seen.queries += name.weight;
        let is_asked_upstream = match found {
            Found::Fresh { prefetch, .. } => {
                seen.hits += name.weight;
                if prefetch {
                    self.prefetch_credit -= limits::PREFETCH_COST;
                    seen.prefetches += name.weight;
                }
                prefetch
            }
            Found::Miss | Found::Failed | Found::Stale { .. } => true,
        };
        if is_asked_upstream {
            // The upstream has it in its own cache, for some time already.
            let ttl = random.between(1, name.ttl.into()) as u32;
            self.cache
                .insert(self.now, &key, question, Scope::Exact, ttl, &ANSWER);
        }
    }
}
