//! Plain DNS servers that others wrote, as upstreams of routes.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::address::own_address;
use super::peer::find;
use super::wait::until;

/// Where the login page of [`Server::portal`] is: at a private address.
pub(crate) const PORTAL_PAGE: &str = "10.0.0.1";

/// A plain server; it is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

/// dnsmasq at this address, with nothing that it answers yet.
fn dnsmasq_at(address: SocketAddr) -> Command {
    let mut command = Command::new(find("dnsmasq").unwrap());
    command.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--pid-file=",
    ]);
    command.args(["--no-resolv", "--no-hosts", "--bind-interfaces", "--user="]);
    command.arg(format!("--listen-address={}", address.ip()));
    command.arg(format!("--port={}", address.port()));
    command
}

impl Server {
    /// An address of 127.0.0.0/8 that no other test uses, with a free port.
    pub(crate) fn free_address() -> SocketAddr {
        let socket = UdpSocket::bind((own_address(), 0)).unwrap();
        socket.local_addr().unwrap()
    }

    /// Starts what `command` makes of a folder, and waits until it answers there for `name`.
    pub(crate) fn start_at(
        address: SocketAddr,
        name: &str,
        command: impl FnOnce(&Path) -> Command,
    ) -> Server {
        let folder = TempDir::new().unwrap();
        let mut command = command(folder.path());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = child.spawn().unwrap();
        let server = Server {
            child,
            address,
            _folder: folder,
        };
        until("the plain server answers", || {
            !dig(address, &[name, "A", "+short"]).is_empty()
        });
        server
    }

    /// A router that knows the names below `lan` alone.
    pub(crate) fn dnsmasq() -> Server {
        let address = Server::free_address();
        Server::start_at(address, "nas.lan", |_| {
            let text = ["x".repeat(200).as_str(); 15].join(",");
            let mut command = dnsmasq_at(address);
            command.args(["--local=/lan/", "--address=/lan/192.0.2.10"]);
            command.arg(format!("--txt-record=long.lan,{text}"));
            command
        })
    }

    /// The resolver of a network with a login page: every name has the address of that page.
    pub(crate) fn portal() -> Server {
        let address = Server::free_address();
        Server::start_at(address, "captive.apple.com", |_| {
            let mut command = dnsmasq_at(address);
            command.arg(format!("--address=/#/{PORTAL_PAGE}"));
            command
        })
    }

    /// A company's server, which refuses all other names.
    pub(crate) fn unbound() -> Server {
        let address = Server::free_address();
        let (ip, port) = (address.ip(), address.port());
        Server::start_at(address, "www.corp.test", |folder| {
            let file = folder.join("unbound.conf");
            let text = format!(
                "server:\n do-daemonize: no\n use-syslog: no\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n \
                 interface: {ip}@{port}\n access-control: 127.0.0.0/8 allow\n module-config: iterator\n \
                 local-zone: . refuse\n local-zone: corp.test static\n \
                 local-data: \"www.corp.test 300 A 192.0.2.20\"\nremote-control:\n control-enable: no\n"
            );
            std::fs::write(&file, text).unwrap();
            let mut command = Command::new(find("unbound").unwrap());
            command.arg("-d").arg("-c").arg(file);
            command
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How it is written in a route.
    pub(crate) fn written(&self) -> String {
        written(self.address)
    }

    /// Whether it has not ended by itself.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// How a plain upstream is written in a route.
pub(crate) fn written(address: SocketAddr) -> String {
    format!("plain:{}@{}", address.ip(), address.port())
}

/// Asks a server with kdig, and returns what that prints.
pub(crate) fn dig(server: SocketAddr, options: &[&str]) -> String {
    let mut command = Command::new(find("kdig").unwrap());
    command.arg(format!("@{}", server.ip()));
    command.args(["-p", &server.port().to_string(), "+timeout=5", "+retry=0"]);
    let output = command.args(options).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
