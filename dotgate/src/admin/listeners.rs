//! Whose process listens at the admin endpoint's address, so that the token is sent to no other process.
//!
//! While dotgate is stopped any user may listen on its port, and would be sent the token by the next command. The
//! system's table of sockets says which user began to listen.
//! Linux alone: elsewhere there is no such table, and nothing is checked.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use dotgate_net::descriptors::own_user;

const ROOT: u32 = 0;

/// The folder of the service's own that systemd makes; only root may make another one there.
const RUNTIME_FOLDER: &str = "/run/dotgate";

/// The users whose processes may be sent the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// Any user: the file of the token is open to all of them anyway.
    Everybody,
    /// These.
    Users(Vec<u32>),
}

impl Trusted {
    /// This user, root and the owner of the token's file. Root trusts the user of the service as well, who owns the
    /// folder of the take-over socket.
    pub fn with_token(token_file: &Path, take_over_socket: Option<&Path>) -> Trusted {
        const READ_BY_ALL: u32 = 0o004;
        let mut users = vec![ROOT, own_user()];
        if let Ok(metadata) = fs::metadata(token_file) {
            if metadata.mode() & READ_BY_ALL != 0 {
                return Trusted::Everybody;
            }
            users.push(metadata.uid());
        }
        if own_user() == ROOT {
            let folder = take_over_socket.and_then(Path::parent);
            let folder = folder.unwrap_or(Path::new(RUNTIME_FOLDER));
            users.extend(fs::metadata(folder).map(|metadata| metadata.uid()));
        }
        Trusted::Users(users)
    }

    fn has(&self, user: u32) -> bool {
        match self {
            Trusted::Everybody => true,
            Trusted::Users(users) => users.contains(&user),
        }
    }
}

/// What is known of the processes that listen at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listening {
    /// None of this host does.
    Nobody,
    /// Those that do are trusted.
    Trusted,
    /// One of another user does.
    Stranger(u32),
    /// The system does not say.
    Unknown,
}

/// Finds out whose processes listen at `address`, where there is a table of sockets to ask.
pub fn listening_at(address: SocketAddr, trusted: &Trusted) -> Listening {
    if cfg!(not(target_os = "linux")) {
        return Listening::Trusted;
    }
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    if tables.iter().all(Result::is_err) {
        return Listening::Unknown;
    }
    let tables = tables.into_iter().flatten();
    let users = tables.flat_map(|table| users_in(&table, address));
    let users: Vec<u32> = users.collect();
    match users.iter().find(|user| !trusted.has(**user)) {
        Some(user) => Listening::Stranger(*user),
        None if users.is_empty() => Listening::Nobody,
        None => Listening::Trusted,
    }
}

/// The users of sockets that listen at `address`, in a table like that of proc_net_tcp(5).
fn users_in(table: &str, address: SocketAddr) -> Vec<u32> {
    let line_user = |line: &str| {
        const LISTEN: &str = "0A";
        let mut fields = line.split_whitespace();
        let local = fields.nth(1)?;
        let state = fields.nth(1)?;
        let user = fields.nth(3)?.parse().ok()?;
        let is_meant = state == LISTEN && is_reached(local_address(local)?, address);
        is_meant.then_some(user)
    };
    table.lines().skip(1).filter_map(line_user).collect()
}

/// Whether a connection to `address` may end at a listener that is bound to `local`.
fn is_reached(local: SocketAddr, address: SocketAddr) -> bool {
    let (ip, wanted) = (local.ip().to_canonical(), address.ip().to_canonical());
    let takes_all = match (ip, wanted) {
        (IpAddr::V4(ip), IpAddr::V4(_)) => ip.is_unspecified(),
        // By default, a wildcard of IPv6 takes IPv4 too.
        (IpAddr::V6(ip), IpAddr::V4(_) | IpAddr::V6(_)) => ip.is_unspecified(),
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
    };
    local.port() == address.port() && (takes_all || ip == wanted)
}

/// Reads `0100007F:23C1`: words in the order of the machine, the port as a number.
fn local_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for start in (0..ip.len()).step_by(8) {
        let word = u32::from_str_radix(ip.get(start..start + 8)?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    let ip = match bytes.len() {
        4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn users(text: &str, address: &str) -> Vec<u32> {
        users_in(text, address.parse().unwrap())
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_users_of_listeners_are_read_from_the_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:23C1 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 17 1 0 100 0 0 10 0\n\
             1: 00000000:23C1 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 18 1 0 100 0 0 10 0\n\
             2: 0100007F:23C1 0100007F:9000 01 00000000:00000000 00:00000000 00000000  1002        0 19 1 0 100 0 0 10 0\n\
             3: 0100007F:23C2 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1003        0 20 1 0 100 0 0 10 0\n";
        assert_eq!(users(table, "127.0.0.1:9153"), [1000, 1001]);
        assert_eq!(users(table, "127.0.0.2:9153"), [1001]);
        assert_eq!(users(table, "127.0.0.1:9154"), [1003]);
        assert_eq!(users(table, "[::1]:9153"), [0; 0]);
        let v6 = "  sl  local_address                         remote_address\n\
             0: 00000000000000000000000001000000:23C1 00000000000000000000000000000000:0000 0A 0:0 00:0 0  1004        0 17\n\
             1: 00000000000000000000000000000000:23C1 00000000000000000000000000000000:0000 0A 0:0 00:0 0  1005        0 17\n\
             2: broken\n";
        assert_eq!(users(v6, "[::1]:9153"), [1004, 1005]);
        assert_eq!(users(v6, "127.0.0.1:9153"), [1005]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_listener_of_this_process_is_of_this_user() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let own = Trusted::Users(vec![own_user()]);
        assert_eq!(listening_at(address, &own), Listening::Trusted);
        let nobody = Trusted::Users(Vec::new());
        let stranger = Listening::Stranger(own_user());
        assert_eq!(listening_at(address, &nobody), stranger);
        drop(listener);
        assert_eq!(listening_at(address, &own), Listening::Nobody);
    }

    #[test]
    fn a_token_that_all_may_read_may_go_to_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "0123456789abcdef").unwrap();
        let trusted = |mode| {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            Trusted::with_token(&file, Some(&file))
        };
        assert_eq!(trusted(0o644), Trusted::Everybody);
        let private = trusted(0o640);
        assert!(private.has(own_user()) && private.has(ROOT) && !private.has(own_user() ^ 4_321));
    }
}
