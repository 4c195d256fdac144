//! DNS-over-TLS servers that others wrote, run as upstreams where they are installed.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use data_encoding::BASE64;
use dotgate_testbed::certificates::{Leaf, TestAuthority};
use tempfile::TempDir;

use super::address::own_address;
use super::program::signal;
use super::upstream::AUTHENTICATION_NAME;
use super::wait::until;

/// What every peer answers for every name.
pub(crate) const ANSWER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);

/// With it set, a test that cannot run fails.
const NO_SKIP: &str = "DOTGATE_TEST_NO_SKIP";

/// A server of somebody else's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Product {
    Dnsdist,
    Unbound,
    KnotResolver,
}

impl Product {
    fn program(self) -> &'static str {
        match self {
            Product::Dnsdist => "dnsdist",
            Product::Unbound => "unbound",
            Product::KnotResolver => "kresd",
        }
    }
}

/// Whether all of these are installed; a test that runs without them says so, or fails if it must not.
pub(crate) fn are_installed(products: &[Product], tools: &[&str]) -> bool {
    let programs = products.iter().map(|product| product.program());
    for program in programs.chain(tools.iter().copied()) {
        if find(program).is_none() {
            assert!(
                std::env::var_os(NO_SKIP).is_none(),
                "{program} is not installed"
            );
            println!("skipped: {program} is not installed");
            return false;
        }
    }
    true
}

/// The same for a program that has to be built: the variable names it where it must be there.
pub(crate) fn is_installed_or_skipped(program: &str) -> bool {
    let is_installed = find(program).is_some();
    let strict = std::env::var(NO_SKIP).unwrap_or_default();
    assert!(
        is_installed || !strict.contains(program),
        "{program} is not installed"
    );
    if !is_installed {
        println!("skipped: {program} is not installed");
    }
    is_installed
}

/// The same for what the system can or cannot do.
pub(crate) fn is_possible_or_skipped(what: &str, is_possible: bool) -> bool {
    let strict = std::env::var(NO_SKIP).unwrap_or_default();
    assert!(is_possible || !strict.contains(what), "{what} is missing");
    if !is_possible {
        println!("skipped: {what} is missing");
    }
    is_possible
}

/// A program's path, also where only the administrator looks.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrators = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let mut folders = std::env::split_paths(&path).chain(administrators);
    folders.find_map(|folder| Some(folder.join(program)).filter(|path| path.is_file()))
}

/// A peer; it is killed when this is dropped.
pub(crate) struct Peer {
    product: Product,
    folder: TempDir,
    address: SocketAddr,
    name: String,
    child: Option<Child>,
}

impl Peer {
    /// Starts it with a certificate of this authority and waits until it takes connections.
    pub(crate) fn start(product: Product, authority: &TestAuthority) -> Peer {
        Peer::start_as(AUTHENTICATION_NAME, product, authority)
    }

    /// The same with another name in the certificate.
    pub(crate) fn start_as(name: &str, product: Product, authority: &TestAuthority) -> Peer {
        let listener = TcpListener::bind((own_address(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let folder = TempDir::new().unwrap();
        let mut peer = Peer {
            product,
            folder,
            address,
            name: name.to_owned(),
            child: None,
        };
        std::fs::write(peer.file("configuration"), peer.configuration()).unwrap();
        peer.keep(&Leaf::for_name(name), authority);
        peer.start_again();
        peer
    }

    /// How it is written in `DNS_HOST`.
    pub(crate) fn written(&self) -> String {
        format!(
            "{}@{}#{}",
            self.address.ip(),
            self.address.port(),
            self.name
        )
    }

    /// Gives it a new certificate, which it shows from its next start.
    pub(crate) fn keep(&self, leaf: &Leaf, authority: &TestAuthority) {
        let shown = authority.issue(leaf).unwrap();
        std::fs::write(self.file("certificate.pem"), &shown.pem).unwrap();
        std::fs::write(self.file("key.pem"), pem(shown.key.secret_der())).unwrap();
    }

    /// Starts it after it was killed.
    pub(crate) fn start_again(&mut self) {
        let said = std::fs::File::create(self.file("said")).unwrap();
        let mut command = Command::new(find(self.product.program()).unwrap());
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.stdout(said.try_clone().unwrap()).stderr(said);
        let configuration = self.file("configuration");
        match self.product {
            Product::Dnsdist => command
                .args(["--supervised", "--disable-syslog", "-C"])
                .arg(configuration),
            Product::Unbound => command.args(["-d", "-c"]).arg(configuration),
            Product::KnotResolver => command
                .args(["-n", "-c"])
                .arg(configuration)
                .arg(self.folder.path()),
        };
        self.child = Some(command.spawn().unwrap());
        let mut ended = None;
        until("the peer's listener", || {
            ended = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().unwrap());
            ended.is_some() || TcpStream::connect(self.address).is_ok()
        });
        let said = || std::fs::read_to_string(self.file("said")).unwrap();
        assert!(ended.is_none(), "{:?} ended: {}", self.product, said());
    }

    /// Kills it without warning.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops it in the middle of whatever it does, with all its connections open.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
        let tasks = format!("/proc/{}/task", self.child.as_ref().unwrap().id());
        let is_stopped = |task: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(task.unwrap().path().join("stat"));
            // Behind the name, which is in parentheses, is the state.
            stat.is_ok_and(|stat| stat.rsplit(") ").next().unwrap().starts_with('T'))
        };
        until("all its threads have stopped", || {
            std::fs::read_dir(&tasks).unwrap().all(is_stopped)
        });
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.as_ref().unwrap(), name);
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configuration(&self) -> String {
        let shown = |path: PathBuf| Path::display(&path).to_string();
        let (certificate, key) = (
            shown(self.file("certificate.pem")),
            shown(self.file("key.pem")),
        );
        let (ip, port) = (self.address.ip(), self.address.port());
        // dnsdist insists on a listener without TLS.
        let plain = own_address();
        match self.product {
            Product::Dnsdist => format!(
                "setLocal('{plain}:{port}')\n\
                 addTLSLocal('{ip}:{port}', '{certificate}', '{key}', {{ maxInFlight = 1000 }})\n\
                 addAction(AllRule(), SpoofAction('{ANSWER}', {{ ttl = 60 }}))\n"
            ),
            Product::Unbound => format!(
                "server:\n username: ''\n chroot: ''\n pidfile: ''\n use-syslog: no\n logfile: ''\n \
                 directory: '{}'\n do-daemonize: no\n num-threads: 1\n interface: {ip}@{port}\n \
                 tls-port: {port}\n tls-service-key: '{key}'\n tls-service-pem: '{certificate}'\n \
                 module-config: iterator\n incoming-num-tcp: 100\n \
                 local-zone: 'test.' redirect\n local-data: 'test. 60 A {ANSWER}'\n\
                 remote-control:\n control-enable: no\n",
                self.folder.path().display()
            ),
            Product::KnotResolver => format!(
                "net.listen('{ip}', {port}, {{ kind = 'tls' }})\nnet.tls('{certificate}', '{key}')\n\
                 trust_anchors.remove('.')\ncache.size = 1 * MB\n\
                 policy.add(policy.all(policy.ANSWER({{ [kres.type.A] = \
                 {{ rdata = kres.str2ip('{ANSWER}'), ttl = 60 }} }})))\n"
            ),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A private key in PEM form (RFC 7468 section 10).
fn pem(der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        writeln!(pem, "{}", str::from_utf8(line).unwrap()).unwrap();
    }
    pem + "-----END PRIVATE KEY-----\n"
}
