//! The prefix of the network's NAT64, which the AAAA records of `ipv4only.arpa` show (RFC 7050).
//!
//! Between the filter and DNS64. A worker asks for them when it needs the prefix, and again when their TTL has expired, at the
//! upstreams of the route of that name. It has no access to exchanges: `engine::dns64` sends the question. Limits: [`AGE_MIN`], [`AGE_MAX`].

use std::time::Duration;

use dotgate_wire::{CacheTtl, Nat64Prefix, Question, UpstreamResponse, rclass, rtype};

use crate::moment::Moment;

/// The name whose AAAA records show the prefix.
const IPV4ONLY: &[u8] = b"\x08ipv4only\x04arpa\0";

/// How long a result counts at least, whatever its TTL, and that of a failure.
const AGE_MIN: Duration = Duration::from_secs(60);

/// How long a result counts at most.
const AGE_MAX: Duration = Duration::from_secs(86_400);

/// The prefix of AAAA records that are made of A records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dns64Prefix {
    /// This one.
    Fixed(Nat64Prefix),
    /// That of the network, which the AAAA records of `ipv4only.arpa` show (RFC 7050).
    Discovered,
}

/// What is known of the prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Known {
    Prefix(Nat64Prefix),
    /// The network has none.
    None,
    /// It is to be asked for.
    NotYet,
}

/// The prefix of the network's NAT64, as one worker knows it.
#[derive(Default)]
pub(crate) struct Nat64 {
    prefix: Option<Nat64Prefix>,
    until: Option<Moment>,
}

impl Nat64 {
    pub(crate) fn known(&self, now: Moment) -> Known {
        match (self.until, self.prefix) {
            (Some(until), _)
                if until <= now && !dotgate_wire::planted!("nat64-prefix-is-never-asked-again") =>
            {
                Known::NotYet
            }
            (Some(_), Some(prefix)) => Known::Prefix(prefix),
            (Some(_), None) => Known::None,
            (None, _) => Known::NotYet,
        }
    }

    /// The prefix that was found last, also if it is to be asked for again.
    pub(crate) fn last(&self) -> Option<Nat64Prefix> {
        self.prefix
    }

    /// What shows the prefix.
    pub(crate) fn question() -> Option<Question> {
        Question::new(IPV4ONLY, rtype::AAAA, rclass::IN)
    }

    /// Takes the response to that question.
    pub(crate) fn learn(&mut self, now: Moment, response: &UpstreamResponse) {
        let ttl = match response.cache_ttl() {
            CacheTtl::Positive(ttl) | CacheTtl::Negative(ttl) => ttl,
            CacheTtl::None => 0,
        };
        self.prefix = response.nat64_prefix();
        self.until = Some(now + Duration::from_secs(ttl.into()).clamp(AGE_MIN, AGE_MAX));
    }

    /// Nobody answers that question: what is known counts on.
    pub(crate) fn fail(&mut self, now: Moment) {
        self.until = Some(now + AGE_MIN);
    }
}
