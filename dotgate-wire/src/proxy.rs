//! The header of PROXY protocol version 2, with which a balancer names the client that it speaks for.
//!
//! It precedes the first byte of a connection, or the query of a datagram. Keeps no state: what is not complete stays with
//! the caller. Limits: a header has at most [`PROXY_HEADER_MAX`] bytes. Follows "The PROXY protocol, versions 1 & 2", section
//! 2.2.
//!
//! *Not done*: version 1, which is text and cannot precede a datagram; what is behind the addresses (TLVs) is skipped,
//! the checksum included, since only listed balancers may send a header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::bytes::{u8_at, u16_at};

/// Bytes that every header begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes before the addresses.
const FIXED_LEN: usize = 16;

/// The most bytes of a header that is read. Addresses take 36; balancers may add much about the connection.
pub const PROXY_HEADER_MAX: usize = FIXED_LEN + 4_096;

/// What is known of a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyHeader {
    /// It has at least this many bytes, of which some are missing.
    Incomplete {
        /// More than there are.
        length: usize,
    },
    /// It is complete.
    Complete {
        /// How many bytes it has; what follows is the client's.
        length: usize,
        /// The client; none if the balancer speaks for itself, as to find out whether this instance works, or for
        /// somebody who has no IP address.
        client: Option<IpAddr>,
    },
}

/// Why bytes are no header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyFault {
    /// They begin otherwise.
    Missing,
    /// They begin like one: of another version, with an unknown command or family, without room for its addresses, or
    /// too long.
    Malformed,
}

/// Reads the header at the start of `bytes`.
///
/// # Errors
/// [`ProxyFault`], as soon as no further byte can change it.
pub fn parse_proxy_header(bytes: &[u8]) -> Result<ProxyHeader, ProxyFault> {
    let begun = bytes.len().min(SIGNATURE.len());
    if bytes.get(..begun) != SIGNATURE.get(..begun) {
        return Err(ProxyFault::Missing);
    }
    let (Some(command), Some(family), Some(rest)) =
        (u8_at(bytes, 12), u8_at(bytes, 13), u16_at(bytes, 14))
    else {
        return Ok(ProxyHeader::Incomplete { length: FIXED_LEN });
    };
    let length = FIXED_LEN + usize::from(rest);
    let family = match Command::of(command).ok_or(ProxyFault::Malformed)? {
        Command::Proxy => Family::of(family).ok_or(ProxyFault::Malformed)?,
        // Whatever it says of addresses is ignored.
        Command::Local => Family::None,
    };
    if length > PROXY_HEADER_MAX || usize::from(rest) < family.addresses_len() {
        return Err(ProxyFault::Malformed);
    }
    let Some(addresses) = bytes.get(FIXED_LEN..length) else {
        return Ok(ProxyHeader::Incomplete { length });
    };
    let client = family.source(addresses);
    Ok(ProxyHeader::Complete { length, client })
}

/// For whom the balancer speaks.
enum Command {
    Local,
    Proxy,
}

impl Command {
    fn of(byte: u8) -> Option<Command> {
        match byte {
            0x20 => Some(Command::Local),
            0x21 => Some(Command::Proxy),
            _ => None,
        }
    }
}

/// What kind of addresses there are.
enum Family {
    /// None that count: unspecified, or those of Unix sockets.
    None,
    Unix,
    V4,
    V6,
}

impl Family {
    /// The transport is that between client and balancer, and need not be the one to here.
    fn of(byte: u8) -> Option<Family> {
        match byte {
            0x00 => Some(Family::None),
            0x11 | 0x12 => Some(Family::V4),
            0x21 | 0x22 => Some(Family::V6),
            0x31 | 0x32 => Some(Family::Unix),
            _ => None,
        }
    }

    /// Bytes of both addresses with their ports.
    fn addresses_len(&self) -> usize {
        match self {
            Family::None => 0,
            Family::V4 => 12,
            Family::V6 => 36,
            Family::Unix => 216,
        }
    }

