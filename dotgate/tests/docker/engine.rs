//! The Docker engine with the image built once, a compose project, and an upstream in a container.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use data_encoding::BASE64;
use dotgate_testbed::certificates::{Leaf, TestAuthority};
use tempfile::TempDir;

use crate::world::message::{QueryType, Response, query};
use crate::world::upstream::AUTHENTICATION_NAME;
use crate::world::wait::until;

/// What the upstream answers for every name below `test.`.
pub(crate) const ANSWER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);

/// What is built of the working tree.
pub(crate) const IMAGE: &str = "dotgate-test/dotgate";

/// With `docker` in it, a test that cannot run fails.
const NO_SKIP: &str = "DOTGATE_TEST_NO_SKIP";

/// Seconds that a command may take; building takes longest, some four minutes on two processors.
const SECONDS: &str = "900";

/// The Docker engine, with the image.
#[derive(Clone, Copy)]
pub(crate) struct Engine;

impl Engine {
    /// The engine once the image is built; none where that cannot be, which is said, or fails if it must not be.
    #[track_caller]
    pub(crate) fn find() -> Option<Engine> {
        static FOUND: OnceLock<Found> = OnceLock::new();
        match FOUND.get_or_init(set_up) {
            Found::Ready => Some(Engine),
            Found::Missing(reason) => {
                let strict = std::env::var(NO_SKIP).unwrap_or_default();
                assert!(!strict.contains("docker"), "{reason}");
                println!("skipped: {reason}");
                None
            }
            Found::Unbuilt(reason) => panic!("the image cannot be built: {reason}"),
        }
    }

    /// Runs `docker`; what it prints.
    #[track_caller]
    pub(crate) fn docker(self, arguments: &[&str]) -> String {
        succeeded(&docker(arguments))
    }

    /// The files of a container.
    #[track_caller]
    pub(crate) fn listed(container: &str) -> String {
        let list = "docker export \"$0\" | tar --list";
        let mut shell = Command::new("sh");
        succeeded(&shell.args(["-c", list, container]).output().unwrap())
    }

    /// Whether the health check of a container says so, for the instance or for the upstreams behind it.
    pub(crate) fn is_healthy(self, container: &str, options: &[&str]) -> bool {
        let check = ["exec", container, "/dotgate", "healthcheck"];
        docker(&[&check, options].concat()).status.success()
    }
}

/// What was found when the engine was first looked for.
enum Found {
    /// It is there, and the image is built.
    Ready,
    /// Something that the tests need is not there.
    Missing(String),
    /// The image cannot be built.
    Unbuilt(String),
}

/// Whether there is an engine; then builds the image.
fn set_up() -> Found {
    let engine = docker(&["version", "--format", "{{.Server.Version}}"]);
    if !engine.status.success() {
        return Found::Missing(format!("no Docker engine: {}", last_lines(&engine)));
    }
    if composer().is_none() {
        let reason = "neither docker-compose nor `docker compose` is installed";
        return Found::Missing(reason.to_owned());
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docker/base-images");
    let base = Command::new(script).current_dir(root()).output().unwrap();
    if !base.status.success() {
        return Found::Missing(format!("no base image: {}", last_lines(&base)));
    }
    // As it is released, but for what optimisation takes longest.
    let arguments = BUILD.map(|(name, value)| format!("{name}={value}"));
    let mut build = vec!["build", "--tag", IMAGE];
    for argument in &arguments {
        build.extend(["--build-arg", argument]);
    }
    let root = root().display().to_string();
    build.push(&root);
    let built = docker(&build);
    if !built.status.success() {
        return Found::Unbuilt(last_lines(&built));
    }
    Found::Ready
}

/// The end of what a command said.
fn last_lines(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Arguments of the build, which the compose file takes from the environment.
const BUILD: [(&str, &str); 4] = [
    ("RUST_IMAGE", "dotgate-test/rust"),
    ("OPT_LEVEL", "1"),
    ("LTO", "off"),
    ("CODEGEN_UNITS", "16"),
];

pub(crate) fn root() -> PathBuf {
    let parent = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    parent.unwrap().to_path_buf()
}

fn docker(arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.args([SECONDS, "docker"]).args(arguments);
    command.output().unwrap()
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Compose as a program of its own, or as a command of Docker's.
fn composer() -> Option<&'static [&'static str]> {
    static COMPOSER: OnceLock<Option<&[&str]>> = OnceLock::new();
    *COMPOSER.get_or_init(|| {
        let ways: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];
        ways.into_iter().find(|words| {
            let version = Command::new(words[0])
                .args(&words[1..])
                .arg("version")
                .output();
            version.is_ok_and(|output| output.status.success())
        })
    })
}

/// A name that no other test has.
pub(crate) fn unique(name: &str) -> String {
    format!("dotgate-test-{}-{name}", std::process::id())
}

/// A compose project; all of it is removed when this is dropped.
pub(crate) struct Project {
    name: String,
    folder: PathBuf,
    files: Vec<PathBuf>,
    /// A server on a network of the project's.
    guest: Option<String>,
}

impl Project {
    /// The project of these files, the first one relative to the root of the repository.
    pub(crate) fn new(name: &str, file: &str, further: &[PathBuf]) -> Project {
        let file = root().join(file);
        Project {
            name: unique(name),
            folder: file.parent().unwrap().to_path_buf(),
            files: [&[file], further].concat(),
            guest: None,
        }
    }

    /// Runs a command of compose's, with random ports of loopback in place of the published ones.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        command.arg(SECONDS).args(composer().unwrap());
        command.args(["--project-name", &self.name, "--project-directory"]);
        command.arg(&self.folder);
        for file in &self.files {
            command.arg("--file").arg(file);
        }
        command.envs(BUILD).env("DOTGATE_IMAGE", IMAGE);
        command.env("DNSDIST_IMAGE", "dotgate-test/servers");
        command.env("DOTGATE_PUBLISH", "127.0.0.1:");
        command.args(arguments).output().unwrap()
    }

    /// Runs a command of compose's that must succeed; what it prints.
    #[track_caller]
    pub(crate) fn compose(&self, arguments: &[&str]) -> String {
        succeeded(&self.run(arguments))
    }

    /// Gives a server an address on a network of the project's.
    #[track_caller]
    pub(crate) fn invite(&mut self, server: &Server, network: &str, address: Ipv4Addr) {
        let network = format!("{}_{network}", self.name);
        let address = address.to_string();
        self.guest = Some(server.name.clone());
        let place = ["--ip", &address, &network, &server.name];
        succeeded(&docker(&[&["network", "connect"], &place[..]].concat()));
    }

    /// The container of a service.
    #[track_caller]
    pub(crate) fn container(&self, service: &str) -> String {
        self.compose(&["ps", "--quiet", service])
    }

    /// Where a service is asked from the host, by UDP or by TCP.
    #[track_caller]
    pub(crate) fn published(&self, service: &str, protocol: &str) -> SocketAddr {
        let asked = ["port", "--protocol", protocol, service, "5300"];
        self.compose(&asked).parse().unwrap()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        // A network with somebody on it cannot be removed, nor what was never started.
        if let Some(guest) = &self.guest {
            drop(docker(&["rm", "--force", guest]));
        }
        drop(self.run(&["down", "--volumes", "--timeout", "0"]));
    }
}

