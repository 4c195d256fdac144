//! Routes in their one-line form. A suffix is a domain name or an address prefix, which stands for its reverse zones.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use domain::base::Name;
use dotgate_core::{Dns64Prefix, Strategy, reverse_zones};
use dotgate_wire::Nat64Prefix;
use ipnet::IpNet;

use super::{Kind, Upstreams, items};
use crate::address::read_prefix;
use crate::fault::Fault;
use crate::hints;
use crate::upstream::UpstreamSpec;

/// The most suffixes of all routes.
pub(crate) const SUFFIXES_MAX: usize = 65_536;

/// The names that a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suffix {
    text: String,
    pub(crate) zones: Vec<Box<[u8]>>,
}

impl Suffix {
    /// That of all names, which no route has.
    pub(crate) fn root() -> Suffix {
        Suffix {
            text: ".".to_owned(),
            zones: vec![[0].into()],
        }
    }

    /// The zones that it stands for: uncompressed, in lower case, with the root label. A name is one zone; a prefix that does
    /// not end at a byte or nibble has several.
    pub fn zones(&self) -> &[Box<[u8]>] {
        &self.zones
    }

    /// Whether a zone of `other` is one of its zones, or below one.
    pub(crate) fn has(&self, other: &Suffix) -> bool {
        let mut names = other.zones.iter();
        names.any(|name| self.zones.iter().any(|zone| is_in(name, zone)))
    }
}

/// Whether `name` is `zone` or below it, both uncompressed.
fn is_in(name: &[u8], zone: &[u8]) -> bool {
    let mut rest = name;
    while rest != zone {
        let label = rest.first().map_or(0, |length| usize::from(*length));
        rest = match rest.get(1 + label..) {
            Some(parent) if label > 0 => parent,
            Some(_) | None => return false,
        };
    }
    true
}

/// Domain names, each standing for itself and everything below it.
#[derive(Debug)]
pub struct Domains {
    /// The most names allowed.
    pub most: usize,
}

impl Kind for Domains {
    type Value = Vec<Suffix>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(Vec::new());
        }
        items(text, self.most, str::parse)
    }

    fn expected(&self) -> String {
        format!("`off`, or 1 to {} names, separated by commas", self.most)
    }

    fn is_list(&self) -> bool {
        true
    }
}

impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Suffix {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Suffix, Fault> {
        let item = || text.to_owned();
        if text.contains('/') {
            let prefix: IpNet = read_prefix(text)?;
            return Ok(Suffix {
                text: prefix.to_string(),
                zones: reverse_zones(prefix),
            });
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            let (item, prefix) = (address, IpNet::from(address));
            return Err(Fault::AddressAsSuffix { item, prefix });
        }
        // It would be a route for this very name, and those below the name behind it would go elsewhere.
        if let Some(name) = text.strip_prefix("*.") {
            let (item, name) = (item(), name.to_owned());
            return Err(Fault::WildcardAsSuffix { item, name });
        }
        if !text.is_ascii() {
            let a_label = idna::domain_to_ascii(text).ok();
            return Err(Fault::NotAnALabel {
                item: item(),
                a_label,
            });
        }
        let name =
            Name::<Vec<u8>>::from_str(text).map_err(|_| Fault::NotASuffix { item: item() })?;
        if name.is_root() {
            return Err(Fault::RootAsSuffix);
        }
        Ok(Suffix {
            text: name.to_string().to_ascii_lowercase(),
            zones: vec![name.as_slice().to_ascii_lowercase().into()],
        })
    }
}

/// A route as written: each part is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSpec {
    pub(crate) suffixes: Vec<Suffix>,
    pub(crate) upstreams: Vec<UpstreamSpec>,
    pub(crate) dns64: Option<Dns64Prefix>,
    pub(crate) strategy: Strategy,
}

impl FromStr for RouteSpec {
    type Err = Fault;

    /// Reads `SUFFIX[,SUFFIX]...=UPSTREAM[,UPSTREAM]...`.
    fn from_str(text: &str) -> Result<RouteSpec, Fault> {
        // A pin has equals signs too, but stands behind the first one.
        let (suffixes, upstreams) = text.split_once('=').ok_or_else(|| Fault::NotARoute {
            item: text.to_owned(),
        })?;
        Ok(RouteSpec {
            suffixes: read_suffixes(suffixes)?,
            upstreams: read_upstreams(upstreams)?,
            // One line has room for suffixes and upstreams alone.
            dns64: None,
            strategy: Strategy::Ordered,
        })
    }
}

pub(crate) fn read_suffixes(text: &str) -> Result<Vec<Suffix>, Fault> {
    items(text, SUFFIXES_MAX, str::parse)
}

pub(crate) fn read_upstreams(text: &str) -> Result<Vec<UpstreamSpec>, Fault> {
    Upstreams::OF_A_GROUP.read(text)
}

/// Reads the prefix of a NAT64, `auto` or `off`.
pub(crate) fn read_dns64(text: &str) -> Result<Option<Dns64Prefix>, Fault> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    if text.eq_ignore_ascii_case("auto") {
        return Ok(Some(Dns64Prefix::Discovered));
    }
    let not_a_prefix = || Fault::NotANat64Prefix {
        item: text.to_owned(),
    };
    let IpNet::V6(prefix) = read_prefix(text)? else {
        return Err(not_a_prefix());
    };
    let prefix = Nat64Prefix::new(prefix.network(), prefix.prefix_len());
    let prefix = prefix.map(Dns64Prefix::Fixed);
    prefix.map(Some).ok_or_else(not_a_prefix)
}

/// The prefix of a NAT64, `auto` or `off`.
#[derive(Debug)]
pub struct Nat64;

impl Kind for Nat64 {
    type Value = Option<Dns64Prefix>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        read_dns64(text)
    }

    fn expected(&self) -> String {
        "off, auto, or an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits".to_owned()
    }
}

/// Routes in their one-line form, separated by white space.
#[derive(Debug)]
pub struct Routes;

impl Kind for Routes {
    type Value = Vec<RouteSpec>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        text.split_whitespace()
            .map(|item| {
                item.parse::<RouteSpec>()
                    .map_err(|fault| fault.with_hint(hints::of_route(item)))
            })
            .collect()
    }

    fn expected(&self) -> String {
        "SUFFIX[,SUFFIX]...=UPSTREAM[,UPSTREAM]..., separated by spaces; SUFFIX is a domain name or an address \
         prefix, UPSTREAM is what DNS_HOST takes, or plain:ADDR[@PORT]"
            .to_owned()
    }
}
