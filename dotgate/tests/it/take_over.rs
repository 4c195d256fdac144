//! A new process takes the listening sockets over from the running one, and no query is lost.
//!
//! The built binary is replaced under load, refused, killed, and started with other settings; asserted is that every
//! query sent at any time has its answer, and who goes on when a replacement fails.

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use dotgate::take_over::Predecessor;

use crate::tail::{TOKEN, token_file};
use crate::world::client::Client;
use crate::world::house::House;
use crate::world::http::{ask, get, post};
use crate::world::load::Load;
use crate::world::message::assert_all_right;
use crate::world::peer::are_installed;
use crate::world::program::{Program, authority_file, command, set_up};
use crate::world::upstream::{Form, Step};
use crate::world::wait::{BOUND, until};

const MS: Duration = Duration::from_millis(1);

impl House {
    /// Starts a process that must end by itself.
    fn fail(&self, port: &str, variables: &[(&str, &str)], mut command: Command) -> String {
        let file = authority_file(&self.authority);
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o644)).unwrap();
        set_up(&mut command, &file, &self.upstream.written(), variables);
        command.env("PORT", port);
        command.env("DOTGATE_SERVER_TAKE_OVER_SOCKET", self.socket());
        let Output { status, stderr, .. } = command.output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{said}");
        said
    }
}

fn port(program: &Program) -> String {
    program.address().port().to_string()
}

/// Clients enough for the kernel to spread them over all sockets.
fn loads(program: &Program) -> Vec<Load> {
    let loads: Vec<Load> = (0..8).map(|_| program.load(2 * MS)).collect();
    for load in &loads {
        load.go_on_for(20);
    }
    loads
}

fn assert_none_lost(loads: Vec<Load>) {
    for load in loads {
        let responses = load.finish();
        assert_all_right(&responses, responses.len());
    }
}

#[test]
fn replaced_five_times_under_load_it_loses_no_query_whatever_the_number_of_workers() {
    let house = House::new();
    let late = [Step::Wait(20 * MS), Step::Send(Form::Right)];
    house.upstream.script(|script| script.all = late.to_vec());
    let mut running = house.serve("0", &[("DOTGATE_SERVER_WORKERS", "2")]);
    let (address, port) = (running.address(), port(&running));
    let loads = loads(&running);
    for workers in ["2", "4", "1", "3", "2"] {
        let next = house.serve(&port, &[("DOTGATE_SERVER_WORKERS", workers)]);
        assert_eq!(next.address(), address);
        running.wait_for_line("another process serves");
        for load in &loads {
            load.go_on_for(20);
        }
        next.tcp()
            .ask(&format!("stream-{workers}.test"))
            .assert_right();
        assert_eq!(running.wait().code(), Some(0));
        assert!(running.wait_for_line("stopped").contains("failed=0"));
        running = next;
    }
    for load in &loads {
        load.go_on_for(20);
    }
    assert_none_lost(loads);
    running.signal("TERM");
    assert_eq!(running.wait().code(), Some(0));
    assert!(!house.socket().exists(), "the last one removes its socket");
}

#[test]
fn connected_clients_and_queries_in_flight_stay_with_the_process_that_took_them() {
    let house = House::new();
    house.upstream.script(|script| {
        script.on_beginning("held", &[Step::Hold]);
    });
    let mut first = house.serve("0", &[]);
    let (mut stream, mut datagrams) = (first.tcp(), first.udp());
    stream.ask("before.test").assert_right();
    stream.send("held-stream.test");
    datagrams.send_all((0..20).map(|number| format!("held-{number}.test")));
    house.upstream.wait_for_queries(22);
    let second = house.serve(&port(&first), &[]);
    first.wait_for_line("another process serves");
    stream.send("after.test");
    second.tcp().ask("to-the-new-one.test").assert_right();
    house.upstream.release_all();
    assert_all_right(&datagrams.receive_all(), 20);
    assert_all_right(&stream.receive_all(), 2);
    stream.wait_for_close();
    assert_eq!(first.wait().code(), Some(0));
    datagrams.ask("at-last.test").assert_right();
}

