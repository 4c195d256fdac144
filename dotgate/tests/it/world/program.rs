//! The built program, run as an operator runs it.

use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use dotgate_testbed::certificates::TestAuthority;
use tempfile::NamedTempFile;

use super::client::Client;
use super::http::metric;
use super::load::Load;
use super::message::assert_all_right;
use super::wait::{BOUND, now, until};

/// The program while it serves; it is killed when this is dropped.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    address: SocketAddr,
    admin: SocketAddr,
    authority: NamedTempFile,
    start: Vec<String>,
}

impl Program {
    /// Starts it in front of `hosts`, whose certificates this authority signed, and waits until it serves.
    pub(crate) fn serve(
        authority: &TestAuthority,
        hosts: &str,
        variables: &[(&str, &str)],
    ) -> Program {
        Program::serve_with(authority, hosts, variables, command(&[]))
    }

    /// The same with at most `count` open files.
    pub(crate) fn serve_with_open_files(
        count: u32,
        authority: &TestAuthority,
        hosts: &str,
        variables: &[(&str, &str)],
    ) -> Program {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {count} && exec \"$0\"")]);
        shell.arg(env!("CARGO_BIN_EXE_dotgate")).env_clear();
        Program::serve_with(authority, hosts, variables, shell)
    }

    /// The same with a command that becomes the program.
    pub(crate) fn serve_with(
        authority: &TestAuthority,
        hosts: &str,
        variables: &[(&str, &str)],
        mut command: Command,
    ) -> Program {
        let file = authority_file(authority);
        set_up(&mut command, &file, hosts, variables);
        Program::serve_as_is(command, file)
    }

    /// The same with nothing set that the command does not set itself.
    pub(crate) fn serve_as_is(mut command: Command, file: NamedTempFile) -> Program {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (said, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        let mut program = Program {
            child,
            lines,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            authority: file,
            start: Vec::new(),
        };
        program.start = program.lines_until("serving DNS");
        let line = program.start.last().unwrap().clone();
        program.address = address_after(&line, "listen=\"");
        program.admin = address_after(&line, "admin=\"");
        program
    }

    /// Its process ID, also before a command has become the program.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for DNS over TLS.
    pub(crate) fn dot_address(&self) -> SocketAddr {
        address_after(self.start.last().unwrap(), "dot=\"")
    }

    /// Where it listens for DNS over HTTPS.
    pub(crate) fn doh_address(&self) -> SocketAddr {
        address_after(self.start.last().unwrap(), "doh=\"")
    }

    /// Where it listens for DNS over QUIC.
    pub(crate) fn doq_address(&self) -> SocketAddr {
        address_after(self.start.last().unwrap(), "doq=\"")
    }

    /// Where its admin endpoint is.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The resident memory that one client of a crowd costs: of a second crowd, as the first one sizes what is shared.
    pub(crate) fn memory_of_each<C>(&self, crowd: impl Fn() -> Vec<C>) -> f64 {
        let resident = || metric(self.admin, "process_resident_memory_bytes");
        let first = crowd();
        let before = resident();
        let second = crowd();
        let each = (resident() - before) / second.len() as f64;
        drop(first);
        each
    }

    /// A new client over UDP.
    pub(crate) fn udp(&self) -> Client {
        Client::udp(self.address)
    }

    /// A new client over TCP.
    pub(crate) fn tcp(&self) -> Client {
        Client::tcp(self.address)
    }

    /// A client that asks a new name every `gap`, until stopped.
    pub(crate) fn load(&self, gap: Duration) -> Load {
        Load::start(self.udp(), gap)
    }

    /// Waits until it logs a line with these words, and returns it.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, words: &str) -> String {
        self.lines_until(words).pop().unwrap()
    }

    /// The lines before it served, that one included.
    pub(crate) fn lines_of_the_start(&self) -> &[String] {
        &self.start
    }

    /// Waits until it logs a line with these words, and returns all up to it.
    #[track_caller]
    pub(crate) fn lines_until(&self, words: &str) -> Vec<String> {
        let bound = now() + BOUND;
        let mut said = Vec::new();
        loop {
            match self.lines.recv_timeout(bound.saturating_sub(now())) {
                Ok(line) => {
                    let is_last = line.contains(words);
                    said.push(line);
                    if is_last {
                        return said;
                    }
                }
                Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {
                    panic!("it never said {words:?} but {said:#?}")
                }
            }
        }
    }

    /// The lines it has logged since the last look.
    pub(crate) fn new_lines(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Runs a command that asks it, with further variables: its exit status, and what it said.
    pub(crate) fn run_with(
        &self,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> (Option<i32>, String) {
        let mut asking = command(&[]);
        set_up(&mut asking, &self.authority, "192.0.2.1", variables);
        asking.env("DOTGATE_ADMIN_LISTEN", self.admin.to_string());
        let output = asking
            .stdout(Stdio::piped())
            .args(arguments)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }

    /// The same with none.
    pub(crate) fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.run_with(arguments, &[])
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    /// Fails if it does more in a second than a hundred queries take.
    #[track_caller]
    pub(crate) fn assert_sleeps(&self) {
        /// A worker that never sleeps takes a hundred in this second.
        const MOST: u64 = 40;
        let before = self.ticks();
        let load = self.load(Duration::from_millis(10));
        load.go_on_for(100);
        let responses = load.finish();
        assert_all_right(&responses, responses.len());
        let ticks = self.ticks() - before;
        assert!(
            ticks <= MOST,
            "{ticks} ticks for {} queries",
            responses.len()
        );
    }

    /// The processor time it has used so far, in the kernel's ticks (a hundredth of a second each).
    fn ticks(&self) -> u64 {
        /// Where `proc_pid_stat(5)` has user and system time, counted behind the name in brackets.
        const TIMES: std::ops::RangeInclusive<usize> = 11..=12;
        let path = format!("/proc/{}/stat", self.pid());
        let text = std::fs::read_to_string(path).unwrap();
        let (_, behind_name) = text.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = behind_name.split(' ').collect();
        fields[TIMES]
            .iter()
            .map(|field| field.parse::<u64>().unwrap())
            .sum()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The program with these variables and no others.
pub(crate) fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dotgate"));
    command.env_clear().envs(variables.iter().copied());
    // The fault of `mutants/run`.
    if cfg!(planted) {
        command.envs(std::env::vars().filter(|(name, _)| name == "PLANTED"));
    }
    command
}

/// Sets what serving needs, unless a test has a variable of its own.
pub(crate) fn set_up(
    command: &mut Command,
    authority: &NamedTempFile,
    hosts: &str,
    variables: &[(&str, &str)],
) {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.envs([
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("DNS_HOST", hosts),
        ("DNS_PORT", "853"),
        ("DOTGATE_ADMIN_LISTEN", "127.0.0.1:0"),
    ]);
    command.env("DOTGATE_TLS_CA_FILE", authority.path());
    command.envs(variables.iter().copied());
}

/// A file with the authority's certificate.
pub(crate) fn authority_file(authority: &TestAuthority) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(authority.pem().as_bytes()).unwrap();
    file
}

/// The first address behind these words in the line that tells the start.
fn address_after(line: &str, words: &str) -> SocketAddr {
    let (_, behind) = line.split_once(words).expect("addresses");
    let end = behind.find(['"', ',']).unwrap();
    behind[..end].parse().unwrap()
}

/// Sends a child a signal.
pub(crate) fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(status.success(), "{kill}");
}

/// Waits for a child's end.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let mut ended = None;
    until("the program's end", || {
        ended = child.try_wait().unwrap();
        ended.is_some()
    });
    ended.unwrap()
}
