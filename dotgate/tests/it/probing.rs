//! `dotgate check --probe`: every upstream is asked, and a script learns whether all of them can be used.

use dotgate_testbed::certificates::TestAuthority;

use crate::world::program::{authority_file, command, set_up};
use crate::world::upstream::{Opening, Upstream};

/// The exit status of `dotgate check --probe` with these upstreams, and what it printed.
fn probed(authority: &TestAuthority, hosts: &str, variables: &[(&str, &str)]) -> (i32, String) {
    let file = authority_file(authority);
    let mut check = command(&[]);
    set_up(&mut check, &file, hosts, variables);
    check.args(["check", "--changed", "--probe"]);
    let output = check.stdout(std::process::Stdio::piped()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}

#[test]
fn each_upstream_gets_a_line_and_one_that_fails_an_exit_status() {
    let authority = TestAuthority::new().unwrap();
    let (healthy, refusing) = (Upstream::start(&authority), Upstream::start(&authority));
    refusing.script(|script| script.opening = Opening::Close);
    let (status, said) = probed(&authority, &healthy.written(), &[]);
    assert_eq!(status, 0, "{said}");
    let line = said
        .lines()
        .find(|line| line.starts_with("probe "))
        .unwrap();
    for part in [": OK: ", "TLS 1.3", "certificate ", "response NOERROR "] {
        assert!(line.contains(part), "{line}");
    }
    let pin = said
        .lines()
        .find_map(|line| line.strip_prefix("  to pin its key: "))
        .unwrap();
    let (status, said) = probed(&authority, pin, &[]);
    assert_eq!(status, 0, "what is printed can be pasted: {said}");

    let both = format!("{},{}", healthy.written(), refusing.written());
    let (status, said) = probed(&authority, &both, &[]);
    assert_eq!(status, 1, "{said}");
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("probe "))
        .collect();
    assert!(
        lines[0].contains(": OK: ") && lines[1].contains(": FAILED: tls: "),
        "{said}"
    );
}
