//! Who the client believes it asks: a web page that points its own name at this address (DNS rebinding) would
//! otherwise read everything here in the browser of somebody near.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use dotgate_config::is_interface_name;
use hyper::header::HOST;
use hyper::{Request, Version};

use super::refusal::Refusal;

/// Checks that a request is for us: for an address, `localhost`, or one of `hosts`. HTTP/1.0 does not know Host, so
/// that balancers' probes may come without; a browser always has it (RFC 9112 section 3.2).
pub(super) fn check<B>(request: &Request<B>, hosts: &[String]) -> Result<(), Refusal> {
    // RFC 9112 section 3.2.2: the authority of an absolute form goes before Host.
    let authority = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    let mut headers = request.headers().get_all(HOST).iter();
    let header = headers
        .next()
        .map(|value| value.to_str().unwrap_or_default());
    if headers.next().is_some() {
        return Err(Refusal::NoHost);
    }
    match authority.or(header) {
        Some(host) if is_ours(host, hosts) => Ok(()),
        Some(_) => Err(Refusal::ForeignHost),
        None if request.version() == Version::HTTP_10 => Ok(()),
        None => Err(Refusal::NoHost),
    }
}

fn is_ours(host: &str, hosts: &[String]) -> bool {
    if let Some(literal) = host.strip_prefix('[') {
        return is_ipv6(literal);
    }
    if host.parse::<SocketAddrV4>().is_ok() || host.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        Some(_) => return false,
        None => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_known = |known: &str| known.eq_ignore_ascii_case(name);
    is_known("localhost") || hosts.iter().any(|known| is_known(known))
}

/// Whether this follows the bracket of an IPv6 address: perhaps with a zone, as clients write it (`%eth0`) or as
/// RFC 6874 section 2 wanted it (`%25eth0`), and perhaps with a port behind.
fn is_ipv6(literal: &str) -> bool {
    let Some((address, behind)) = literal.split_once(']') else {
        return false;
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    if !(behind.is_empty() || behind.strip_prefix(':').is_some_and(is_port)) {
        return false;
    }
    let (address, zone) = match address.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (address, None),
    };
    let is_zone = |zone: &str| {
        is_interface_name(zone) || zone.strip_prefix("25").is_some_and(is_interface_name)
    };
    address.parse::<Ipv6Addr>().is_ok() && zone.is_none_or(is_zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_named_hosts_are_ours_and_nothing_else() {
        let hosts = ["dotgate.test".to_owned()];
        let ours = [
            "127.0.0.1",
            "127.0.0.1:9153",
            "[::1]:9153",
            "[::1]",
            "[fe80::1%2]",
            "[fe80::1%eth0]:9153",
            "[fe80::1%25eth0]:9153",
            "[fe80::1%25fifteen-letters]",
            "[fe80::1%25]",
            "localhost",
            "LOCALHOST:80",
            "localhost.",
            "dotgate.test",
            "Dotgate.Test:9153",
        ];
        for host in ours {
            assert!(is_ours(host, &hosts), "{host}");
        }
        let foreign = [
            "",
            "rebind.example",
            "rebind.example:9153",
            "dotgate.test.example",
            "localhost.example",
            "127.0.0.1.example",
            "localhost:rebind.example",
            "[localhost]",
            "[fe80::1%]",
            "[fe80::1%eth0",
            "[fe80::1]rebind.example",
            "[fe80::1]:rebind.example",
            "[fe80::1%a/b]",
            "[127.0.0.1]",
            "fe80::1",
        ];
        for host in foreign {
            assert!(!is_ours(host, &hosts), "{host}");
        }
    }
}
