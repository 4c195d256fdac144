//! Socket addresses between Rust's form and the kernel's.

use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Writes `address` where the kernel will read it and returns its length in bytes.
///
/// # Safety
/// `storage` is valid for writes, aligned, and not accessed by anybody else meanwhile.
pub(super) unsafe fn write(
    address: SocketAddr,
    storage: *mut libc::sockaddr_storage,
) -> libc::socklen_t {
    match address {
        SocketAddr::V4(address) => {
            // SAFETY: sockaddr_in is a C struct of integers, for which zeros are valid.
            let mut raw: libc::sockaddr_in = unsafe { mem::zeroed() };
            raw.sin_family = libc::AF_INET as libc::sa_family_t;
            raw.sin_port = address.port().to_be();
            raw.sin_addr.s_addr = u32::from(*address.ip()).to_be();
            // SAFETY: the caller promises room for a sockaddr_storage, which is at least as big
            // and as aligned as any address of a family.
            unsafe { storage.cast::<libc::sockaddr_in>().write(raw) };
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(address) => {
            // SAFETY: sockaddr_in6 is a C struct of integers, for which zeros are valid.
            let mut raw: libc::sockaddr_in6 = unsafe { mem::zeroed() };
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = address.port().to_be();
            raw.sin6_flowinfo = address.flowinfo();
            raw.sin6_addr.s6_addr = address.ip().octets();
            raw.sin6_scope_id = address.scope_id();
            // SAFETY: as above.
            unsafe { storage.cast::<libc::sockaddr_in6>().write(raw) };
            size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

/// Reads the address the kernel wrote, or `None` where it is neither IPv4 nor IPv6.
///
/// # Safety
/// `storage` is valid for reads, aligned, fully initialised, and not written meanwhile.
pub(super) unsafe fn read(storage: *const libc::sockaddr_storage) -> Option<SocketAddr> {
    // SAFETY: the caller promises a readable sockaddr_storage.
    let family = unsafe { (*storage).ss_family };
    match libc::c_int::from(family) {
        libc::AF_INET => {
            // SAFETY: the family says that a sockaddr_in is there, and a storage has its room.
            let raw = unsafe { storage.cast::<libc::sockaddr_in>().read() };
            let ip = Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(raw.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that a sockaddr_in6 is there, and a storage has its room.
            let raw = unsafe { storage.cast::<libc::sockaddr_in6>().read() };
            let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
            let port = u16::from_be(raw.sin6_port);
            Some(SocketAddrV6::new(ip, port, raw.sin6_flowinfo, raw.sin6_scope_id).into())
        }
        _ => None,
    }
}
