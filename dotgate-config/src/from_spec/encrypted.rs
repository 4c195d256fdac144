//! Listeners whose clients speak TLS, and what is shown to these clients.

use std::time::Duration;

use ipnet::IpNet;

use crate::address::ScopedSocketAddress;
use crate::identity::{CertificateFiles, ServerTlsFiles};
use crate::origin::Origin;
use crate::problem::{Problem, ServerTlsFault};
use crate::reader::Reader;
use crate::settings as table;

/// DNS over TLS for clients.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DotConfig {
    /// Where clients are served, 0 to 64; if anywhere, there are certificates. Port 0 is the kernel's choice.
    pub listen: Vec<ScopedSocketAddress>,
    /// How long a connection stays open with nothing asked on it.
    pub idle: Duration,
}

/// DNS over HTTPS for clients.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DohConfig {
    /// Where clients are served, 0 to 64; if anywhere, there are certificates or proxies. Port 0 is the kernel's choice.
    pub listen: Vec<ScopedSocketAddress>,
    /// How long a connection stays open with nothing asked on it.
    pub idle: Duration,
    /// Proxies that end the TLS of their clients.
    pub proxies: Vec<IpNet>,
}

/// DNS over QUIC for clients.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DoqConfig {
    /// Where clients are served, 0 to 64; if anywhere, there are certificates. Port 0 is the kernel's choice.
    pub listen: Vec<ScopedSocketAddress>,
    /// How long a connection stays open with nothing asked on it.
    pub idle: Duration,
}

/// What is served over TLS or QUIC, and what clients are shown.
pub(super) type Encrypted = (DotConfig, DohConfig, DoqConfig, Option<ServerTlsFiles>);

/// Reads all; `plain` are the listeners of UDP and TCP.
pub(super) fn read(reader: &mut Reader<'_>, plain: &[ScopedSocketAddress]) -> Option<Encrypted> {
    let dot = reader.value_with_origin(&table::DOT_LISTEN);
    let dot_idle = reader.value(&table::DOT_IDLE);
    let doh = reader.value_with_origin(&table::DOH_LISTEN);
    let doh_idle = reader.value(&table::DOH_IDLE);
    let doq = reader.value_with_origin(&table::DOQ_LISTEN);
    let doq_idle = reader.value(&table::DOQ_IDLE);
    let proxies = reader.optional(&table::DOH_PROXY_FROM).unwrap_or_default();
    let certificates = reader.value_with_origin(&table::SERVER_CERTIFICATE_FILE);
    let keys = reader.value_with_origin(&table::SERVER_KEY_FILE);
    let client_authorities = reader.optional(&table::SERVER_CLIENT_CA_FILE);
    let ticket_key = reader.optional(&table::SERVER_TICKET_KEY_FILE);
    let are_written = reader.is_written(&table::SERVER_CERTIFICATE_FILE);
    let mut refuse = |origin: &Origin, fault| {
        let origin = origin.clone();
        reader.problems.push(Problem::ServerTls { origin, fault });
    };
    let of_dot = dot.iter().map(|listen| (listen, are_written));
    // Proxies can serve all clients of HTTPS.
    let of_doh = doh
        .iter()
        .map(|listen| (listen, are_written || !proxies.is_empty()));
    let of_doq = doq.iter().map(|listen| (listen, are_written));
    for ((listen, origin), has_certificate) in of_dot.chain(of_doh).chain(of_doq) {
        if !has_certificate {
            refuse(origin, ServerTlsFault::WithoutCertificate);
        }
        for address in in_common(listen, plain) {
            refuse(origin, ServerTlsFault::IsPlainListener { address });
        }
    }
    if let (Some((dot, _)), Some((doh, origin))) = (&dot, &doh) {
        for address in in_common(doh, dot) {
            refuse(origin, ServerTlsFault::IsDotListener { address });
        }
    }
    if let Some((keys, origin)) = &keys {
        let certificates = certificates.as_ref().map_or(0, |(files, _)| files.len());
        let keys = keys.len();
        if certificates != keys {
            refuse(origin, ServerTlsFault::OtherNumber { certificates, keys });
        }
    }
    let tls = certificates.map(|(certificates, _)| {
        let mut keys = keys.map(|(keys, _)| keys).unwrap_or_default().into_iter();
        let pairs = certificates
            .into_iter()
            .map(|certificate| CertificateFiles {
                certificate,
                key: keys.next(),
            });
        ServerTlsFiles {
            certificates: pairs.collect(),
            client_authorities,
            ticket_key,
        }
    });
    let (listen, idle) = (addresses(dot), dot_idle?);
    let dot = DotConfig { listen, idle };
    let (listen, idle) = (addresses(doh), doh_idle?);
    let doh = DohConfig {
        listen,
        idle,
        proxies,
    };
    let (listen, idle) = (addresses(doq), doq_idle?);
    let doq = DoqConfig { listen, idle };
    Some((dot, doh, doq, tls))
}

/// Those that were set.
fn addresses(listen: Option<(Vec<ScopedSocketAddress>, Origin)>) -> Vec<ScopedSocketAddress> {
    listen.map(|(listen, _)| listen).unwrap_or_default()
}

/// The addresses in both, but for those of which the system chooses the port.
fn in_common(
    these: &[ScopedSocketAddress],
    those: &[ScopedSocketAddress],
) -> Vec<ScopedSocketAddress> {
    let both = these
        .iter()
        .filter(|it| those.contains(it) && it.port() != 0);
    both.cloned().collect()
}