#[test]
fn sigterm_while_being_replaced_answers_what_is_in_flight() {
    let house = House::new();
    house
        .upstream
        .script(|script| script.all = vec![Step::Hold]);
    let mut first = house.serve("0", &[("DOTGATE_SERVER_DRAIN_MAX", "300s")]);
    let mut client = first.tcp();
    client.send_together((0..20).map(|number| format!("held-{number}.test")));
    house.upstream.wait_for_queries(20);
    let mut second = house.serve(&port(&first), &[]);
    first.wait_for_line("another process serves");
    first.signal("TERM");
    second.signal("TERM");
    house.upstream.release_all();
    assert_all_right(&client.receive_all(), 20);
    assert_eq!(first.wait().code(), Some(0));
    assert_eq!(second.wait().code(), Some(0));
}

#[test]
fn a_new_process_that_dies_before_it_serves_changes_nothing() {
    let house = House::new();
    let first = house.serve("0", &[("DOTGATE_SERVER_WORKERS", "2")]);
    let loads = loads(&first);
    for _ in 0..3 {
        // It has all sockets by now, and has ended.
        drop(Predecessor::ask(&house.socket()).unwrap().unwrap());
        first.wait_for_line("still serving");
        for load in &loads {
            load.go_on_for(10);
        }
    }
    let taken = UdpSocket::bind(("127.0.0.9", first.address().port())).unwrap();
    let said = house.fail(
        &port(&first),
        &[("HOST", "127.0.0.1,127.0.0.9")],
        command(&[]),
    );
    assert!(said.contains("listen on 127.0.0.9"), "{said}");
    drop(taken);
    first.wait_for_line("still serving");
    first.tcp().ask("stream.test").assert_right();
    assert_none_lost(loads);
    let mut first = first;
    let second = house.serve(&port(&first), &[]);
    assert_eq!(first.wait().code(), Some(0));
    second.udp().ask("after.test").assert_right();
}

