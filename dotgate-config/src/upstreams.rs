//! The list of upstreams, from its one-line form or from `[[upstream]]` tables, and what must not be in it.
//! It is above single upstreams and under `Config`. What it refuses would loop, hang or ask one upstream twice.

use std::net::IpAddr;

use dotgate_net::Egress;

use super::address::ScopedSocketAddress;
use super::fault::Fault;
use super::from_spec::TlsConfig;
use super::origin::Origin;
use super::problem::{Problem, UpstreamsFault};
use super::reader::Reader;
use super::settings::{
    BOOTSTRAP_ADDRESSES, DNS_HOST, UPSTREAM_ADDRESS, UPSTREAM_AUTH_NAME, UPSTREAM_CLIENT_CERT,
    UPSTREAM_CLIENT_KEY, UPSTREAM_INTERFACE, UPSTREAM_MARK, UPSTREAM_NAME, UPSTREAM_PINS,
    UPSTREAM_PORT, UPSTREAM_REPORT_PINS, UPSTREAM_SOURCE, UPSTREAM_WEIGHT,
};
use super::spec::{KeyTable, Lookup};
use super::upstream::{
    Endpoint, Host, Misfit, Parameters, Pin, UpstreamConfig, UpstreamSpec, read_address,
    read_interface, read_mark, read_name, read_path, read_pins, read_port, read_source,
    read_weight,
};
use super::words::PlainDefault;
use crate::identity::Identity;

/// Reads the upstreams with where each was written, or returns `None` after a problem.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Vec<(UpstreamSpec, Origin)>> {
    let spec = reader.spec;
    let tables = match spec.lookup(&DNS_HOST) {
        Lookup::Unset => spec.upstream_tables.as_slice(),
        Lookup::Broken | Lookup::Value(_) => &[],
    };
    if tables.is_empty() {
        let (specs, origin) = reader.value_with_origin(&DNS_HOST)?;
        return Some(
            specs
                .into_iter()
                .map(|spec| (spec, origin.clone()))
                .collect(),
        );
    }
    let most = DNS_HOST.kind.most;
    if let Some(table) = tables.get(most) {
        let (origin, found) = (table.origin.clone(), tables.len());
        let fault = UpstreamsFault::TooManyTables { found, most };
        reader.problems.push(Problem::Upstreams { origin, fault });
    }
    let mut all = Some(Vec::new());
    for table in tables {
        match read_table(reader.problems, table) {
            Some(upstream) => {
                if let Some(upstreams) = &mut all {
                    upstreams.push((upstream, table.origin.clone()));
                }
            }
            None => all = None,
        }
    }
    all
}

/// Converts the upstreams, and finds those that are duplicates or dotgate's own listeners.
pub(super) fn from_specs(
    reader: &mut Reader<'_>,
    specs: Vec<(UpstreamSpec, Origin)>,
    default_port: u16,
    tls: &TlsConfig,
    listen: &[ScopedSocketAddress],
) -> Vec<UpstreamConfig> {
    let mut upstreams: Vec<UpstreamConfig> = Vec::with_capacity(specs.len());
    for (spec, origin) in specs {
        let mut upstream = UpstreamConfig::new(spec, default_port, tls.authentication);
        upstream.key_exchange = tls.key_exchange;
        let is_there = upstreams.iter().any(|earlier| {
            earlier.endpoint == upstream.endpoint
                && identity(earlier) == identity(&upstream)
                && earlier.egress == upstream.egress
        });
        let label = upstream.label.clone();
        if is_there {
            let fault = UpstreamsFault::Duplicate { label };
            reader.problems.push(Problem::Upstreams { origin, fault });
        } else if let Some(listener) = listener_of(&upstream.endpoint, listen) {
            let fault = UpstreamsFault::IsListener { label, listener };
            reader.problems.push(Problem::Upstreams { origin, fault });
        }
        upstreams.push(upstream);
    }
    upstreams
}

/// Finds upstreams given by name although no resolver may be used.
pub(super) fn refuse_names_without_bootstrap<'s>(
    reader: &mut Reader<'_>,
    specs: impl Iterator<Item = (&'s UpstreamSpec, &'s Origin)>,
) {
    if reader.is_written(&BOOTSTRAP_ADDRESSES) {
        return;
    }
    for (spec, origin) in specs {
        if let Host::Name(name) = &spec.host {
            let (origin, name) = (origin.clone(), name.as_ref().to_owned());
            let fault = UpstreamsFault::NameWithoutBootstrap { name };
            reader.problems.push(Problem::Upstreams { origin, fault });
        }
    }
}

/// Finds resolvers for bootstrap that are dotgate's own listeners: they would wait for themselves.
pub(super) fn refuse_listener_as_bootstrap(
    reader: &mut Reader<'_>,
    bootstrap: &[ScopedSocketAddress],
    listen: &[ScopedSocketAddress],
) {
    for address in bootstrap {
        if let Some(listener) = reached_listener(address, listen)
            && let Lookup::Value(written) = reader.spec.lookup(&BOOTSTRAP_ADDRESSES)
        {
            let origin = written.origin.clone();
            let address = address.clone();
            let fault = UpstreamsFault::BootstrapIsListener { address, listener };
            reader.problems.push(Problem::Upstreams { origin, fault });
        }
    }
}

