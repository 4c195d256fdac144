//! The command line, turned into one `Command`.
//! Stands before the configuration; every setting is a variable or a key of the file, so there are few options here.
//! Never prints and never exits: what is to be said is returned with the stream and the status it goes with.

mod manual;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, value_parser};
use domain::base::Rtype;
use domain::base::name::Name;

use crate::admin::Flush;
use crate::cache::Request;
use crate::config::{EXIT_STATUS, reference};
use crate::metrics;
use crate::replace::ANNOUNCE;

/// What the program is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve clients.
    Serve {
        /// The configuration file, if the command line names one.
        config: Option<PathBuf>,
        /// Whether to say on standard output that it serves.
        announce: bool,
    },
    /// Start a process that takes over from the running one.
    Replace {
        /// The configuration file, if the command line names one.
        config: Option<PathBuf>,
    },
    /// Look at the configuration and tell what it is.
    Check {
        /// The configuration file, if the command line names one.
        config: Option<PathBuf>,
    },
    /// Print a page made from the table of settings.
    Print(Page),
    /// Serve in front of an embedded resolver.
    Demo {
        /// Whether to stop after the first questions are answered.
        once: bool,
    },
    /// Look into the running dotgate's cache, or have it forget something.
    Cache {
        /// The configuration file, if the command line names one.
        config: Option<PathBuf>,
        /// What is asked.
        request: Request,
    },
    /// Ask the running dotgate whether it is well.
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
        /// The name asked about.
        name: Name<Vec<u8>>,
        /// The type asked for.
        record_type: Rtype,
    },
}

/// A page made from the table of settings, or from that of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `docs/settings.md`.
    Settings,
    /// `etc/full.toml`.
    FullFile,
    /// `docs/metrics.md`.
    Metrics,
    /// `docs/man/dotgate.8`.
    Manual,
}

impl Page {
    const ALL: [Page; 4] = [Page::Settings, Page::FullFile, Page::Metrics, Page::Manual];

    /// Returns the name of the page's file.
    fn file_name(self) -> &'static str {
        match self {
            Page::Settings => "settings.md",
            Page::FullFile => "full.toml",
            Page::Metrics => "metrics.md",
            Page::Manual => "dotgate.8",
        }
    }

    /// Returns the page.
    pub fn text(self) -> String {
        match self {
            Page::Settings => reference::settings_page(),
            Page::FullFile => reference::full_file(),
            Page::Metrics => metrics::reference_page(),
            Page::Manual => manual::page(),
        }
    }

    /// Writes the page and returns the exit status.
    pub fn write(self, out: &mut dyn Write) -> io::Result<u8> {
        out.write_all(self.text().as_bytes())?;
        out.flush()?;
        Ok(0)
    }
}

/// What is said in place of doing anything: help, the version, or what is wrong with the command line.
#[derive(Debug)]
pub struct Usage {
    text: String,
    is_asked_for: bool,
}

impl Usage {
    /// Writes the text: to `out` if it was asked for, to `err` if the command line is wrong. Returns the exit status.
    pub fn write(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
        if self.is_asked_for {
            write!(out, "{self}")?;
            out.flush()?;
            return Ok(0);
        }
        write!(err, "{self}")?;
        err.flush()?;
        Ok(EXIT_STATUS)
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads the command line, the program's name first.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Usage> {
    let matches = parser()
        .try_get_matches_from(arguments)
        .map_err(|error| Usage {
            text: error.render().to_string(),
            is_asked_for: matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ),
        })?;
    Ok(command(&matches))
}

