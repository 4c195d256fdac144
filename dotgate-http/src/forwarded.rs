//! Whom a request is of that a proxy passes on: `Forwarded` (RFC 7239) and `X-Forwarded-For`.
//!
//! Each proxy appends the address that it sees. The client is the last address that is not itself of a trusted proxy; what
//! is before it was written by the client. A proxy that sets one header may pass on another that its client wrote, so two
//! headers that differ are an error. What a proxy quotes may have been written by the client as well, as the name of the host:
//! nothing within quotes begins an element or a parameter.

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
    let standard = last_of(
        headers,
        &FORWARDED,
        is_trusted,
        |text| split(text, ','),
        node_of,
    )?;
    let common = last_of(
        headers,
        &X_FORWARDED_FOR,
        is_trusted,
        |text| Some(text.split(',').collect()),
        |element| Some(element),
    )?;
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
    elements: impl Fn(&str) -> Option<Vec<&str>>,
    node: impl Fn(&str) -> Option<&str>,
) -> Result<Option<IpAddr>, ForwardedFault> {
    let fields: Vec<_> = headers.get_all(name).iter().collect();
    let mut found = None;
    for field in fields.iter().rev() {
        let text = field.to_str().map_err(|_| ForwardedFault)?;
        for element in elements(text).ok_or(ForwardedFault)?.iter().rev() {
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

/// The value of the one parameter `for` of an element (RFC 7239 section 4).
fn node_of(element: &str) -> Option<&str> {
    let parameters = split(element, ';')?;
    let mut values = parameters.iter().filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    });
    let value = values.next()?.trim();
    if values.next().is_some() {
        return None;
    }
    let quoted = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    Some(quoted.unwrap_or(value))
}

/// The parts of a text between separators, of which those within quotes are none (RFC 9110 section 5.6.4). None if a quote does
/// not end.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' if !dotgate_wire::planted!("quotes-of-proxies-are-ignored") => {
                is_quoted = !is_quoted;
            }
            _ if character == separator && !is_quoted => {
                parts.push(text.get(start..at)?);
                start = at + separator.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?);
    (!is_quoted).then_some(parts)
}

/// An address, with or without brackets and port. IPv4 addresses within IPv6 are those of IPv4.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse().ok();
    let address = address.or_else(|| text.parse().ok().map(|it: SocketAddr| it.ip()));
    address.map(|it: IpAddr| it.to_canonical())
}
