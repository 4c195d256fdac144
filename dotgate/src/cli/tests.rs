//! What each command line means.

use std::str::FromStr as _;

use anstream::StripStream;

use super::*;

fn read(line: &str) -> Result<Command, Usage> {
    parse(line.split(' ').map(OsString::from))
}

#[test]
fn each_command_line_means_one_command() {
    let file = Some(PathBuf::from("x.toml"));
    let request = |name: &str, record_type, of, form| query::Request {
        name: QueryName {
            name: Name::from_str(name).unwrap(),
            typed: None,
        },
        record_type,
        of,
        form,
    };
    let query = |config: &Option<PathBuf>, name: &str, record_type| Command::Query {
        config: config.clone(),
        request: request(name, record_type, Respondent::Configured, Form::Long),
    };
    let other = |name: &str, record_type, of, form| Command::Query {
        config: None,
        request: request(name, record_type, of, form),
    };
    let check = |config: &Option<PathBuf>, only_changed, is_json| Command::Check {
        config: config.clone(),
        shown: Shown {
            only_changed,
            is_json,
            ..Shown::default()
        },
    };
    let serve = |config: &Option<PathBuf>, announce| Command::Serve {
        config: config.clone(),
        announce,
    };
    let name = |text: &str| Name::<Vec<u8>>::from_str(text).unwrap();
    let portal = |request| Command::Portal {
        config: None,
        request,
    };
    let routes = |request| Command::Routes {
        config: None,
        request,
    };
    let cache = |request| Command::Cache {
        config: None,
        request,
    };
    for (line, expected) in [
        ("dotgate", serve(&None, false)),
        ("dotgate --config x.toml", serve(&file, false)),
        ("dotgate --announce", serve(&None, true)),
        ("dotgate replace", Command::Replace { config: None }),
        ("dotgate serve --config x.toml", serve(&file, false)),
        ("dotgate check", check(&None, false, false)),
        ("dotgate check --config=x.toml", check(&file, false, false)),
        ("dotgate --config x.toml check", check(&file, false, false)),
        ("dotgate check --changed --json", check(&None, true, true)),
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
            "dotgate portal --for 5m --all --resolver 192.0.2.1",
            portal(portal::Request::Open(PortalOpening {
                seconds: 300,
                all: true,
                resolver: Some("192.0.2.1".to_owned()),
            })),
        ),
        ("dotgate portal --close", portal(portal::Request::Close)),
        ("dotgate routes", routes(routes::Request::List)),
        (
            "dotgate routes set tun0 a=192.0.2.1 b=plain:192.0.2.2 --for 1h",
            routes(routes::Request::Set(RoutesSetting {
                owner: "tun0".to_owned(),
                routes: "a=192.0.2.1 b=plain:192.0.2.2".to_owned(),
                seconds: Some(3_600),
            })),
        ),
        (
            "dotgate routes remove tun0",
            routes(routes::Request::Remove("tun0".to_owned())),
        ),
        (
            "dotgate query . TYPE65 --config x.toml",
            query(&file, ".", Rtype::HTTPS),
        ),
        (
            "dotgate query a.test --upstream 192.0.2.1#a.test --upstream 192.0.2.2 --short",
            other(
                "a.test.",
                Rtype::A,
                Respondent::Upstreams("192.0.2.1#a.test,192.0.2.2".to_owned()),
                Form::Short,
            ),
        ),
        (
            "dotgate query -x 192.0.2.1 --json",
            other(
                "1.2.0.192.in-addr.arpa.",
                Rtype::PTR,
                Respondent::Configured,
                Form::Json,
            ),
        ),
        (
            "dotgate query a.test --via-server",
            other("a.test.", Rtype::A, Respondent::Server(None), Form::Long),
        ),
        (
            "dotgate query a.test --via-server=192.0.2.1:5300 MX",
            other(
                "a.test.",
                Rtype::MX,
                Respondent::Server("192.0.2.1:5300".parse().ok()),
                Form::Long,
            ),
        ),
        (
            "dotgate status",
            Command::Status {
                config: None,
                form: status::Form::Text,
            },
        ),
        (
            "dotgate top --once",
            Command::Top {
                config: None,
                form: top::Form::Once,
            },
        ),
        ("dotgate completions zsh", Command::Completions(Shell::Zsh)),
        (
            "dotgate check --print toml",
            Command::PrintFile { config: None },
        ),
        (
            "dotgate init --print --config my.toml",
            Command::Init {
                config: Some("my.toml".into()),
                is_printed: true,
            },
        ),
        ("dotgate -V", Command::Version { verbose: false }),
        (
            "dotgate --version --verbose",
            Command::Version { verbose: true },
        ),
    ] {
        assert_eq!(read(line).unwrap(), expected, "{line}");
    }
}

