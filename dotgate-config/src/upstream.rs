//! Upstreams as they are written, and what that means: where to connect and who must be there.
//! One of the kinds of value; pools and TLS sessions are made from `UpstreamConfig`.
//! Never resolves a name and never weakens authentication: what is not understood is a fault.
//! Follows RFC 7858 section 4.2 (pins), RFC 8310 sections 6 to 8 (names) and RFC 6125 (addresses in certificates).
//! Limits: 8 pins for an upstream, SHA-256 alone.

mod parameters;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

use dotgate_core::{KeyExchangePolicy, Transport, operator};
use dotgate_net::Egress;
use rustls_pki_types::{DnsName, ServerName};

use super::address::{ScopedAddress, ScopedSocketAddress};
use super::fault::Fault;
use super::hints;
use super::numbers::digits;
use super::words::Profile;
use crate::identity::{Authentication, CertificateFiles, Identity};

pub(super) use self::parameters::{
    Parameter, Parameters, read_interface, read_mark, read_path, read_pins, read_source,
    read_weight,
};

/// The prefix of an upstream that is queried without TLS.
const PLAIN: &str = "plain:";

/// The prefix of a plain resolver whose designated endpoint is the upstream (RFC 9462).
const DDR: &str = "ddr:";

/// Its port, where none is written.
pub(super) const PLAIN_PORT: u16 = 53;

/// The SHA-256 digest of a SubjectPublicKeyInfo (RFC 7858 section 4.2).
pub(super) type Pin = [u8; 32];

/// An upstream as written: each part is right, but the port may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSpec {
    pub(super) host: Host,
    pub(super) port: Option<u16>,
    pub(super) parameters: Parameters,
}

/// The machine an upstream is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// An address, and perhaps the authentication domain name that its certificate must carry.
    Address {
        address: ScopedAddress,
        authentication_name: Option<DnsName<'static>>,
    },
    /// A name to be resolved, which is the authentication domain name too.
    Name(DnsName<'static>),
    /// An address that is queried without TLS.
    Plain(ScopedAddress),
    /// An address that is asked, without TLS, for its endpoint with TLS.
    Designating(ScopedAddress),
}

impl FromStr for UpstreamSpec {
    type Err = Fault;

    /// Reads `ADDR[@PORT][#AUTH-NAME][;KEY=VALUE]...` or `NAME[@PORT][;KEY=VALUE]...`, perhaps behind `tls://`; or
    /// `plain:ADDR[@PORT][;KEY=VALUE]...` or `ddr:ADDR[@PORT][;KEY=VALUE]...`. The keys are those of `Parameters`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        if let Some(rest) = text.strip_prefix(PLAIN) {
            return read_plain(rest, text);
        }
        if let Some(rest) = text.strip_prefix(DDR) {
            return read_designating(rest, text);
        }
        if let Some(hint) = hints::of_upstream(text) {
            let item = text.to_owned();
            return Err(Fault::NotAnAddressOrName { item }.with_hint(Some(hint)));
        }
        let mut parts = without_scheme(text).split(';').map(str::trim);
        let head = parts.next().unwrap_or_default();
        let (endpoint, authentication_name) = match head.split_once('#') {
            Some((endpoint, name)) => (endpoint, Some(name)),
            None => (head, None),
        };
        let (host, port) = split_port(endpoint)?;
        let host = read_host(host, authentication_name, text)?;
        let parameters = Parameters::read(parts)?;
        Self::new(host, port, parameters).map_err(Misfit::into_fault)
    }
}

/// A parameter that does not fit the rest of its upstream.
#[derive(Debug)]
pub(super) enum Misfit {
    /// The key of a client certificate.
    ClientKey(Fault),
    /// The source address.
    Source(Fault),
}

impl Misfit {
    fn into_fault(self) -> Fault {
        match self {
            Self::ClientKey(fault) | Self::Source(fault) => fault,
        }
    }
}

