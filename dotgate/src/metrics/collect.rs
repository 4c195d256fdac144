//! Fills a page: the numbers of every metric, added up over the workers.

use std::time::Duration;

use dotgate_core::labels::{
    AttemptKind, ClientHandshake, ClientTransport, CookieResult, Dns64, Ending, Filtering,
    Handshake, Hedging, HttpStatus, Limit, Outcome, ProxyResult, QuicPacket, Rcode, Reason,
    RecordType, Stage, Strategy, StreamEnd, Winner,
};
use dotgate_core::{
    Counters, Distribution, Gauge, HealthState, UpstreamCounters, UpstreamId, WAITED,
};

use super::encoder::{Page, seconds};
use super::families::{OfCache, OfClients, OfGroup, OfProcess, OfUpstream};
use super::table::{Metric, Source};
use super::{GroupSnapshot, MetricsSnapshot, UpstreamSnapshot};
use crate::running;

/// The states of an upstream by their words in metrics.
const STATES: [(&str, HealthState); 3] = [
    ("healthy", HealthState::Healthy),
    ("suspect", HealthState::Suspect),
    ("down", HealthState::Down),
];

/// A sample for each label of a set, of what is counted of clients.
macro_rules! by_label {
    ($self:ident, $page:ident, $labels:ident, $count:ident) => {
        for label in $labels::ALL {
            let sum = $self.sum(|all| all.clients().$count(*label));
            $page.sample(&[label.label()], sum);
        }
    };
}

