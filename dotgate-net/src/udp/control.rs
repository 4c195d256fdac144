//! Packet information: the one control message that travels with a datagram.
//!
//! On a socket bound to an unspecified address the kernel says where a query came to, and is given
//! where the response leaves from (RFC 3542 section 6 for IPv6; `ip(7)` for IPv4).

use std::mem;
use std::net::{IpAddr, Ipv6Addr};

use super::LocalAddress;

/// Room for either family's packet information with its header (40 bytes on 64-bit Linux), and
/// as aligned as a control message's header has to be.
#[repr(C, align(8))]
pub(super) struct ControlBuffer([u8; CONTROL_BYTES]);

/// Bytes of a [`ControlBuffer`].
pub(super) const CONTROL_BYTES: usize = 64;

/// Reads where the datagram of `header` came in, from its control messages.
///
/// # Safety
/// `header` is valid for reads, and its control pointer and length describe readable memory,
/// aligned for a `cmsghdr`, that holds what the kernel wrote and is not written meanwhile.
pub(super) unsafe fn read(header: *const libc::msghdr) -> LocalAddress {
    // SAFETY: the caller promises a header with readable control messages.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !message.is_null() {
        // SAFETY: not null, so it is a whole cmsghdr within the control buffer.
        let (level, kind) = unsafe { ((*message).cmsg_level, (*message).cmsg_type) };
        // SAFETY: as above; the data follows the header.
        let data = unsafe { libc::CMSG_DATA(message) };
        match (level, kind) {
            (libc::IPPROTO_IP, ipv4::DESTINATION) => {
                // SAFETY: the kernel writes this structure for this kind; its alignment is open.
                let info = unsafe { data.cast::<ipv4::Info>().read_unaligned() };
                let (ip, interface) = ipv4::destination(info);
                return local_address(ip.into(), ip.is_link_local(), interface);
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                // SAFETY: the kernel writes an in6_pktinfo for this kind; its alignment is open.
                let info = unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
                let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                let is_link_local = ip.is_unicast_link_local();
                return local_address(ip.into(), is_link_local, info.ipi6_ifindex as u32);
            }
            // Nothing else was asked for; what is unknown is passed over.
            (_, _) => {}
        }
        // SAFETY: `message` lies in the control buffer of `header`.
        message = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    LocalAddress::default()
}

fn local_address(ip: IpAddr, is_link_local: bool, interface: u32) -> LocalAddress {
    LocalAddress {
        ip: Some(ip),
        interface: if is_link_local { interface } else { 0 },
    }
}

/// Writes the control message that makes the datagram of `header` leave from `local` into
/// `buffer` and makes `header` refer to it, or to nothing where `local` leaves it open.
///
/// # Safety
/// `header` and `buffer` are valid for reads and writes, aligned, and not accessed by anybody
/// else meanwhile; `buffer` outlives the header's use.
pub(super) unsafe fn write(
    local: LocalAddress,
    header: *mut libc::msghdr,
    buffer: *mut ControlBuffer,
) {
    match local.ip {
        None => {
            // SAFETY: the caller promises a writable header.
            unsafe {
                (*header).msg_control = std::ptr::null_mut();
                (*header).msg_controllen = 0;
            }
        }
        Some(IpAddr::V4(ip)) => {
            let info = ipv4::source(ip, local.interface);
            // SAFETY: passed on from the caller.
            unsafe { write_one(libc::IPPROTO_IP, ipv4::SOURCE, info, header, buffer) };
        }
        Some(IpAddr::V6(ip)) => {
            // SAFETY: in6_pktinfo is a C struct of integers, for which zeros are valid.
            let mut info: libc::in6_pktinfo = unsafe { mem::zeroed() };
            info.ipi6_addr.s6_addr = ip.octets();
            info.ipi6_ifindex = local.interface as _;
            // SAFETY: passed on from the caller.
            unsafe { write_one(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info, header, buffer) };
        }
    }
}

/// Packet information of IPv4: address and interface, in both directions.
#[cfg(not(target_os = "freebsd"))]
pub(super) mod ipv4 {
    use std::mem;
    use std::net::Ipv4Addr;

    pub(in crate::udp) type Info = libc::in_pktinfo;
    /// The option of a socket, and the message that it has the kernel add.
    pub(in crate::udp) const DESTINATION: libc::c_int = libc::IP_PKTINFO;
    /// The message that says where a datagram leaves from.
    pub(in crate::udp) const SOURCE: libc::c_int = libc::IP_PKTINFO;

    /// The address to answer from: it is the datagram's destination, unless that was a broadcast, from which nothing can
    /// be sent.
    pub(super) fn destination(info: Info) -> (Ipv4Addr, u32) {
        let ip = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr));
        (ip, info.ipi_ifindex as u32)
    }

    pub(super) fn source(ip: Ipv4Addr, interface: u32) -> Info {
        // SAFETY: in_pktinfo is a C struct of integers, for which zeros are valid.
        let mut info: Info = unsafe { mem::zeroed() };
        info.ipi_spec_dst.s_addr = u32::from(ip).to_be();
        info.ipi_ifindex = interface as _;
        info
    }
}

/// Packet information of IPv4 is an address alone, by one kind of message in each direction (ip(4)).
#[cfg(target_os = "freebsd")]
pub(super) mod ipv4 {
    use std::net::Ipv4Addr;

    pub(in crate::udp) type Info = libc::in_addr;
    /// The option of a socket, and the message that it has the kernel add.
    pub(in crate::udp) const DESTINATION: libc::c_int = libc::IP_RECVDSTADDR;
    /// The message that says where a datagram leaves from.
    pub(in crate::udp) const SOURCE: libc::c_int = libc::IP_SENDSRCADDR;

    pub(super) fn destination(info: Info) -> (Ipv4Addr, u32) {
        (Ipv4Addr::from(u32::from_be(info.s_addr)), 0)
    }

    pub(super) fn source(ip: Ipv4Addr, _: u32) -> Info {
        libc::in_addr {
            s_addr: u32::from(ip).to_be(),
        }
    }
}

/// # Safety
/// As for [`write()`]; `T` is a C struct that fits a [`ControlBuffer`] together with its header.
unsafe fn write_one<T>(
    level: libc::c_int,
    kind: libc::c_int,
    data: T,
    header: *mut libc::msghdr,
    buffer: *mut ControlBuffer,
) {
    let length = size_of::<T>() as libc::c_uint;
    // SAFETY: these two only compute sizes.
    let (space, whole) = unsafe { (libc::CMSG_SPACE(length), libc::CMSG_LEN(length)) };
    const { assert!(size_of::<T>() + 2 * size_of::<libc::cmsghdr>() <= CONTROL_BYTES) };
    // SAFETY: the caller promises both to be writable; the buffer is aligned for a cmsghdr and,
    // by the assertion above, has room for it and the data, so CMSG_FIRSTHDR is not null.
    unsafe {
        (*header).msg_control = buffer.cast();
        (*header).msg_controllen = space as _;
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = level;
        (*message).cmsg_type = kind;
        (*message).cmsg_len = whole as _;
        libc::CMSG_DATA(message).cast::<T>().write_unaligned(data);
    }
}