impl UpstreamSpec {
    /// Puts the parts together, if they fit.
    pub(super) fn new(
        host: Host,
        port: Option<u16>,
        parameters: Parameters,
    ) -> Result<Self, Misfit> {
        parameters.check_client().map_err(Misfit::ClientKey)?;
        match &host {
            Host::Address { address, .. } | Host::Plain(address) | Host::Designating(address) => {
                let checked = parameters.check_source(address.ip());
                checked.map_err(Misfit::Source)?;
            }
            // Addresses of the other family are passed over.
            Host::Name(_) => {}
        }
        Ok(Self {
            host,
            port,
            parameters,
        })
    }
}

/// An upstream that queries may be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Where to connect.
    pub endpoint: Endpoint,
    /// Who must be there; none for one that is queried without TLS.
    pub authentication: Option<Authentication>,
    /// Which key exchange it is offered.
    pub key_exchange: KeyExchangePolicy,
    /// Where connections and queries to it leave from.
    pub egress: Egress,
    /// How logs, metrics and `dotgate check` call it.
    pub label: String,
}

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An address and port.
    Address(ScopedSocketAddress),
    /// A name, to be resolved by the bootstrap addresses alone, and a port.
    Name {
        /// The name in lower case, without a dot at its end.
        name: String,
        /// The port, 1 to 65535.
        port: u16,
    },
    /// The endpoints that a plain resolver designates (RFC 9462).
    Designated {
        /// Who is asked for them, in the clear.
        resolver: ScopedSocketAddress,
    },
}

impl UpstreamConfig {
    /// Makes the meaning of `spec`, with `default_port` if it has no port of its own.
    pub(super) fn new(spec: UpstreamSpec, default_port: u16, profile: Profile) -> Self {
        let UpstreamSpec {
            host,
            port,
            parameters:
                Parameters {
                    pins,
                    report_pins,
                    client_cert,
                    client_key,
                    egress,
                    weight: _,
                },
        } = spec;
        let port = port.unwrap_or(match host {
            Host::Plain(_) | Host::Designating(_) => PLAIN_PORT,
            Host::Address { .. } | Host::Name(_) => default_port,
        });
        let label = label(&host, port) + &parameters::suffix(&egress);
        // What is discovered in the clear is verified, whatever the profile (RFC 9462 section 4.2).
        let strict = match (&host, profile) {
            (Host::Designating(_), _) | (_, Profile::Strict) => true,
            (_, Profile::InsecureOpportunistic) => false,
        };
        let (endpoint, identity) = endpoint(host, port, !pins.is_empty());
        Self {
            endpoint,
            authentication: identity.map(|identity| Authentication {
                identity,
                pins,
                report_pins,
                client: client_cert.map(|certificate| CertificateFiles {
                    certificate,
                    key: client_key,
                }),
                pin_without_clock: false,
                strict,
            }),
            key_exchange: KeyExchangePolicy::default(),
            egress,
            label,
        }
    }

    /// One that is queried without TLS.
    pub(super) fn plain(resolver: &ScopedSocketAddress) -> Self {
        let host = Host::Plain(resolver.host().clone());
        Self {
            label: label(&host, resolver.port()),
            endpoint: Endpoint::Address(resolver.clone()),
            authentication: None,
            key_exchange: KeyExchangePolicy::default(),
            egress: Egress::default(),
        }
    }

    /// Who runs it, as far as that is known: the registrable domain of the name that its certificate must match, else
    /// the upstream itself.
    pub fn operator(&self) -> &str {
        let authentication = self.authentication.as_ref();
        match authentication.map(|it| &it.identity) {
            Some(Identity::Name(ServerName::DnsName(name))) => operator(name.as_ref()),
            Some(_) | None => &self.label,
        }
    }

    /// How it is asked.
    pub fn transport(&self) -> Transport {
        match self.authentication {
            Some(_) => Transport::Dot,
            None => Transport::Plain,
        }
    }

