//! The new process's side: asks the running one for its sockets, and completes the handover once these are served.
//!
//! Runs before there is a control thread, so it waits; every wait is bounded by `WAIT_MAX`.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dotgate_core::CookieSecret;
use dotgate_net::descriptors;

use super::routes::of_line;
use super::trust::{folder_fault, is_as_said, stranger};
use super::{
    COOKIE_SECRET, CREDENTIAL, CREDENTIALS, GREETING, ROUTES, Refusal, Role, TakeOverError,
    WAIT_MAX, WATCHDOG, next_line,
};
use crate::cookies::of_hex;
use crate::credentials::HandedOver;
use crate::running::OwnedRoutes;

/// Bytes read at once.
const READ_BYTES: usize = 4_096;

/// The sockets of the process before this one; what is not taken out is closed with it.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(Role, OwnedFd)>,
    watchdog: Option<Duration>,
    credentials: Option<HandedOver>,
    cookie_secret: Option<CookieSecret>,
    routes: Vec<OwnedRoutes>,
}

impl Inherited {
    /// Sockets of the service manager, which come from no process.
    pub(crate) fn of_service_manager(sockets: Vec<(Role, OwnedFd)>) -> Inherited {
        Inherited {
            sockets,
            ..Inherited::default()
        }
    }

    /// Takes all sockets of this role out.
    pub fn take(&mut self, role: Role) -> Vec<OwnedFd> {
        let is_meant = |(of, _): &mut (Role, OwnedFd)| *of == role;
        let taken = self.sockets.extract_if(.., is_meant);
        taken.map(|(_, descriptor)| descriptor).collect()
    }

    /// Interval of the service manager's watchdog, as passed on by the process before this one.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Takes out the secrets that the service manager gave the process before this one.
    pub fn take_credentials(&mut self) -> Option<HandedOver> {
        self.credentials.take()
    }

    /// Takes out the secret that the process before this one makes cookies with.
    pub fn take_cookie_secret(&mut self) -> Option<CookieSecret> {
        self.cookie_secret.take()
    }

    /// Takes out the routes that programs have set in the process before this one.
    pub fn take_routes(&mut self) -> Vec<OwnedRoutes> {
        std::mem::take(&mut self.routes)
    }

    /// Takes what is no socket; a line of a later version is passed over.
    fn take_other(&mut self, line: &str, descriptor: OwnedFd) {
        if let Some(micros) = line.strip_prefix(WATCHDOG) {
            self.watchdog = micros.parse().ok().map(Duration::from_micros);
        } else if let Some(secret) = line.strip_prefix(COOKIE_SECRET) {
            self.cookie_secret = of_hex(secret);
        } else if let Some(routes) = line.strip_prefix(ROUTES) {
            self.routes.extend(of_line(routes));
        } else if let Some(folder) = line.strip_prefix(CREDENTIALS) {
            self.credentials = Some(HandedOver::of(folder));
        } else if let (Some(name), Some(credentials)) =
            (line.strip_prefix(CREDENTIAL), &mut self.credentials)
        {
            credentials.add(name, descriptor);
        }
    }

    /// Whether there was no process before this one.
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// The addresses it listened on.
    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().filter_map(|(role, _)| match role {
            Role::Udp(address) => Some(*address),
            Role::Tcp(_) | Role::Admin(_) | Role::AdminSocket | Role::TakeOver => None,
        })
    }
}

