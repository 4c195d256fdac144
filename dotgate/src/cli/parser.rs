//! The commands and options as clap knows them, with the help of each: `-h` in short, `--help` with examples.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Style, Styles};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Arg, ArgAction, ArgGroup, Command, value_parser};
use clap_complete::Shell;
use dotgate_config::reference;

use super::page::Page;
use crate::commands::portal::{read_address, read_time};
use crate::commands::query::{read_name, read_reverse, read_server, read_type};
use crate::commands::replace::ANNOUNCE;
use crate::commands::routes::{read_lifetime, read_owner, read_route};
use crate::commands::tail::read_filter;
use crate::commands::why::read_span;

/// What `check --print` calls the file of the settings in effect.
pub(super) const EFFECTIVE_FILE: &str = "toml";

const TITLE: Style = AnsiColor::Green.on_default().bold();
const WORD: Style = AnsiColor::Cyan.on_default().bold();
const PLACE: Style = AnsiColor::Cyan.on_default();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const STYLES: Styles = Styles::styled()
    .header(TITLE)
    .usage(TITLE)
    .literal(WORD)
    .placeholder(PLACE)
    .error(ERROR)
    .invalid(AnsiColor::Yellow.on_default().bold())
    .valid(WORD);

const EXAMPLES: &str = "\
Examples:
  HOST=127.0.0.1 PORT=5300 DNS_HOST='9.9.9.9#dns.quad9.net' DNS_PORT=853 dotgate
  dotgate --config /etc/dotgate/dotgate.toml
  dotgate check --changed
  dotgate query example.org --upstream '9.9.9.9#dns.quad9.net'
";

const CHECK_EXAMPLES: &str = "\
Exit status: 0 if the configuration is valid, 2 if it is not; with --probe, 1 if
an upstream does not respond or fails to authenticate; with --sandbox, 1 if a
part of the sandbox is not in effect.

Examples:
  dotgate check --config /etc/dotgate/dotgate.toml
  dotgate check --changed
  dotgate check --probe
  dotgate check --sandbox
  dotgate check --json | jq '.settings[] | select(.changed)'
  dotgate check --print toml > dotgate.toml.new
  dotgate check --print settings.md | less
";

const INIT_EXAMPLES: &str = "\
Writes /etc/dotgate/dotgate.toml, or the file of --config. A file that is there
is never overwritten. Nothing is asked: systemd-resolved, IPv6, port 53 and
/etc/resolv.conf are looked at, and nothing is sent.

Examples:
  dotgate init
  dotgate init --config dotgate.toml
  dotgate init --print
";

const QUERY_EXAMPLES: &str = "\
Without --upstream and --via-server, the upstreams of the configuration are
queried. --upstream needs no configuration; its port is 853 by default. The
certificate of an address without #NAME must contain the address.

Exit status: 0 for NOERROR, NXDOMAIN and responses that dotgate generates
itself; 1 for any other response code or no response; 2 for an invalid command
line or configuration.

Examples:
  dotgate query example.org AAAA --upstream '1.1.1.1#one.one.one.one'
  dotgate query example.org --upstream '9.9.9.9;pin=sha256/...' --short
  dotgate query -x 192.0.2.1
  dotgate query bücher.example --json
  dotgate query example.org --via-server
  dotgate query example.org --via-server=192.0.2.53:53
";

const WHY_EXAMPLES: &str = "\
The running instance records the last 200 failures and recoveries of each
upstream in memory, without names or addresses of clients. Times of day are
in UTC.

Examples:
  dotgate why
  dotgate why dns.quad9.net --since 1h
  dotgate why --json | jq '.upstreams[] | select(.state != \"healthy\")'
";

const TAIL_EXAMPLES: &str = "\
Needs DOTGATE_ADMIN_QUERIES=true in the running instance, and the admin socket
or the admin token. The lines are those of the query log, and so are the
conditions of --filter. Ctrl-C ends it.

Examples:
  dotgate tail
  dotgate tail --filter 'failed,slow>200ms'
  dotgate tail --filter client=192.0.2.7/32
  dotgate tail --json | jq -r 'select(.ms > 500) | .name'