/// What operators can change in a running process: the path and a body that is accepted.
const CHANGES: [(&str, &str); 4] = [
    ("/api/v1/log-level", r#"{"level": "error"}"#),
    ("/api/v1/cache/flush", r#"{"name": "cached.test"}"#),
    (
        "/api/v1/portal",
        r#"{"open": {"seconds": 60, "all": false}}"#,
    ),
    (
        "/api/v1/routes",
        r#"{"set": {"owner": "tun0", "routes": "tun0.test=plain:192.0.2.1"}}"#,
    ),
];

#[test]
fn no_change_of_an_operator_is_accepted_and_lost_in_a_take_over() {
    let (house, token) = (House::new(), token_file());
    let variables = [
        ("DOTGATE_ADMIN_TOKEN_FILE", token.path().to_str().unwrap()),
        ("DOTGATE_ADMIN_ROUTES", "true"),
        ("DOTGATE_DNS_PORTAL", "192.0.2.1"),
        ("DOTGATE_SERVER_SANDBOX", "off"),
    ];
    let first = house.serve("0", &variables);
    first.udp().ask("cached.test").assert_right();
    let admin = first.admin();
    // The client would keep the connection.
    let change = |path: &str, body: &str| {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: {admin}\r\n");
        let rest =
            format!("Authorization: Bearer {TOKEN}\r\nContent-Length: {length}\r\n\r\n{body}");
        ask(admin, &(head + &rest))
    };
    let level = || {
        let status = get(admin, "/api/v1/status").json();
        status["log"]["level"].as_str().unwrap().to_owned()
    };
    let before = level();
    let taking_over = Predecessor::ask(&house.socket()).unwrap().unwrap();
    for (path, body) in CHANGES {
        let refused = change(path, body);
        assert_eq!(refused.status, 503, "{path}: {refused:?}");
        assert!(refused.body.contains("is taking over"), "{refused:?}");
        for field in ["retry-after: 1", "connection: close"] {
            assert!(refused.head.contains(field), "{field}: {refused:?}");
        }
    }
    let status = get(admin, "/api/v1/status").json();
    assert_eq!(status["cache"]["entries"], 1, "{status}");
    assert_eq!(status["portal"]["open"], false, "{status}");
    let owners = status["volatile_routes"]["owners"].as_array();
    assert!(owners.unwrap().is_empty(), "{status}");
    assert_eq!(level(), before);
    // It does not take over.
    drop(taking_over);
    first.wait_for_line("still serving");
    for (path, body) in CHANGES {
        let done = post(
            admin,
            path,
            &format!("Authorization: Bearer {TOKEN}\r\n"),
            body,
        );
        assert_eq!(done.status, 200, "{path}: {done:?}");
    }
    assert_eq!(level(), "error");
}

#[test]
fn of_two_new_processes_at_once_one_is_refused() {
    let house = House::new();
    let first = house.serve("0", &[]);
    let asked = Predecessor::ask(&house.socket()).unwrap().unwrap();
    let said = house.fail(&port(&first), &[], command(&[]));
    assert!(
        said.contains("another process is taking over from it at this moment"),
        "{said}"
    );
    drop(asked);
    first.wait_for_line("still serving");
    first.udp().ask("after.test").assert_right();
}

#[test]
fn a_peer_with_another_protocol_is_refused_and_gets_nothing() {
    let house = House::new();
    let first = house.serve("0", &[]);
    let endless = "x".repeat(10_000);
    for said in ["dotgate take-over 2\n", "GET / HTTP/1.1\r\n", &endless] {
        let mut stranger = UnixStream::connect(house.socket()).unwrap();
        stranger.set_read_timeout(Some(BOUND)).unwrap();
        stranger.write_all(said.as_bytes()).unwrap();
        let mut answer = String::new();
        // What was not read when it was closed makes the end a reset.
        drop(stranger.read_to_string(&mut answer));
        assert!(["unknown\n", ""].contains(&answer.as_str()), "{answer}");
        first.wait_for_line("still serving");
    }
    first.udp().ask("after.test").assert_right();
}

#[test]
fn a_socket_that_a_killed_process_left_behind_is_in_nobodys_way() {
    let house = House::new();
    let mut first = house.serve("0", &[]);
    let mode = std::fs::metadata(house.socket()).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    first.signal("KILL");
    assert_eq!(first.wait().code(), None);
    let left = std::fs::symlink_metadata(house.socket()).unwrap();
    assert!(left.file_type().is_socket());
    let second = house.serve(&port(&first), &[]);
    second.udp().ask("after.test").assert_right();
    let third = house.serve(&port(&first), &[]);
    second.wait_for_line("another process serves");
    third.udp().ask("after-that.test").assert_right();
}

#[test]
fn a_process_of_another_user_gets_no_socket() {
    if !are_installed(&[], &["setpriv"]) {
        return;
    }
    if dotgate_net::descriptors::own_user() != 0 {
        println!("skipped: only root can start a process of another user");
        return;
    }
    let house = House::new();
    let first = house.serve("0", &[]);
    let folder_mode = PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(house.folder.path(), folder_mode).unwrap();
    // A copy that everybody may execute, wherever the tests are built.
    let copy = house.folder.path().join("dotgate");
    std::fs::copy(env!("CARGO_BIN_EXE_dotgate"), &copy).unwrap();
    let as_nobody = || {
        let mut command = Command::new("setpriv");
        command.env_clear();
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.arg(&copy);
        command
    };
    let said = house.fail(&port(&first), &[], as_nobody());
    assert!(said.contains("Permission denied"), "{said}");
    // Even where the file's mode were wrong.
    std::fs::set_permissions(house.socket(), PermissionsExt::from_mode(0o666)).unwrap();
    let said = house.fail(&port(&first), &[], as_nobody());
    assert!(said.contains("it belongs to another user"), "{said}");
    first.wait_for_line("takeover denied: the process belongs to another user");
    first.udp().ask("after.test").assert_right();
}

#[test]
fn where_others_may_write_it_neither_takes_over_nor_listens() {
    let house = House::new();
    let first = house.serve("0", &[]);
    for mode in [0o777, 0o1777, 0o775] {
        let folder = PermissionsExt::from_mode(mode);
        std::fs::set_permissions(house.folder.path(), folder).unwrap();
        let said = house.fail(&port(&first), &[], command(&[]));
        assert!(said.contains("others may write to the folder"), "{said}");
    }
    first.udp().ask("after.test").assert_right();
}

#[test]
fn what_is_no_socket_stays_at_the_path_through_start_and_stop() {
    let house = House::new();
    std::fs::write(house.socket(), "precious").unwrap();
    let said = house.fail("0", &[], command(&[]));
    assert!(said.contains("it is not removed"), "{said}");
    assert_eq!(std::fs::read_to_string(house.socket()).unwrap(), "precious");

    std::fs::remove_file(house.socket()).unwrap();
    let mut first = house.serve("0", &[]);
    std::fs::remove_file(house.socket()).unwrap();
    std::fs::write(house.socket(), "precious").unwrap();
    first.signal("TERM");
    assert_eq!(first.wait().code(), Some(0));
    assert_eq!(std::fs::read_to_string(house.socket()).unwrap(), "precious");
}

/// Passes one socket with this line to each process that requests it, and nothing more.
fn hand_over(listener: &UnixListener, line: &str, socket: &impl std::os::fd::AsFd) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut greeting = [0; 128];
    assert!(stream.read(&mut greeting).unwrap() > 0);
    dotgate_net::descriptors::send(&stream, line.as_bytes(), socket.as_fd()).unwrap();
    // It may have seen enough.
    drop(stream.write_all(b"end\n"));
}

#[test]
fn a_socket_that_is_bound_elsewhere_is_not_taken_over() {
    let house = House::new();
    let listener = UnixListener::bind(house.socket()).unwrap();
    let forged = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let line = format!("udp {at}\n");
    let said = std::thread::scope(|scope| {
        let asking = scope.spawn(|| house.fail(&at.port().to_string(), &[], command(&[])));
        hand_over(&listener, &line, &forged);
        asking.join().unwrap()
    });
    assert!(said.contains("handed over a socket that is not"), "{said}");
}

#[test]
fn a_process_for_other_addresses_is_no_successor() {
    let house = House::new();
    let first = house.serve("0", &[]);
    let said = house.fail("0", &[], command(&[]));
    assert!(said.contains("listens on none of the addresses"), "{said}");
    first.udp().ask("after.test").assert_right();
}

#[test]
fn the_admin_endpoint_stays_ready_through_a_replacement_and_speaks_of_the_new_process() {
    let house = House::new();
    let mut first = house.serve("0", &[]);
    let admin = first.admin().to_string();
    let second = house.serve(&port(&first), &[("DOTGATE_ADMIN_LISTEN", &admin)]);
    assert_eq!(second.admin(), first.admin());
    first.wait_for_line("another process serves");
    for _ in 0..20 {
        let ready = get(second.admin(), "/readyz");
        assert_eq!(ready.status, 200, "{ready:?}");
    }
    assert_eq!(first.wait().code(), Some(0));
    assert_eq!(get(second.admin(), "/readyz").status, 200);
}

#[test]
fn addresses_come_and_go_with_a_replacement() {
    let house = House::new();
    let first = house.serve("0", &[("HOST", "127.0.0.1,127.0.0.2")]);
    let port = port(&first);
    let at = |host: &str| format!("{host}:{port}").parse().unwrap();
    let mut client = Client::udp(at("127.0.0.1"));
    let mut removed = Client::udp(at("127.0.0.2"));
    client.ask("kept.test").assert_right();
    removed.ask("removed.test").assert_right();
    let mut first = first;
    let second = house.serve(&port, &[("HOST", "127.0.0.1,127.0.0.3")]);
    first.wait_for_line("another process serves");
    removed.ask("while-it-drains.test").assert_right();
    Client::udp(at("127.0.0.3"))
        .ask("added.test")
        .assert_right();
    Client::tcp(at("127.0.0.3"))
        .ask("added-stream.test")
        .assert_right();
    assert_eq!(first.wait().code(), Some(0));
    client.ask("kept-still.test").assert_right();
    until("the removed address's end", || {
        UdpSocket::bind(at("127.0.0.2")).is_ok()
    });
    second.tcp().ask("stream.test").assert_right();
}

/// What a service manager hears, in the order of the notifications.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(house: &House) -> Manager {
        let path = house.folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(BOUND)).unwrap();
        Manager { socket, path }
    }

    /// Waits for a message that begins so.
    fn wait_for(&self, beginning: &str) -> String {
        let mut buffer = [0; 512];
        loop {
            let length = self.socket.recv(&mut buffer).expect(beginning);
            let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if said.starts_with(beginning) {
                return said;
            }
        }
    }
}

