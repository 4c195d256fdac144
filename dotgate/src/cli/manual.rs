//! The manual page, `docs/man/dotgate.8`, in roff (man(7)): commands and options from the parser of the command line,
//! settings from their table.
//! SourceValue here rather than by clap_mangen, which knows the commands alone and would split the page in two.

use std::fmt::Write as _;

use clap::Arg;
use dotgate_config::setting::{AnySetting, Unset};
use dotgate_config::settings::TABLE;

use super::parser;

/// When the words of this file were last changed; man(7) wants a date.
const DATE: &str = "2026-11-23";

const DESCRIPTION: &str = "dotgate accepts DNS over UDP, TCP, TLS, HTTPS and QUIC from local clients and forwards \
                           every query over DNS over TLS. If an upstream cannot be authenticated, no query is sent to \
                           it: the query fails, and the response contains the reason as Extended DNS Error. Without a \
                           command, dotgate serves until it receives a signal.";

const SIGNALS: &[(&str, &str)] = &[
    (
        "SIGTERM, SIGINT",
        "Serve until no packet has arrived for two seconds, at most `DOTGATE_SERVER_DRAIN_MAX`; answer the queries in \
         flight; exit. A second signal exits immediately.",
    ),
    (
        "SIGHUP",
        "Reload the configuration without closing a socket. A configuration with an error is rejected as a whole. \
         Changes that need a restart are logged.",
    ),
];

const STATUS: &[(&str, &str)] = &[
    (
        "0",
        "Success; `query`: NOERROR, NXDOMAIN, or a response that dotgate generates itself.",
    ),
    (
        "1",
        "The server could not start, or its shutdown was interrupted; `healthcheck`: not ready; `query`: another \
         response code, or no response; `cache`, `replace`: failed.",
    ),
    (
        "2",
        "The configuration or the command line is invalid; nothing was started.",
    ),
];

const FILES: &[(&str, &str)] = &[
    (
        "/etc/dotgate/dotgate.toml",
        "Settings, if neither `DOTGATE_CONFIG_FILE` nor `--config` names a file.",
    ),
    (
        "/run/dotgate/take-over.sock",
        "Socket of the systemd unit over which a new process takes over from the running one.",
    ),
    (
        "/run/dotgate/admin.sock",
        "Admin socket of the systemd unit. Root needs no token there.",
    ),
];

const EXAMPLES: &[(&str, &str)] = &[
    (
        "Serve on loopback:",
        "HOST=127.0.0.1 PORT=5300 DNS_HOST=9.9.9.9#dns.quad9.net DNS_PORT=853 dotgate",
    ),
    (
        "Show every setting and its source:",
        "dotgate check --config /etc/dotgate/dotgate.toml",
    ),
    (
        "Show every step of a query:",
        "dotgate query example.org AAAA",
    ),
    (
        "Test a resolver without any configuration, and print its pin:",
        "dotgate query example.org --upstream '1.1.1.1#one.one.one.one'",
    ),
];

/// Returns `docs/man/dotgate.8`.
pub(super) fn page() -> String {
    let command = parser::parser();
    let mut page = Roff::default();
    let version = env!("CARGO_PKG_VERSION");
    page.line(&format!(
        ".\\\" Made by `dotgate check --print dotgate.8`.\n.TH DOTGATE 8 {DATE} \"dotgate {version}\"\n.nh\n.ad l"
    ));
    page.section("NAME");
    page.line("dotgate \\- DNS forwarder, plain DNS in, DNS over TLS out");
    page.section("SYNOPSIS");
    page.line(".B dotgate\n.RI [ OPTION \"]... [\" COMMAND ]");
    page.section("DESCRIPTION");
    page.text(DESCRIPTION);
    page.section("COMMANDS");
    for sub in command.get_subcommands() {
        page.command("", sub);
    }
    page.section("OPTIONS");
    for option in options(&command) {
        page.item(&names(option), &help(option));
    }
    page.item(
        "-h, --help",
        "Print commands and options; `--help` has examples and all settings.",
    );
    page.section("ENVIRONMENT");
    page.text(
        "Every setting is a variable or a key of the TOML file that `DOTGATE_CONFIG_FILE` or `--config` names; the \
         variable takes precedence. The first four are required.",
    );
    for &subject in TABLE {
        page.setting(subject);
    }
    for (title, items) in [
        ("FILES", FILES),
        ("SIGNALS", SIGNALS),
        ("EXIT STATUS", STATUS),
    ] {
        page.section(title);
        for (name, text) in items {
            page.item(name, text);
        }
    }
    page.section("EXAMPLES");
    for (words, example) in EXAMPLES {
        page.text(words);
        page.line(&format!(
            ".PP\n.RS 4\n.EX\n{}\n.EE\n.RE\n.PP",
            escaped(example)
        ));
    }
    page.section("SEE ALSO");
    page.line(".BR kdig (1),\n.BR resolvectl (1),\n.BR systemd.service (5)");
    page.0
}

