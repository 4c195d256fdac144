//! The command line, turned into one `Command`.
//! It is before the configuration; every setting is a variable or a key of the file, so there are few options here.
//! Never prints and never exits: what is to be said is returned with the stream and the status it goes with.

mod manual;
mod page;
mod parser;
mod version;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use clap::builder::StyledStr;
use clap::error::ErrorKind;
use clap_complete::Shell;
use domain::base::iana::Rtype;
use domain::base::name::Name;
use dotgate_config::ScopedSocketAddress;

pub use self::page::Page;
use crate::admin::{Flush, PortalOpening, RoutesSetting};
use crate::commands::cache::Request;
use crate::commands::check::Shown;
use crate::commands::query::{self, Form, QueryName, Respondent};
use crate::commands::replace::ANNOUNCE;
use crate::commands::{ExitStatus, portal, routes, status, tail, top, why};

/// What the program is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve clients.
    Serve {
        /// The configuration file, if the command line names one.
        config: Option<PathBuf>,
        /// Whether to take over from the running process, and say so on standard output.
        announce: bool,
    },
    /// Start a process that takes over from the running one.
    Replace {
        /// The configuration file, if the command line names one.
        config: Option<PathBuf>,
    },
    /// Check the configuration and print it.
    Check {
        /// The configuration file, if the command line names one.
        config: Option<PathBuf>,
        /// What of it is printed.
        shown: Shown,
    },
    /// Write a first file of settings.
    Init {
        /// Where to, if the command line says so.
        config: Option<PathBuf>,
        /// Whether to print it instead.
        is_printed: bool,
    },
    /// Print a page made from the table of settings.
    Print(Page),
    /// Print the settings in effect as a file.
    PrintFile {
        /// The configuration file, if the command line names one.
        config: Option<PathBuf>,
    },
    /// Print the completions of a shell.
    Completions(Shell),
    /// Print the version.
    Version {
        /// Whether to print what the program was built from.
        verbose: bool,
    },
    /// Serve in front of an embedded resolver.
    Demo {
        /// Whether to stop after the first questions are answered.
        once: bool,
    },
    /// Inspect or flush the running instance's cache.
    Cache {
        /// The configuration file, if the command line names one.
        config: Option<PathBuf>,
        /// What is asked.
        request: Request,
    },
    /// Print the running instance's status.
    Status {
        /// The configuration file, if the command line names one.
        config: Option<PathBuf>,
        /// How it is shown.
        form: status::Form,
    },
    /// Show what the running instance does, again and again.
    Top {
        /// The configuration file, if the command line names one.
        config: Option<PathBuf>,
        /// How it is shown.
        form: top::Form,
    },
    /// Print queries as they end.
    Tail {
        /// The configuration file, if the command line names one.
        config: Option<PathBuf>,
        /// What is asked.
        request: tail::Request,
    },
    /// Print what failed at the upstreams of the running instance.
    Why {
        /// The configuration file, if the command line names one.
        config: Option<PathBuf>,
        /// What is asked.
        request: why::Request,
    },
    /// Open or close a portal window of the running instance.
    Portal {
        /// The configuration file, if the command line names one.
        config: Option<PathBuf>,
        /// What is asked.
        request: portal::Request,
    },
    /// List, set or remove routes of programs in the running instance.
    Routes {
        /// The configuration file, if the command line names one.
        config: Option<PathBuf>,
        /// What is asked.
        request: routes::Request,
    },
    /// Ask the running instance whether it is ready.
    Healthcheck {
        /// The configuration file, if the command line names one.
        config: Option<PathBuf>,
        /// Whether to ask for the upstreams.
        upstreams: bool,
    },
    /// Ask one question.
    Query {
        /// The configuration file, if the command line names one.
        config: Option<PathBuf>,
        /// What is asked, and of whom.
        request: query::Request,
    },
}

/// Output in place of a command: help, or the error in the command line. It has colors; the writer
/// removes them if the output is not a terminal.
#[derive(Debug)]
pub struct Usage {
    text: StyledStr,
    is_asked_for: bool,
}

impl Usage {
    /// Writes the text: to `out` if it was asked for, to `err` if the command line is wrong. Returns the exit status.
    pub fn write(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitStatus> {
        if self.is_asked_for {
            write!(out, "{}", self.text.ansi())?;
            out.flush()?;
            return Ok(ExitStatus::Success);
        }
        write!(err, "{}", self.text.ansi())?;
        err.flush()?;
        Ok(ExitStatus::Unusable)
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// Reads the command line, the program's name first.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Usage> {
    let matches = parser::parser()
        .try_get_matches_from(arguments)
        .map_err(|error| Usage {
            text: error.render(),
            is_asked_for: matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ),
        })?;
    Ok(command(&matches))
}

/// Writes the completions of a shell.
///
/// # Errors
/// Those of writing to `out`.
pub fn write_completions(shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut parser::parser(), "dotgate", &mut text);
    out.write_all(&text)?;
    out.flush()
}

/// Writes the version.
///
/// # Errors
/// Those of writing to `out`.
pub fn write_version(verbose: bool, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(version::text(verbose).as_bytes())?;
    out.flush()
}

fn cache_request(cache: &ArgMatches) -> Request {
    let name = |matches: &ArgMatches, id: &str| {
        let asked = matches.get_one::<QueryName>(id);
        asked.map(|asked| asked.name.clone())
    };
    let named = |matches: &ArgMatches| name(matches, "name").unwrap_or_else(Name::root_vec);
    match cache.subcommand() {
        Some(("flush", flush)) if flush.get_flag("all") => Request::Flush(Flush::All),
        Some(("flush", flush)) => Request::Flush(match name(flush, "below") {
            Some(below) => Flush::Below(below),
            None => Flush::Name(named(flush)),
        }),
        Some((_, show)) => Request::Show(named(show)),
        None => Request::Show(Name::root_vec()),
    }
}