    /// The address of the client, which is the first of the two.
    fn source(&self, addresses: &[u8]) -> Option<IpAddr> {
        match self {
            Family::None | Family::Unix => None,
            Family::V4 => {
                let address: &[u8; 4] = addresses.first_chunk()?;
                Some(Ipv4Addr::from(*address).into())
            }
            Family::V6 => {
                let address: &[u8; 16] = addresses.first_chunk()?;
                Some(Ipv6Addr::from(*address).to_canonical())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    fn v4() -> Vec<u8> {
        vec![192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0, 53]
    }

    fn client(bytes: &[u8]) -> Option<IpAddr> {
        match parse_proxy_header(bytes).unwrap() {
            ProxyHeader::Complete { length, client } => {
                assert!(length <= bytes.len());
                client
            }
            ProxyHeader::Incomplete { length } => panic!("{length} bytes of {}", bytes.len()),
        }
    }

    #[test]
    fn a_proxy_header_names_the_client_whatever_transport_it_came_by() {
        let ip = |text: &str| Some(text.parse().unwrap());
        for family in [0x11, 0x12] {
            assert_eq!(client(&header(0x21, family, &v4())), ip("192.0.2.7"));
        }
        let mut v6 = vec![0; 36];
        v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        v6[15] = 9;
        for family in [0x21, 0x22] {
            assert_eq!(client(&header(0x21, family, &v6)), ip("2001:db8::9"));
        }
        let mut mapped = vec![0; 36];
        mapped[10..16].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 8]);
        assert_eq!(client(&header(0x21, 0x22, &mapped)), ip("192.0.2.8"));
    }

    #[test]
    fn a_balancer_that_speaks_for_itself_or_for_nobody_names_no_client() {
        assert_eq!(client(&header(0x20, 0x11, &v4())), None);
        assert_eq!(client(&header(0x20, 0x00, &[])), None);
        // The family of a balancer that speaks for itself is ignored.
        assert_eq!(client(&header(0x20, 0x21, &[0; 35])), None);
        assert_eq!(client(&header(0x20, 0xff, &[])), None);
        assert_eq!(client(&header(0x21, 0x00, &[])), None);
        assert_eq!(client(&header(0x21, 0x00, &[1, 2, 3])), None);
        assert_eq!(client(&header(0x21, 0x31, &[b'/'; 216])), None);
    }

    #[test]
    fn what_follows_the_addresses_is_skipped_and_what_follows_the_header_is_the_clients() {
        let tlv = [0x03, 0, 4, 1, 2, 3, 4];
        let mut bytes = header(0x21, 0x11, &[&v4()[..], &tlv].concat());
        let length = bytes.len();
        bytes.extend_from_slice(b"query");
        let client = Some("192.0.2.7".parse().unwrap());
        let complete = ProxyHeader::Complete { length, client };
        assert_eq!(parse_proxy_header(&bytes), Ok(complete));
    }

    #[test]
    fn a_proxy_header_may_come_in_pieces() {
        let bytes = header(0x21, 0x11, &v4());
        for end in 0..bytes.len() {
            let length = if end < FIXED_LEN {
                FIXED_LEN
            } else {
                bytes.len()
            };
            let incomplete = ProxyHeader::Incomplete { length };
            assert_eq!(parse_proxy_header(&bytes[..end]), Ok(incomplete), "{end}");
        }
    }

    #[test]
    fn what_is_no_header_of_version_2_is_refused_as_soon_as_that_shows() {
        for bytes in [
            &b"P"[..],
            b"PROXY TCP4 192.0.2.7 198.51.100.1 12345 53\r\n",
            b"\r\n\r\n\0\r\nQUIT\r",
            b"\0\x1d\x12\x34",
        ] {
            assert_eq!(parse_proxy_header(bytes), Err(ProxyFault::Missing));
        }
        for (command, family, rest) in [
            (0x11, 0x11, &v4()[..]),
            (0x31, 0x11, &v4()),
            (0x22, 0x11, &v4()),
            (0x21, 0x10, &v4()),
            (0x21, 0x13, &v4()),
            (0x21, 0x41, &v4()),
            (0x21, 0x11, &v4()[..11]),
            (0x21, 0x21, &[0; 35]),
            (0x20, 0x21, &[0; 4_097]),
            (0x21, 0x31, &[0; 215]),
            (0x21, 0x11, &[0; 4_097]),
        ] {
            let bytes = header(command, family, rest);
            assert_eq!(parse_proxy_header(&bytes), Err(ProxyFault::Malformed));
            assert_eq!(
                parse_proxy_header(&bytes[..FIXED_LEN]),
                Err(ProxyFault::Malformed)
            );
        }
        assert!(parse_proxy_header(&header(0x21, 0x11, &[0; 4_096])).is_ok());
    }
}
