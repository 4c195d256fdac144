//! A network and a file system for the commands of the pages: loopback with the addresses of the README's resolvers,
//! and an `/etc` and a `/run` whose changes stay here.
//!
//! The test starts itself again in namespaces made by `unshare`; without the right to, it is skipped and says so.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use dotgate_testbed::certificates::{Leaf, TestAuthority};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use tempfile::{NamedTempFile, TempDir};

use super::page::root;
use crate::world::peer::find;
use crate::world::upstream::Upstream;
use crate::world::wait::until;

/// Set inside the namespaces.
const INSIDE: &str = "DOTGATE_TEST_PAGES";
/// With it set, a test that cannot run fails.
const NO_SKIP: &str = "DOTGATE_TEST_NO_SKIP";
/// The resolvers of the README.
const RESOLVERS: [(&str, &str); 2] = [("9.9.9.9", "dns.quad9.net"), ("1.1.1.1", "one.one.one.one")];

/// What loopback and the folders have to be.
const SET_UP: &str = "set -e
ip link set lo up
for address in 9.9.9.9/32 1.1.1.1/32; do ip address add $address dev lo; done
mount -t tmpfs tmpfs /mnt
mkdir /mnt/etc /mnt/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/etc,workdir=/mnt/work /etc
mount -t tmpfs tmpfs /run
mkdir -p /etc/dotgate
mkdir -m 700 /run/dotgate";

/// The namespaces, from inside.
pub(crate) struct Place {
    upstreams: Vec<Upstream>,
    server: Option<Child>,
    /// With `bin`, `home` and the file of authorities.
    folder: TempDir,
}

impl Place {
    /// Enters the namespaces of the test; none outside, where the test is over with this.
    #[track_caller]
    pub(crate) fn enter(test: &str) -> Option<Place> {
        if std::env::var_os(INSIDE).is_none() {
            run_inside(test);
            return None;
        }
        let set_up = Command::new("sh").args(["-c", SET_UP]).output().unwrap();
        assert!(set_up.status.success(), "{set_up:?}");
        let authority = TestAuthority::new().unwrap();
        let upstreams = RESOLVERS.map(|(ip, name)| {
            let address = SocketAddr::new(ip.parse().unwrap(), 853);
            let upstream = Upstream::start_deaf_on(address, &authority);
            let tls = credentials(&authority, name);
            upstream.script(|script| script.tls = tls);
            upstream.listen();
            upstream
        });
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["bin", "home"] {
            fs::create_dir(path(name)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_dotgate"), path("bin/dotgate")).unwrap();
        if find("dig").is_none() {
            symlink(find("kdig").unwrap(), path("bin/dig")).unwrap();
        }
        fs::write("/etc/dotgate/ca.pem", authority.pem()).unwrap();
        fs::write("/etc/dotgate/admin-token", "of-the-test-of-the-pages\n").unwrap();
        fs::write("/etc/dotgate/hosts", "192.168.1.10 nas.home.arpa\n").unwrap();
        fs::create_dir_all("/etc/dotgate/block").unwrap();
        for (name, text) in [
            ("block/ads.txt", "ads.example\n"),
            ("block/threats.rpz", "$TTL 30\nmalware.example CNAME .\n"),
            ("allow.txt", "good.ads.example\n"),
        ] {
            fs::write(format!("/etc/dotgate/{name}"), text).unwrap();
        }
        fs::write("/etc/dotgate/dotgate.toml", settings()).unwrap();
        Some(Place {
            upstreams: upstreams.into(),
            server: None,
            folder,
        })
    }

    /// A shell for a command, in the root of the repository.
    fn shell(&self, command: &str) -> Command {
        let bin = self.folder.path().join("bin");
        let path = std::env::var("PATH").unwrap();
        // The tests build another profile.
        let command = command.replace("target/release/dotgate", env!("CARGO_BIN_EXE_dotgate"));
        let mut shell = Command::new("bash");
        shell.args(["-o", "pipefail", "-c", &command]);
        shell.current_dir(root()).env_clear();
        shell.env("PATH", format!("{}:{path}", bin.display()));
        shell.env("HOME", self.folder.path().join("home"));
        shell.env("SSL_CERT_FILE", "/etc/dotgate/ca.pem");
        shell
    }

    /// Starts the server as a page does.
    pub(crate) fn serve(&mut self, command: &str) {
        let mut shell = self.shell(&format!("exec env {command}"));
        shell.env("DOTGATE_ADMIN_TOKEN_FILE", "/etc/dotgate/admin-token");
        shell.env("DOTGATE_ADMIN_SOCKET", "/run/dotgate/admin.sock");
        self.server = Some(shell.stderr(Stdio::null()).spawn().unwrap());
        until("the admin endpoint", || {
            TcpStream::connect("127.0.0.1:9153").is_ok()
        });
    }

    /// Runs a command of a page.
    #[track_caller]
    pub(crate) fn run(&self, page: &str, command: &str) {
        let command = command.replace(" NAME", " example.org");
        let output = self.shell(&command).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let failed = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{page}: {command}\n{said}\n{failed}"
        );
    }

    /// A program of this name that only writes down how it is called; returns where.
    pub(crate) fn stand_in(&self, program: &str) -> PathBuf {
        let calls = self.folder.path().join("calls");
        let path = self.folder.path().join("bin").join(program);
        let script = format!("#!/bin/sh\necho \"$@\" >> {}\n", calls.display());
        fs::write(&path, script).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        calls
    }

    /// Has `dotgate check` look at a snippet.
    #[track_caller]
    pub(crate) fn check(&self, page: &str, file: Option<&str>, variables: Vec<(&str, &str)>) {
        let mut check = Command::new(env!("CARGO_BIN_EXE_dotgate"));
        check.arg("check").env_clear().envs(variables);
        let written = NamedTempFile::with_suffix(".toml").unwrap();
        if let Some(text) = file {
            fs::write(written.path(), text).unwrap();
        }
        check.arg("--config").arg(written.path());
        let output = check.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{page}: {said}\n{file:?}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            server.kill().unwrap();
            server.wait().unwrap();
        }
        self.upstreams.clear();
    }
}

