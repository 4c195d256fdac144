//! The network of this host changes, or the host wakes up: sessions to upstreams may be half-open, and are probed.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::time::Duration;

use dotgate_net::network::{self, Change};
use dotgate_net::{boottime_nanos, interfaces, monotonic_nanos};
use tokio::net::UnixDatagram;
use tokio::time::{Instant, sleep_until};

use crate::log::message::say;

/// A new network is complete (address, routes) once nothing changed for this long.
const SETTLED: Duration = Duration::from_millis(100);

/// How long changes without a pause are waited for.
const SETTLED_MAX: Duration = Duration::from_secs(1);

/// The system slept if the clocks with and without suspend differ by this much more than before.
const SLEPT: u64 = 1_000_000_000;

/// What is known of this host's network.
#[derive(Debug)]
pub(super) struct NetworkWatch {
    /// The kernel's reports: whole messages, as at any other socket for datagrams within this host.
    reports: Option<UnixDatagram>,
    addresses: Vec<(IpAddr, u8)>,
    /// When the first and the last change was seen that nothing was done about yet.
    unsettled: Option<(Instant, Instant)>,
    asleep: u64,
}

impl NetworkWatch {
    /// Begins to watch, as far as the system allows it.
    pub(super) fn start() -> NetworkWatch {
        let reports = network::listen()
            .map(std::os::unix::net::UnixDatagram::from)
            .and_then(UnixDatagram::from_std);
        let reports = match reports {
            Ok(reports) => Some(reports),
            // Other systems than Linux report nothing.
            Err(error) if error.kind() == ErrorKind::Unsupported => None,
            Err(error) => {
                say!(NETWORK_UNWATCHED, reason = %error);
                None
            }
        };
        NetworkWatch {
            reports,
            addresses: interfaces::addresses().unwrap_or_default(),
            unsettled: None,
            asleep: asleep(),
        }
    }

    /// Waits until the network of this host has changed, and is complete; without end where nothing is reported. May be
    /// dropped and called again at any time.
    pub(super) async fn changed(&mut self) {
        loop {
            let Some((first, last)) = self.unsettled else {
                self.next().await;
                continue;
            };
            let settled = (last + SETTLED).min(first + SETTLED_MAX);
            tokio::select! {
                biased;
                () = sleep_until(settled) => {
                    self.unsettled = None;
                    return;
                }
                () = self.next() => {}
            }
        }
    }

    /// Whether the system slept since the last time.
    pub(super) fn has_slept(&mut self) -> bool {
        let before = std::mem::replace(&mut self.asleep, asleep());
        self.asleep.saturating_sub(before) >= SLEPT
    }

    /// Waits for one change, and notes it.
    async fn next(&mut self) {
        loop {
            let Some(reports) = &self.reports else {
                return std::future::pending().await;
            };
            let seen = match reports.readable().await.and_then(|()| read(reports)) {
                Ok(seen) => seen,
                Err(error) => {
                    say!(NETWORK_UNWATCHED, reason = %error);
                    self.reports = None;
                    continue;
                }
            };
            if self.is_other(&seen) {
                let now = Instant::now();
                let first = self.unsettled.map_or(now, |(first, _)| first);
                self.unsettled = Some((first, now));
                return;
            }
        }
    }

    /// Whether these reports are of another network. Addresses are renewed all the time.
    fn is_other(&mut self, seen: &[Change]) -> bool {
        if seen.contains(&Change::Address) {
            let now = interfaces::addresses().unwrap_or_default();
            if std::mem::replace(&mut self.addresses, now) != self.addresses {
                return true;
            }
        }
        seen.iter().any(|change| *change != Change::Address)
    }
}

/// Reads all that was reported. More than the kernel could report counts as a route, of which nothing else is known either.
fn read(reports: &UnixDatagram) -> io::Result<Vec<Change>> {
    let mut buffer = vec![0; network::REPORT_BYTES];
    let mut seen = Vec::new();
    loop {
        match reports.try_recv(&mut buffer) {
            Ok(length) => seen.extend(network::changes(&buffer[..length])),
            Err(error) if error.raw_os_error() == Some(network::OVERFLOW) => {
                seen.push(Change::Route)
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return Ok(seen),
                ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
}

/// For how long the system has slept since it started, in nanoseconds.
fn asleep() -> u64 {
    let awake = monotonic_nanos();
    boottime_nanos().saturating_sub(awake)
}
