//! Finding the addresses of upstreams that are given by name, for as long as the program runs.
//!
//! It is before the path of a query, on the control thread: it gives addresses to the upstreams, from which
//! sessions are opened. It owns one task per name. It asks, in the clear, the resolvers of
//! `DOTGATE_BOOTSTRAP_ADDRESSES` alone, never from the system's resolver, which may be dotgate itself.
//! A forged answer here reaches no client: the upstream must still prove its name in TLS.
//! Until it has, the lie must not last: when all addresses have failed, the resolvers are asked again.
//!     Searching --addresses--> Known --TTL expired, or all failed--> asks again --no result--> Known, as before
//! Limits: [`Pace`], 32 addresses of each family. Follows RFC 1035, RFC 5452 section 9, RFC 7766 (truncation).
//! *Not done*: EDNS (addresses fit into 512 bytes, or come by TCP), and questions for aliases beyond one answer.

mod designation;
mod lookup;
mod message;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use dotgate_config::{Config, Endpoint, ScopedSocketAddress};

use crate::log::message::say;
use domain::base::Name;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use self::designation::Designation;
use self::lookup::Lookup;
pub use self::lookup::{LookupError, LookupFault};
use self::message::Found;
use crate::upstreams::Upstream;

/// How long things take at least and at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// What a resolver gets for one question, and once more for it over TCP.
    pub resolver_wait: Duration,
    /// The pause after the first search that found nothing; it doubles while there is no address.
    pub first_pause: Duration,
    /// The longest of these pauses.
    pub longest_pause: Duration,
    /// How long addresses are kept at least, whatever their TTL; also the pause before a failed renewal is tried
    /// again.
    pub ttl_min: Duration,
    /// How long addresses are kept at most.
    pub ttl_max: Duration,
    /// The pause before the second question in a row that is asked because all addresses have failed; the first has
    /// none. It doubles.
    pub first_retry: Duration,
    /// The longest of these pauses.
    pub longest_retry: Duration,
}

impl Default for Pace {
    /// Patient with resolvers and quick to recover: at most 8 questions a second while there is no address.
    fn default() -> Pace {
        Pace {
            resolver_wait: Duration::from_secs(1),
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(10),
            ttl_min: Duration::from_secs(60),
            ttl_max: Duration::from_secs(3_600),
            first_retry: Duration::from_secs(1),
            longest_retry: Duration::from_secs(60),
        }
    }
}

/// The search, which ends when this is dropped.
#[derive(Debug)]
pub struct Bootstrap {
    _searches: JoinSet<()>,
}

impl Bootstrap {
    /// Starts to search in the background. Call it inside a tokio runtime.
    pub fn start(config: &Config, upstreams: &[Arc<Upstream>]) -> Bootstrap {
        Self::with_pace(config, upstreams, Pace::default())
    }

    /// The same at another pace.
    pub fn with_pace(config: &Config, upstreams: &[Arc<Upstream>], pace: Pace) -> Bootstrap {
        let mut searches = JoinSet::new();
        for upstream in upstreams {
            let Some(source) = Source::of(upstream, config, pace) else {
                continue;
            };
            let search = Search {
                source,
                pace,
                upstream: Arc::clone(upstream),
            };
            searches.spawn(search.run());
        }
        Bootstrap {
            _searches: searches,
        }
    }
}

/// Finds the addresses of a name once, in the order in which they are to be tried.
///
/// # Errors
/// [`LookupError`] of the resolver that was asked last.
pub async fn resolve(
    name: &str,
    port: u16,
    resolvers: &[ScopedSocketAddress],
) -> Result<Vec<SocketAddr>, LookupError> {
    let lookup = Lookup {
        name: Name::from_str(name).map_err(|_| LookupError::UNASKABLE)?,
        resolvers: resolvers.to_vec(),
        wait: Pace::default().resolver_wait,
    };
    let mut known = Known::default();
    known.renew(lookup.run().await)?;
    Ok(known.in_order(port, has_route))
}