/// Who must be there; none for a plain upstream.
fn identity(upstream: &UpstreamConfig) -> Option<&Identity> {
    let authentication = upstream.authentication.as_ref();
    authentication.map(|authentication| &authentication.identity)
}

/// Finds plain upstreams of the default route, which would send all names in the clear.
pub(super) fn refuse_plain(
    reader: &mut Reader<'_>,
    specs: &[(UpstreamSpec, Origin)],
    default: PlainDefault,
) {
    for (spec, origin) in specs {
        match (&spec.host, default) {
            (Host::Plain(address), PlainDefault::Refuse) => {
                let (origin, address) = (origin.clone(), address.to_string());
                let fault = UpstreamsFault::PlainDefault { address };
                reader.problems.push(Problem::Upstreams { origin, fault });
            }
            (Host::Plain(_), PlainDefault::Insecure)
            | (Host::Address { .. } | Host::Name(_) | Host::Designating(_), _) => {}
        }
    }
}

fn listener_of(endpoint: &Endpoint, listen: &[ScopedSocketAddress]) -> Option<ScopedSocketAddress> {
    match endpoint {
        Endpoint::Address(address) | Endpoint::Designated { resolver: address } => {
            reached_listener(address, listen)
        }
        Endpoint::Name { .. } => None,
    }
}

/// Returns the listener that a connection to `address` would reach: one bound to it, or one bound to all addresses of
/// its family if it is a loopback address. Which other addresses are this host's is not known before the start.
fn reached_listener(
    address: &ScopedSocketAddress,
    listen: &[ScopedSocketAddress],
) -> Option<ScopedSocketAddress> {
    let target = address.ip().to_canonical();
    let is_reached = |listener: &&ScopedSocketAddress| {
        let ip = listener.ip().to_canonical();
        let all_of_the_family = match (ip, target) {
            (IpAddr::V4(ip), IpAddr::V4(_)) => ip.is_unspecified(),
            (IpAddr::V6(ip), IpAddr::V6(_)) => ip.is_unspecified(),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        };
        let same_port = listener.port() == address.port();
        same_port && (ip == target || (all_of_the_family && target.is_loopback()))
    };
    listen.iter().find(is_reached).cloned()
}

/// Reads one table; all problems of it are found.
fn read_table(problems: &mut Vec<Problem>, table: &KeyTable) -> Option<UpstreamSpec> {
    let address = table.read(problems, &UPSTREAM_ADDRESS, read_address);
    let name = table.read(problems, &UPSTREAM_NAME, read_name);
    let port = table.read(problems, &UPSTREAM_PORT, read_port);
    let authentication_name = table.read(problems, &UPSTREAM_AUTH_NAME, read_name);
    let pins = table.read(problems, &UPSTREAM_PINS, read_pin_list);
    let report_pins = table.read(problems, &UPSTREAM_REPORT_PINS, read_pin_list);
    let client_cert = table.read(problems, &UPSTREAM_CLIENT_CERT, read_path);
    let client_key = table.read(problems, &UPSTREAM_CLIENT_KEY, read_path);
    let source = table.read(problems, &UPSTREAM_SOURCE, read_source);
    let interface = table.read(problems, &UPSTREAM_INTERFACE, read_interface);
    let mark = table.read(problems, &UPSTREAM_MARK, read_mark);
    let weight = table.read(problems, &UPSTREAM_WEIGHT, read_weight);
    let (address, name, port) = (address?, name?, port?);
    let (authentication_name, pins, report_pins) = (authentication_name?, pins?, report_pins?);
    let egress = Egress {
        source: source?,
        interface: interface?,
        mark: mark?,
    };
    if table.is_broken {
        return None;
    }
    let host = match (address, name, authentication_name) {
        (Some(address), None, authentication_name) => Host::Address {
            address,
            authentication_name,
        },
        (None, Some(name), None) => Host::Name(name),
        (None, Some(name), Some(_)) => {
            let item = name.as_ref().to_owned();
            let fault = Fault::AuthenticationNameOfAName { item };
            table.refuse(problems, &UPSTREAM_AUTH_NAME, fault);
            return None;
        }
        (None, None, _) | (Some(_), Some(_), _) => {
            let (origin, fault) = (table.origin.clone(), UpstreamsFault::WithoutOneHost);
            problems.push(Problem::Upstreams { origin, fault });
            return None;
        }
    };
    let parameters = Parameters {
        pins: pins.unwrap_or_default(),
        report_pins: report_pins.unwrap_or_default(),
        client_cert: client_cert?,
        client_key: client_key?,
        egress,
        weight: weight?,
    };
    match UpstreamSpec::new(host, port, parameters) {
        Ok(spec) => Some(spec),
        Err(misfit) => {
            let (key, fault) = match misfit {
                Misfit::ClientKey(fault) => (&UPSTREAM_CLIENT_KEY, fault),
                Misfit::Source(fault) => (&UPSTREAM_SOURCE, fault),
            };
            table.refuse(problems, key, fault);
            None
        }
    }
}

fn read_pin_list(text: &str) -> Result<Vec<Pin>, Fault> {
    read_pins(text.split(',').map(str::trim).filter(|_| !text.is_empty()))
}
