//! Who the client believes it asks: a web page that points its own name at this address (DNS rebinding) would
//! otherwise read everything here in the browser of somebody near.

use std::net::{IpAddr, SocketAddr};

use hyper::Request;
use hyper::header::HOST;

use super::refusal::Refusal;

/// Checks that a request is for us: for an address, `localhost`, or one of `hosts`.
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
    let host = authority.or(header).ok_or(Refusal::NoHost)?;
    if is_ours(host, hosts) {
        Ok(())
    } else {
        Err(Refusal::ForeignHost)
    }
}

fn is_ours(host: &str, hosts: &[String]) -> bool {
    if host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()) {
        return true;
    }
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if bracketed.is_some_and(|ip| ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6())) {
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
        ];
        for host in foreign {
            assert!(!is_ours(host, &hosts), "{host}");
        }
    }
}