/// Finds the addresses of the endpoints that a resolver designates, once.
///
/// # Errors
/// [`LookupError`]: there are none, or the resolver does not answer.
pub async fn discover(resolver: &ScopedSocketAddress) -> Result<Vec<SocketAddr>, LookupError> {
    let designation = Designation {
        resolver: resolver.clone(),
        wait: Pace::default().resolver_wait,
    };
    Ok(designation.run().await?.0)
}

/// Where the addresses of an upstream come from.
enum Source {
    /// Its name.
    Name {
        lookup: Lookup,
        port: u16,
        known: Known,
        /// Addresses that were too many, the last time that this was logged.
        left_out: usize,
    },
    /// The resolver that designates it.
    Designation(Designation),
}

impl Source {
    /// None for an upstream that is an address.
    fn of(upstream: &Upstream, config: &Config, pace: Pace) -> Option<Source> {
        match upstream.endpoint() {
            Endpoint::Address(_) => None,
            Endpoint::Name { name, port } => {
                let Ok(parsed) = Name::from_str(name) else {
                    say!(NAME_INVALID, upstream = upstream.label());
                    return None;
                };
                Some(Source::Name {
                    lookup: Lookup {
                        name: parsed,
                        resolvers: config.bootstrap().to_vec(),
                        wait: pace.resolver_wait,
                    },
                    port: *port,
                    known: Known::default(),
                    left_out: 0,
                })
            }
            Endpoint::Designated { resolver } => Some(Source::Designation(Designation {
                resolver: resolver.clone(),
                wait: pace.resolver_wait,
            })),
        }
    }

    /// The addresses in the order in which they are to be tried, and how long they hold.
    async fn find(
        &mut self,
        upstream: &Upstream,
    ) -> Result<(Vec<SocketAddr>, Duration), LookupError> {
        match self {
            Source::Name {
                lookup,
                port,
                known,
                left_out,
            } => {
                let outcome = lookup.run().await;
                log_left_out(upstream, &outcome, left_out);
                let ttl = known.renew(outcome)?;
                Ok((known.in_order(*port, has_route), ttl))
            }
            Source::Designation(designation) => designation.run().await,
        }
    }
}

fn log_left_out(upstream: &Upstream, outcome: &lookup::Outcome, before: &mut usize) {
    let families = [&outcome.ipv4, &outcome.ipv6].into_iter().flatten();
    let left_out = families.map(|found| found.left_out).sum();
    if left_out > *before {
        let upstream = upstream.label();
        say!(NAME_HAS_MORE, upstream = upstream, left_out = left_out);
    }
    *before = left_out;
}

/// The search for the addresses of one upstream.
struct Search {
    source: Source,
    pace: Pace,
    upstream: Arc<Upstream>,
}