/// Unbound with a certificate, in a container on a network of its own; both are removed when this is dropped.
pub(crate) struct Server {
    name: String,
    folder: TempDir,
}

impl Server {
    /// Starts it, at `address(number)`.
    pub(crate) fn start(engine: Engine, number: u8) -> Server {
        let authority = TestAuthority::new().unwrap();
        let shown = authority
            .issue(&Leaf::for_name(AUTHENTICATION_NAME))
            .unwrap();
        let folder = TempDir::new().unwrap();
        let server = Server {
            name: unique(&format!("server-{number}")),
            folder,
        };
        server.write("ca.pem", authority.pem());
        server.write("certificate.pem", &shown.pem);
        server.write("key.pem", &pem(shown.key.secret_der()));
        server.write("unbound.conf", CONFIGURATION);
        let subnet = format!("10.89.{number}.0/24");
        engine.docker(&["network", "create", "--subnet", &subnet, &server.name]);
        let mount = format!("{}:/server:ro", server.folder.path().display());
        let address = address(number).to_string();
        let place = [
            "--network",
            &server.name,
            "--ip",
            &address,
            "--volume",
            &mount,
        ];
        let run = ["run", "--detach", "--name", &server.name];
        let program = [
            "dotgate-test/servers",
            "unbound",
            "-d",
            "-c",
            "/server/unbound.conf",
        ];
        engine.docker(&[&run[..], &place, &program].concat());
        server
    }

    /// The network that it is on, and its own name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Writes a file next to those of the server.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// The variables and the volume that make an instance ask the server, as lines of a service.
    pub(crate) fn asked(&self, address: Ipv4Addr) -> String {
        format!(
            "    environment:\n      DNS_HOST: {address}#{AUTHENTICATION_NAME}\n      \
             DOTGATE_TLS_CA_FILE: /ca.pem\n    volumes: [\"{}/ca.pem:/ca.pem:ro\"]\n",
            self.folder.path().display()
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either may have ended already.
        drop(docker(&["rm", "--force", "--volumes", &self.name]));
        drop(docker(&["network", "rm", &self.name]));
    }
}

/// A server's address, in a subnet of its own.
pub(crate) fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 89, number, 200)
}

const CONFIGURATION: &str = "server:\n username: ''\n chroot: ''\n pidfile: ''\n use-syslog: no\n logfile: ''\n \
    do-daemonize: no\n num-threads: 1\n interface: 0.0.0.0@853\n tls-port: 853\n access-control: 0.0.0.0/0 allow\n \
    tls-service-key: /server/key.pem\n tls-service-pem: /server/certificate.pem\n module-config: iterator\n \
    local-zone: '.' static\n local-data: '. 60 NS ns.test.'\n local-zone: 'test.' redirect\n local-data: 'test. 60 A 192.0.2.77'\nremote-control:\n control-enable: no\n";

/// A private key in PEM form (RFC 7468 section 10).
fn pem(der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        lines.join("\n")
    )
}

/// Asks over UDP, again and again as a stub resolver does, until the upstream's answer is there.
#[track_caller]
pub(crate) fn ask_until_answered(forwarder: SocketAddr, name: &str) {
    let query = query(1, name, QueryType::Address);
    until(name, || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(forwarder).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        let mut bytes = [0; 1_232];
        // Nobody may listen there yet, which the kernel tells as an error.
        let length = socket.send(&query).and_then(|_| socket.recv(&mut bytes));
        // An error is nothing to be read: it may be a balancer's that has no server yet.
        let is_answer = |length: usize| length > 12 && bytes[3] & 0x0f == 0;
        let Some(length) = length.ok().filter(|length| is_answer(*length)) else {
            return false;
        };
        Response::read(&bytes[..length]).addresses == [ANSWER]
    });
}