/// The file that the commands find.
fn settings() -> String {
    let hosts = RESOLVERS.map(|(ip, name)| format!("{ip}#{name}")).join(",");
    format!(
        "[server]\nhost = \"127.0.0.1\"\nport = 5300\n[dns]\nhost = \"{hosts}\"\nport = 853\n\
         [tls]\nca_file = \"/etc/dotgate/ca.pem\"\n[admin]\ntoken_file = \"/etc/dotgate/admin-token\"\n"
    )
}

/// What a resolver of this name shows.
fn credentials(authority: &TestAuthority, name: &str) -> Arc<ServerConfig> {
    let shown = authority.issue(&Leaf::for_name(name)).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(shown.chain, shown.key);
    Arc::new(config.unwrap())
}

/// Runs the test in namespaces; it fails here as it does there.
fn run_inside(test: &str) {
    let needed = ["unshare", "ip", "mount", "bash", "curl", "kdig", "jq"];
    let missing: Vec<&str> = needed.into_iter().filter(|it| find(it).is_none()).collect();
    let probe = Command::new("unshare")
        .args(["--net", "--mount", "true"])
        .output();
    let may = probe.is_ok_and(|output| output.status.success());
    if !missing.is_empty() || !may {
        let reason = format!("namespaces: {may}, not installed: {missing:?}");
        assert!(std::env::var_os(NO_SKIP).is_none(), "{reason}");
        println!("skipped: {reason}");
        return;
    }
    let this: PathBuf = std::env::current_exe().unwrap();
    let mut inside = Command::new("unshare");
    inside.args(["--net", "--mount"]).arg(this);
    inside.args([test, "--exact", "--nocapture"]);
    let output = inside.env(INSIDE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    let is_passed = said.contains("test result: ok. 1 passed");
    assert!(
        output.status.success() && is_passed,
        "inside: {said}\n{failed}"
    );
}
