//! dnstap: what readers get, and that nothing waits for them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use dotgate_testbed::certificates::TestAuthority;

use crate::world::http::{metric, metric_once_there};
use crate::world::message::QueryType;
use crate::world::peer::are_installed;
use crate::world::program::Program;
use crate::world::upstream::{Form, Step, Upstream};
use crate::world::wait::{BOUND, until};

const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";

/// Whether the program says that its reader is connected.
fn is_connected(program: &Program, value: u8) -> bool {
    metric_once_there(program.admin(), "dotgate_dnstap_connected") == Some(f64::from(value))
}

/// Farsight's reader, which writes what it gets to a file.
struct Capture(Child);

impl Capture {
    fn start(socket: &Path, file: &Path) -> Capture {
        let mut command = Command::new("fstrm_capture");
        command.args(["-t", "protobuf:dnstap.Dnstap", "-u"]);
        command.arg(socket).arg("-w").arg(file);
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        until("its socket", || {
            std::fs::metadata(socket).is_ok_and(|it| it.file_type().is_socket())
        });
        Capture(child)
    }

    /// Ends it, so that it writes its file out.
    fn end(mut self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").arg(&id).status().unwrap().success());
        self.0.wait().unwrap();
    }
}

/// The messages of a file, one a line.
fn read(file: &Path) -> Vec<String> {
    let output = Command::new("dnstap-read").arg(file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_real_reader_gets_each_message_of_clients_and_upstreams() {
    if !are_installed(&[], &["fstrm_capture", "dnstap-read"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (socket, file) = (folder.path().join("socket"), folder.path().join("file"));
    let capture = Capture::start(&socket, &file);
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let reader = format!("unix:{}", socket.display());
    let mut program = Program::serve(
        &authority,
        &upstream.written(),
        &[("DOTGATE_DNSTAP", &reader)],
    );
    until("the reader is connected", || is_connected(&program, 1));
    program.udp().ask("one.test").assert_right();
    program.udp().ask("one.test").assert_right();
    program.tcp().ask("two.test").assert_right();
    program.signal("TERM");
    assert!(program.wait().success());
    capture.end();

    let lines = read(&file);
    let count = |words: &[&str]| {
        let has_all = |line: &&String| words.iter().all(|word| line.contains(word));
        lines.iter().filter(has_all).count()
    };
    for (kind, transport, name, expected) in [
        (" CQ ", "UDP", "one.test/IN/A", 2),
        (" CR ", "UDP", "one.test/IN/A", 2),
        (" CQ ", "TCP", "two.test/IN/A", 1),
        (" CR ", "TCP", "two.test/IN/A", 1),
        // From the cache the second time.
        (" FQ ", "", "one.test/IN/A", 1),
        (" FR ", "", "one.test/IN/A", 1),
        (" FQ ", "", "two.test/IN/A", 1),
        (" FR ", "", "two.test/IN/A", 1),
    ] {
        let found = count(&[kind, transport, name]);
        assert_eq!(found, expected, "{kind} {transport} {name}: {lines:#?}");
    }
    let address = upstream.written();
    let (address, _) = address.split_once('@').unwrap();
    assert!(count(&[" FQ ", address]) >= 2, "{lines:#?}");
    assert!(count(&[" CQ ", "127.0.0.1:"]) >= 2, "{lines:#?}");
}

/// A reader of the test, which takes dnstap and reads nothing more.
fn accept(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let control = |kind: u8| {
        let length = 12 + CONTENT_TYPE.len() as u8;
        let head = [0, 0, 0, 0, 0, 0, 0, length, 0, 0, 0, kind];
        let field = [0, 0, 0, 1, 0, 0, 0, CONTENT_TYPE.len() as u8];
        [&head[..], &field, CONTENT_TYPE].concat()
    };
    let (ready, start) = (control(4), control(2));
    let mut frame = vec![0; ready.len()];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(frame, ready);
    stream.write_all(&control(1)).unwrap();
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(frame, start);
    stream
}

#[test]
fn a_reader_that_does_not_read_costs_copies_and_no_query_waits() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let reader = format!("tcp:{}", listener.local_addr().unwrap());
    let settings = [
        ("DOTGATE_DNSTAP", reader.as_str()),
        ("DOTGATE_SERVER_WORKERS", "1"),
    ];
    let program = Program::serve(&authority, &upstream.written(), &settings);
    let deaf = accept(&listener);
    until("the reader is connected", || is_connected(&program, 1));
    upstream.script(|script| script.on_beginning("long", &[Step::Send(Form::Long)]));
    let mut client = program.tcp();
    until("copies are dropped", || {
        for _ in 0..20 {
            let response = client.ask_for("long.test", QueryType::TextWithoutEdns);
            assert!(response.length > 60_000, "{response:?}");
        }
        metric(program.admin(), "dotgate_dnstap_messages_dropped_total") > 0.0
    });
    drop(deaf);
}

#[test]
fn a_reader_that_went_away_is_found_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let reader = format!("tcp:{}", listener.local_addr().unwrap());
    let program = Program::serve(
        &authority,
        &upstream.written(),
        &[("DOTGATE_DNSTAP", &reader)],
    );
    let first = accept(&listener);
    until("the reader is connected", || is_connected(&program, 1));
    first.shutdown(Shutdown::Both).unwrap();
    drop(first);
    until("that is noticed", || {
        program.udp().ask("a.test").assert_right();
        is_connected(&program, 0)
    });
    program.wait_for_line("no dnstap reader");
    let mut second = accept(&listener);
    until("another one is connected", || is_connected(&program, 1));
    program.udp().ask("b.test").assert_right();
    let mut length = [0; 4];
    second.read_exact(&mut length).unwrap();
    assert!(u32::from_be_bytes(length) > 0);
}