    /// The files of the certificate that it may ask for.
    pub(super) fn client_files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let files = self
            .authentication
            .as_mut()
            .and_then(|it| it.client.as_mut());
        let files = files.into_iter();
        files.flat_map(|files| std::iter::once(&mut files.certificate).chain(&mut files.key))
    }

    /// Says in words what the certificate must be.
    pub fn demand(&self) -> String {
        let Some(Authentication {
            identity,
            pins,
            report_pins: _,
            client: _,
            pin_without_clock: _,
            strict,
        }) = &self.authentication
        else {
            return "plain DNS, NOT ENCRYPTED".to_owned();
        };
        if !strict {
            return "any certificate, NOT AUTHENTICATED".to_owned();
        }
        let whose = match identity {
            Identity::Name(name) => format!("a certificate for {}", name.to_str()),
            Identity::Address(address) => format!("a certificate for {address}"),
            Identity::PinOnly => "any certificate".to_owned(),
        };
        match pins.len() {
            0 => whose,
            1 => format!("{whose} with the pinned key"),
            count => format!("{whose} with one of {count} pinned keys"),
        }
    }
}

/// Where a host is, and what its certificate has to carry; none without TLS.
fn endpoint(host: Host, port: u16, has_pins: bool) -> (Endpoint, Option<Identity>) {
    match host {
        Host::Plain(address) => (Endpoint::Address(address.with_port(port)), None),
        Host::Designating(address) => {
            let identity = Identity::Address(address.ip());
            let resolver = address.with_port(port);
            (Endpoint::Designated { resolver }, Some(identity))
        }
        Host::Name(name) => {
            let text = name.as_ref().to_owned();
            let identity = Identity::Name(ServerName::DnsName(name));
            (Endpoint::Name { name: text, port }, Some(identity))
        }
        Host::Address {
            address,
            authentication_name,
        } => {
            let identity = match authentication_name {
                Some(name) => Identity::Name(ServerName::DnsName(name)),
                None if has_pins => Identity::PinOnly,
                None => Identity::Address(address.ip()),
            };
            (Endpoint::Address(address.with_port(port)), Some(identity))
        }
    }
}

/// Writes an upstream as the operator would, with its port and without its pins.
fn label(host: &Host, port: u16) -> String {
    match host {
        Host::Name(name) => format!("{}@{port}", name.as_ref()),
        Host::Plain(address) | Host::Designating(address) => {
            let prefix = match host {
                Host::Designating(_) => DDR,
                _ => PLAIN,
            };
            match address.ip() {
                IpAddr::V4(_) => format!("{prefix}{address}@{port}"),
                IpAddr::V6(_) => format!("{prefix}[{address}]@{port}"),
            }
        }
        Host::Address {
            address,
            authentication_name,
        } => {
            let address = match address.ip() {
                IpAddr::V4(_) => address.to_string(),
                IpAddr::V6(_) => format!("[{address}]"),
            };
            match authentication_name {
                Some(name) => format!("{address}@{port}#{}", name.as_ref()),
                None => format!("{address}@{port}"),
            }
        }
    }
}

/// Reads `ADDR[@PORT][;KEY=VALUE]...` of a plain upstream.
fn read_plain(rest: &str, item: &str) -> Result<UpstreamSpec, Fault> {
    let not_plain = || Fault::NotAPlainUpstream {
        item: item.to_owned(),
    };
    let mut parts = rest.split(';').map(str::trim);
    let endpoint = parts.next().unwrap_or_default();
    if endpoint.contains('#') {
        return Err(not_plain());
    }
    let (address, port) = split_port(endpoint)?;
    let address = read_address(address).map_err(|fault| match fault {
        Fault::NotAnAddress { .. } => not_plain(),
        fault => fault,
    })?;
    let parameters = Parameters::read(parts)?;
    if parameters.are_of_tls() {
        return Err(not_plain());
    }
    UpstreamSpec::new(Host::Plain(address), port, parameters).map_err(Misfit::into_fault)
}

