//! Log events for limits that were reached: which limit, how often, and for which clients.
//!
//! One event at once, then one every ten seconds while it continues. Clients are named by prefix, never by address.
//! Limits: eight prefixes are counted for each limit; a prefix that is hit most of the time is never missed.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Clients;
use crate::admit::RateKind;
use crate::counters::labels::Limit;
use crate::limits;
use crate::moment::Moment;
use crate::outbox::Event;

/// Prefixes that are counted.
const PREFIXES: usize = 8;

/// Bits of an address that are shown.
const IPV4_BITS: u8 = 24;
const IPV6_BITS: u8 = 56;

/// What happened at one limit since it was last logged.
#[derive(Clone, Copy, Default)]
struct Hits {
    logged: Option<Moment>,
    times: u64,
    /// The first prefix, and those that were counted most, as far as eight counters tell (Misra and Gries).
    prefixes: [Option<(IpNet, u64)>; PREFIXES],
}

impl Hits {
    fn add(&mut self, prefix: IpNet) {
        self.times += 1;
        let is_same = |slot: &&mut Option<(IpNet, u64)>| slot.is_some_and(|(net, _)| net == prefix);
        if let Some(Some((_, times))) = self.prefixes.iter_mut().find(is_same) {
            *times += 1;
        } else if let Some(free) = self.prefixes.iter_mut().find(|slot| slot.is_none()) {
            *free = Some((prefix, 1));
        } else {
            for slot in &mut self.prefixes {
                *slot = slot.and_then(|(net, times)| (times > 1).then(|| (net, times - 1)));
            }
        }
    }

    fn most(&self) -> Option<IpNet> {
        let counted = self.prefixes.iter().flatten();
        // Of several the first one: max_by_key would take the last.
        counted
            .rev()
            .max_by_key(|(_, times)| *times)
            .map(|(net, _)| *net)
    }
}

/// What happened at all limits.
#[derive(Default)]
pub(super) struct LimitLog([Hits; Limit::COUNT]);

impl Clients {
    /// Counts a client that was rejected, or lost a connection, at a limit.
    pub(crate) fn hit_limit(&mut self, now: Moment, limit: Limit, client: IpAddr) {
        self.tally.limit(limit);
        let max = self.value_of(limit);
        let Some(hits) = self.limit_log.0.get_mut(limit as usize) else {
            return;
        };
        hits.add(prefix_of(client));
        let is_due = hits
            .logged
            .is_none_or(|logged| now.since(logged) >= limits::LOG_AGAIN_AFTER);
        if is_due && let Some(client) = hits.most() {
            self.events.push_back(Event::LimitHit {
                limit,
                max,
                times: hits.times,
                client,
            });
            *hits = Hits {
                logged: Some(now),
                ..Hits::default()
            };
        }
    }

    fn rate(&self, kind: RateKind) -> usize {
        self.settings
            .rates
            .of(kind)
            .map_or(0, |rate| rate.get() as usize)
    }

    fn value_of(&self, limit: Limit) -> usize {
        match limit {
            Limit::Queries => self.settings.queries_max,
            Limit::QueriesPerClient => self.settings.queries_per_client_max,
            Limit::Streams => self.settings.streams_max,
            Limit::StreamsPerClient => self.settings.streams_per_client_max,
            Limit::StreamsMalformed => limits::PACED_STREAMS as usize,
            Limit::Handshakes => limits::STREAM_HANDSHAKES,
            Limit::ClientMemory => self.settings.client_memory,
            Limit::QueryRate => self.rate(RateKind::Query),
            Limit::ResponseRate => self.rate(RateKind::Response),
            Limit::ConnectionRate => self.rate(RateKind::Connection),
            Limit::HandshakeRate => self.rate(RateKind::Handshake),
            Limit::RateTable | Limit::UdpRelease | Limit::Descriptors => 0,
        }
    }
}

fn prefix_of(client: IpAddr) -> IpNet {
    let client = client.to_canonical();
    let bits = match client {
        IpAddr::V4(_) => IPV4_BITS,
        IpAddr::V6(_) => IPV6_BITS,
    };
    IpNet::new(client, bits).map_or_else(|_| client.into(), |net| net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn clients_are_named_by_prefix() {
        for (client, shown) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:1:2ff::7", "2001:db8:1:200::/56"),
        ] {
            assert_eq!(prefix_of(client.parse().unwrap()), prefix(shown));
        }
    }

    #[test]
    fn the_prefix_that_is_hit_most_of_the_time_is_found_among_many() {
        let mut hits = Hits::default();
        for n in 0..1_000_u32 {
            hits.add(prefix(&format!("10.{}.{}.0/24", n / 250, n % 250)));
            hits.add(prefix("192.0.2.0/24"));
        }
        assert_eq!(hits.times, 2_000);
        assert_eq!(hits.most(), Some(prefix("192.0.2.0/24")));
    }
}
