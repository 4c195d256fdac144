//! Settings of an engine, at its creation and on each reconfiguration.

use std::num::{NonZeroU8, NonZeroU32};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use dotgate_wire::{CacheTtl, Question, TTL_MAX, rtype};

use crate::admit::{Access, AccessList, RateSettings};
use crate::cookies::CookieSecrets;
use crate::counters::GroupCounters;
use crate::counters::labels::Strategy;
use crate::failure::Failure;
use crate::filter::Filter;
use crate::health::Health;
use crate::idle_timeout::IdleTimeout;
use crate::key_exchange::Handshakes;
use crate::keys::{UpstreamId, UpstreamSet};
use crate::link::Transport;
use crate::local::LocalData;
use crate::nat64::Dns64Prefix;
use crate::query::ForwardedClasses;
use crate::routes::{RouteId, RouteTable};

impl Strategy {
    /// Whether a question may go to any upstream, so that it need not wait for one of them.
    pub(crate) fn spreads(self) -> bool {
        match self {
            Strategy::Fastest | Strategy::RoundRobin => true,
            Strategy::Ordered | Strategy::Shard => false,
        }
    }
}

/// The key of an installation: it decides which operator has which domain, for [`Strategy::Shard`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ShardKey(pub [u8; 16]);

/// One upstream as the engine knows it; addresses and certificates are the driver's.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// What drivers, counters and events call it by: below [`crate::limits::UPSTREAM_IDS`], its alone.
    pub id: UpstreamId,
    /// The name in logs and in the text of failures, such as `9.9.9.9@853#dns.quad9.net`.
    pub label: Box<str>,
    /// Who runs it: what its operator learns, all its upstreams may know.
    pub operator: Box<str>,
    /// Its share of the questions of a group that is asked in turn.
    pub weight: NonZeroU8,
    /// How it is asked.
    pub transport: Transport,
    /// Whether its sessions are authenticated. If not, AD is never passed on (RFC 8310 section 5).
    pub is_authenticated: bool,
    /// State shared by all workers. An upstream is still the same after a reconfiguration if it has this still.
    pub health: Arc<Health>,
    /// Handshake state shared by all workers.
    pub handshakes: Arc<Handshakes>,
    /// How long it keeps idle sessions, shared by all workers.
    pub idle_timeout: Arc<IdleTimeout>,
    /// The probe of this upstream alone, in place of [`Settings::probe`]: a name that it must know.
    pub probe: Option<Question>,
}

impl UpstreamSettings {
    /// An authenticated upstream of which nothing is known yet.
    pub fn new(id: UpstreamId, label: &str) -> UpstreamSettings {
        UpstreamSettings {
            id,
            label: label.into(),
            operator: label.into(),
            weight: NonZeroU8::MIN,
            transport: Transport::Dot,
            is_authenticated: true,
            health: Arc::new(Health::new()),
            handshakes: Arc::default(),
            idle_timeout: Arc::default(),
            probe: None,
        }
    }

    /// An upstream that is queried without TLS, of which nothing is known yet.
    pub fn plain(id: UpstreamId, label: &str) -> UpstreamSettings {
        UpstreamSettings {
            transport: Transport::Plain,
            is_authenticated: false,
            ..UpstreamSettings::new(id, label)
        }
    }
}

/// A group of upstreams: those of one route.
#[derive(Clone, Debug)]
pub struct GroupSettings {
    /// The number of its route. A group with other upstreams has another one, but for the default group.
    pub route: RouteId,
    /// The name in counters and in the text of failures, such as `corp.example`.
    pub label: Box<str>,
    /// 1 to [`crate::limits::GROUP_UPSTREAMS`]. An upstream may be in several groups, with the same ID.
    pub upstreams: Vec<UpstreamSettings>,
    /// Which of them is asked first.
    pub strategy: Strategy,
    /// Whether its answers may not hold private addresses, where that is set at all.
    pub is_public: bool,
    /// The prefix of AAAA records that are made of A records where there are none; none if none are made (RFC 6147).
    pub dns64: Option<Dns64Prefix>,
    /// Counters shared by all workers.
    pub counters: Arc<GroupCounters>,
}

impl GroupSettings {
    /// The name of the default group.
    pub const DEFAULT_LABEL: &'static str = "default";

    /// The group of the default route.
    pub fn of_default_route(upstreams: Vec<UpstreamSettings>) -> GroupSettings {
        GroupSettings::new(RouteId::DEFAULT, GroupSettings::DEFAULT_LABEL, upstreams)
    }

    /// A group of which nothing is counted yet; that of the default route is public.
    pub fn new(route: RouteId, label: &str, upstreams: Vec<UpstreamSettings>) -> GroupSettings {
        GroupSettings {
            route,
            label: label.into(),
            upstreams,
            strategy: Strategy::Ordered,
            is_public: route == RouteId::DEFAULT,
            dns64: None,
            counters: Arc::default(),
        }
    }