/// Reads `ADDR[@PORT][;KEY=VALUE]...` of a resolver that designates its endpoint.
fn read_designating(rest: &str, item: &str) -> Result<UpstreamSpec, Fault> {
    let mut parts = rest.split(';').map(str::trim);
    let (address, port) = split_port(parts.next().unwrap_or_default())?;
    let address = read_address(address).map_err(|fault| match fault {
        Fault::NotAnAddress { .. } => Fault::NotADesignatingResolver {
            item: item.to_owned(),
        },
        fault => fault,
    })?;
    let parameters = Parameters::read(parts)?;
    UpstreamSpec::new(Host::Designating(address), port, parameters).map_err(Misfit::into_fault)
}

/// What follows `tls://` or `dot://`, with which other programs mark DNS over TLS.
fn without_scheme(text: &str) -> &str {
    for scheme in ["tls://", "dot://"] {
        if let Some((start, rest)) = text.split_at_checked(scheme.len())
            && start.eq_ignore_ascii_case(scheme)
        {
            return rest;
        }
    }
    text
}

/// Separates `HOST@PORT`.
pub(super) fn split_port(text: &str) -> Result<(&str, Option<u16>), Fault> {
    match text.split_once('@') {
        None => Ok((text, None)),
        Some((host, port)) => Ok((host, Some(read_port(port)?))),
    }
}

/// Reads a port that can be connected to, 1 to 65535.
pub(super) fn read_port(text: &str) -> Result<u16, Fault> {
    let port = digits(text)
        .and_then(|text| text.parse().ok())
        .filter(|port| *port != 0);
    port.ok_or_else(|| Fault::NotAPort {
        item: text.to_owned(),
    })
}

/// Reads an address that can be connected to.
pub(super) fn read_address(text: &str) -> Result<ScopedAddress, Fault> {
    let address: ScopedAddress = text.parse()?;
    let ip = address.ip();
    let is_broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    if ip.is_unspecified() || ip.is_multicast() || is_broadcast {
        return Err(Fault::NotConnectable {
            item: text.to_owned(),
        });
    }
    Ok(address)
}

/// Reads a DNS name that a certificate can be for: A-labels, a dot at its end dropped, in lower case. A name whose
/// last label is a number is a mistyped address (RFC 3696 section 2).
pub(super) fn read_name(text: &str) -> Result<DnsName<'static>, Fault> {
    let not_a_name = || Fault::NotAName {
        item: text.to_owned(),
    };
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let last_label = name.rsplit('.').next().unwrap_or_default();
    if digits(last_label).is_some() {
        return Err(not_a_name());
    }
    DnsName::try_from(name).map_err(|_| not_a_name())
}

fn read_host(host: &str, authentication_name: Option<&str>, item: &str) -> Result<Host, Fault> {
    let address = match read_address(host) {
        Ok(address) => Some(address),
        Err(Fault::NotAnAddress { .. }) => None,
        Err(fault) => return Err(fault),
    };
    if let Some(address) = address {
        let authentication_name = authentication_name.map(read_name).transpose()?;
        return Ok(Host::Address {
            address,
            authentication_name,
        });
    }
    if let Some(instead) = port_moved_from_colon(host) {
        let name = authentication_name
            .map(|name| format!("#{name}"))
            .unwrap_or_default();
        return Err(Fault::PortAfterColon {
            item: item.to_owned(),
            instead: instead + &name,
        });
    }
    let name = read_name(host).map_err(|_| Fault::NotAnAddressOrName {
        item: host.to_owned(),
    })?;
    match authentication_name {
        None => Ok(Host::Name(name)),
        Some(_) => Err(Fault::AuthenticationNameOfAName {
            item: item.to_owned(),
        }),
    }
}

/// Returns `HOST@PORT` if `text` is `HOST:PORT`.
fn port_moved_from_colon(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':')?;
    read_port(port).ok()?;
    let is_host = read_address(host).is_ok() || read_name(host).is_ok();
    is_host.then(|| format!("{host}@{port}"))
}

#[cfg(test)]
mod tests;