/// The running process, which waits to be replaced.
#[derive(Debug)]
pub struct Predecessor {
    path: PathBuf,
    stream: UnixStream,
    received: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Predecessor {
    /// Asks the process that listens at `path` for its sockets. None if there is none, or it ends meanwhile.
    ///
    /// # Errors
    /// [`TakeOverError`]: it may not be asked, is not to be trusted, or does not hand over.
    pub fn ask(path: &Path) -> Result<Option<(Predecessor, Inherited)>, TakeOverError> {
        let failed = |source| TakeOverError::Connect {
            path: path.to_owned(),
            source,
        };
        if let Some(fault) = folder_fault(path) {
            let path = path.to_owned();
            return Err(TakeOverError::Folder { path, fault });
        }
        let stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            // No such file, or one that a process which was killed left behind.
            Err(error)
                if [ErrorKind::NotFound, ErrorKind::ConnectionRefused].contains(&error.kind()) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(failed(error)),
        };
        if let Some(user) = stranger(&stream).map_err(failed)? {
            let path = path.to_owned();
            return Err(TakeOverError::Stranger { path, user });
        }
        let bound = Some(WAIT_MAX);
        stream.set_read_timeout(bound).map_err(failed)?;
        stream.set_write_timeout(bound).map_err(failed)?;
        let mut predecessor = Predecessor {
            path: path.to_owned(),
            stream,
            received: Vec::new(),
            descriptors: VecDeque::new(),
        };
        let inherited = predecessor.receive_sockets()?;
        Ok(inherited.map(|inherited| (predecessor, inherited)))
    }

    fn receive_sockets(&mut self) -> Result<Option<Inherited>, TakeOverError> {
        if self.say(GREETING).is_err() {
            // It closed the connection, perhaps behind its reason.
            return self.hear()?.map_or(Ok(None), |line| self.refused(&line));
        }
        let mut inherited = Inherited::default();
        while let Some(line) = self.hear()? {
            if line == "end" {
                return Ok(Some(inherited));
            }
            match (line.parse(), self.descriptors.pop_front()) {
                (Ok(role), Some(descriptor)) if is_as_said(role, &descriptor) => {
                    inherited.sockets.push((role, descriptor));
                }
                (Ok(role), Some(_)) => {
                    let path = self.path.clone();
                    return Err(TakeOverError::WrongSocket { path, role });
                }
                (Err(_), Some(descriptor)) => inherited.take_other(&line, descriptor),
                (_, None) => return self.refused(&line),
            }
        }
        Ok(None)
    }

    /// Fails if none of `addresses` is one of the running process's.
    ///
    /// # Errors
    /// [`TakeOverError::Neighbour`].
    pub fn check_addresses(
        &self,
        inherited: &Inherited,
        addresses: &[SocketAddr],
    ) -> Result<(), TakeOverError> {
        if inherited.addresses().any(|it| addresses.contains(&it)) {
            return Ok(());
        }
        Err(TakeOverError::Neighbour {
            path: self.path.clone(),
        })
    }

    /// Tells it that these addresses are served here, and waits for its word that it leaves them to this process. A
    /// process that ended meanwhile reads nothing either.
    ///
    /// # Errors
    /// [`TakeOverError::Answered`]: it continues, so this process must end.
    pub fn complete(mut self, addresses: &[SocketAddr]) -> Result<(), TakeOverError> {
        let mut lines: String = addresses
            .iter()
            .map(|address| format!("keeps {address}\n"))
            .collect();
        lines.push_str("serving");
        // Where this fails, the next read says why.
        drop(self.say(&lines));
        match self.hear()? {
            Some(line) if line == "yours" => Ok(()),
            Some(line) => self.refused(&line),
            None => Ok(()),
        }
    }

    fn refused<T>(&self, line: &str) -> Result<T, TakeOverError> {
        Err(TakeOverError::Answered {
            path: self.path.clone(),
            answer: Refusal::of_line(line),
        })
    }

    fn say(&mut self, lines: &str) -> io::Result<()> {
        self.stream.write_all(format!("{lines}\n").as_bytes())
    }

    /// Its next line; None if it has ended.
    fn hear(&mut self) -> Result<Option<String>, TakeOverError> {
        self.receive_line().or_else(|error| match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Ok(None),
            _ => self.refused(""),
        })
    }

    fn receive_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(line) = next_line(&mut self.received)? {
                return Ok(Some(line));
            }
            let (mut buffer, mut descriptors) = ([0; READ_BYTES], Vec::new());
            let length = descriptors::receive(&self.stream, &mut buffer, &mut descriptors)?;
            self.descriptors.extend(descriptors);
            if length == 0 {
                return Ok(None);
            }
            self.received
                .extend_from_slice(buffer.get(..length).unwrap_or_default());
        }
    }
}