impl Search {
    async fn run(mut self) {
        let mut has_found = false;
        // They are known already where a search is restarted.
        let mut reported = self.upstream.addresses();
        let mut pause = self.pace.first_pause;
        let mut is_failing = false;
        let mut retry = Duration::ZERO;
        loop {
            let outcome = self.source.find(&self.upstream).await;
            let asked = Instant::now();
            self.upstream.note_lookup(outcome.is_ok());
            let wait = match outcome {
                Ok((addresses, ttl)) => {
                    self.hand_over(addresses, &mut reported);
                    (pause, is_failing, has_found) = (self.pace.first_pause, false, true);
                    ttl.clamp(self.pace.ttl_min, self.pace.ttl_max)
                }
                Err(problem) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        self.log_failure(&problem);
                    }
                    if !has_found {
                        let now = pause;
                        pause = (pause * 2).min(self.pace.longest_pause);
                        now
                    } else {
                        self.pace.ttl_min
                    }
                }
            };
            if timeout(wait, self.upstream.all_addresses_failed())
                .await
                .is_ok()
            {
                if self.upstream.take_authenticated() {
                    retry = Duration::ZERO;
                }
                sleep_until(asked + retry.min(wait)).await;
                retry = (retry * 2).clamp(self.pace.first_retry, self.pace.longest_retry);
            }
        }
    }

    fn hand_over(&self, addresses: Vec<SocketAddr>, reported: &mut Vec<SocketAddr>) {
        let upstream = &self.upstream;
        if addresses != *reported {
            let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let (upstream, list) = (upstream.label(), list.join(","));
            say!(NAME_RESOLVED, upstream = upstream, addresses = list);
        }
        upstream.set_addresses(&addresses);
        *reported = addresses;
    }

    fn log_failure(&self, problem: &LookupError) {
        let upstream = self.upstream.label();
        if self.upstream.addresses().is_empty() {
            say!(NAME_UNRESOLVED, upstream = upstream, reason = %problem);
        } else {
            say!(NAME_NOT_RENEWED, upstream = upstream, reason = %problem);
        }
    }
}

/// The last good addresses of a name.
#[derive(Debug, Default)]
struct Known {
    ipv4: Vec<IpAddr>,
    ipv6: Vec<IpAddr>,
}

impl Known {
    fn is_empty(&self) -> bool {
        self.ipv4.is_empty() && self.ipv6.is_empty()
    }

    /// Takes what was found and returns how long it holds: no time at all where one family's question failed, so
    /// that it is asked again soon. A family keeps its addresses when its question fails, and both keep them when
    /// both fail or nothing would be left.
    fn renew(&mut self, found: lookup::Outcome) -> Result<Duration, LookupError> {
        let (ipv4, life4) = newer(&found.ipv4, &self.ipv4);
        let (ipv6, life6) = newer(&found.ipv6, &self.ipv6);
        let new = Known { ipv4, ipv6 };
        match (found.ipv4, found.ipv6) {
            (Err(problem), Err(_)) => Err(problem),
            (Err(problem), Ok(_)) | (Ok(_), Err(problem)) if new.is_empty() => Err(problem),
            (Ok(_), Ok(_)) if new.is_empty() => Err(LookupError::NO_ADDRESS),
            (Ok(_) | Err(_), Ok(_)) | (Ok(_), Err(_)) => {
                *self = new;
                Ok(life4.min(life6))
            }
        }
    }

    /// The addresses in turn from both families, IPv6 first, so that a dead family costs every other try
    /// (RFC 8305 section 4). Those the system has no route to are left out, unless it has none to any.
    fn in_order(&self, port: u16, has_route: impl Fn(SocketAddr) -> bool) -> Vec<SocketAddr> {
        let longest = self.ipv4.len().max(self.ipv6.len());
        let both = |place| [self.ipv6.get(place), self.ipv4.get(place)];
        let all: Vec<SocketAddr> = (0..longest)
            .flat_map(both)
            .flatten()
            .map(|ip| SocketAddr::new(*ip, port))
            .collect();
        let reachable: Vec<SocketAddr> = all.iter().copied().filter(|to| has_route(*to)).collect();
        if reachable.is_empty() { all } else { reachable }
    }
}

/// The addresses of one family after its question, and how long they hold. That there are none holds as long as
/// the other family's do.
fn newer(found: &Result<Found, LookupError>, current: &[IpAddr]) -> (Vec<IpAddr>, Duration) {
    match found {
        Ok(found) if found.addresses.is_empty() => (Vec::new(), Duration::MAX),
        Ok(found) => (found.addresses.clone(), found.ttl),
        Err(_) => (current.to_vec(), Duration::ZERO),
    }
}

/// Whether the system knows a way to `address`. Nothing is sent.
fn has_route(address: SocketAddr) -> bool {
    let here = if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    UdpSocket::bind(here).is_ok_and(|socket| socket.connect(address).is_ok())
}
