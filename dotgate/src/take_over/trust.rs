//! What a take-over trusts: a folder that no one else may write to, a process of the own user or of root, sockets that
//! are what they are said to be. Of files at its path it removes only a socket of the own user.
//!
//! Without this, a process that listens at the path first could pass its own sockets to the new process, and answer
//! its clients.

use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use dotgate_net::descriptors::{own_user, peer_user};
use socket2::{Domain, SockRef, Type};

use super::Role;

/// Write permission of the group and of everybody.
const OTHERS_WRITE: u32 = 0o022;

/// Why a folder is no place for a take-over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FolderFault {
    /// It belongs to this user.
    Owner(u32),
    /// Others than its owner may write to it, by this mode.
    Mode(u32),
}

impl fmt::Display for FolderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FolderFault::Owner(user) => write!(f, "the folder belongs to user {user}"),
            FolderFault::Mode(mode) => {
                write!(
                    f,
                    "others may write to the folder (mode {:04o})",
                    mode & 0o7777
                )
            }
        }
    }
}

/// Whether this user is trusted by a process of the own user.
pub(crate) fn is_trusted(user: u32) -> bool {
    const ROOT: u32 = 0;
    user == ROOT || user == own_user()
}

/// Finds out whether others may put a socket into the folder of `path`. A missing one is no fault: nobody
/// listens in it.
pub(crate) fn folder_fault(path: &Path) -> Option<FolderFault> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    let metadata = fs::metadata(folder).ok()?;
    if !is_trusted(metadata.uid()) {
        Some(FolderFault::Owner(metadata.uid()))
    } else if metadata.mode() & OTHERS_WRITE != 0 {
        Some(FolderFault::Mode(metadata.mode()))
    } else {
        None
    }
}

/// The user of the process at the other end, if it is not trusted.
pub(super) fn stranger(stream: &UnixStream) -> io::Result<Option<u32>> {
    peer_user(stream).map(|user| (!is_trusted(user)).then_some(user))
}

/// Whether a socket is of the kind and at the address that its role says.
pub(super) fn is_as_said(role: Role, descriptor: &OwnedFd) -> bool {
    let socket = SockRef::from(descriptor);
    let is = |kind| socket.r#type().is_ok_and(|it| it == kind);
    let is_listener =
        || is(Type::STREAM) && dotgate_net::tcp::is_listener(&socket).unwrap_or(false);
    let is_at = |address: SocketAddr| {
        let bound = socket.local_addr().ok().and_then(|it| it.as_socket());
        bound.is_some_and(|it| is_same(it, address))
    };
    match role {
        Role::Udp(address) => is(Type::DGRAM) && is_at(address),
        Role::Tcp(address) | Role::Admin(address) => is_listener() && is_at(address),
        Role::TakeOver | Role::AdminSocket => {
            let is_local = || {
                let address = socket.local_addr();
                address.is_ok_and(|it| it.domain() == Domain::UNIX)
            };
            is_listener() && is_local()
        }
    }
}

/// Whether both are one address; the flow of an IPv6 address is none of it.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    match (one, other) {
        (SocketAddr::V4(one), SocketAddr::V4(other)) => one == other,
        (SocketAddr::V6(one), SocketAddr::V6(other)) => {
            let parts = |it: std::net::SocketAddrV6| (*it.ip(), it.port(), it.scope_id());
            parts(one) == parts(other)
        }
        (SocketAddr::V4(_), SocketAddr::V6(_)) | (SocketAddr::V6(_), SocketAddr::V4(_)) => false,
    }
}

/// Removes the socket that a process of the own user left at `path`; nothing else is ever removed.
///
/// # Errors
/// `AlreadyExists` if something else is there; those of the system.
pub(crate) fn remove_socket(path: &Path) -> io::Result<()> {
    let is_own = |it: &Metadata| it.file_type().is_socket() && it.uid() == own_user();
    match fs::symlink_metadata(path) {
        Ok(metadata) if is_own(&metadata) => fs::remove_file(path),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file that is not a socket of this user; it is not removed",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_folder_that_others_may_write_to_is_no_place_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("take-over.sock");
        for (mode, is_fault) in [
            (0o700, false),
            (0o755, false),
            (0o775, true),
            (0o757, true),
            (0o1777, true),
        ] {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(folder_fault(&path).is_some(), is_fault, "{mode:o}");
        }
        assert_eq!(folder_fault(Path::new("/nowhere/at/all")), None);
    }

    #[test]
    fn only_a_socket_is_removed_at_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("take-over.sock");
        assert!(remove_socket(&path).is_ok());
        drop(UnixListener::bind(&path).unwrap());
        assert!(remove_socket(&path).is_ok());
        assert!(!path.exists());
        fs::write(&path, "content").unwrap();
        assert!(remove_socket(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "content");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(remove_socket(&link).is_err());
    }

    #[test]
    fn a_socket_is_taken_for_its_own_address_and_kind_alone() {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (at_udp, at_tcp) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        let client = TcpStream::connect(at_tcp).unwrap();
        let at_client = client.local_addr().unwrap();
        let [udp, tcp, client]: [OwnedFd; 3] = [udp.into(), tcp.into(), client.into()];
        assert!(is_as_said(Role::Udp(at_udp), &udp));
        assert!(is_as_said(Role::Tcp(at_tcp), &tcp) && is_as_said(Role::Admin(at_tcp), &tcp));
        let elsewhere = SocketAddr::from((Ipv4Addr::LOCALHOST, at_udp.port() ^ 1));
        assert!(!is_as_said(Role::Udp(elsewhere), &udp));
        assert!(!is_as_said(Role::Tcp(at_udp), &udp));
        assert!(!is_as_said(Role::Udp(at_tcp), &tcp));
        assert!(!is_as_said(Role::Tcp(at_client), &client), "no listener");
        assert!(!is_as_said(Role::TakeOver, &tcp));
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, at_udp.port()));
        assert!(!is_as_said(Role::Udp(v6), &udp));
    }
}
