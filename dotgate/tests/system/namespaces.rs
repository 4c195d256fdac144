//! A network of its own for a test: the forwarder in one namespace, upstreams and clients in another.
//!
//! A test that needs one runs twice: outside, where it makes the namespaces and starts itself again in one of them,
//! and there, where all its sockets are on the far side of the links. Without root or iproute2 it is skipped, and
//! says so. Nothing of the machine's own network is touched.
//!
//! ```text
//!      far: upstreams, clients, the test                     near: the forwarder
//!      clients  10.77.0.1 ----------------------------------- 10.77.0.2  listener
//!      first    10.78.0.1, fd00:78::1 ----------------------- 10.78.0.2
//!      second   10.79.0.1 ----------------------------------- 10.79.0.2
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use dotgate_testbed::certificates::TestAuthority;

use crate::world::peer::find;
use crate::world::program::Program;
use crate::world::upstream::Upstream;

/// Set for a test that runs inside: the beginning of the namespaces' names.
const INSIDE: &str = "DOTGATE_TEST_NAMESPACES";

/// With it set, a test that cannot run fails.
const NO_SKIP: &str = "DOTGATE_TEST_NO_SKIP";

/// All namespaces of a test; the third is for a router between the other two.
const ALL: [&str; 3] = ["near", "far", "path"];

/// Upstreams on the first link.
pub(crate) const FIRST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 78, 0, 1));

/// The same over IPv6.
pub(crate) const FIRST_IPV6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0x78, 0, 0, 0, 0, 0, 1));

/// Upstreams on the second link.
pub(crate) const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 79, 0, 1));

/// The network, seen from its far side.
pub(crate) struct Network {
    prefix: String,
}

impl Network {
    /// Enters the network of the test with this path; none outside, where the test is over with this.
    #[track_caller]
    pub(crate) fn enter(test: &str) -> Option<Network> {
        let Ok(prefix) = std::env::var(INSIDE) else {
            run_inside(test);
            return None;
        };
        let network = Network { prefix };
        network.far("link set lo up");
        network.near("link set lo up");
        for (link, subnet) in [
            ("clients", "10.77.0"),
            ("first", "10.78.0"),
            ("second", "10.79.0"),
        ] {
            let near = network.name("near");
            network.far(&format!(
                "link add {link} type veth peer name {link} netns {near}"
            ));
            network.far(&format!("address add {subnet}.1/24 dev {link}"));
            network.near(&format!("address add {subnet}.2/24 dev {link}"));
            network.far(&format!("link set {link} up"));
            network.near(&format!("link set {link} up"));
        }
        network.far("address add fd00:78::1/64 dev first nodad");
        Some(network)
    }

    /// Runs `ip` on the far side.
    #[track_caller]
    pub(crate) fn far(&self, arguments: &str) {
        self.ip("far", arguments);
    }

    /// Runs `ip` on the forwarder's side.
    #[track_caller]
    pub(crate) fn near(&self, arguments: &str) {
        self.ip("near", arguments);
    }

    /// Runs `ip` between the two.
    #[track_caller]
    pub(crate) fn path(&self, arguments: &str) {
        self.ip("path", arguments);
    }

    /// Writes a setting of one namespace's kernel.
    #[track_caller]
    pub(crate) fn set(&self, namespace: &str, key: &str, value: &str) {
        let write = format!("echo {value} > /proc/sys/{key}");
        let name = self.name(namespace);
        ip(&["netns", "exec", &name, "sh", "-c", &write]).unwrap();
    }

    /// Runs `tc` on the far side.
    #[track_caller]
    pub(crate) fn shape(&self, arguments: &str) {
        let name = self.name("far");
        let words = ["netns", "exec", &name, "tc"];
        let words: Vec<&str> = words.into_iter().chain(arguments.split(' ')).collect();
        ip(&words).unwrap();
    }

    /// The full name of a namespace.
    pub(crate) fn name(&self, namespace: &str) -> String {
        format!("{}-{namespace}", self.prefix)
    }

    /// An upstream on the far side.
    pub(crate) fn upstream(&self, ip: IpAddr, authority: &TestAuthority) -> Upstream {
        let upstream = Upstream::start_deaf_at(ip, authority);
        upstream.listen();
        upstream
    }

    /// The program on the near side, in front of these upstreams.
    pub(crate) fn serve(&self, authority: &TestAuthority, upstreams: &[&Upstream]) -> Program {
        self.serve_with(authority, upstreams, &[])
    }

    /// The same with further variables.
    pub(crate) fn serve_with(
        &self,
        authority: &TestAuthority,
        upstreams: &[&Upstream],
        variables: &[(&str, &str)],
    ) -> Program {
        let hosts: Vec<String> = upstreams.iter().map(|it| it.written()).collect();
        self.serve_at(authority, &hosts.join(","), variables)
    }

    /// The same in front of upstreams as `DNS_HOST` has them.
    pub(crate) fn serve_at(
        &self,
        authority: &TestAuthority,
        hosts: &str,
        variables: &[(&str, &str)],
    ) -> Program {
        let command = self.command();
        let own = [("HOST", "10.77.0.2"), ("DOTGATE_SERVER_WORKERS", "1")];
        Program::serve_with(authority, hosts, &[&own, variables].concat(), command)
    }

    /// The program on the near side, with no variables.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(find("ip").unwrap());
        command.args(["netns", "exec", &self.name("near")]);
        command.arg(env!("CARGO_BIN_EXE_dotgate")).env_clear();
        command
    }

    fn ip(&self, namespace: &str, arguments: &str) {
        let name = self.name(namespace);
        let words: Vec<&str> = ["-n", &name]
            .into_iter()
            .chain(arguments.split(' '))
            .collect();
        ip(&words).unwrap();
    }
}

/// Namespaces that are removed when this is dropped; their links go with them.
struct Namespaces {
    prefix: String,
}

impl Namespaces {
    fn make() -> Result<Namespaces, String> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let made = Namespaces {
            prefix: format!("dotgate-{}-{number}", std::process::id()),
        };
        for namespace in ALL {
            ip(&["netns", "add", &format!("{}-{namespace}", made.prefix)])?;
        }
        Ok(made)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for namespace in ALL {
            // One that was not made cannot be removed.
            drop(ip(&[
                "netns",
                "delete",
                &format!("{}-{namespace}", self.prefix),
            ]));
        }
    }
}

/// Makes the namespaces and runs the test in one of them; it fails here as it does there.
fn run_inside(test: &str) {
    let namespaces = match Namespaces::make() {
        Ok(namespaces) => namespaces,
        Err(reason) => {
            assert!(std::env::var_os(NO_SKIP).is_none(), "{reason}");
            println!("skipped: no network namespace: {reason}");
            return;
        }
    };
    let far = format!("{}-far", namespaces.prefix);
    let mut command = Command::new(find("ip").unwrap());
    command.args(["netns", "exec", &far]);
    command.arg(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]);
    let output = command.env(INSIDE, &namespaces.prefix).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("test result: ok. 1 passed"),
        "inside: {said}\n{failed}"
    );
    print!("{}", reported(&said));
}

/// What a test printed, without the words of its runner.
fn reported(said: &str) -> String {
    let is_reported = |line: &&str| line.starts_with("measured:");
    said.lines()
        .filter(is_reported)
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Runs `ip`, and returns what it says against it.
fn ip(words: &[&str]) -> Result<(), String> {
    let program = find("ip").ok_or("iproute2 is not installed")?;
    let output = Command::new(program).args(words).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {}: {}", words.join(" "), said.trim()))
}
