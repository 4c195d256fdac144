//! What stops the program from starting, in words that tell an operator what to do.
//! It is at the end of the configuration; all problems are collected and printed together.
//! Never prints a control character that somebody else wrote.

mod routes;
mod server_tls;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use self::routes::RoutesFault;
pub use self::server_tls::ServerTlsFault;
use super::access::AccessFault;
use super::address::ScopedSocketAddress;
use super::fault::{Fault, Shown};
use super::hints;
use super::origin::{Origin, SourceValue};
use super::reference::{example, file_literal};
use super::setting::{AnySetting, TableKey};
use super::strategy_fault::StrategyFault;

/// One problem.
#[derive(Debug)]
pub enum Problem {
    /// The file cannot be read.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: FileFault,
    },
    /// The file is not TOML.
    FileSyntax {
        /// Where.
        origin: Origin,
        /// What the TOML parser says.
        message: String,
    },
    /// The value of a setting is wrong.
    Invalid {
        /// The setting.
        subject: AnySetting,
        /// The value.
        written: SourceValue,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A value in an `[[upstream]]` or `[[route]]` table is wrong.
    InvalidTableKey {
        /// The key.
        key: &'static TableKey,
        /// The value.
        written: SourceValue,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A line of a file of variables is none.
    NotAVariable {
        /// Where.
        origin: Origin,
    },
    /// A required setting is not set.
    Missing {
        /// The setting.
        subject: AnySetting,
        /// The file that does not have it, if there is one.
        file: Option<PathBuf>,
    },
    /// The file has tables, and the setting that they can replace.
    InTwoForms {
        /// Where the first table is.
        origin: Origin,
        /// The name of the tables.
        table: &'static str,
        /// The setting.
        subject: AnySetting,
        /// Where that is.
        other: Origin,
    },
    /// A table of the file lacks a key.
    MissingTableKey {
        /// Where the table is.
        origin: Origin,
        /// The key.
        key: &'static TableKey,
    },
    /// A variable is not UTF-8.
    NotUtf8 {
        /// The setting.
        subject: AnySetting,
    },
    /// A setting has a value that Kubernetes injected.
    ServiceLink {
        /// The setting.
        subject: AnySetting,
        /// The value.
        value: String,
    },
    /// The file has a key that is not in the table.
    UnknownKey {
        /// Where.
        origin: Origin,
        /// The key, with its section.
        key: String,
        /// The known one nearest to it.
        nearest: Option<String>,
    },
    /// A variable with our prefix is not in the table.
    UnknownVariable {
        /// The variable.
        variable: String,
        /// The known one nearest to it.
        nearest: Option<String>,
    },
    /// Routes are right one by one, but not together.
    Routes {
        /// Where.
        origin: Origin,
        /// What is wrong.
        fault: RoutesFault,
    },
    /// The strategy of a group does not fit its upstreams or settings.
    Strategy {
        /// Where.
        origin: Origin,
        /// What is wrong, and in which group.
        fault: StrategyFault,
    },
    /// Upstreams are right one by one, but cannot be what is asked.
    Upstreams {
        /// Where.
        origin: Origin,
        /// What is wrong.
        fault: UpstreamsFault,
    },
    /// Entries of the access list are right one by one, but not together with the listeners.
    Access {
        /// Where.
        origin: Origin,
        /// What is wrong.
        fault: AccessFault,
    },
    /// Listeners with TLS are right one by one, but cannot be served.
    ServerTls {
        /// Where.
        origin: Origin,
        /// What is wrong.
        fault: ServerTlsFault,
    },
    /// A TOML value of a type that the setting cannot have.
    WrongType {
        /// Where.
        origin: Origin,
        /// The setting.
        subject: AnySetting,
        /// The type.
        found: &'static str,
    },
    /// A TOML value of a type that the key of such a table cannot have.
    WrongTypeInTable {
        /// Where.
        origin: Origin,
        /// The key.
        key: &'static TableKey,
        /// The type.
        found: &'static str,
    },
}

/// Why the file cannot be read.
#[derive(Debug)]
pub enum FileFault {
    /// It is not UTF-8.
    NotUtf8 {
        /// The first line that is not.
        line: usize,
    },
    /// It is written in another language.
    OtherLanguage {
        /// Which.
        language: &'static str,
    },
    /// It is longer than any configuration.
    TooLong {
        /// The most bytes that are read.
        most: u64,
    },
    /// The system does not give it.
    Unreadable {
        /// Why.
        source: io::Error,
    },
}

/// What is wrong with upstreams that are right one by one.
#[derive(Debug)]
pub enum UpstreamsFault {
    /// A resolver for bootstrap is one of dotgate's own listeners.
    BootstrapIsListener {
        /// The resolver.
        address: ScopedSocketAddress,
        /// The listener.
        listener: ScopedSocketAddress,
    },
    /// Two upstreams are the same.
    Duplicate {
        /// The upstream.
        label: String,
    },
    /// An upstream is one of dotgate's own listeners.
    IsListener {
        /// The upstream.
        label: String,
        /// The listener.
        listener: ScopedSocketAddress,
    },
    /// An upstream is given by name, and there is no resolver for it.
    NameWithoutBootstrap {
        /// The name.
        name: String,
    },
    /// A plain upstream is for all names, not only those of a route.
    PlainDefault {
        /// Its address.
        address: String,
    },
    /// There are more `[[upstream]]` tables than allowed.
    TooManyTables {
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// An `[[upstream]]` table has not exactly one of `address` and `name`.
    WithoutOneHost,
}

impl Problem {
    /// Returns the line of the file at which the problem is, if it is at one.
    pub(super) fn line(&self) -> Option<usize> {
        let origin = match self {
            Self::FileSyntax { origin, .. }
            | Self::InTwoForms { origin, .. }
            | Self::MissingTableKey { origin, .. }
            | Self::NotAVariable { origin }
            | Self::UnknownKey { origin, .. }
            | Self::Routes { origin, .. }
            | Self::Strategy { origin, .. }
            | Self::Upstreams { origin, .. }
            | Self::ServerTls { origin, .. }
            | Self::Access { origin, .. }
            | Self::WrongType { origin, .. }
            | Self::WrongTypeInTable { origin, .. } => origin,
            Self::Invalid { written, .. } | Self::InvalidTableKey { written, .. } => {
                &written.origin
            }
            Self::File { .. }
            | Self::Missing { .. }
            | Self::NotUtf8 { .. }
            | Self::ServiceLink { .. }
            | Self::UnknownVariable { .. } => return None,
        };
        match origin {
            Origin::File { line, .. } => Some(*line),
            Origin::Default | Origin::Option(_) | Origin::Owner(_) | Origin::Variable(_) => None,
        }
    }
}

impl fmt::Display for Problem {
    /// Writes what is wrong in one line, and then lines of their own for what was expected, an example, what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, fault } => write!(f, "{}: {fault}", path.display()),
            Self::FileSyntax { origin, message } => {
                write!(f, "{origin}: not TOML: {}", Shown(message))
            }
            Self::Invalid {
                subject,
                written,
                fault,
            } => {
                write_value(f, *subject, written)?;
                write!(f, ": {fault}")?;
                write_expected(f, *subject, &written.origin)
            }
            Self::InvalidTableKey {
                key,
                written,
                fault,
            } => write_invalid_key(f, key, written, fault),
            Self::InTwoForms {
                origin,
                table,
                subject,
                other,
            } => write_in_two_forms(f, (origin, table), (*subject, other)),
            Self::MissingTableKey { origin, key } => write_missing_key(f, origin, key),
            Self::Missing { subject, file } => write_missing(f, *subject, file.as_deref()),
            Self::NotAVariable { origin } => {
                write!(f, "{origin}: not NAME=VALUE\n  example: DNS_PORT=853")
            }
            Self::NotUtf8 { subject } => {
                write!(f, "{} is not UTF-8", subject.entry().variable())?;
                write_expected(f, *subject, &Origin::Default)
            }
            Self::ServiceLink { subject, value } => write_service_link(f, *subject, value),
            Self::UnknownKey {
                origin,
                key,
                nearest,
            } => {
                write!(f, "{origin}: {} is not a setting", Shown(key))?;
                write_nearest(f, key, nearest.as_deref())
            }
            Self::UnknownVariable { variable, nearest } => {
                write!(f, "{} is not a setting", Shown(variable))?;
                write_nearest(f, variable, nearest.as_deref())
            }
            Self::Routes { origin, fault } => write!(f, "{origin}: {fault}"),
            Self::Strategy { fault, .. } => write!(f, "{fault}"),
            Self::Upstreams { origin, fault } => write!(f, "{origin}: {fault}"),
            Self::ServerTls { origin, fault } => write!(f, "{origin}: {fault}"),
            Self::Access { fault, .. } => write!(f, "{fault}"),
            Self::WrongType {
                origin,
                subject,
                found,
            } => {
                let (section, key) = subject.entry().section_and_key().unwrap_or_default();
                write!(f, "{origin}: [{section}] {key} is of type {found}")?;
                write_expected(f, *subject, origin)
            }
            Self::WrongTypeInTable { origin, key, found } => {
                write_wrong_type_in_table(f, origin, key, found)
            }
        }
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 { line } => write!(f, "not UTF-8 in line {line}"),
            Self::OtherLanguage { language } => {
                write!(f, "this looks like {language}; dotgate reads TOML\n  ")?;
                write!(f, "example: [server]\n           host = [\"127.0.0.1\"]")
            }
            Self::TooLong { most } => write!(f, "longer than {most} bytes"),
            Self::Unreadable { source } => write!(f, "cannot be read: {source}"),
        }
    }
}