/// Returns the exit status of a command that has written all it had to say, or failed to. A reader that has left
/// (`dotgate check | head`) is no failure.
pub fn exit_code(outcome: io::Result<u8>) -> ExitCode {
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn parser() -> clap::Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .global(true)
        .help("Read settings from this TOML file; the environment wins over it");
    let print = Arg::new("print")
        .long("print")
        .value_name("PAGE")
        .value_parser(PossibleValuesParser::new(Page::ALL.map(Page::file_name)))
        .hide(true);
    let once = Arg::new("once")
        .long("once")
        .action(ArgAction::SetTrue)
        .help("Stop after the first questions are answered");
    let upstreams = Arg::new("upstreams")
        .long("upstreams")
        .action(ArgAction::SetTrue)
        .help("Make sure that an upstream answers");
    let name = Arg::new("name")
        .value_name("NAME")
        .required(true)
        .value_parser(Name::<Vec<u8>>::from_str)
        .help("The name to ask about");
    let record_type = Arg::new("type")
        .value_name("TYPE")
        .default_value("A")
        .value_parser(Rtype::from_str)
        .help("The type to ask for, as a word or as TYPE65");
    let announce = Arg::new(ANNOUNCE)
        .long(ANNOUNCE)
        .action(ArgAction::SetTrue)
        .help("Write a line to standard output once clients are served");
    clap::Command::new("dotgate")
        .bin_name("dotgate")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A DNS forwarder: plain DNS in, DNS over TLS out. Without a command it serves.")
        .after_help(reference::help_table())
        .args([config, announce])
        .subcommand(
            clap::Command::new("check")
                .about("Look at the configuration, print every setting and where it came from")
                .arg(print),
        )
        .subcommand(
            clap::Command::new("demo")
                .about("Serve in front of an embedded DNS-over-TLS resolver, without a network")
                .arg(once),
        )
        .subcommand(cache_parser())
        .subcommand(
            clap::Command::new("healthcheck")
                .about(
                    "Ask the running dotgate whether it is ready; exit with 0 if so, else with 1",
                )
                .arg(upstreams),
        )
        .subcommand(
            clap::Command::new("query")
                .about("Ask the upstreams one question and show what happens")
                .args([name, record_type]),
        )
        .subcommand(
            clap::Command::new("replace").about(
                "Start a process that takes over from the running one without losing a query",
            ),
        )
}

fn cache_parser() -> clap::Command {
    let name = |id: &'static str| {
        Arg::new(id)
            .value_name("NAME")
            .value_parser(Name::<Vec<u8>>::from_str)
    };
    let all = Arg::new("all")
        .long("all")
        .action(ArgAction::SetTrue)
        .help("Forget everything");
    let below = name("below")
        .long("below")
        .help("Forget this name and all below it");
    clap::Command::new("cache")
        .about("Look into the running dotgate's cache, or have it forget something")
        .subcommand_required(true)
        .subcommand(
            clap::Command::new("show")
                .about("Print what is held for a name")
                .arg(name("name").required(true).help("The name")),
        )
        .subcommand(
            clap::Command::new("flush")
                .about("Forget what is held for a name, and ask again when it is asked for")
                .args([name("name").help("The name to forget"), below, all])
                .group(
                    ArgGroup::new("what")
                        .args(["name", "below", "all"])
                        .required(true),
                ),
        )
}

fn cache_request(cache: &ArgMatches) -> Request {
    let name = |matches: &ArgMatches, id: &str| matches.get_one::<Name<Vec<u8>>>(id).cloned();
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

fn command(matches: &ArgMatches) -> Command {
    let config = matches.get_one::<PathBuf>("config").cloned();
    match matches.subcommand() {
        Some(("check", check)) => {
            let name = check.get_one::<String>("print");
            let page = Page::ALL
                .into_iter()
                .find(|page| name.is_some_and(|n| n == page.file_name()));
            page.map_or(Command::Check { config }, Command::Print)
        }
        Some(("demo", demo)) => Command::Demo {
            once: demo.get_flag("once"),
        },
        Some(("cache", cache)) => Command::Cache {
            config,
            request: cache_request(cache),
        },
        Some(("healthcheck", healthcheck)) => Command::Healthcheck {
            config,
            upstreams: healthcheck.get_flag("upstreams"),
        },
        Some(("query", query)) => {
            let name = query.get_one::<Name<Vec<u8>>>("name").cloned();
            let record_type = query.get_one::<Rtype>("type").copied();
            Command::Query {
                config,
                name: name.unwrap_or_else(Name::root_vec),
                record_type: record_type.unwrap_or(Rtype::A),
            }
        }
        Some(("replace", _)) => Command::Replace { config },
        Some(_) | None => Command::Serve {
            config,
            announce: matches.get_flag(ANNOUNCE),
        },
    }
}

#[cfg(test)]
mod tests;
