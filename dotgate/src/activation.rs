//! Sockets that the service manager listens on before the service starts (socket activation, systemd.socket(5)).
//!
//! Each is used for the listener of the settings that has its address. While dotgate does not run, queries wait in them.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use dotgate_config::{Config, Environment, Listener};
use dotgate_net::activation::{Passed, PassedKind, Variables, take};

use crate::take_over::Role;

/// A socket with what it is for.
type Socket = (Role, std::os::fd::OwnedFd);

/// Why a socket of the service manager cannot be used.
#[derive(Debug)]
pub(crate) enum ActivationError {
    /// It says that there is one, but there is none.
    Missing(io::Error),
    /// It is no socket for datagrams or connections of the Internet's families.
    Unsuitable {
        /// Its name in the unit.
        name: String,
    },
    /// It is for both families of addresses.
    BothFamilies {
        /// Its name in the unit.
        name: String,
    },
    /// No listener of the settings has its address.
    Unexpected {
        /// Its name in the unit.
        name: String,
        /// What it is.
        role: Role,
    },
}

impl fmt::Display for ActivationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ActivationError::Missing(error) => write!(
                f,
                "sockets of the service manager: {error}\n  LISTEN_FDS names descriptors that are not open."
            ),
            ActivationError::Unsuitable { name } => write!(
                f,
                "the socket {name} of the service manager is not for UDP or TCP\n  Use ListenDatagram= and ListenStream= \
                 with an address and a port."
            ),
            ActivationError::BothFamilies { name } => write!(
                f,
                "the socket {name} of the service manager is for both IPv4 and IPv6\n  Set BindIPv6Only=ipv6-only, \
                 and add a line with 0.0.0.0 for IPv4."
            ),
            ActivationError::Unexpected { name, role } => write!(
                f,
                "the socket {name} of the service manager is for {role}, which is not a listener of the settings\n  \
                 Set HOST and PORT, DOTGATE_DOT_LISTEN, DOTGATE_DOH_LISTEN or DOTGATE_ADMIN_LISTEN to its address, or \
                 remove it from the socket unit."
            ),
        }
    }
}

impl std::error::Error for ActivationError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ActivationError::Missing(error) => Some(error),
            ActivationError::Unsuitable { .. }
            | ActivationError::BothFamilies { .. }
            | ActivationError::Unexpected { .. } => None,
        }
    }
}

/// Takes the sockets that were passed to this process, each with what it is for.
///
/// # Errors
/// [`ActivationError`]: one of them is of no use.
pub(crate) fn passed(
    environment: &Environment,
    config: &Config,
) -> Result<Vec<Socket>, ActivationError> {
    let text = |name| environment.value(name).and_then(|value| value.to_str());
    let passed = take(Variables {
        process: text("LISTEN_PID"),
        count: text("LISTEN_FDS"),
        names: text("LISTEN_FDNAMES"),
    });
    let passed = passed.map_err(ActivationError::Missing)?;
    passed.into_iter().map(|it| assign(it, config)).collect()
}

/// Finds what a socket is for.
fn assign(passed: Passed, config: &Config) -> Result<Socket, ActivationError> {
    let Passed {
        descriptor,
        name,
        kind,
    } = passed;
    let (role, is_expected) = match kind {
        PassedKind::Datagrams(address) => {
            let is_plain = |listener| listener == Listener::Plain;
            (Role::Udp(address), listens(config, address, is_plain))
        }
        PassedKind::Connections(address) if is_admins(config, address) => {
            (Role::Admin(address), true)
        }
        PassedKind::Connections(address) => {
            (Role::Tcp(address), listens(config, address, |_| true))
        }
        PassedKind::BothFamilies(_) => return Err(ActivationError::BothFamilies { name }),
        PassedKind::Other => return Err(ActivationError::Unsuitable { name }),
    };
    if is_expected {
        Ok((role, descriptor))
    } else {
        Err(ActivationError::Unexpected { name, role })
    }
}

fn listens(config: &Config, address: SocketAddr, is_meant: impl Fn(Listener) -> bool) -> bool {
    let listeners = config.server().listeners();
    let mut meant = listeners.filter(|(listener, _)| is_meant(*listener));
    meant.any(|(_, at)| at.resolve().is_ok_and(|at| at == address))
}

fn is_admins(config: &Config, address: SocketAddr) -> bool {
    let mut listen = config.admin().listen.iter();
    listen.any(|at| at.resolve().is_ok_and(|at| at == address))
}