impl fmt::Display for UpstreamsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BootstrapIsListener { address, listener } => write!(
                f,
                "the bootstrap resolver {address} is dotgate itself, which listens on {listener}"
            ),
            Self::Duplicate { label } => write!(f, "the upstream {label} is listed twice"),
            Self::IsListener { label, listener } => write!(
                f,
                "the upstream {label} is dotgate itself, which listens on {listener}"
            ),
            Self::NameWithoutBootstrap { name } => write!(
                f,
                "the upstream {name} is a name, and no resolver is configured for its address\n  to do: write its \
                 address, as in ADDR#{name}, or set DOTGATE_BOOTSTRAP_ADDRESSES to resolvers that can be queried in \
                 plain text"
            ),
            Self::PlainDefault { address } => write!(
                f,
                "plain:{address} would send every query in plain text, which anyone on the network path can read and \
                 forge\n  to do: write plain: in a route for the names that it serves, as in \
                 DOTGATE_ROUTES=lan=plain:{address}, or set DOTGATE_DNS_ALLOW_PLAIN_DEFAULT=insecure"
            ),
            Self::TooManyTables { found, most } => {
                write!(
                    f,
                    "there are {found} [[upstream]] tables\n  expected: at most {most}"
                )
            }
            Self::WithoutOneHost => write!(f, "an [[upstream]] needs either an address or a name"),
        }
    }
}

