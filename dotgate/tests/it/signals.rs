//! Signals that ask for something, or for nothing.

use dotgate_testbed::certificates::TestAuthority;

use crate::world::program::Program;
use crate::world::upstream::Upstream;

#[test]
fn usr1_logs_the_status_and_nothing_ends() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    // Which opens the first session: another one would open its own for the first query.
    let one_worker = [("DOTGATE_SERVER_WORKERS", "1")];
    let mut program = Program::serve(&authority, &upstream.written(), &one_worker);
    let mut client = program.udp();
    client.ask("one.test").assert_right();
    client.ask("one.test").assert_right();
    client.ask("two.test").assert_right();
    program.signal("USR1");
    let line = program.wait_for_line(" status ");
    for field in [
        "queries=3",
        "answered=2",
        "cached=1",
        "failed=0",
        "in_flight=",
        "cache_entries=2",
    ] {
        assert!(line.contains(field), "{field}: {line}");
    }
    let line = program.wait_for_line("status of an upstream");
    for field in [&*upstream.written(), "state=\"healthy\"", "sessions=1"] {
        assert!(line.contains(field), "{field}: {line}");
    }
    program.udp().ask("after.test").assert_right();

    // Also while it stops.
    program.signal("TERM");
    program.wait_for_line("stopping");
    program.signal("USR1");
    program.wait_for_line(" status ");
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn signals_without_a_meaning_end_nothing() {
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let mut program = Program::serve(&authority, &upstream.written(), &[]);
    for (number, signal) in dotgate_net::signals::MEANINGLESS {
        program.signal(&number.to_string());
        let line = program.wait_for_line("signal ignored");
        assert!(line.contains(signal), "{signal}: {line}");
    }
    assert!(dotgate_net::signals::MEANINGLESS.len() >= 4);
    program.udp().ask("still.test").assert_right();
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
}