fn options(command: &clap::Command) -> impl Iterator<Item = &Arg> {
    let is_shown = |arg: &&Arg| !arg.is_hide_set() && !arg.is_positional();
    command.get_arguments().filter(is_shown)
}

fn names(arg: &Arg) -> String {
    let value = arg.get_value_names().and_then(|names| names.first());
    let flag = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (Some(short), None) => format!("-{short}"),
        (None, Some(long)) => format!("--{long}"),
        (None, None) => return value.map_or(arg.get_id().to_string(), ToString::to_string),
    };
    match value.filter(|_| arg.get_action().takes_values()) {
        Some(value) if arg.is_require_equals_set() => format!("{flag}[={value}]"),
        Some(value) => format!("{flag} {value}"),
        None => flag,
    }
}

fn help(arg: &Arg) -> String {
    let text = arg.get_help().map(ToString::to_string);
    format!("{}.", text.unwrap_or_default())
}

/// A page while it is written.
#[derive(Default)]
struct Roff(String);

impl Roff {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn section(&mut self, title: &str) {
        self.line(&format!(".SH {title}"));
    }

    /// A paragraph; what stands between backticks is bold.
    fn text(&mut self, text: &str) {
        const LINE_MAX: usize = 100;
        let mut line = String::new();
        for word in marked_up(text).split(' ') {
            if !line.is_empty() && line.len() + word.len() >= LINE_MAX {
                self.text_line(&line);
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.text_line(&line);
    }

    /// One that begins with a control character would be a request.
    fn text_line(&mut self, line: &str) {
        let guard = if line.starts_with(['.', '\'']) {
            "\\&"
        } else {
            ""
        };
        self.line(&format!("{guard}{line}"));
    }

    fn item(&mut self, name: &str, text: &str) {
        self.line(&format!(".TP\n.B {}", quoted(name)));
        self.text(text);
    }

    /// An item below an item.
    fn nested(&mut self, name: &str, text: &str) {
        self.line(".RS");
        self.item(name, text);
        self.line(".RE");
    }

    /// A command, or each command below it, behind the words before it.
    fn command(&mut self, before: &str, command: &clap::Command) {
        let words = format!("{before}{}", command.get_name());
        if command.has_subcommands() {
            for sub in command.get_subcommands() {
                self.command(&format!("{words} "), sub);
            }
            return;
        }
        let about = command.get_about().map(ToString::to_string);
        let places = command.get_positionals().map(|place| {
            let name = names(place);
            if place.is_required_set() {
                name
            } else {
                format!("[{name}]")
            }
        });
        let places: String = places.fold(String::new(), |all, place| all + " " + &place);
        self.item(
            &format!("{words}{places}"),
            &format!("{}.", about.unwrap_or_default()),
        );
        for option in options(command).chain(command.get_positionals()) {
            self.nested(&names(option), &help(option));
        }
    }

    fn setting(&mut self, subject: AnySetting) {
        let entry = subject.entry();
        self.item(&entry.variable(), entry.doc);
        let mut facts = String::new();
        if let Some((section, key)) = entry.section_and_key() {
            facts = format!("In the file: `[{section}] {key}`. ");
        }
        // Writing to a string has no way to fail.
        write!(facts, "Expected: {}. ", subject.expected()).unwrap_or_default();
        facts.push_str(&match entry.unset {
            Unset::Required => format!("Required, for example `{}`.", entry.example),
            Unset::Default("") => "Default: none of them.".to_owned(),
            Unset::Default(value) => format!("Default: `{}`.", value.replace(',', ", ")),
            Unset::Nothing => format!("Not set by default; for example `{}`.", entry.example),
        });
        self.line(".br");
        self.text(&facts);
    }
}

fn marked_up(text: &str) -> String {
    let mut marked = String::new();
    for (number, part) in text.split('`').enumerate() {
        if number > 0 {
            marked.push_str(if number % 2 == 1 { "\\fB" } else { "\\fR" });
        }
        marked.push_str(&escaped(part));
    }
    marked
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", escaped(name).replace('"', "\\(dq"))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}
