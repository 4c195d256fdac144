//! The question to a running dotgate, as its clients ask.
//!
//! It is where clients are: over UDP, and over TCP where the response is truncated. Limits: `WAIT` for each.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use dotgate_config::{NoInterface, ScopedAddress, ScopedSocketAddress};

use super::client::{QueryParameters, Response, Transport, ask};

/// What a response may take: dotgate answers within its deadline, which is 4 s unless it is set.
const WAIT: Duration = Duration::from_secs(6);

/// The port of plain DNS.
const PORT: u16 = 53;

/// Reads `ADDR` or `ADDR:PORT`.
///
/// # Errors
/// What is expected.
pub fn read_server(text: &str) -> Result<ScopedSocketAddress, &'static str> {
    let with_port = text.parse::<ScopedSocketAddress>();
    let bare = |_| text.parse::<ScopedAddress>().map(|it| it.with_port(PORT));
    with_port
        .or_else(bare)
        .map_err(|_| "expected ADDR or ADDR:PORT, [ADDR]:PORT for IPv6")
}

/// Where a listener is reached: one on all addresses is reached by loopback.
///
/// # Errors
/// [`NoInterface`].
pub(super) fn reached_at(listener: &ScopedSocketAddress) -> Result<SocketAddr, NoInterface> {
    let mut address = listener.resolve()?;
    if address.ip().is_unspecified() {
        let loopback: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(loopback);
    }
    Ok(address)
}

/// Asks `server`.
///
/// # Errors
/// As [`ask`].
pub(super) fn ask_server(server: SocketAddr, asked: &QueryParameters) -> io::Result<Response> {
    let over = |transport| QueryParameters {
        transport,
        ..asked.clone()
    };
    let response = ask(server, &over(Transport::Udp), WAIT)?;
    if response.message.header().tc() {
        return ask(server, &over(Transport::Tcp), WAIT);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_port_or_that_of_dns() {
        let read = |text: &str| reached_at(&read_server(text).unwrap()).unwrap().to_string();
        assert_eq!(read("192.0.2.1"), "192.0.2.1:53");
        assert_eq!(read("192.0.2.1:5300"), "192.0.2.1:5300");
        assert_eq!(read("::1"), "[::1]:53");
        assert_eq!(read("[2001:db8::1]:5300"), "[2001:db8::1]:5300");
        assert_eq!(read("0.0.0.0:5300"), "127.0.0.1:5300");
        assert_eq!(read("::"), "[::1]:53");
        assert!(read_server("dotgate.example").is_err());
    }
}
