//! Addresses and routes of this host that come and go, as the kernel reports them (rtnetlink(7); Linux).
//!
//! Not on the path of a query. What is reported is a reason to look, no more: a reader that is too slow for the kernel's
//! reports learns of one change in place of many. Other systems report nothing.

/// What changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// An address was added, removed, or only renewed.
    Address,
    /// A route was added or removed.
    Route,
}

/// Bytes of the longest datagram with reports; what is longer is cut.
pub const REPORT_BYTES: usize = 32 << 10;

/// The number of the error that says that more happened than could be reported.
pub const OVERFLOW: i32 = libc::ENOBUFS;

#[cfg(target_os = "linux")]
pub use linux::{changes, listen};

#[cfg(not(target_os = "linux"))]
pub use other::{changes, listen};

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::net::netlink::SocketAddrNetlink;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

    use super::Change;

    /// `struct nlmsghdr`, and its alignment.
    const HEADER: usize = 16;
    const ALIGNMENT: usize = 4;

    /// Opens a socket at which the kernel reports changes, in datagrams for [`changes`]. It does not block, and an error
    /// `ENOBUFS` of reading from it says that more happened than could be reported.
    ///
    /// # Errors
    /// Those of the system: a service manager or container may forbid sockets of the family `AF_NETLINK`. `Unsupported` on
    /// other systems.
    pub fn listen() -> io::Result<OwnedFd> {
        let groups = libc::RTMGRP_IPV4_IFADDR
            | libc::RTMGRP_IPV6_IFADDR
            | libc::RTMGRP_IPV4_ROUTE
            | libc::RTMGRP_IPV6_ROUTE;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        // Protocol 0 is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, groups as u32))?;
        Ok(socket)
    }

    /// The changes in the messages of one datagram.
    #[must_use]
    pub fn changes(mut bytes: &[u8]) -> Vec<Change> {
        let mut found = Vec::new();
        while let Some((header, _)) = bytes.split_at_checked(HEADER) {
            let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
            let kind = u16::from_ne_bytes([header[4], header[5]]);
            let Some(body) = bytes.get(HEADER..length) else {
                break;
            };
            found.extend(change(kind, body));
            let padded = length.next_multiple_of(ALIGNMENT);
            bytes = bytes.get(padded..).unwrap_or_default();
        }
        found
    }

    fn change(kind: u16, body: &[u8]) -> Option<Change> {
        match kind {
            libc::RTM_NEWADDR | libc::RTM_DELADDR => {
                // struct ifaddrmsg: family, bits, flags. An address in duplicate detection cannot be used yet.
                let flags = u32::from(*body.get(2)?);
                (flags & libc::IFA_F_TENTATIVE == 0).then_some(Change::Address)
            }
            libc::RTM_NEWROUTE | libc::RTM_DELROUTE => {
                // struct rtmsg: the table is its fifth byte, and flags are the last four of twelve. Routes of the table
                // `local` come with addresses; cloned ones are the kernel's cache.
                let flags = body.get(8..12)?;
                let flags = u32::from_ne_bytes([flags[0], flags[1], flags[2], flags[3]]);
                let is_local = *body.get(4)? == libc::RT_TABLE_LOCAL;
                let is_cloned = flags & libc::RTM_F_CLONED != 0;
                (!is_local && !is_cloned).then_some(Change::Route)
            }
            _ => None,
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::io;
    use std::os::fd::OwnedFd;

    use super::Change;

    /// Fails: this system reports nothing.
    ///
    /// # Errors
    /// Always `Unsupported`.
    pub fn listen() -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// There are none.
    #[must_use]
    pub fn changes(_: &[u8]) -> Vec<Change> {
        Vec::new()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut message = (16 + body.len() as u32).to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(body);
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    fn route(table: u8, flags: u32) -> Vec<u8> {
        let mut body = vec![2, 0, 0, 0, table, 3, 0, 1];
        body.extend(flags.to_ne_bytes());
        body
    }

    #[test]
    fn addresses_and_routes_that_can_be_used_are_changes() {
        let parts = [
            message(libc::RTM_NEWADDR, &[2, 24, 0x80, 0, 1, 0, 0, 0]),
            // In duplicate detection.
            message(libc::RTM_NEWADDR, &[10, 64, 0xc0, 0, 1, 0, 0, 0]),
            message(libc::RTM_DELADDR, &[2, 24, 0x80, 0, 1, 0, 0, 0]),
            message(libc::RTM_NEWROUTE, &route(libc::RT_TABLE_MAIN, 0)),
            message(libc::RTM_NEWROUTE, &route(libc::RT_TABLE_LOCAL, 0)),
            message(libc::RTM_DELROUTE, &route(libc::RT_TABLE_MAIN, 0x200)),
            message(libc::RTM_NEWLINK, &[0; 16]),
        ];
        let expected = [Change::Address, Change::Address, Change::Route];
        assert_eq!(changes(&parts.concat()), expected);
    }

    #[test]
    fn any_bytes_are_read_to_their_end() {
        let whole = message(libc::RTM_NEWROUTE, &route(libc::RT_TABLE_MAIN, 0));
        for length in 0..whole.len() {
            assert_eq!(changes(&whole[..length]), [], "{length}");
        }
        // A length of zero, and one beyond the end.
        assert_eq!(changes(&[0; 64]), []);
        assert_eq!(changes(&[0xff; 64]), []);
    }

    #[test]
    fn the_kernel_takes_the_listener() {
        listen().unwrap();
    }
}
