//! Whom a request is of that a proxy passes on: `Forwarded` (RFC 7239) and `X-Forwarded-For`.
//!
//! Each proxy appends the address that it sees. The client is the last address that is not itself of a trusted proxy; what
//! is before it was written by the client. A proxy that sets one header may pass on another that its client wrote, so two
//! headers that differ are an error.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{FORWARDED, HeaderMap, HeaderName};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The headers do not say whom the request is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ForwardedFault;

/// The client of a request; none if the headers name nobody.
pub(crate) fn client(
    headers: &HeaderMap,
    is_trusted: &(dyn Fn(IpAddr) -> bool + Send + Sync),
) -> Result<Option<IpAddr>, ForwardedFault> {
    let standard = last_of(headers, &FORWARDED, is_trusted, |element| {
        let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
        let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
        Some(node.trim().trim_matches('"'))
    })?;
    let common = last_of(headers, &X_FORWARDED_FOR, is_trusted, |element| {
        Some(element)
    })?;
    match (standard, common) {
        (Some(one), Some(other)) if one != other => Err(ForwardedFault),
        (one, other) => Ok(one.or(other)),
    }
}

/// The last address in all fields of this name that is of no trusted proxy, or the first one if all are.
fn last_of(
    headers: &HeaderMap,
    name: &HeaderName,
    is_trusted: &(dyn Fn(IpAddr) -> bool + Send + Sync),
    node: impl Fn(&str) -> Option<&str>,
) -> Result<Option<IpAddr>, ForwardedFault> {
    let fields: Vec<_> = headers.get_all(name).iter().collect();
    let mut found = None;
    for field in fields.iter().rev() {
        let text = field.to_str().map_err(|_| ForwardedFault)?;
        for element in text.rsplit(',') {
            let address = node(element.trim())
                .and_then(address_of)
                .ok_or(ForwardedFault)?;
            found = Some(address);
            if !is_trusted(address) {
                return Ok(found);
            }
        }
    }
    Ok(found)
}

/// An address, with or without brackets and port. IPv4 addresses within IPv6 are those of IPv4.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse().ok();
    let address = address.or_else(|| text.parse().ok().map(|it: SocketAddr| it.ip()));
    address.map(|it: IpAddr| it.to_canonical())
}
