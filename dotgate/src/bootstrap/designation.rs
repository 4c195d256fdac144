//! The endpoints that a plain resolver designates for DNS over TLS (DDR, RFC 9462), found as often as they expire.
//!
//! The resolver is asked in the clear, for `_dns.resolver.arpa` and the addresses of what it names, and for nothing else.
//! A forged answer reaches no client: the endpoint's certificate must contain the resolver's own address (RFC 9462
//! section 4.2). Without an endpoint, or without that certificate, nothing is forwarded.
//! *Not done*: records in AliasMode, DoH and DoQ endpoints. Limits: 8 endpoints, 32 addresses.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr as _;
use std::time::Duration;

use domain::base::iana::{Class, Rtype, SvcParamKey};
use domain::base::wire::ParseError;
use domain::base::{Message, Name, ToName as _, Ttl};
use domain::rdata::Svcb;
use dotgate_config::ScopedSocketAddress;

use super::lookup::{Lookup, LookupError, LookupFault, ask};
use super::message::{Found, Query, can_be_connected_to};

/// The name of the resolver's endpoints.
const NAME: &str = "_dns.resolver.arpa";

/// The application protocol of DNS over TLS.
const ALPN: &[u8] = b"dot";

/// The port of an endpoint that names none (RFC 9461 section 4.2).
const PORT: u16 = 853;

/// Endpoints that are used.
const ENDPOINTS_MAX: usize = 8;

/// Addresses that are used.
const ADDRESSES_MAX: usize = 32;

/// Keys of a record whose meaning is known here; a record that demands another one is passed over (RFC 9460 section 8).
const KNOWN: [SvcParamKey; 6] = [
    SvcParamKey::MANDATORY,
    SvcParamKey::ALPN,
    SvcParamKey::NO_DEFAULT_ALPN,
    SvcParamKey::PORT,
    SvcParamKey::IPV4HINT,
    SvcParamKey::IPV6HINT,
];

/// An endpoint for DNS over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Endpoint {
    /// The smallest is preferred.
    priority: u16,
    target: Name<Vec<u8>>,
    port: u16,
    hints: Vec<IpAddr>,
}

/// The search for the endpoints of one resolver.
#[derive(Debug)]
pub(super) struct Designation {
    /// Who is asked.
    pub(super) resolver: ScopedSocketAddress,
    /// For one question.
    pub(super) wait: Duration,
}

impl Designation {
    /// Finds the addresses of the endpoints in the order of preference, and how long they hold.
    pub(super) async fn run(&self) -> Result<(Vec<SocketAddr>, Duration), LookupError> {
        let failed = |fault| LookupError {
            resolver: Some(self.resolver.clone()),
            fault,
        };
        let (endpoints, mut ttl) = self.endpoints().await.map_err(failed)?;
        if endpoints.is_empty() {
            return Err(failed(LookupFault::NotDesignated));
        }
        let mut addresses = Vec::new();
        for endpoint in endpoints {
            let (of_endpoint, lifetime) = self.addresses(&endpoint).await;
            ttl = ttl.min(lifetime);
            let of_endpoint = of_endpoint.into_iter();
            addresses.extend(of_endpoint.map(|ip| SocketAddr::new(ip, endpoint.port)));
        }
        addresses.truncate(ADDRESSES_MAX);
        if addresses.is_empty() {
            return Err(failed(LookupFault::NoAddress));
        }
        Ok((addresses, ttl))
    }

    async fn endpoints(&self) -> Result<(Vec<Endpoint>, Duration), LookupFault> {
        let name = Name::from_str(NAME).map_err(|_| LookupFault::CannotAsk)?;
        ask(&self.resolver, &name, Rtype::SVCB, self.wait, read).await
    }

    /// The addresses that the record holds, or those of its target.
    async fn addresses(&self, endpoint: &Endpoint) -> (Vec<IpAddr>, Duration) {
        if !endpoint.hints.is_empty() || endpoint.target.is_root() {
            return (endpoint.hints.clone(), Duration::MAX);
        }
        let lookup = Lookup {
            name: endpoint.target.clone(),
            resolvers: vec![self.resolver.clone()],
            wait: self.wait,
        };
        let outcome = lookup.run().await;
        let found: Vec<Found> = [outcome.ipv6, outcome.ipv4].into_iter().flatten().collect();
        let ttl = found.iter().filter(|found| !found.addresses.is_empty());
        let ttl = ttl.map(|found| found.ttl).min().unwrap_or(Duration::MAX);
        let addresses = found.into_iter().flat_map(|found| found.addresses);
        (addresses.collect(), ttl)
    }
}

/// Reads the endpoints of an answer, the preferred one first.
fn read(_: &Query, answer: &Message<&[u8]>) -> Result<(Vec<Endpoint>, Duration), ParseError> {
    let mut endpoints = Vec::new();
    let mut ttl = Ttl::MAX;
    let name = answer.canonical_name();
    for record in answer.answer()? {
        let record = record?;
        let is_meant = name.as_ref().is_some_and(|name| *name == record.owner());
        if record.rtype() == Rtype::CNAME {
            ttl = ttl.min(record.ttl());
        }
        if record.class() != Class::IN || !is_meant {
            continue;
        }
        let Some(record) = record.to_record::<Svcb<_, _>>()? else {
            continue;
        };
        if let Some(endpoint) = endpoint(record.data()) {
            ttl = ttl.min(record.ttl());
            endpoints.push(endpoint);
        }
    }
    endpoints.sort_by_key(|endpoint: &Endpoint| endpoint.priority);
    endpoints.truncate(ENDPOINTS_MAX);
    Ok((endpoints, Duration::from_secs(ttl.as_secs().into())))
}

