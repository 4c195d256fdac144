//! A Debian system whose first process is systemd.
//!
//! A test that needs one runs twice: outside, where it makes the system's files if they are not there yet and starts
//! itself again in namespaces, and there, where it boots. When the test ends, everything it started is killed.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use dotgate_testbed::certificates::{Leaf, ServerCertificate, TestAuthority};
use tempfile::TempDir;

use crate::page::blocks;
use crate::world::client::Client;
use crate::world::peer::find;
use crate::world::upstream::Upstream;
use crate::world::wait::until;

/// Set for a test that runs inside: the folder of its namespaces.
const INSIDE: &str = "DOTGATE_TEST_SYSTEMD";

/// With `systemd` in it, a test that cannot run fails.
const NO_SKIP: &str = "DOTGATE_TEST_NO_SKIP";

/// Programs that make the namespaces.
const PROGRAMS: [&str; 5] = ["unshare", "nsenter", "setpriv", "pivot_root", "ip"];

/// Where the service listens in these tests.
pub(crate) const SERVICE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

/// The admin endpoint's default.
pub(crate) const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9153);

/// How long the watchdog waits in tests that wait it out.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(2);

/// What the unit is edited with for that.
pub(crate) const SHORT_WATCHDOG: &str = "[Service]\nWatchdogSec=2\n";

/// A booted system, and an upstream for its service. It is killed when this is dropped.
pub(crate) struct Machine {
    boot: Child,
    first_process: u32,
    pub(crate) upstream: Upstream,
    authority: TestAuthority,
}

impl Machine {
    /// Enters the namespaces of the test with this path and boots; none outside, where the test is over with this.
    #[track_caller]
    pub(crate) fn boot(test: &str) -> Option<Machine> {
        let Some(folder) = std::env::var_os(INSIDE) else {
            run_inside(test);
            return None;
        };
        let ip = find("ip").unwrap();
        let loopback = Command::new(ip).args(["link", "set", "lo", "up"]).status();
        assert!(loopback.unwrap().success());
        let boot = Command::new(script("boot"))
            .arg(tree())
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .arg(env!("CARGO_BIN_EXE_dotgate"))
            .arg(folder)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let authority = TestAuthority::new().unwrap();
        let mut machine = Machine {
            boot,
            first_process: 0,
            upstream: Upstream::start(&authority),
            authority,
        };
        until("systemd", || {
            machine.first_process = machine.find_first_process().unwrap_or_default();
            machine.first_process != 0
        });
        until("the end of the boot", || {
            let (_, said) = machine.try_run("systemctl is-system-running");
            assert_ne!(said, "degraded\n", "{}", machine.run("systemctl --failed"));
            said == "running\n"
        });
        Some(machine)
    }

    /// The same with the service installed and started, by the commands of the page.
    #[track_caller]
    pub(crate) fn boot_with_service(test: &str) -> Option<Machine> {
        let machine = Machine::boot(test)?;
        machine.install();
        machine.start();
        Some(machine)
    }

    /// The child of `unshare`, once it has become systemd.
    fn find_first_process(&self) -> Option<u32> {
        let unshare = self.boot.id();
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"));
        let child = children.ok()?.trim().parse().ok()?;
        let name = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
        (name == "systemd\n").then_some(child)
    }

    /// Copies the program and its files to their places as the page says, and writes the settings.
    pub(crate) fn install(&self) {
        self.run(&blocks("host.md", "Install")[0]);
        self.trust_upstream();
        self.configure(&self.settings(""));
    }

    /// Writes the authority of the upstream, which the settings name.
    pub(crate) fn trust_upstream(&self) {
        self.write("/etc/dotgate/ca.pem", self.authority.pem());
    }

    /// A certificate of the authority that has issued that of the upstream.
    pub(crate) fn issue(&self, leaf: &Leaf) -> ServerCertificate {
        self.authority.issue(leaf).unwrap()
    }

    /// Checks and starts the service as the page says.
    pub(crate) fn start(&self) {
        self.run(&blocks("host.md", "Install")[1]);
    }