";

const PORTAL_EXAMPLES: &str = "\
A network with a login page blocks DNS over TLS until you have logged in. In a
portal window its own resolver answers, so that the page can be found: for the
names by which systems look for such pages, or with --all for all names without
a route. These queries are NOT ENCRYPTED. The window closes at the first
response over TLS, or after its time. DOTGATE_DNS_PORTAL must permit it.

Examples:
  dotgate portal --for 5m --resolver 192.168.1.1
  dotgate portal --for 5m --all
  dotgate portal --close
";

const ROUTES_EXAMPLES: &str = "\
For programs, such as the hook of a VPN: names below these suffixes go to
upstreams of their own, as with DOTGATE_ROUTES, until the routes are removed or
the running process ends; a reload keeps them. With --for they expire unless
they are set again: their names then fail, and are sent to nobody else, until
the routes are removed. DOTGATE_ADMIN_ROUTES must permit it.

Examples:
  dotgate routes
  dotgate routes set tun0 'corp.example,10.0.0.0/8=plain:10.0.0.53;interface=tun0'
  dotgate routes set tun0 'corp.example=10.0.0.53#dns.corp.example' --for 1h
  dotgate routes remove tun0
";

const CACHE_EXAMPLES: &str = "\
Examples:
  dotgate cache show example.org
  dotgate cache flush example.org
  dotgate cache flush --below example.org
  dotgate cache flush --all
";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  dotgate completions bash > /usr/share/bash-completion/completions/dotgate
  dotgate completions zsh > /usr/share/zsh/site-functions/_dotgate
  dotgate completions fish > /usr/share/fish/vendor_completions.d/dotgate.fish
";

/// All commands.
pub(super) fn parser() -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .global(true)
        .help("Read settings from this TOML file; environment variables take precedence");
    let announce = Arg::new(ANNOUNCE)
        .long(ANNOUNCE)
        .action(ArgAction::SetTrue)
        .hide(true)
        .help("Take over from the running process, then write a line to standard output");
    let version = Arg::new("version")
        .short('V')
        .long("version")
        .action(ArgAction::SetTrue)
        .help("Print the version");
    let verbose = Arg::new("verbose")
        .long("verbose")
        .action(ArgAction::SetTrue)
        .requires("version")
        .help("With --version: also commit, compiler and target");
    Command::new("dotgate")
        .bin_name("dotgate")
        .disable_version_flag(true)
        .styles(STYLES)
        .max_term_width(reference::HELP_WIDTH)
        .about("A DNS forwarder: plain DNS in, DNS over TLS out")
        .long_about(
            "A DNS forwarder: plain DNS in, DNS over TLS out. Without a command, it serves until it receives a signal.",
        )
        .after_help("`dotgate --help` lists all settings and has examples.")
        .after_long_help(format!("{EXAMPLES}\n{}", reference::help_table()))
        .args([config, version, verbose, announce])
        .subcommands([
            Command::new("serve").about("Serve clients (the default command)"),
            init_parser(),
            check_parser(),
            query_parser(),
            status_parser(),
            top_parser(),
            tail_parser(),
            why_parser(),
            portal_parser(),
            routes_parser(),
            healthcheck_parser(),
            cache_parser(),
            replace_parser(),
            demo_parser(),
            completions_parser(),
        ])
}

fn init_parser() -> Command {
    let print = Arg::new("print")
        .long("print")
        .action(ArgAction::SetTrue)
        .help("Print the file instead of writing it");
    Command::new("init")
        .about("Write a first configuration file that suits this host, and print what to do next")
        .after_long_help(INIT_EXAMPLES)
        .arg(print)
}