impl MetricsSnapshot<'_> {
    /// Writes one metric and all its samples; nothing where the system does not report it.
    pub(super) fn write(&self, page: &mut Page, metric: Metric) {
        let source = metric.source;
        page.begin(metric);
        match source {
            Source::Clients(family) => self.write_clients(page, family),
            Source::Upstreams(family) => {
                for upstream in &self.upstreams {
                    let counted = Counted {
                        workers: &self.workers,
                        id: upstream.id,
                    };
                    write_upstream(page, family, upstream, &counted);
                }
            }
            Source::Groups(family) => {
                for group in &self.groups {
                    write_group(page, family, group);
                }
            }
            Source::Cache(family) => self.write_cache(page, family),
            Source::Process(family) => self.write_process(page, family),
            Source::Count(count) => page.sample(&[], self.sum(|block| block.get(count))),
        }
    }

    fn write_clients(&self, page: &mut Page, family: OfClients) {
        let gauge = |gauge| self.sum(|all| all.gauge(gauge));
        match family {
            OfClients::Queries => self.write_queries(page),
            OfClients::Responses => by_label!(self, page, Rcode, responses),
            OfClients::QueryDuration => {
                for via in ClientTransport::ALL {
                    for outcome in WAITED {
                        let guard = self.workers.iter();
                        let guard = guard.filter_map(|all| all.clients().durations(*via, outcome));
                        let guard = guard.fold(Distribution::default(), Distribution::with);
                        page.histogram(&[via.label(), outcome.label()], &guard);
                    }
                }
            }
            OfClients::Failures => by_label!(self, page, Reason, failures),
            OfClients::Filtered => by_label!(self, page, Filtering, filtered),
            OfClients::Dns64 => by_label!(self, page, Dns64, dns64),
            OfClients::LimitsHit => by_label!(self, page, Limit, limits),
            OfClients::QueriesInFlight => page.sample(&[], gauge(Gauge::QueriesInFlight)),
            OfClients::QuestionsInFlight => page.sample(&[], gauge(Gauge::QuestionsInFlight)),
            OfClients::OldestQuery => {
                let ages = self
                    .workers
                    .iter()
                    .map(|all| all.oldest_query_age(self.now));
                let oldest = ages.max().unwrap_or_default();
                page.sample(&[], in_seconds(oldest));
            }
            OfClients::Streams => page.sample(&[], gauge(Gauge::Streams)),
            OfClients::StreamsClosed => by_label!(self, page, StreamEnd, stream_ends),
            OfClients::ClientHandshakes => by_label!(self, page, ClientHandshake, handshakes),
            OfClients::HttpRequests => by_label!(self, page, HttpStatus, http),
            OfClients::QuicPackets => by_label!(self, page, QuicPacket, quic),
            OfClients::ProxyHeaders => by_label!(self, page, ProxyResult, proxy),
            OfClients::Cookies => by_label!(self, page, CookieResult, cookies),
            OfClients::ClientMemory => page.sample(&[], self.client_memory.used()),
            OfClients::ClientMemoryMax => page.sample(&[], self.client_memory.max()),
        }
    }

    fn write_queries(&self, page: &mut Page) {
        for via in ClientTransport::ALL {
            for asked in RecordType::ALL {
                for outcome in Outcome::ALL {
                    let labels = [via.label(), asked.label(), outcome.label()];
                    let count = self.sum(|all| all.clients().queries(*via, *asked, *outcome));
                    page.sample(&labels, count);
                }
            }
        }
    }

    fn write_cache(&self, page: &mut Page, family: OfCache) {
        match family {
            OfCache::Entries => page.sample(&[], self.cache.entries),
            OfCache::Bytes => page.sample(&[], self.cache.bytes_used),
            OfCache::BytesMax => page.sample(&[], self.cache.bytes_max),
            OfCache::Evictions => page.sample(&[], self.cache.evictions),
        }
    }

    fn write_process(&self, page: &mut Page, family: OfProcess) {
        let process = &self.process;
        let (local, lists) = (self.local.data(), self.local.filter().count());
        let local = local.as_ref();
        let mut whole = |value: Option<u64>| {
            if let Some(value) = value {
                page.sample(&[], value);
            }
        };
        match family {
            OfProcess::UdpDrops => whole(self.udp_drops),
            OfProcess::CertificateEnds => {
                whole(self.certificate_ends.map(i64::unsigned_abs));
            }
            OfProcess::LogDrops => whole(Some(self.log_lines_dropped)),
            OfProcess::ConfigReloads => {
                page.sample(&["ok"], self.reloads.applied);
                page.sample(&["rejected"], self.reloads.rejected);
            }
            OfProcess::ConfigReloadOk => {
                let is_ok = matches!(self.reloads.last, running::Outcome::Applied { .. });
                whole(Some(u64::from(is_ok)));
            }
            OfProcess::ConfigReloadTime => {
                whole(Some(self.reloads.last_at.as_secs()));
            }
            OfProcess::AddressesAwaited => whole(Some(self.addresses_awaited)),
            OfProcess::Sandbox => {
                for (part, is_enforced) in &self.sandbox {
                    page.sample(&[part.word()], u64::from(*is_enforced));
                }
            }
            OfProcess::Dnstap => whole(self.dnstap_connected.map(u64::from)),
            OfProcess::QueryLogLost => whole(Some(self.views.log_lost)),
            OfProcess::QueryReaders => whole(Some(self.views.readers)),
            OfProcess::QueryReadersLost => whole(Some(self.views.readers_lost)),
            OfProcess::PortalOpen => whole(Some(u64::from(self.portal.0))),
            OfProcess::PortalQueries => whole(Some(self.portal.1)),
            OfProcess::VolatileRoutes => {
                page.sample(&["active"], self.route_owners.active);
                page.sample(&["expired"], self.route_owners.expired);
            }
            OfProcess::LocalNames => whole(Some(local.map_or(0, |data| data.names() as u64))),
            OfProcess::LocalBytes => whole(Some(local.map_or(0, |data| data.bytes() as u64))),
            OfProcess::ListedNames => whole(Some(lists.names as u64)),
            OfProcess::ListedBytes => whole(Some(lists.bytes as u64)),
            OfProcess::Workers => whole(Some(self.workers.len() as u64)),
            OfProcess::Build => {
                let commit = option_env!("BUILD_COMMIT").unwrap_or_default();
                let labels = [env!("CARGO_PKG_VERSION"), commit, env!("BUILD_RUSTC")];
                page.sample(&labels, 1);
            }
            OfProcess::Cpu => part(page, process.cpu_seconds),
            OfProcess::Resident => whole(process.resident_bytes),
            OfProcess::Virtual => whole(process.virtual_bytes),
            OfProcess::OpenFds => whole(process.open_fds),
            OfProcess::MaxFds => whole(process.max_fds),
            OfProcess::Threads => whole(process.threads),
            OfProcess::Started => part(page, process.start_seconds),
        }
    }

    fn sum(&self, count: impl Fn(&Counters) -> u64) -> u64 {
        self.workers.iter().map(|block| count(block)).sum()
    }
}

fn part(page: &mut Page, value: Option<f64>) {
    if let Some(value) = value {
        page.sample(&[], format_args!("{value:.2}"));
    }
}

/// What all workers counted of one upstream.
struct Counted<'a> {
    workers: &'a [&'a Counters],
    id: UpstreamId,
}

impl Counted<'_> {
    fn sum(&self, count: impl Fn(&UpstreamCounters) -> u64) -> u64 {
        let blocks = self.workers.iter().filter_map(|all| all.upstream(self.id));
        blocks.map(count).sum()
    }

    fn merged(&self, guard: impl Fn(&UpstreamCounters) -> Distribution) -> Distribution {
        let blocks = self.workers.iter().filter_map(|all| all.upstream(self.id));
        blocks
            .map(guard)
            .fold(Distribution::default(), Distribution::with)
    }
}

