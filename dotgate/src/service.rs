//! Notifications to the service manager: ready, alive, replaced by, stopping (sd_notify(3), systemd.service(5)).
//!
//! Not on the path of a query, but on the control thread. Without `NOTIFY_SOCKET`, that is without a service manager,
//! everything here does nothing. A message is one datagram without a response, and one that cannot be sent
//! is not sent again.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use dotgate_config::Environment;

/// The way to the service manager, if there is one.
#[derive(Debug, Default)]
pub struct Service {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

/// A notification.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State<'a> {
    /// Clients are served; this is where, for people.
    Ready(&'a str),
    /// The configuration is being reloaded, since this time of the monotonic clock, in microseconds.
    Reloading(u64),
    /// All workers turn.
    Alive,
    /// This process serves in place of the one that was the service's main process.
    TakenOver,
    /// The end has begun.
    Stopping,
}

impl State<'_> {
    fn message(self) -> String {
        match self {
            State::Ready(status) => format!("READY=1\nSTATUS=serving {status}\n"),
            State::Reloading(since) => format!("RELOADING=1\nMONOTONIC_USEC={since}\n"),
            State::Alive => "WATCHDOG=1\n".to_owned(),
            State::TakenOver => format!("MAINPID={}\n", std::process::id()),
            State::Stopping => {
                "STOPPING=1\nSTATUS=serving until no more queries arrive\n".to_owned()
            }
        }
    }
}

impl Service {
    /// Finds the service manager that started this process.
    ///
    /// # Errors
    /// Those of the system: it is named, but its socket cannot be reached.
    pub fn of(environment: &Environment) -> io::Result<Service> {
        let text = |name| environment.value(name).and_then(|value| value.to_str());
        let Some(path) = text("NOTIFY_SOCKET") else {
            return Ok(Service::default());
        };
        let is_meant = text("WATCHDOG_PID").is_none_or(|it| it == std::process::id().to_string());
        let watchdog = text("WATCHDOG_USEC").and_then(|text| text.parse().ok());
        let watchdog = watchdog.filter(|micros| is_meant && *micros > 0);
        Ok(Service {
            socket: Some(connect(path)?),
            watchdog: watchdog.map(Duration::from_micros),
        })
    }

    /// The same, with the watchdog interval of the process before this one: the service manager passes it only to a
    /// process that it starts itself, and expects notifications from the process that it follows.
    pub fn with_watchdog(self, inherited: Option<Duration>) -> Service {
        let inherited = inherited.filter(|_| self.socket.is_some());
        Service {
            watchdog: self.watchdog.or(inherited),
            ..self
        }
    }

    /// How long the service manager waits for a watchdog notification before it restarts the program, if it does.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Sends a notification.
    pub fn notify(&self, state: State<'_>) {
        if let Some(socket) = &self.socket {
            // A service manager that does not listen loses the notifications, and nothing else.
            drop(socket.send(state.message().as_bytes()));
        }
    }
}

fn connect(path: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match path.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt as _;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            socket.connect_addr(&address)?;
        }
        #[cfg(not(target_os = "linux"))]
        Some(_) => return Err(io::ErrorKind::Unsupported.into()),
        None => socket.connect(path)?,
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(path: &str, watchdog: &[(&str, &str)]) -> Service {
        let variables = watchdog.iter().copied().chain([("NOTIFY_SOCKET", path)]);
        Service::of(&variables.collect()).unwrap()
    }

    #[test]
    fn without_a_service_manager_nobody_is_notified() {
        let service = Service::of(&Environment::default()).unwrap();
        service.notify(State::Stopping);
        assert_eq!(service.watchdog(), None);
    }

    #[test]
    fn the_service_manager_hears_each_state_in_its_own_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let service = service(path.to_str().unwrap(), &[]);
        let heard = |state: State<'_>| {
            service.notify(state);
            let mut buffer = [0; 256];
            let length = manager.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        assert_eq!(heard(State::Alive), "WATCHDOG=1\n");
        assert_eq!(
            heard(State::Reloading(8)),
            "RELOADING=1\nMONOTONIC_USEC=8\n"
        );
        let own = std::process::id();
        assert_eq!(heard(State::TakenOver), format!("MAINPID={own}\n"));
        assert!(heard(State::Ready("here")).starts_with("READY=1\nSTATUS=serving here\n"));
        assert!(heard(State::Stopping).starts_with("STOPPING=1\n"));
        drop(manager);
        service.notify(State::Alive);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_behind_an_at_sign_is_an_abstract_one() {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::SocketAddr;
        let name = format!("dotgate-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        service(&format!("@{name}"), &[]).notify(State::Alive);
        let mut buffer = [0; 64];
        assert_eq!(manager.recv(&mut buffer).unwrap(), 11);
        assert!(
            Service::of(&[("NOTIFY_SOCKET", "/nowhere/at/all")].into_iter().collect()).is_err()
        );
    }

    #[test]
    fn a_watchdog_that_waits_for_another_process_is_none_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let watchdog = |variables: &[_]| service(path.to_str().unwrap(), variables).watchdog();
        let own = std::process::id().to_string();
        let three = ("WATCHDOG_USEC", "3000000");
        assert_eq!(watchdog(&[three]), Some(Duration::from_secs(3)));
        assert_eq!(
            watchdog(&[three, ("WATCHDOG_PID", &own)]),
            Some(Duration::from_secs(3))
        );
        assert_eq!(watchdog(&[three, ("WATCHDOG_PID", "1")]), None);
        assert_eq!(watchdog(&[("WATCHDOG_USEC", "soon")]), None);
        assert_eq!(watchdog(&[("WATCHDOG_USEC", "0")]), None);
        drop(manager);
    }
}