/// Writes a value the way it was written, with where.
fn write_value(
    f: &mut fmt::Formatter<'_>,
    subject: AnySetting,
    written: &SourceValue,
) -> fmt::Result {
    let text = &written.text;
    match &written.origin {
        Origin::Variable(variable) if text.is_empty() => write!(f, "{variable}="),
        Origin::Variable(variable) => write!(f, "{variable}={}", Shown(text)),
        Origin::File { .. } => {
            let (section, key) = subject.entry().section_and_key().unwrap_or_default();
            let literal = file_literal(text, subject.separator());
            write!(
                f,
                "{}: [{section}] {key} = {}",
                written.origin,
                Shown(&literal)
            )
        }
        Origin::Option(option) => write!(f, "{option} {}", Shown(text)),
        Origin::Owner(_) => write!(f, "{}: {}", written.origin, Shown(text)),
        Origin::Default => write!(f, "the default {text} of {}", subject.entry().variable()),
    }
}

/// Writes that a list is there as tables, and as a setting.
fn write_in_two_forms(
    f: &mut fmt::Formatter<'_>,
    (origin, table): (&Origin, &str),
    (subject, other): (AnySetting, &Origin),
) -> fmt::Result {
    let (section, key) = subject.entry().section_and_key().unwrap_or_default();
    write!(
        f,
        "{origin}: [[{table}]] and [{section}] {key} ({other}) are the same list in two forms\n  to do: remove one of \
         them"
    )
}

