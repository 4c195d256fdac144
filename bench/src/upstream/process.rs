//! The upstream as a process of its own, which can be killed and started again.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Behavior;
use crate::Error;
use crate::error::Action;
use crate::forwarder::end;

/// This program's own `upstream` command; dropping it ends the process.
pub(crate) struct UpstreamProcess {
    child: Child,
    address: SocketAddr,
    ca_file: PathBuf,
    saved: PathBuf,
    behavior: Behavior,
}

impl UpstreamProcess {
    /// Starts it on a port of the system's choice, with its files in `folder`.
    pub(crate) fn start(folder: &Path) -> Result<UpstreamProcess, Error> {
        UpstreamProcess::start_with(folder, Behavior::default())
    }

    /// The same, with this behavior.
    pub(crate) fn start_with(folder: &Path, behavior: Behavior) -> Result<UpstreamProcess, Error> {
        let (ca_file, saved) = (folder.join("ca.pem"), folder.join("upstream.pem"));
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (child, address) = spawn(any_port, &ca_file, &saved, behavior)?;
        Ok(UpstreamProcess {
            child,
            address,
            ca_file,
            saved,
            behavior,
        })
    }

    /// Where it listens, from its first start to its last.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The authority of its certificate.
    pub(crate) fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// Its certificate and key, in one PEM file.
    pub(crate) fn certificate(&self) -> &Path {
        &self.saved
    }

    /// Queries of a load that it answered since its start.
    pub(crate) fn answered(&self) -> Result<u64, Error> {
        const WAIT_MAX: Duration = Duration::from_secs(5);
        let ask = || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.set_read_timeout(Some(WAIT_MAX))?;
            socket.send_to(&[], self.address)?;
            let mut count = [0; 20];
            let length = socket.recv(&mut count)?;
            let digits = str::from_utf8(&count[..length]).map_err(io::Error::other)?;
            digits.parse().map_err(io::Error::other)
        };
        ask().to("ask the upstream how much it answered")
    }

    /// Kills it and starts it again at once: same address, same certificate, nothing else remembered.
    pub(crate) fn restart(&mut self) -> Result<(), Error> {
        self.kill();
        (self.child, _) = spawn(self.address, &self.ca_file, &self.saved, self.behavior)?;
        Ok(())
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        end(&mut self.child);
    }
}

impl Drop for UpstreamProcess {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Starts the process and waits until it says where it listens.
fn spawn(
    address: SocketAddr,
    ca_file: &Path,
    saved: &Path,
    behavior: Behavior,
) -> Result<(Child, SocketAddr), Error> {
    let program: PathBuf = env::current_exe().to("find this program")?;
    let mut child = Command::new(program)
        .args(["upstream", "--listen", &address.to_string()])
        .arg("--ca-file")
        .arg(ca_file)
        .arg("--keep")
        .arg(saved)
        .args(["--delay-ms", &behavior.delay.as_millis().to_string()])
        .args(["--stall-every", &behavior.stall_every.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .to("start the upstream")?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output)
            .read_line(&mut line)
            .to("hear from the upstream")?;
    }
    match line.trim().parse() {
        Ok(address) => Ok((child, address)),
        Err(_) => {
            end(&mut child);
            Err(Error::UpstreamNotStarted)
        }
    }
}