fn check_parser() -> Command {
    let flag = |id: &'static str| Arg::new(id).long(id).action(ArgAction::SetTrue);
    let print = Arg::new("print")
        .long("print")
        .value_name("PAGE")
        .value_parser(PossibleValuesParser::new(
            [EFFECTIVE_FILE]
                .into_iter()
                .chain(Page::ALL.map(Page::file_name)),
        ))
        .help("Print the settings in effect as a file (toml), or a page of the documentation");
    Command::new("check")
        .about("Check the configuration; print every setting and where it came from")
        .after_long_help(CHECK_EXAMPLES)
        .args([
            flag("changed").help("Print only settings that were set, not defaults"),
            flag("json").help("Print one JSON object"),
            flag("probe")
                .conflicts_with_all(["json", "print"])
                .help("Query every upstream; print its TLS parameters, response and pin"),
            flag("sandbox")
                .conflicts_with_all(["json", "print"])
                .help("Enter the sandbox; print which parts of it are in effect on this system"),
            print,
        ])
        .group(ArgGroup::new("form").args(["json", "print"]))
}

fn query_parser() -> Command {
    let flag = |id: &'static str| Arg::new(id).long(id).action(ArgAction::SetTrue);
    let name = Arg::new("name")
        .value_name("NAME")
        .required_unless_present("reverse")
        .value_parser(read_name)
        .help("Name to query");
    let record_type = Arg::new("type")
        .value_name("TYPE")
        .default_value("A")
        .hide_default_value(true)
        .value_parser(read_type)
        .help("Record type to query, such as AAAA or TYPE65 [default: A]");
    let reverse = Arg::new("reverse")
        .short('x')
        .value_name("ADDR")
        .conflicts_with_all(["name", "type"])
        .value_parser(read_reverse)
        .help("Query the PTR record of this address");
    let upstream = Arg::new("upstream")
        .long("upstream")
        .value_name("UPSTREAM")
        .action(ArgAction::Append)
        .help("Query this upstream, ADDR[@PORT][#NAME][;pin=...]; may be repeated");
    let via_server = Arg::new("via-server")
        .long("via-server")
        .value_name("ADDR:PORT")
        .num_args(0..=1)
        .require_equals(true)
        .conflicts_with("upstream")
        .value_parser(read_server)
        .help("Query the running dotgate as a client, or the server at ADDR:PORT");
    Command::new("query")
        .about("Send one query to the upstreams and show each step")
        .after_long_help(QUERY_EXAMPLES)
        .args([name, record_type, reverse, upstream, via_server])
        .arg(flag("short").help("Print only the data of the answer's records"))
        .arg(flag("json").help("Print one JSON object"))
        .group(ArgGroup::new("form").args(["short", "json"]))
}

fn status_parser() -> Command {
    let flag = |id: &'static str| Arg::new(id).long(id).action(ArgAction::SetTrue);
    Command::new("status")
        .about("Print the running instance's status: queries, cache, upstreams")
        .arg(flag("json").help("Print the JSON document of /api/v1/status"))
}

fn top_parser() -> Command {
    let flag = |id: &'static str| Arg::new(id).long(id).action(ArgAction::SetTrue);
    Command::new("top")
        .about("Show the running instance, updated once a second: queries, upstreams, problems")
        .arg(flag("once").help("Print the figures of one second as text, even in a terminal"))
        .arg(flag("json").help("Print the same as one JSON document"))
        .group(ArgGroup::new("form").args(["once", "json"]))
}

fn tail_parser() -> Command {
    let filter = Arg::new("filter")
        .long("filter")
        .value_name("CONDITIONS")
        .value_parser(read_filter)
        .help("Only these queries: failed, slow>TIME, suffix=NAME, client=PREFIX, sample=1/N");
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print one JSON object for each query");
    Command::new("tail")
        .about("Print the queries of clients as they end")
        .after_long_help(TAIL_EXAMPLES)
        .args([filter, json])
}

fn why_parser() -> Command {
    let upstream = Arg::new("upstream")
        .value_name("UPSTREAM")
        .help("Only this upstream: its name in the settings, or a part of it");
    let since = Arg::new("since")
        .long("since")
        .value_name("TIME")
        .value_parser(read_span)
        .help("Show this period, such as 10m, instead of the last outage");
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print the JSON document of /api/v1/failures");
    Command::new("why")
        .about("Print what failed at each upstream, and how dotgate reacted")
        .after_long_help(WHY_EXAMPLES)
        .args([upstream, since, json])
}