    /// The health of its upstreams.
    pub fn health(&self) -> impl Iterator<Item = &Health> {
        self.upstreams.iter().map(|upstream| &*upstream.health)
    }

    /// Whether none of its upstreams answers.
    pub fn is_unreachable(&self) -> bool {
        self.health().all(Health::is_unreachable)
    }

    /// Why its first upstream that is not healthy is not.
    pub(crate) fn why_unhealthy(&self) -> Option<Failure> {
        self.health().find_map(Health::why)
    }

    /// A number that changes when one of its upstreams recovers.
    pub(crate) fn recoveries(&self) -> u32 {
        let recoveries = self.health().map(Health::generation);
        recoveries.fold(0, |sum: u32, generation| {
            sum.wrapping_add(u32::try_from(generation & 0xffff_ffff).unwrap_or_default())
        })
    }

    pub(crate) fn has(&self, upstream: UpstreamId) -> bool {
        self.upstreams.iter().any(|it| it.id == upstream)
    }
}

/// Settings of the cache.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// The minimum TTL of an answer, in seconds; a TTL of 0 is never cached.
    pub ttl_min: u32,
    /// The maximum TTL of an answer, in seconds.
    pub ttl_max: u32,
    /// The maximum TTL of a negative answer, in seconds (RFC 2308 section 5).
    pub negative_ttl_max: u32,
    /// The maximum time that a failure is cached, in seconds (RFC 9520 section 3.2).
    pub failure_ttl_max: u32,
    /// How long after it has expired an answer may be served as stale; zero for never (RFC 8767 section 5).
    pub stale_max: Duration,
    /// The time after which a client that waits is given a stale answer (RFC 8767 section 5).
    pub stale_after: Duration,
    /// Whether popular answers are asked for again before they expire.
    pub prefetch: bool,
    /// Whether NXDOMAIN answers for all types of its name and not only for the one that was asked for.
    pub nxdomain_all_types: bool,
    /// Whether the addresses of an answer rotate.
    pub rotates_addresses: bool,
    /// Names at and below which nothing is cached: uncompressed, in lower case.
    pub except: Vec<Box<[u8]>>,
}

impl CacheSettings {
    /// Those of an engine whose cache holds nothing.
    pub const fn off() -> CacheSettings {
        CacheSettings {
            ttl_min: 0,
            ttl_max: 0,
            negative_ttl_max: 0,
            failure_ttl_max: 0,
            stale_max: Duration::ZERO,
            stale_after: Duration::ZERO,
            prefetch: false,
            nxdomain_all_types: false,
            rotates_addresses: false,
            except: Vec::new(),
        }
    }

    /// Whether answers to this question may be cached.
    pub(crate) fn keeps(&self, question: &Question) -> bool {
        !self
            .except
            .iter()
            .any(|suffix| question.is_at_or_below(suffix))
    }

    /// How long an answer is cached, in seconds; 0 if it is not.
    pub(crate) fn cache_ttl(&self, ttl: CacheTtl) -> u32 {
        match ttl {
            CacheTtl::None | CacheTtl::Negative(0) | CacheTtl::Positive(0) => 0,
            CacheTtl::Negative(ttl) => ttl.max(self.ttl_min).min(self.negative_ttl_max),
            CacheTtl::Positive(ttl) => ttl.max(self.ttl_min).min(self.ttl_max),
        }
    }

    /// The range of TTLs in a cached answer, in seconds, at most the time for which it is cached.
    pub(crate) fn ttls(&self, ttl: CacheTtl) -> RangeInclusive<u32> {
        match ttl {
            _ if self.cache_ttl(ttl) == 0 => 0..=TTL_MAX,
            CacheTtl::None | CacheTtl::Negative(_) => self.ttl_min..=self.negative_ttl_max,
            CacheTtl::Positive(_) => self.ttl_min..=self.ttl_max,
        }
    }
}