fn write_group(page: &mut Page, family: OfGroup, group: &GroupSnapshot) {
    match family {
        OfGroup::Up => page.sample(&[&group.label], u64::from(group.is_up)),
        OfGroup::StrategyInfo => {
            for strategy in Strategy::ALL {
                let labels = [&*group.label, strategy.label()];
                page.sample(&labels, u64::from(*strategy == group.strategy));
            }
        }
        OfGroup::Queries => {
            for outcome in WAITED {
                let labels = [&*group.label, outcome.label()];
                page.sample(&labels, group.counters.queries(outcome));
            }
        }
    }
}

fn write_upstream(
    page: &mut Page,
    family: OfUpstream,
    upstream: &UpstreamSnapshot,
    counted: &Counted<'_>,
) {
    let name = upstream.label.as_str();
    let state = upstream.health.state();
    match family {
        OfUpstream::StageDuration => {
            for stage in Stage::ALL {
                let guard = counted.merged(|all| all.stage(*stage));
                page.histogram(&[stage.label(), name], &guard);
            }
        }
        OfUpstream::HandshakeDuration => {
            for kind in Handshake::ALL {
                let guard = counted.merged(|all| all.handshakes(*kind));
                page.histogram(&[name, kind.label()], &guard);
            }
        }
        OfUpstream::Attempts => {
            let one = |which| counted.sum(|all| all.attempts(which));
            write_each(page, name, AttemptKind::ALL, AttemptKind::label, one);
        }
        OfUpstream::Races => {
            let one = |which| counted.sum(|all| all.races(which));
            write_each(page, name, Winner::ALL, Winner::label, one);
        }
        OfUpstream::Hedges => {
            let one = |which| counted.sum(|all| all.hedging(which));
            write_each(page, name, Hedging::ALL, Hedging::label, one);
        }
        OfUpstream::UpstreamResponses => {
            let one = |which| counted.sum(|all| all.responses(which));
            write_each(page, name, Rcode::ALL, Rcode::label, one);
        }
        OfUpstream::UpstreamErrors => {
            let one = |which| counted.sum(|all| all.errors(which));
            write_each(page, name, Reason::ALL, Reason::label, one);
        }
        OfUpstream::SessionsClosed => {
            let one = |which| counted.sum(|all| all.endings(which));
            write_each(page, name, Ending::ALL, Ending::label, one);
        }
        OfUpstream::SessionsOpened => {
            page.sample(&[name], counted.merged(|all| all.stage(Stage::Tls)).count());
        }
        OfUpstream::SessionReuses => page.sample(&[name], counted.sum(UpstreamCounters::reuses)),
        OfUpstream::SessionsOpen => page.sample(&[name], counted.sum(UpstreamCounters::sessions)),
        OfUpstream::UpstreamInFlight => {
            page.sample(&[name], counted.sum(UpstreamCounters::in_flight));
        }
        OfUpstream::UpstreamUp => page.sample(&[name], u8::from(state != HealthState::Down)),
        OfUpstream::UpstreamState => write_state(page, name, state),
        OfUpstream::RoundTrip => write_round_trip(page, name, upstream),
        OfUpstream::CertificateBegins => {
            write_known(page, name, upstream.certificate.map(|it| it.not_before));
        }
        OfUpstream::CertificateEnds => {
            write_known(page, name, upstream.certificate.map(|it| it.not_after));
        }
        OfUpstream::PinMismatch => {
            write_known(page, name, upstream.has_pin_mismatch.map(i64::from));
        }
        OfUpstream::KeyExchangeReduced => page.sample(&[name], u8::from(upstream.is_classical)),
        OfUpstream::Lookups => write_lookups(page, name, upstream.lookups),
        OfUpstream::IdleTimeout => page.sample(&[name], in_seconds(upstream.idle_timeout)),
    }
}

fn write_state(page: &mut Page, name: &str, state: HealthState) {
    for (word, which) in STATES {
        page.sample(&[name, word], u8::from(state == which));
    }
}

fn write_lookups(page: &mut Page, name: &str, [found, failed]: [u64; 2]) {
    page.sample(&[name, "found"], found);
    page.sample(&[name, "failed"], failed);
}

fn write_round_trip(page: &mut Page, name: &str, upstream: &UpstreamSnapshot) {
    if let Some(span) = upstream.health.evidence().round_trip() {
        page.sample(&[name], in_seconds(span));
    }
}

fn in_seconds(span: Duration) -> String {
    seconds(span.as_micros().try_into().unwrap_or(u64::MAX))
}

/// A sample, if its value is known.
fn write_known(page: &mut Page, name: &str, value: Option<i64>) {
    if let Some(value) = value {
        page.sample(&[name], value);
    }
}

/// One sample for each value of a label.
fn write_each<L: Copy>(
    page: &mut Page,
    upstream: &str,
    all: &[L],
    label: fn(L) -> &'static str,
    count: impl Fn(L) -> u64,
) {
    for which in all {
        page.sample(&[upstream, label(*which)], count(*which));
    }
}
