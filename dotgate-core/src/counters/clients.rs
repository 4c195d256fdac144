//! What is counted of clients' queries: one outcome, one RCODE and, if it waited, one duration each.

use std::time::Duration;

use super::cells::{Cells, Distribution, Histogram};
use super::labels::{
    ClientHandshake, ClientTransport, CookieResult, Dns64, Filtering, HttpStatus, Limit, Outcome,
    ProxyResult, QuicPacket, Rcode, Reason, RecordType, StreamEnd,
};

const QUERIES: usize = ClientTransport::COUNT * RecordType::COUNT * Outcome::COUNT;

/// The outcomes of a query that waited, whose time is known.
pub const WAITED: [Outcome; 3] = [Outcome::Answered, Outcome::Stale, Outcome::Failed];

/// Counts of one worker about its clients.
#[derive(Debug)]
pub struct ClientCounters {
    queries: Cells<QUERIES>,
    responses: Cells<{ Rcode::COUNT }>,
    failures: Cells<{ Reason::COUNT }>,
    limits: Cells<{ Limit::COUNT }>,
    filtered: Cells<{ Filtering::COUNT }>,
    dns64: Cells<{ Dns64::COUNT }>,
    stream_ends: Cells<{ StreamEnd::COUNT }>,
    handshakes: Cells<{ ClientHandshake::COUNT }>,
    http: Cells<{ HttpStatus::COUNT }>,
    proxy: Cells<{ ProxyResult::COUNT }>,
    quic: Cells<{ QuicPacket::COUNT }>,
    cookies: Cells<{ CookieResult::COUNT }>,
    durations: [[Histogram; WAITED.len()]; ClientTransport::COUNT],
}

impl ClientCounters {
    pub(super) fn new() -> ClientCounters {
        ClientCounters {
            queries: Cells::new(),
            responses: Cells::new(),
            failures: Cells::new(),
            limits: Cells::new(),
            filtered: Cells::new(),
            dns64: Cells::new(),
            stream_ends: Cells::new(),
            handshakes: Cells::new(),
            http: Cells::new(),
            proxy: Cells::new(),
            quic: Cells::new(),
            cookies: Cells::new(),
            durations: std::array::from_fn(|_| std::array::from_fn(|_| Histogram::new())),
        }
    }

    pub(crate) fn add_query(&self, via: ClientTransport, asked: RecordType, outcome: Outcome) {
        self.queries.add(place_of_query(via, asked, outcome), 1);
    }

    pub(crate) fn add_response(&self, rcode: u16) {
        self.responses.add(Rcode::of(rcode) as usize, 1);
    }

    pub(crate) fn add_failure(&self, reason: Reason) {
        self.failures.add(reason as usize, 1);
    }

    pub(crate) fn add_limit(&self, limit: Limit) {
        self.limits.add(limit as usize, 1);
    }

    pub(crate) fn add_filtered(&self, why: Filtering) {
        self.filtered.add(why as usize, 1);
    }

    pub(crate) fn add_dns64(&self, result: Dns64) {
        self.dns64.add(result as usize, 1);
    }

    pub(crate) fn add_stream_end(&self, end: StreamEnd) {
        self.stream_ends.add(end as usize, 1);
    }

    pub(crate) fn add_handshake(&self, outcome: ClientHandshake) {
        self.handshakes.add(outcome as usize, 1);
    }

    pub(crate) fn add_http(&self, status: HttpStatus, count: u64) {
        self.http.add(status as usize, count);
    }

    pub(crate) fn add_proxy(&self, result: ProxyResult) {
        self.proxy.add(result as usize, 1);
    }

    pub(crate) fn add_quic(&self, fate: QuicPacket) {
        self.quic.add(fate as usize, 1);
    }

    pub(crate) fn add_cookie(&self, result: CookieResult) {
        self.cookies.add(result as usize, 1);
    }

    /// Nothing is observed of an outcome that does not wait: its time is that of one turn, which no clock shows.
    pub(crate) fn observe(&self, via: ClientTransport, outcome: Outcome, span: Duration) {
        if let Some(histogram) = self.histogram(via, outcome) {
            histogram.observe(span);
        }
    }

    /// Messages of clients.
    pub fn queries(&self, via: ClientTransport, asked: RecordType, outcome: Outcome) -> u64 {
        self.queries.at(place_of_query(via, asked, outcome))
    }

    /// Messages of all clients that ended so.
    pub fn outcome(&self, outcome: Outcome) -> u64 {
        let of = |via: &ClientTransport| -> u64 {
            let types = RecordType::ALL.iter();
            types.map(|it| self.queries(*via, *it, outcome)).sum()
        };
        ClientTransport::ALL.iter().map(of).sum()
    }

    /// Responses to clients.
    pub fn responses(&self, rcode: Rcode) -> u64 {
        self.responses.at(rcode as usize)
    }

    /// Queries that failed.
    pub fn failures(&self, reason: Reason) -> u64 {
        self.failures.at(reason as usize)
    }

    /// Times a limit was hit.
    pub fn limits(&self, limit: Limit) -> u64 {
        self.limits.at(limit as usize)
    }

    /// Queries and responses that were filtered.
    pub fn filtered(&self, why: Filtering) -> u64 {
        self.filtered.at(why as usize)
    }

    /// Questions that DNS64 did something for.
    pub fn dns64(&self, result: Dns64) -> u64 {
        self.dns64.at(result as usize)
    }

    /// Connections that we closed.
    pub fn stream_ends(&self, end: StreamEnd) -> u64 {
        self.stream_ends.at(end as usize)
    }

    /// TLS handshakes of clients.
    pub fn handshakes(&self, outcome: ClientHandshake) -> u64 {
        self.handshakes.at(outcome as usize)
    }

    /// Requests of clients over HTTP.
    pub fn http(&self, status: HttpStatus) -> u64 {
        self.http.at(status as usize)
    }

    /// Datagrams at listeners of DNS over QUIC.
    pub fn quic(&self, fate: QuicPacket) -> u64 {
        self.quic.at(fate as usize)
    }

    /// What balancers sent in place of PROXY headers.
    pub fn proxy(&self, result: ProxyResult) -> u64 {
        self.proxy.at(result as usize)
    }

    /// Cookies of clients.
    pub fn cookies(&self, result: CookieResult) -> u64 {
        self.cookies.at(result as usize)
    }

    /// From query to response. None for outcomes that wait for nothing.
    pub fn durations(&self, via: ClientTransport, outcome: Outcome) -> Option<Distribution> {
        self.histogram(via, outcome).map(Histogram::read)
    }

    fn histogram(&self, via: ClientTransport, outcome: Outcome) -> Option<&Histogram> {
        let place = WAITED.iter().position(|waited| *waited == outcome)?;
        self.durations.get(via as usize)?.get(place)
    }
}

fn place_of_query(via: ClientTransport, asked: RecordType, outcome: Outcome) -> usize {
    (via as usize * RecordType::COUNT + asked as usize) * Outcome::COUNT + outcome as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_of_labels_has_a_number_of_its_own() {
        let counters = ClientCounters::new();
        let mut places = std::collections::BTreeSet::new();
        for via in ClientTransport::ALL {
            for asked in RecordType::ALL {
                for outcome in Outcome::ALL {
                    counters.add_query(*via, *asked, *outcome);
                    assert_eq!(counters.queries(*via, *asked, *outcome), 1);
                    places.insert(place_of_query(*via, *asked, *outcome));
                }
            }
        }
        assert_eq!(places.len(), QUERIES);
        assert_eq!(places.last(), Some(&(QUERIES - 1)));
    }
}