/// The settings of one engine; every value comes from the program's configuration, which checks the ranges.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often the settings were changed: failures cached before are invalid.
    pub generation: u32,
    /// The groups of upstreams, 1 to [`crate::limits::GROUPS`]; the first is that of the default route. There are
    /// [`crate::limits::UPSTREAMS`] in all of them at most.
    pub groups: Vec<GroupSettings>,
    /// The key of groups with the strategy [`Strategy::Shard`].
    pub shard_key: ShardKey,
    /// How many of a hundred questions may be sent to a second upstream while the first is late; 0 for none.
    pub hedge_percent: u8,
    /// Which names belong to the other groups.
    pub routes: Arc<RouteTable>,
    /// The question of probes; never a client's question.
    pub probe: Question,
    /// Who may ask.
    pub access: Access,
    /// The age at which a session to an upstream is replaced; none if it has no maximum age.
    pub session_age_max: Option<Duration>,
    /// Balancers that name their clients in PROXY headers, and send nothing without one.
    pub proxies: AccessList,
    /// Names that are answered from data of the operator's, before all others.
    pub local: Option<Arc<LocalData>>,
    /// What of the names and answers of others clients do not get.
    pub filter: Filter,
    /// Classes besides IN that are forwarded.
    pub forwarded_classes: ForwardedClasses,
    /// Settings of the cache.
    pub cache: CacheSettings,
    /// The largest UDP response, in bytes (RFC 9715 section 3.2).
    pub udp_response_max: u16,
    /// The time from a query to its response, failures included.
    pub query_deadline: Duration,
    /// Queries in flight, all clients together.
    pub queries_max: usize,
    /// Queries in flight from one client address over UDP, and as many over TCP, all workers together.
    pub queries_per_client_max: usize,
    /// Clients without that limit, whose late responses over UDP are sent with all records.
    pub exempt: AccessList,
    /// Proxies that end the TLS of clients over HTTPS, and name them.
    pub http_proxies: Arc<AccessList>,
    /// How often clients may ask and connect.
    pub rates: RateSettings,
    /// The secrets of cookies; without any, cookies of clients are ignored.
    pub cookies: CookieSecrets,
    /// The memory that clients may cost, in bytes, all workers together.
    pub client_memory: usize,
    /// Client connections.
    pub streams_max: usize,
    /// Client connections from one address.
    pub streams_per_client_max: usize,
    /// Queries in flight on one client connection; beyond it no more are read.
    pub stream_queries_max: usize,
    /// Queries on one client connection, in all, after which the client is sent to another one; none if there is no bound.
    pub stream_queries_total: Option<NonZeroU32>,
    /// The age at which that is done, less up to an eighth; none if there is no bound.
    pub stream_age_max: Option<Duration>,
    /// The time after the last complete message at which a client's connection is closed.
    pub stream_idle: Duration,
    /// The same for connections of DNS over TLS.
    pub dot_idle: Duration,
    /// The same of connections over DNS over HTTPS.
    pub doh_idle: Duration,
    /// The same over QUIC.
    pub doq_idle: Duration,
}

impl Settings {
    /// Settings for these upstreams in the default group, with nothing local and no cache. Limits are those of a
    /// program that sets none, except that no client may ask: see `access`.
    pub fn for_upstreams(upstreams: Vec<UpstreamSettings>) -> Settings {
        Settings {
            generation: 0,
            groups: vec![GroupSettings::of_default_route(upstreams)],
            shard_key: ShardKey::default(),
            hedge_percent: 0,
            routes: Arc::default(),
            probe: Question::root(rtype::NS),
            access: Access::default(),
            session_age_max: Some(Duration::from_hours(1)),
            proxies: AccessList::default(),
            local: None,
            filter: Filter::off(),
            forwarded_classes: ForwardedClasses::default(),
            cache: CacheSettings::off(),
            udp_response_max: 1_232,
            query_deadline: Duration::from_secs(4),
            queries_max: 20_000,
            queries_per_client_max: 1_000,
            exempt: AccessList::new([]),
            http_proxies: Arc::default(),
            rates: RateSettings::OFF,
            cookies: CookieSecrets::default(),
            client_memory: 64 << 20,
            streams_max: 1_000,
            streams_per_client_max: 250,
            stream_queries_max: 100,
            stream_queries_total: None,
            stream_age_max: None,
            stream_idle: Duration::from_secs(10),
            dot_idle: Duration::from_secs(30),
            doh_idle: Duration::from_secs(30),
            doq_idle: Duration::from_secs(30),
        }
    }

    /// The same with these secrets of cookies.
    #[must_use]
    pub fn with_cookies(self, cookies: CookieSecrets) -> Settings {
        Settings { cookies, ..self }
    }

    /// Whether something may be known of a name before the cache is asked: there are local data, lists, or a prefix whose
    /// reverse names are translated.
    pub(crate) fn has_local_stage(&self) -> bool {
        let mut groups = self.groups.iter();
        self.local.is_some()
            || self.filter.lists.is_some()
            || groups.any(|group| group.dns64.is_some())
    }

    /// All upstreams, each once, those of the default group first.
    pub fn upstreams(&self) -> impl Iterator<Item = &UpstreamSettings> {
        let mut seen = UpstreamSet::default();
        let all = self.groups.iter().flat_map(|group| &group.upstreams);
        all.filter(move |upstream| {
            let is_new = !seen.has(upstream.id);
            seen.add(upstream.id);
            is_new
        })
    }
}