#[test]
fn a_service_manager_is_notified_of_ready_watchdog_main_pid_and_stopping() {
    let house = House::new();
    let manager = Manager::new(&house);
    let variables = [
        ("NOTIFY_SOCKET", manager.path.to_str().unwrap()),
        ("WATCHDOG_USEC", "200000"),
    ];
    let first = house.serve("0", &variables);
    let ready = manager.wait_for("READY=1\n");
    assert!(
        ready.contains(&format!("STATUS=serving {}", first.address())),
        "{ready}"
    );
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }
    // A service manager tells WATCHDOG_USEC only to what it starts as the service, not to what a reload starts.
    let of_reload = &variables[..1];
    let mut running = first;
    for _ in 0..2 {
        let next = house.serve(&port(&running), of_reload);
        let replaced = manager.wait_for("MAINPID=");
        assert_eq!(replaced, format!("MAINPID={}\n", next.pid()));
        assert_eq!(running.wait().code(), Some(0));
        for _ in 0..3 {
            manager.wait_for("WATCHDOG=1");
        }
        running = next;
    }
    running.signal("TERM");
    manager.wait_for("STOPPING=1\n");
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn the_replace_command_returns_when_the_new_process_serves_or_says_why_it_does_not() {
    let house = House::new();
    let mut first = house.serve("0", &[]);
    let load = first.load(5 * MS);
    load.go_on_for(20);
    let file = authority_file(&house.authority);
    let socket = house.socket();
    let replace = |host: &str| {
        let mut command = command(&[]);
        let variables = [
            ("HOST", host),
            ("PORT", &port(&first)),
            ("DOTGATE_SERVER_TAKE_OVER_SOCKET", socket.to_str().unwrap()),
        ];
        set_up(&mut command, &file, &house.upstream.written(), &variables);
        command.arg("replace").stdout(Stdio::piped());
        command.stderr(Stdio::null()).output().unwrap()
    };
    let taken = UdpSocket::bind(("127.0.0.10", first.address().port())).unwrap();
    let output = replace("127.0.0.1,127.0.0.10");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    drop(taken);
    assert_eq!(replace("nowhere").status.code(), Some(2));
    let output = replace("127.0.0.1");
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(first.wait().code(), Some(0));
    load.go_on_for(20);
    let responses = load.finish();
    assert_all_right(&responses, responses.len());
    let process = said.split(' ').nth(1).unwrap();
    let status = Command::new("kill").arg(process).status().unwrap();
    assert!(status.success(), "{said}");
    until("the new process's end", || !socket.exists());
}

#[test]
fn the_replace_command_says_so_where_there_is_nobody_to_replace() {
    let house = House::new();
    let mut command = command(&[]);
    command.arg("replace");
    let said = house.fail("0", &[], command);
    assert!(said.contains("so there is none to replace"), "{said}");
    assert!(!house.socket().exists(), "nothing was started");
}