/// The endpoint for DNS over TLS in a record, if it is one.
fn endpoint(record: &Svcb<&[u8], domain::base::ParsedName<&[u8]>>) -> Option<Endpoint> {
    let parameters = record.params();
    let mut protocols = parameters
        .alpn()?
        .iter()
        .map(|it| it.to_vec())
        .collect::<Vec<_>>();
    protocols.retain(|protocol| protocol == ALPN);
    let is_understood = parameters.mandatory().is_none_or(|keys| {
        let mut keys = keys.iter();
        keys.all(|key| KNOWN.contains(&key))
    });
    let has_protocol =
        !protocols.is_empty() || dotgate_wire::planted!("designated-for-any-protocol");
    if record.is_alias() || !has_protocol || !is_understood {
        return None;
    }
    let ipv6 = parameters.ipv6hint();
    let ipv6 = ipv6
        .iter()
        .flat_map(|hint| hint.iter().map(IpAddr::from).collect::<Vec<_>>());
    let ipv4 = parameters.ipv4hint();
    let ipv4 = ipv4
        .iter()
        .flat_map(|hint| hint.iter().map(IpAddr::from).collect::<Vec<_>>());
    let port = parameters.port().map_or(PORT, |port| port.port());
    Some(Endpoint {
        priority: record.priority(),
        target: record.target().to_name(),
        port,
        hints: ipv6
            .chain(ipv4)
            .filter(|ip| can_be_connected_to(*ip))
            .collect(),
    })
    .filter(|endpoint| endpoint.port != 0)
}

#[cfg(test)]
mod tests {
    use domain::base::MessageBuilder;
    use domain::base::iana::Rcode;
    use domain::base::rdata::UnknownRecordData;

    use super::super::message::LookupResponse;
    use super::*;

    fn query() -> Query {
        Query::new(7, &Name::from_str(NAME).unwrap(), Rtype::SVCB).unwrap()
    }

    /// RDATA: priority, target, parameters by key.
    fn rdata(priority: u16, target: &[u8], parameters: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = priority.to_be_bytes().to_vec();
        bytes.extend(target);
        for (key, value) in parameters {
            bytes.extend(key.to_be_bytes());
            bytes.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            bytes.extend(*value);
        }
        bytes
    }

    fn read_all(records: &[(u32, Vec<u8>)]) -> (Vec<Endpoint>, Duration) {
        let query = query();
        let asked = Message::from_octets(query.as_bytes()).unwrap();
        let answer = MessageBuilder::new_vec().start_answer(&asked, Rcode::NOERROR);
        let mut answer = answer.unwrap();
        for (ttl, data) in records {
            let data = UnknownRecordData::from_octets(Rtype::SVCB, data.clone()).unwrap();
            let name = Name::<Vec<u8>>::from_str(NAME).unwrap();
            answer.push((name, Ttl::from_secs(*ttl), data)).unwrap();
        }
        match query.read_with(answer.into_message().as_slice(), read) {
            Some(LookupResponse::Found(found)) => found,
            other => panic!("{other:?}"),
        }
    }

    const TARGET: &[u8] = b"\x03dot\x04test\0";
    const DOT: (u16, &[u8]) = (1, b"\x02h2\x03dot");

    #[test]
    fn endpoints_for_dns_over_tls_come_in_order_with_port_and_addresses() {
        let hint: (u16, &[u8]) = (4, &[192, 0, 2, 1, 192, 0, 2, 2]);
        let (endpoints, ttl) = read_all(&[
            (300, rdata(2, TARGET, &[DOT])),
            (60, rdata(1, TARGET, &[DOT, (3, &[0x22, 0xb8]), hint])),
            (9, rdata(1, TARGET, &[(1, b"\x02h2")])),
        ]);
        let shown: Vec<_> = endpoints
            .iter()
            .map(|it| (it.priority, it.target.to_string(), it.port, it.hints.len()))
            .collect();
        let target = || "dot.test".to_owned();
        assert_eq!(shown, [(1, target(), 8_888, 2), (2, target(), 853, 0)]);
        assert_eq!(ttl, Duration::from_secs(60), "of what is used");
    }

    #[test]
    fn what_is_no_endpoint_that_can_be_used_is_passed_over() {
        let mandatory: (u16, &[u8]) = (0, &[0, 7]);
        for data in [
            rdata(0, TARGET, &[]),
            rdata(1, TARGET, &[]),
            rdata(1, TARGET, &[mandatory, DOT, (7, b"/q{?dns}")]),
            rdata(1, TARGET, &[DOT, (3, &[0, 0])]),
        ] {
            assert_eq!(read_all(&[(60, data.clone())]).0, [], "{data:?}");
        }
        let known: (u16, &[u8]) = (0, &[0, 1]);
        assert_eq!(
            read_all(&[(60, rdata(1, TARGET, &[known, DOT]))]).0.len(),
            1
        );
        let unusable: (u16, &[u8]) = (4, &[0, 0, 0, 0]);
        let (endpoints, _) = read_all(&[(60, rdata(1, b"\0", &[DOT, unusable]))]);
        assert_eq!(endpoints[0].hints, [] as [IpAddr; 0]);
    }
}
