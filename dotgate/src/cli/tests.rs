//! What each command line means.

use super::*;

fn read(line: &str) -> Result<Command, Usage> {
    parse(line.split(' ').map(OsString::from))
}

#[test]
fn each_command_line_means_one_command() {
    let file = Some(PathBuf::from("x.toml"));
    let query = |config: &Option<PathBuf>, name: &str, record_type| Command::Query {
        config: config.clone(),
        name: Name::from_str(name).unwrap(),
        record_type,
    };
    let serve = |config: &Option<PathBuf>, announce| Command::Serve {
        config: config.clone(),
        announce,
    };
    let name = |text: &str| Name::<Vec<u8>>::from_str(text).unwrap();
    let cache = |request| Command::Cache {
        config: None,
        request,
    };
    for (line, expected) in [
        ("dotgate", serve(&None, false)),
        ("dotgate --config x.toml", serve(&file, false)),
        ("dotgate --announce", serve(&None, true)),
        ("dotgate replace", Command::Replace { config: None }),
        ("dotgate check", Command::Check { config: None }),
        (
            "dotgate check --config=x.toml",
            Command::Check {
                config: file.clone(),
            },
        ),
        (
            "dotgate --config x.toml check",
            Command::Check {
                config: file.clone(),
            },
        ),
        (
            "dotgate check --print settings.md",
            Command::Print(Page::Settings),
        ),
        (
            "dotgate check --print full.toml",
            Command::Print(Page::FullFile),
        ),
        (
            "dotgate healthcheck --upstreams --config x.toml",
            Command::Healthcheck {
                config: file.clone(),
                upstreams: true,
            },
        ),
        (
            "dotgate cache show example.test",
            cache(Request::Show(name("example.test"))),
        ),
        (
            "dotgate cache flush example.test",
            cache(Request::Flush(Flush::Name(name("example.test")))),
        ),
        (
            "dotgate cache flush --below test",
            cache(Request::Flush(Flush::Below(name("test")))),
        ),
        (
            "dotgate cache flush --all",
            cache(Request::Flush(Flush::All)),
        ),
        ("dotgate demo", Command::Demo { once: false }),
        ("dotgate demo --once", Command::Demo { once: true }),
        (
            "dotgate query example.test",
            query(&None, "example.test.", Rtype::A),
        ),
        (
            "dotgate query example.test aaaa",
            query(&None, "example.test.", Rtype::AAAA),
        ),
        (
            "dotgate query . TYPE65 --config x.toml",
            query(&file, ".", Rtype::HTTPS),
        ),
    ] {
        assert_eq!(read(line).unwrap(), expected, "{line}");
    }
}

#[test]
fn a_wrong_command_line_exits_with_2_and_speaks_to_stderr_alone() {
    for (line, expected) in [
        ("dotgate serve", "error: unrecognized subcommand 'serve'"),
        (
            "dotgate --confg x",
            "error: unexpected argument '--confg' found",
        ),
        (
            "dotgate query",
            "error: the following required arguments were not provided:",
        ),
        (
            "dotgate query a..b",
            "error: invalid value 'a..b' for '<NAME>': empty label",
        ),
        (
            "dotgate query a XYZZY",
            "error: invalid value 'XYZZY' for '[TYPE]': unknown record type",
        ),
        (
            "dotgate cache flush",
            "error: the following required arguments were not provided:",
        ),
        (
            "dotgate cache flush --all a",
            "error: the argument '--all' cannot be used with '[NAME]'",
        ),
        (
            "dotgate cache flush a --below b",
            "error: the argument '[NAME]' cannot be used with '--below <NAME>'",
        ),
        (
            "dotgate check --print x",
            "error: invalid value 'x' for '--print <PAGE>'",
        ),
    ] {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let status = read(line).unwrap_err().write(&mut out, &mut err).unwrap();
        let err = String::from_utf8(err).unwrap();
        assert_eq!((status, out.len()), (2, 0), "{line}");
        assert_eq!(err.lines().next(), Some(expected), "{line}");
    }
}

#[test]
fn help_ends_with_every_variable_the_required_four_first() {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = read("dotgate --help")
        .unwrap_err()
        .write(&mut out, &mut err)
        .unwrap();
    assert_eq!((status, err.len()), (0, 0));
    let help = String::from_utf8(out).unwrap();
    let variables: Vec<&str> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| {
            line.contains("  (required)")
                || line.contains("  (default:")
                || line.ends_with("  (optional)")
        })
        .filter_map(|line| line.split("  (").next())
        .collect();
    let expected: Vec<String> = crate::config::settings::TABLE
        .iter()
        .map(|subject| subject.entry().variable().into_owned())
        .collect();
    assert_eq!(variables, expected);
    assert_eq!(
        variables.get(..4),
        Some(["HOST", "PORT", "DNS_HOST", "DNS_PORT"].as_slice())
    );
    assert!(help.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn the_version_is_the_packages() {
    let version = read("dotgate --version").unwrap_err().to_string();
    assert_eq!(
        version,
        concat!("dotgate ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn a_reader_that_left_is_no_failure() {
    let shown = |outcome| format!("{:?}", exit_code(outcome));
    let success = format!("{:?}", ExitCode::SUCCESS);
    assert_eq!(shown(Err(io::ErrorKind::BrokenPipe.into())), success);
    assert_eq!(shown(Ok(0)), success);
    assert_eq!(shown(Ok(2)), format!("{:?}", ExitCode::from(2)));
    assert_eq!(
        shown(Err(io::ErrorKind::StorageFull.into())),
        format!("{:?}", ExitCode::FAILURE)
    );
}
