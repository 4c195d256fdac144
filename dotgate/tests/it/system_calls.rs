//! System calls that a filter refuses, as in a container with a strict profile or on an old kernel.
//!
//! The filter is put in place by a few lines of Python, which then become the program.

use std::process::{Command, Stdio};

use dotgate_testbed::certificates::TestAuthority;

use crate::world::client::Client;
use crate::world::peer::{are_installed, find};
use crate::world::program::{Program, authority_file, set_up};
use crate::world::upstream::Upstream;

/// Refuses the calls of the second argument with the error of the first one, then runs the rest.
const LAUNCHER: &str = r#"
import ctypes, os, struct, sys
error, calls = int(sys.argv[1]), [int(call) for call in sys.argv[2].split(",")]
# BPF: load the number of the call; for each refused one, if it is equal, return the error; else allow it.
code = [struct.pack("HBBI", 0x20, 0, 0, 0)]
for call in calls:
    code += [struct.pack("HBBI", 0x15, 0, 1, call), struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | error)]
code.append(struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000))
code_at = ctypes.create_string_buffer(b"".join(code))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code), ctypes.addressof(code_at)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
os.execv(sys.argv[3], sys.argv[3:])
"#;

const ENOSYS: i32 = 38;
const EPERM: i32 = 1;

/// The numbers of recvmmsg, sendmmsg, recvmsg, accept4.
#[cfg(target_arch = "x86_64")]
const CALLS: Option<[u32; 4]> = Some([299, 307, 47, 288]);
#[cfg(target_arch = "aarch64")]
const CALLS: Option<[u32; 4]> = Some([243, 269, 212, 242]);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const CALLS: Option<[u32; 4]> = None;

/// The numbers of the calls, where a filter can be made.
fn calls() -> Option<[u32; 4]> {
    are_installed(&[], &["python3"]).then_some(CALLS).flatten()
}

/// The program, to which these calls are refused.
fn command_without(calls: &[u32], error: i32) -> Command {
    let calls: Vec<String> = calls.iter().map(u32::to_string).collect();
    let mut command = Command::new(find("python3").unwrap());
    command.args(["-c", LAUNCHER, &error.to_string(), &calls.join(",")]);
    command.arg(env!("CARGO_BIN_EXE_dotgate")).env_clear();
    command
}

#[test]
fn without_batched_calls_datagrams_go_one_by_one_and_the_log_says_so_once() {
    let Some([recvmmsg, sendmmsg, _, _]) = calls() else {
        return;
    };
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    for (calls, error) in [
        (&[recvmmsg][..], ENOSYS),
        (&[sendmmsg], EPERM),
        (&[recvmmsg, sendmmsg], EPERM),
    ] {
        let command = command_without(calls, error);
        let variables = [("DOTGATE_SERVER_WORKERS", "2")];
        let mut program = Program::serve_with(&authority, &upstream.written(), &variables, command);
        for number in 0..64 {
            let name = format!("name-{number}.test");
            Client::udp(program.address()).ask(&name).assert_right();
        }
        let said = program.lines_of_the_start();
        let reported = said
            .iter()
            .filter(|line| line.contains("datagrams are not batched"));
        assert_eq!(reported.count(), 1, "{said:#?}");
        program.signal("TERM");
        assert_eq!(program.wait().code(), Some(0));
    }
}

#[test]
fn without_any_call_for_datagrams_it_does_not_start() {
    let Some([recvmmsg, _, recvmsg, _]) = calls() else {
        return;
    };
    let authority = TestAuthority::new().unwrap();
    let file = authority_file(&authority);
    let mut command = command_without(&[recvmmsg, recvmsg], EPERM);
    set_up(&mut command, &file, "192.0.2.1", &[]);
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    let expected = "the system does not let this process use UDP: receive datagrams: ";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn without_accept_it_sleeps_says_so_once_and_serves_datagrams() {
    let Some([.., accept4]) = calls() else {
        return;
    };
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let command = command_without(&[accept4], EPERM);
    let program = Program::serve_with(
        &authority,
        &upstream.written(),
        &[("DOTGATE_SERVER_WORKERS", "1")],
        command,
    );
    let _waiting = program.tcp();
    program.wait_for_line("cannot accept TCP connections");
    program.assert_sleeps();
    let said = program.new_lines();
    assert!(
        !said.iter().any(|line| line.contains("cannot accept TCP")),
        "{said:#?}"
    );
}