#[test]
fn a_wrong_command_line_exits_with_2_and_speaks_to_stderr_alone() {
    for (line, expected) in [
        ("dotgate server", "error: unrecognized subcommand 'server'"),
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
            "error: invalid value 'a..b' for '[NAME]': not a DNS name: empty label",
        ),
        (
            "dotgate query a XYZZY",
            "error: invalid value 'XYZZY' for '[TYPE]': not a record type: write a name such as AAAA or HTTPS, or TYPE65",
        ),
        (
            "dotgate query @192.0.2.1 a",
            "error: invalid value '@192.0.2.1' for '[NAME]': to ask a resolver over DNS over TLS, write --upstream \
             '192.0.2.1#NAME' with the name in its certificate",
        ),
        (
            "dotgate query a --upstream 192.0.2.1 --via-server",
            "error: the argument '--upstream <UPSTREAM>' cannot be used with '--via-server[=<ADDR:PORT>]'",
        ),
        (
            "dotgate query a --short --json",
            "error: the argument '--short' cannot be used with '--json'",
        ),
        (
            "dotgate query a -x 192.0.2.1",
            "error: the argument '[NAME]' cannot be used with '-x <ADDR>'",
        ),
        (
            "dotgate --verbose",
            "error: the following required arguments were not provided:",
        ),
        (
            "dotgate completions tcsh",
            "error: invalid value 'tcsh' for '<SHELL>'",
        ),
        (
            "dotgate portal --all",
            "error: the following required arguments were not provided:",
        ),
        (
            "dotgate portal --for 31m",
            "error: invalid value '31m' for '--for <TIME>': expected a duration from 1s to 1800s, a whole number followed by ms, s, m, h or d",
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
        let usage = read(line).unwrap_err();
        let status = usage
            .write(&mut out, &mut StripStream::new(&mut err))
            .unwrap();
        let err = String::from_utf8(err).unwrap();
        assert_eq!((status, out.len()), (ExitStatus::Unusable, 0), "{line}");
        assert_eq!(err.lines().next(), Some(expected), "{line}");
    }
}

#[test]
fn help_ends_with_every_variable_the_required_four_first() {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let usage = read("dotgate --help").unwrap_err();
    let mut plain = StripStream::new(&mut out);
    let status = usage.write(&mut plain, &mut err).unwrap();
    assert_eq!((status, err.len()), (ExitStatus::Success, 0));
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
    let expected: Vec<String> = dotgate_config::settings::TABLE
        .iter()
        .map(|subject| subject.entry().variable().into_owned())
        .collect();
    assert_eq!(variables, expected);
    assert_eq!(
        variables.get(..4),
        Some(["HOST", "PORT", "DNS_HOST", "DNS_PORT"].as_slice())
    );
}

#[test]
fn help_fits_a_terminal_of_80_columns_and_is_short_for_h() {
    let help = |line: &str| read(line).unwrap_err().to_string();
    for line in [
        "dotgate --help",
        "dotgate -h",
        "dotgate query --help",
        "dotgate query -h",
        "dotgate check --help",
        "dotgate cache flush --help",
        "dotgate cache --help",
        "dotgate completions --help",
        "dotgate init --help",
    ] {
        let long = help(line);
        let longest = long.lines().max_by_key(|line| line.chars().count());
        let longest = longest.unwrap();
        assert!(longest.chars().count() <= 80, "{line}: {longest}");
    }
    assert!(help("dotgate -h").lines().count() < 40);
    assert!(help("dotgate query --help").contains("Exit status: 0"));
    assert!(!help("dotgate query -h").contains("Exit status"));
}

#[test]
fn help_has_colors_that_can_be_taken_out() {
    let usage = read("dotgate -h").unwrap_err();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    usage.write(&mut out, &mut err).unwrap();
    assert!(out.contains(&0x1b));
    let (mut plain, mut err) = (Vec::new(), Vec::new());
    let mut stream = StripStream::new(&mut plain);
    usage.write(&mut stream, &mut err).unwrap();
    assert!(!plain.contains(&0x1b));
    assert_eq!(String::from_utf8(plain).unwrap(), usage.to_string());
}

#[test]
fn the_version_is_the_packages_and_shows_what_it_was_built_from() {
    let version = |verbose| {
        let mut out = Vec::new();
        write_version(verbose, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let first = concat!("dotgate ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(version(false), first);
    let verbose = version(true);
    let rest = verbose.strip_prefix(first).unwrap();
    let names: Vec<&str> = rest
        .lines()
        .filter_map(|it| it.split(": ").next())
        .collect();
    let expected = [
        "commit", "rustc", "target", "profile", "linking", "features",
    ];
    assert_eq!(names, expected);
    assert!(rest.lines().all(|line| !line.ends_with(": ")));
}

#[test]
fn completions_know_every_command() {
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        let mut out = Vec::new();
        write_completions(shell, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        for command in parser::parser().get_subcommands() {
            assert!(out.contains(command.get_name()), "{shell}: {command}");
        }
        assert!(out.contains("via-server"), "{shell}");
    }
}