    /// Settings for a service in front of the upstream, with further lines.
    pub(crate) fn settings(&self, further: &str) -> String {
        format!(
            "[server]\nhost = \"127.0.0.1\"\nport = 53\n[dns]\nhost = \"{}\"\nport = 853\n\
             [tls]\nca_file = \"/etc/dotgate/ca.pem\"\n{further}",
            self.upstream.written()
        )
    }

    /// Writes the file of settings.
    pub(crate) fn configure(&self, settings: &str) {
        self.write("/etc/dotgate/dotgate.toml", settings);
    }

    /// Writes a file, for everybody to read.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let folder = Path::new(path).parent().unwrap().display();
        let end = "end-of-the-file";
        self.run(&format!(
            "mkdir -p {folder}\ncat > {path} <<'{end}'\n{text}\n{end}\nchmod 644 {path}"
        ));
    }

    /// Copies a file of the test's into the system.
    pub(crate) fn copy(&self, file: &Path, path: &str) {
        let mut copy = self.inside(&format!("cat > {path}"));
        let output = copy.stdin(fs::File::open(file).unwrap()).output().unwrap();
        assert!(output.status.success(), "{path}");
    }

    /// Writes what `systemctl edit dotgate` would.
    pub(crate) fn edit_unit(&self, text: &str) {
        self.write("/etc/systemd/system/dotgate.service.d/override.conf", text);
        self.run("systemctl daemon-reload");
    }

    /// Runs a script as root in the repository; what it prints. It must succeed.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> String {
        let (is_success, said) = self.try_run(script);
        assert!(is_success, "{script}\n{said}\n{}", self.journal());
        said
    }

    /// The same for one that may fail: whether it succeeded, and what it printed.
    pub(crate) fn try_run(&self, script: &str) -> (bool, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.inside(script).stdin(Stdio::null()).output().unwrap();
        let said = [stdout, stderr].concat();
        (status.success(), String::from_utf8(said).unwrap())
    }

    fn inside(&self, script: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .arg(format!("--target={}", self.first_process))
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"])
            .args(["--root", "sh", "-ec", "exec 2>&1; cd /src; eval \"$0\""])
            .arg(script);
        command
    }

    /// A property of the service.
    pub(crate) fn property(&self, name: &str) -> String {
        let show = format!("systemctl show --property={name} --value dotgate");
        self.run(&show).trim().to_owned()
    }

    /// How often systemd has started the service again.
    pub(crate) fn restarts(&self) -> u32 {
        self.property("NRestarts").parse().unwrap()
    }

    /// All that the service and systemd logged about it.
    pub(crate) fn journal(&self) -> String {
        self.try_run("journalctl --unit=dotgate --no-pager --output=cat")
            .1
    }

    /// A new client of the service over UDP.
    pub(crate) fn udp(&self) -> Client {
        Client::udp(SERVICE)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() && self.first_process != 0 {
            eprintln!("{}", self.journal());
        }
        drop(self.boot.kill());
        drop(self.boot.wait());
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/systemd")
        .join(name)
}

/// Where the files of the Debian system are kept from one run to the next.
fn tree() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian")
}

/// Makes what tests need, once; the reason if it cannot be had.
fn set_up() -> Result<(), String> {
    for program in PROGRAMS {
        if find(program).is_none() {
            return Err(format!("{program} is not installed"));
        }
    }
    let made = Command::new(script("tree")).arg(tree()).output().unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    if !made.status.success() {
        return Err(format!("no Debian system: {}", said.trim()));
    }
    let folder = TempDir::new().unwrap();
    let tried = Command::new(script("isolated"))
        .arg(folder.path())
        .arg("true")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tried.stderr);
    if !tried.status.success() {
        return Err(format!("no namespaces: {}", said.trim()));
    }
    Ok(())
}

/// Runs the test in namespaces; it fails here as it does there.
#[track_caller]
fn run_inside(test: &str) {
    static READY: OnceLock<Result<(), String>> = OnceLock::new();
    if let Err(reason) = READY.get_or_init(set_up) {
        let strict = std::env::var(NO_SKIP).unwrap_or_default();
        assert!(!strict.contains("systemd"), "{reason}");
        println!("skipped: {reason}");
        return;
    }
    let folder = TempDir::new().unwrap();
    let output = Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(script("isolated"))
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("test result: ok. 1 passed"),
        "inside: {said}\n{failed}"
    );
}
