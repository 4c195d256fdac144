//! Sockets that the service manager opened before it started this process (`LISTEN_FDS`, sd_listen_fds(3)).
//!
//! Not on the path of a query. The descriptors follow the three standard ones; each is taken once, whatever it is, and is
//! closed on exec from then on.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{SockRef, Type};

use crate::udp::prepare;

/// The first descriptor that is passed.
const FIRST: RawFd = 3;

/// Descriptors that are taken at most; a service manager passes one for each line of its socket units.
const MAX: u32 = 512;

/// A socket that was passed.
#[derive(Debug)]
pub struct Passed {
    /// The socket.
    pub descriptor: OwnedFd,
    /// Its name: `FileDescriptorName=` of the unit.
    pub name: String,
    /// What it is.
    pub kind: PassedKind,
}

/// What a passed descriptor is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PassedKind {
    /// It receives datagrams at this address.
    Datagrams(SocketAddr),
    /// It listens for connections at this address.
    Connections(SocketAddr),
    /// It is for IPv6 and IPv4 alike, at `[::]`. dotgate has a socket for each.
    BothFamilies(SocketAddr),
    /// None of these.
    Other,
}

/// The variables of a process that was started with sockets: its process ID, how many there are, and their names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Variables<'a> {
    /// `LISTEN_PID`.
    pub process: Option<&'a str>,
    /// `LISTEN_FDS`.
    pub count: Option<&'a str>,
    /// `LISTEN_FDNAMES`, divided by colons.
    pub names: Option<&'a str>,
}

impl Variables<'_> {
    /// How many descriptors were passed to this process: none if the variables are those of another one.
    fn count(self, own_process: u32) -> u32 {
        let process = self.process.and_then(|text| text.parse::<u32>().ok());
        let count = self.count.and_then(|text| text.parse::<u32>().ok());
        let count = count.filter(|_| process == Some(own_process));
        count.unwrap_or_default().min(MAX)
    }
}

/// Takes the sockets that were passed to this process. Later calls get none.
///
/// # Errors
/// A descriptor is not open.
pub fn take(variables: Variables<'_>) -> io::Result<Vec<Passed>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let count = variables.count(std::process::id());
    if count == 0 || TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let mut names = variables.names.unwrap_or_default().split(':');
    let mut passed = Vec::new();
    for descriptor in (FIRST..).take(count as usize) {
        let name = names.next().unwrap_or_default().to_owned();
        passed.push(take_one(descriptor, name)?);
    }
    Ok(passed)
}

fn take_one(descriptor: RawFd, name: String) -> io::Result<Passed> {
    // SAFETY: the call takes any number for a descriptor.
    if unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and nothing else in this process owns it: the variables name this process, so the process
    // that started it opened the descriptor for it, and `TAKEN` lets it be taken once.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let socket = SockRef::from(&descriptor);
    let kind = kind(&socket).unwrap_or(PassedKind::Other);
    socket.set_nonblocking(true)?;
    if let PassedKind::Datagrams(address) = kind {
        prepare(&socket, address)?;
    }
    Ok(Passed {
        descriptor,
        name,
        kind,
    })
}

/// What a socket is; none for what is no socket of the Internet's families.
fn kind(socket: &SockRef<'_>) -> Option<PassedKind> {
    let address = socket.local_addr().ok()?.as_socket()?;
    if address.is_ipv6() && address.ip().is_unspecified() && !socket.only_v6().ok()? {
        return Some(PassedKind::BothFamilies(address));
    }
    match socket.r#type().ok()? {
        Type::DGRAM => Some(PassedKind::Datagrams(address)),
        Type::STREAM => Some(PassedKind::Connections(address)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn the_variables_of_another_process_pass_nothing() {
        let variables = |process, count| Variables {
            process,
            count,
            names: None,
        };
        assert_eq!(variables(Some("7"), Some("3")).count(7), 3);
        assert_eq!(variables(Some("7"), Some("3")).count(8), 0);
        assert_eq!(variables(None, Some("3")).count(7), 0);
        assert_eq!(variables(Some("7"), None).count(7), 0);
        assert_eq!(variables(Some("7"), Some("many")).count(7), 0);
        assert_eq!(variables(Some("7"), Some("4000000000")).count(7), MAX);
    }

    #[test]
    fn a_socket_says_what_it_is() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("[::1]:0").unwrap();
        let (at_udp, at_tcp) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        assert_eq!(
            kind(&SockRef::from(&udp)),
            Some(PassedKind::Datagrams(at_udp))
        );
        assert_eq!(
            kind(&SockRef::from(&tcp)),
            Some(PassedKind::Connections(at_tcp))
        );
        let (unix, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(kind(&SockRef::from(&unix)), None);
        let both = TcpListener::bind("[::]:0").unwrap();
        let at_both = both.local_addr().unwrap();
        assert_eq!(
            kind(&SockRef::from(&both)),
            Some(PassedKind::BothFamilies(at_both))
        );
    }
}
