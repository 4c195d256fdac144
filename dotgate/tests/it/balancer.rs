//! A balancer that others wrote, whose probes ask the admin endpoint: HAProxy, as it comes.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use dotgate_testbed::certificates::TestAuthority;
use tempfile::TempDir;

use crate::world::peer::{are_installed, find};
use crate::world::program::Program;
use crate::world::wait::until;

/// A running HAProxy; it is killed when this is dropped.
struct Balancer {
    child: Child,
    folder: TempDir,
}

impl Balancer {
    /// Starts one that probes `port` of loopback with these lines in its back end.
    fn start(port: u16, probe: &str) -> Balancer {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let text = format!(
            "global\n  stats socket {} level admin\ndefaults\n  mode tcp\n  timeout connect 5s\n  \
             timeout client 5s\n  timeout server 5s\n  timeout check 5s\nbackend dns\n  {probe}\n  \
             server one 127.0.0.1:{port} check inter 50ms\n",
            at("stats")
        );
        std::fs::write(at("haproxy.cfg"), text).unwrap();
        let child = Command::new(find("haproxy").unwrap())
            .args(["-db", "-f", &at("haproxy.cfg")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Balancer { child, folder }
    }

    /// What it says of the last probe; nothing before the first.
    fn verdict(&self) -> String {
        let Ok(mut stream) = UnixStream::connect(self.folder.path().join("stats")) else {
            return String::new();
        };
        stream.write_all(b"show stat\n").unwrap();
        let mut table = String::new();
        stream.read_to_string(&mut table).unwrap();
        let names = table.lines().next().unwrap_or_default();
        let column = names.split(',').position(|name| name == "check_status");
        let row = table.lines().find(|line| line.starts_with("dns,one,"));
        let cell = row.and_then(|row| row.split(',').nth(column?));
        cell.unwrap_or_default().to_owned()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn probes_of_haproxy_find_it_ready_until_it_stops() {
    if !are_installed(&[], &["haproxy"]) {
        return;
    }
    let authority = TestAuthority::new().unwrap();
    let program = Program::serve(&authority, "192.0.2.1", &[]);
    let port = program.admin().port();
    let by_default = Balancer::start(port, "option httpchk GET /readyz");
    until("a good probe", || by_default.verdict() == "L7OK");
    let foreign = "option httpchk\n  http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host rebind.example";
    let foreign = Balancer::start(port, foreign);
    until("a refused probe", || foreign.verdict() == "L7STS");
    program.signal("TERM");
    until("a bad probe", || by_default.verdict() == "L7STS");
}
