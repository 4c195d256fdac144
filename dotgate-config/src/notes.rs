//! What is right in a configuration but may not be meant. `dotgate check` prints all of it; the log has what puts
//! somebody at risk or leaves them without service.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Config, Endpoint, Profile};
use crate::identity::Identity;

/// Networks with prefixes shorter than these hold more than the addresses of one organization.
const SHORT_IPV4: u8 = 8;
const SHORT_IPV6: u8 = 16;

/// The port of DNS without TLS.
const PLAIN_DNS: u16 = 53;

/// Something that is right but may surprise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Upstreams are not authenticated.
    InsecureOpportunistic,
    /// Both `SSL_CERT_FILE` and `SSL_CERT_DIR` name authorities to trust.
    TwoSourcesOfAuthorities,
    /// Variables that Kubernetes injected were passed over.
    ServiceLinks {
        /// How many.
        count: usize,
    },
    /// `::` is listened on and `0.0.0.0` is not: clients with IPv4 are not served.
    WithoutIpv4,
    /// The Internet may ask.
    OpenResolver {
        /// The network that holds so many clients.
        network: IpNet,
    },
    /// An address that no client has may ask.
    AccessOfNobody {
        /// The address.
        address: IpAddr,
    },
    /// There is one upstream and no other one to ask when it fails.
    OneUpstream,
    /// All upstreams are IPv6 addresses.
    UpstreamsWithoutIpv4,
    /// An upstream is asked at the port of DNS without TLS.
    PortOfPlainDns {
        /// The upstream.
        label: String,
    },
    /// The name of an upstream has no dot.
    NameWithoutDot {
        /// The upstream.
        label: String,
        /// The name.
        name: String,
    },
}

impl Note {
    /// Whether the log has it, too: it puts clients or queries at risk, or leaves clients without service.
    pub fn is_logged(&self) -> bool {
        match self {
            Self::InsecureOpportunistic
            | Self::TwoSourcesOfAuthorities
            | Self::ServiceLinks { .. }
            | Self::WithoutIpv4
            | Self::OpenResolver { .. }
            | Self::AccessOfNobody { .. } => true,
            Self::OneUpstream
            | Self::UpstreamsWithoutIpv4
            | Self::PortOfPlainDns { .. }
            | Self::NameWithoutDot { .. } => false,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InsecureOpportunistic => write!(
                f,
                "upstreams are not authenticated: anyone on the network path can read and forge all responses"
            ),
            Self::ServiceLinks { count } => write!(
                f,
                "ignored variables that Kubernetes injected for a Service: {count} (`enableServiceLinks: false` \
                 avoids them)"
            ),
            Self::TwoSourcesOfAuthorities => write!(
                f,
                "the authorities of SSL_CERT_DIR are trusted in addition to those of SSL_CERT_FILE; \
                 DOTGATE_TLS_CA_FILE names a file with the only ones to trust"
            ),
            Self::WithoutIpv4 => write!(f, ":: is IPv6 only; 0.0.0.0,:: serves IPv4 as well"),
            Self::OpenResolver { network } => write!(
                f,
                "access.allow has {network}: anyone on the Internet who can reach this resolver can use it, also for \
                 attacks"
            ),
            Self::AccessOfNobody { address } => write!(
                f,
                "access.allow has {address}, an address that no client has; {address}/0 is every client"
            ),
            Self::OneUpstream => write!(
                f,
                "there is only one upstream: while it is down, only cached responses are served"
            ),
            Self::UpstreamsWithoutIpv4 => write!(
                f,
                "all upstreams are IPv6 addresses: without IPv6 connectivity none can be reached"
            ),
            Self::PortOfPlainDns { label } => write!(
                f,
                "upstream {label}: port 53 is that of DNS without TLS; DNS over TLS is usually on 853"
            ),
            Self::NameWithoutDot { label, name } => write!(
                f,
                "upstream {label}: {name} has no dot; certificates are for names such as dns.quad9.net"
            ),
        }
    }
}

/// All that may surprise, with that many variables of Kubernetes.
pub(super) fn of(config: &Config, service_links: usize) -> Vec<Note> {
    let mut notes = Vec::new();
    match config.tls().authentication {
        Profile::InsecureOpportunistic => notes.push(Note::InsecureOpportunistic),
        Profile::Strict => {}
    }
    let sources = &config.tls().authorities;
    let has_both = sources.certificate_file.is_some() && !sources.certificate_folders.is_empty();
    if has_both && sources.ca_file.is_none() {
        notes.push(Note::TwoSourcesOfAuthorities);
    }
    notes.extend(of_clients(config));
    notes.extend(of_upstreams(config));
    match service_links {
        0 => {}
        count => notes.push(Note::ServiceLinks { count }),
    }
    notes
}

fn of_clients(config: &Config) -> Vec<Note> {
    let mut notes = Vec::new();
    let listen = &config.server().listen;
    let all_ipv6 = listen
        .iter()
        .any(|address| address.ip().is_ipv6() && address.ip().is_unspecified());
    if all_ipv6 && !listen.iter().any(|address| address.ip().is_ipv4()) {
        notes.push(Note::WithoutIpv4);
    }
    let is_local = listen.iter().all(|address| address.ip().is_loopback());
    for network in config.access().allowed_prefixes() {
        let shortest = match network {
            IpNet::V4(_) => SHORT_IPV4,
            // Below 2000::/3 are all addresses of the Internet.
            IpNet::V6(network) if network.addr().segments()[0] >> 13 == 1 => SHORT_IPV6,
            IpNet::V6(_) => 3,
        };
        if network.prefix_len() < shortest && !is_local {
            notes.push(Note::OpenResolver { network });
        }
        if network.addr().is_unspecified() && network.prefix_len() == network.max_prefix_len() {
            let address = network.addr();
            notes.push(Note::AccessOfNobody { address });
        }
    }
    notes
}

fn of_upstreams(config: &Config) -> Vec<Note> {
    let mut notes = Vec::new();
    let upstreams = config.default_upstreams();
    if upstreams.len() == 1 {
        notes.push(Note::OneUpstream);
    }
    let is_ipv6 = |endpoint: &Endpoint| match endpoint {
        Endpoint::Address(address) => address.ip().is_ipv6() && !address.ip().is_loopback(),
        Endpoint::Name { .. } | Endpoint::Designated { .. } => false,
    };
    if upstreams.iter().all(|upstream| is_ipv6(&upstream.endpoint)) {
        notes.push(Note::UpstreamsWithoutIpv4);
    }
    for upstream in config.upstreams() {
        let label = || upstream.label.clone();
        let port = match &upstream.endpoint {
            Endpoint::Address(address) => address.port(),
            Endpoint::Name { port, .. } => *port,
            // Of the endpoint nothing is known yet.
            Endpoint::Designated { .. } => continue,
        };
        let Some(authentication) = &upstream.authentication else {
            continue;
        };
        if port == PLAIN_DNS {
            notes.push(Note::PortOfPlainDns { label: label() });
        }
        if let Identity::Name(name) = &authentication.identity {
            let name = name.to_str().into_owned();
            if !name.contains('.') {
                let label = label();
                notes.push(Note::NameWithoutDot { label, name });
            }
        }
    }
    notes
}