fn write_expected(f: &mut fmt::Formatter<'_>, subject: AnySetting, origin: &Origin) -> fmt::Result {
    write_expected_in(f, subject, matches!(origin, Origin::File { .. }))
}

fn write_expected_in(
    f: &mut fmt::Formatter<'_>,
    subject: AnySetting,
    is_in_file: bool,
) -> fmt::Result {
    let example = example(subject, is_in_file);
    write!(
        f,
        "\n  expected: {}\n  example: {example}",
        subject.expected()
    )
}

fn write_wrong_type_in_table(
    f: &mut fmt::Formatter<'_>,
    origin: &Origin,
    key: &TableKey,
    found: &str,
) -> fmt::Result {
    let TableKey {
        table, key: name, ..
    } = key;
    write!(f, "{origin}: [[{table}]] {name} is of type {found}")?;
    write_expected_in_table(f, key)
}

fn write_invalid_key(
    f: &mut fmt::Formatter<'_>,
    key: &TableKey,
    written: &SourceValue,
    fault: &Fault,
) -> fmt::Result {
    let literal = Shown(&file_literal(&written.text, None)).to_string();
    let (
        origin,
        TableKey {
            table, key: name, ..
        },
    ) = (&written.origin, key);
    write!(f, "{origin}: [[{table}]] {name} = {literal}: {fault}")?;
    write_expected_in_table(f, key)
}

fn write_missing_key(f: &mut fmt::Formatter<'_>, origin: &Origin, key: &TableKey) -> fmt::Result {
    write!(f, "{origin}: this [[{}]] has no {}", key.table, key.key)?;
    write_expected_in_table(f, key)
}

fn write_expected_in_table(f: &mut fmt::Formatter<'_>, key: &TableKey) -> fmt::Result {
    write!(
        f,
        "\n  expected: {}\n  example: {} = {}",
        key.expected, key.key, key.example
    )
}

fn write_nearest(f: &mut fmt::Formatter<'_>, unknown: &str, nearest: Option<&str>) -> fmt::Result {
    if let Some(advice) = hints::of_removed_setting(unknown) {
        return write!(f, "\n  to do: {advice}");
    }
    match nearest {
        Some(nearest) => write!(f, "\n  nearest: {nearest}"),
        None => write!(
            f,
            "\n  to do: remove it, or find the right one in `dotgate --help`"
        ),
    }
}

/// Says that a required setting is not set, in the form in which the operator writes settings.
fn write_missing(
    f: &mut fmt::Formatter<'_>,
    subject: AnySetting,
    file: Option<&Path>,
) -> fmt::Result {
    let variable = subject.entry().variable();
    if let (Some(path), Some((section, key))) = (file, subject.entry().section_and_key()) {
        let path = path.display();
        write!(f, "{path}: [{section}] {key} is not set, nor is {variable}")?;
    } else {
        write!(f, "{variable} is not set")?;
    }
    write_expected_in(f, subject, file.is_some())
}

/// Tells an operator that it was not them who set a variable.
fn write_service_link(f: &mut fmt::Formatter<'_>, subject: AnySetting, value: &str) -> fmt::Result {
    let variable = subject.entry().variable();
    write!(f, "{variable}={}: Kubernetes injected this", Shown(value))?;
    if let Some(service) = variable.strip_suffix("_PORT") {
        let service = service.to_ascii_lowercase().replace('_', "-");
        write!(f, " for a Service named \"{service}\"")?;
    }
    write!(
        f,
        "\n  to do: set `enableServiceLinks: false` in the pod's spec or rename the Service, "
    )?;
    write!(f, "and set {variable}")?;
    write_expected(f, subject, &Origin::Default)
}

/// All problems of a configuration; there is at least one.
#[derive(Debug)]
pub struct Problems {
    problems: Vec<Problem>,
}

impl Problems {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// Returns the line above them.
    pub fn title(&self) -> String {
        let count = self.problems.len();
        let problems = if count == 1 { "problem" } else { "problems" };
        format!("dotgate: {count} {problems} in the configuration, nothing was started\n")
    }

    /// Returns the problems: those of the file, of the environment's names, of values, of values that contradict.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }
}

impl fmt::Display for Problems {
    /// Writes all problems, with a blank line before each and a line feed at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title())?;
        for problem in &self.problems {
            writeln!(f, "\n{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