fn tail_request(tail: &ArgMatches) -> tail::Request {
    let filter = tail.get_one::<String>("filter");
    tail::Request {
        filter: filter.cloned().unwrap_or_default(),
        is_json: tail.get_flag("json"),
    }
}

fn why_request(why: &ArgMatches) -> why::Request {
    why::Request {
        upstream: why.get_one::<String>("upstream").cloned(),
        since: why.get_one::<Duration>("since").copied(),
        is_json: why.get_flag("json"),
    }
}

fn portal_request(portal: &ArgMatches) -> portal::Request {
    match portal.get_one::<Duration>("for") {
        None => portal::Request::Close,
        Some(span) => portal::Request::Open(PortalOpening {
            seconds: span.as_secs(),
            all: portal.get_flag("all"),
            resolver: portal.get_one::<String>("resolver").cloned(),
        }),
    }
}

fn routes_request(routes: &ArgMatches) -> routes::Request {
    let owner = |matches: &ArgMatches| {
        let owner = matches.get_one::<String>("owner");
        owner.cloned().unwrap_or_default()
    };
    match routes.subcommand() {
        Some(("set", set)) => {
            let all = set.get_many::<String>("route").into_iter().flatten();
            let all: Vec<&str> = all.map(String::as_str).collect();
            let lifetime = set.get_one::<Duration>("for");
            routes::Request::Set(RoutesSetting {
                owner: owner(set),
                routes: all.join(" "),
                seconds: lifetime.map(Duration::as_secs),
            })
        }
        Some((_, remove)) => routes::Request::Remove(owner(remove)),
        None => routes::Request::List,
    }
}

fn query_request(query: &ArgMatches) -> query::Request {
    let reverse = query.get_one::<QueryName>("reverse");
    let named = reverse.or_else(|| query.get_one::<QueryName>("name"));
    let record_type = query.get_one::<Rtype>("type").copied();
    let upstreams = query.get_many::<String>("upstream");
    let of = match upstreams {
        Some(upstreams) => {
            let list: Vec<&str> = upstreams.map(String::as_str).collect();
            Respondent::Upstreams(list.join(","))
        }
        None if query.contains_id("via-server") => {
            let server = query.get_one::<ScopedSocketAddress>("via-server");
            Respondent::Server(server.cloned())
        }
        None => Respondent::Configured,
    };
    query::Request {
        name: named.cloned().unwrap_or_else(|| QueryName {
            name: Name::root_vec(),
            typed: None,
        }),
        record_type: match (reverse, record_type) {
            (Some(_), _) => Rtype::PTR,
            (None, record_type) => record_type.unwrap_or(Rtype::A),
        },
        of,
        form: match (query.get_flag("short"), query.get_flag("json")) {
            (true, _) => Form::Short,
            (false, true) => Form::Json,
            (false, false) => Form::Long,
        },
    }
}

fn check_command(config: Option<PathBuf>, check: &ArgMatches) -> Command {
    let name = check.get_one::<String>("print");
    if name.is_some_and(|name| name == parser::EFFECTIVE_FILE) {
        return Command::PrintFile { config };
    }
    let page = Page::ALL
        .into_iter()
        .find(|page| name.is_some_and(|n| n == page.file_name()));
    let shown = Shown {
        only_changed: check.get_flag("changed"),
        is_json: check.get_flag("json"),
        is_probing: check.get_flag("probe"),
        is_sandboxing: check.get_flag("sandbox"),
    };
    page.map_or(Command::Check { config, shown }, Command::Print)
}

fn command(matches: &ArgMatches) -> Command {
    let config = matches.get_one::<PathBuf>("config").cloned();
    match matches.subcommand() {
        Some(("check", check)) => check_command(config, check),
        Some(("init", init)) => Command::Init {
            config,
            is_printed: init.get_flag("print"),
        },
        Some(("demo", demo)) => Command::Demo {
            once: demo.get_flag("once"),
        },
        Some(("cache", cache)) => Command::Cache {
            config,
            request: cache_request(cache),
        },
        Some(("status", status)) => Command::Status {
            config,
            form: match status.get_flag("json") {
                true => status::Form::Json,
                false => status::Form::Text,
            },
        },
        Some(("top", top)) => Command::Top {
            config,
            form: match (top.get_flag("json"), top.get_flag("once")) {
                (true, _) => top::Form::Json,
                (false, true) => top::Form::Once,
                (false, false) => top::Form::Screen,
            },
        },
        Some(("tail", tail)) => Command::Tail {
            config,
            request: tail_request(tail),
        },
        Some(("why", why)) => Command::Why {
            config,
            request: why_request(why),
        },
        Some(("portal", portal)) => Command::Portal {
            config,
            request: portal_request(portal),
        },
        Some(("routes", routes)) => Command::Routes {
            config,
            request: routes_request(routes),
        },
        Some(("healthcheck", healthcheck)) => Command::Healthcheck {
            config,
            upstreams: healthcheck.get_flag("upstreams"),
        },
        Some(("query", query)) => Command::Query {
            config,
            request: query_request(query),
        },
        Some(("completions", completions)) => {
            let shell = completions.get_one::<Shell>("shell");
            Command::Completions(shell.copied().unwrap_or(Shell::Bash))
        }
        Some(("replace", _)) => Command::Replace { config },
        None if matches.get_flag("version") => Command::Version {
            verbose: matches.get_flag("verbose"),
        },
        Some(_) | None => Command::Serve {
            config,
            announce: matches.get_flag(ANNOUNCE),
        },
    }
}

#[cfg(test)]
mod tests;