fn portal_parser() -> Command {
    let flag = |id: &'static str| Arg::new(id).long(id).action(ArgAction::SetTrue);
    let span = Arg::new("for")
        .long("for")
        .value_name("TIME")
        .value_parser(read_time)
        .help("Open a window for this time, such as 5m; at most 30m");
    let resolver = Arg::new("resolver")
        .long("resolver")
        .value_name("ADDR")
        .requires("for")
        .value_parser(read_address)
        .help("The resolver of the network, as DHCP names it; ADDR@PORT if not port 53");
    let all = flag("all")
        .requires("for")
        .help("Send all names without a route, not only those of connectivity checks");
    let close = flag("close").help("Close the window");
    Command::new("portal")
        .about("Send names to the network's resolver, not encrypted, to reach its login page")
        .after_long_help(PORTAL_EXAMPLES)
        .args([span, all, resolver, close])
        .group(ArgGroup::new("what").args(["for", "close"]).required(true))
}

fn routes_parser() -> Command {
    let owner = || {
        Arg::new("owner")
            .value_name("OWNER")
            .required(true)
            .value_parser(read_owner)
            .help("Owner of the routes, such as the interface of the VPN")
    };
    let route = Arg::new("route")
        .value_name("ROUTE")
        .required(true)
        .num_args(1..)
        .value_parser(read_route)
        .help("SUFFIX[,SUFFIX]...=UPSTREAM[,UPSTREAM]..., as in DOTGATE_ROUTES");
    let lifetime = Arg::new("for")
        .long("for")
        .value_name("TIME")
        .value_parser(read_lifetime)
        .help("Let the routes expire after this time unless they are set again; at most 7d");
    Command::new("routes")
        .about("List, set or remove routes of programs, such as the hook of a VPN")
        .after_long_help(ROUTES_EXAMPLES)
        .subcommand(
            Command::new("set")
                .about("Replace all routes of an owner")
                .args([owner(), route, lifetime]),
        )
        .subcommand(
            Command::new("remove")
                .about("Remove the routes of an owner")
                .arg(owner()),
        )
}

fn healthcheck_parser() -> Command {
    let upstreams = Arg::new("upstreams")
        .long("upstreams")
        .action(ArgAction::SetTrue)
        .help("Also require a response from an upstream");
    Command::new("healthcheck")
        .about("Query the running instance for readiness; exit with 0 if ready, else 1")
        .arg(upstreams)
}

fn cache_parser() -> Command {
    let name = |id: &'static str| Arg::new(id).value_name("NAME").value_parser(read_name);
    let all = Arg::new("all")
        .long("all")
        .action(ArgAction::SetTrue)
        .help("Flush everything");
    let below = name("below")
        .long("below")
        .help("Flush this name and all below it");
    Command::new("cache")
        .about("Inspect or flush the running instance's cache")
        .after_long_help(CACHE_EXAMPLES)
        .subcommand_required(true)
        .subcommand(
            Command::new("show")
                .about("Print what is cached for a name")
                .arg(name("name").required(true).help("The name")),
        )
        .subcommand(
            Command::new("flush")
                .about("Remove what is cached for a name, so that it is forwarded again")
                .args([name("name").help("The name to flush"), below, all])
                .group(
                    ArgGroup::new("what")
                        .args(["name", "below", "all"])
                        .required(true),
                ),
        )
}

fn replace_parser() -> Command {
    Command::new("replace")
        .about("Start a process that takes over from the running one without losing a query")
}

fn demo_parser() -> Command {
    let once = Arg::new("once")
        .long("once")
        .action(ArgAction::SetTrue)
        .help("Exit after the first queries are answered");
    Command::new("demo")
        .about("Serve in front of an embedded DNS-over-TLS resolver, without a network")
        .arg(once)
}

fn completions_parser() -> Command {
    let shells = PossibleValuesParser::new(["bash", "fish", "zsh"]);
    let shell = Arg::new("shell")
        .value_name("SHELL")
        .required(true)
        .value_parser(shells.try_map(|shell| shell.parse::<Shell>()))
        .help("The shell");
    Command::new("completions")
        .about("Print the completion script for a shell")
        .after_long_help(COMPLETIONS_EXAMPLES)
        .arg(shell)
}
