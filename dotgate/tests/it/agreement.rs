//! `dotgate check` and the server agree: what one refuses, the other refuses, with the same words and status.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use dotgate_testbed::certificates::TestAuthority;
use tempfile::TempDir;

use crate::world::program::{Program, authority_file, command, set_up};

#[test]
fn what_check_accepts_starts_and_what_it_refuses_does_not_start_with_the_same_words() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, text: &str| {
        std::fs::write(at(name), text).unwrap();
        at(name)
    };
    let empty = write("empty.pem", "");
    let short = write("short-token", "abc\n");
    std::fs::set_permissions(&short, PermissionsExt::from_mode(0o600)).unwrap();
    let missing = at("missing");
    let below_missing = at("missing/socket");
    let below_file = at("empty.pem/socket");
    let long = at(&"x".repeat(120));
    let refused: &[&[(&str, &str)]] = &[
        &[("DOTGATE_TLS_CA_FILE", &missing)],
        &[("DOTGATE_TLS_CA_FILE", &empty)],
        &[("DOTGATE_TLS_CA_FILE", ""), ("SSL_CERT_FILE", &missing)],
        &[("DOTGATE_TLS_CA_FILE", ""), ("SSL_CERT_DIR", &missing)],
        &[("DOTGATE_ADMIN_SOCKET", &below_missing)],
        &[("DOTGATE_ADMIN_SOCKET", &long)],
        &[("DOTGATE_SERVER_TAKE_OVER_SOCKET", &below_missing)],
        &[("DOTGATE_SERVER_TAKE_OVER_SOCKET", &below_file)],
        &[("DOTGATE_SERVER_TAKE_OVER_SOCKET", &long)],
        &[
            ("HOST", "0.0.0.0"),
            ("PORT", "5353"),
            ("DNS_HOST", "127.3.2.1@5353#me.test"),
        ],
        &[("DNS_HOST", "x y")],
    ];
    let file = authority_file(&TestAuthority::new().unwrap());
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command: Command = command(&[]);
        set_up(&mut command, &file, "192.0.2.1", variables);
        command.stdout(Stdio::piped());
        let Output {
            status,
            stdout,
            stderr,
        } = command.args(arguments).output().unwrap();
        let said = [stdout, stderr].concat();
        (status.code(), String::from_utf8(said).unwrap())
    };
    for variables in refused {
        let (status, by_check) = run(&["check"], variables);
        assert_eq!(status, Some(2), "check, {variables:?}: {by_check}");
        let (status, by_server) = run(&[], variables);
        assert_eq!(status, Some(2), "the server, {variables:?}: {by_server}");
        let words = by_check
            .lines()
            .filter(|line| !line.is_empty())
            .nth(1)
            .unwrap();
        assert!(by_server.contains(words), "{words}: {by_server}");
    }
    let socket = at("take-over.sock");
    let accepted: &[&[(&str, &str)]] = &[
        &[],
        &[("HOST", "127.0.0.1,192.0.2.77")],
        &[("DOTGATE_SERVER_TAKE_OVER_SOCKET", &socket)],
        &[("DOTGATE_CACHE_SNAPSHOT_FILE", &below_missing)],
        &[("DOTGATE_ADMIN_TOKEN_FILE", &missing)],
        &[("DOTGATE_ADMIN_TOKEN_FILE", &short)],
    ];
    let authority = TestAuthority::new().unwrap();
    for variables in accepted {
        let (status, said) = run(&["check"], variables);
        assert_eq!(status, Some(0), "{variables:?}: {said}");
        let program = Program::serve(&authority, "192.0.2.1", variables);
        let warned = program
            .lines_of_the_start()
            .iter()
            .filter(|line| line.contains("WARN") || line.contains("ERROR"));
        let expected = usize::from(variables.iter().any(|(name, value)| {
            ["DOTGATE_CACHE_SNAPSHOT_FILE", "DOTGATE_ADMIN_TOKEN_FILE"].contains(name)
                || value.contains("192.0.2.77")
        }));
        let warns = said
            .lines()
            .filter(|line| line.starts_with("warning: "))
            .count();
        let of_one_upstream = 1;
        assert_eq!(warns, expected + of_one_upstream, "{variables:?}: {said}");
        assert_eq!(warned.count(), expected, "{variables:?}");
    }
}
