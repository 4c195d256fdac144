//! `dotgate check`: prints the configuration, or its errors.
//! It follows the configuration and starts nothing. It verifies what the start verifies (`verify`).

use std::io::{self, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};
use dotgate_config::setting::Described;
use dotgate_config::{
    Config, Effective, Environment, Escaped, GroupConfig, Loaded, Origin, Problems, Suffix,
};
use dotgate_tls::UnixTime;
use serde::Serialize;

mod sandbox;

use super::exit::ExitStatus;
use super::query::probe_all;
use crate::designation;
use crate::reload::files_of;
use crate::verify::{
    Verified, absent_addresses, certificate_warnings, token_problem, verify, warnings,
};

const SET: Style = Style::new().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const RIGHT: Style = AnsiColor::Green.on_default();

/// What of a configuration is printed, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Only the settings that were set.
    pub only_changed: bool,
    /// As one JSON object.
    pub is_json: bool,
    /// With a question to every upstream.
    pub is_probing: bool,
    /// With what the sandbox of the service does on this system.
    pub is_sandboxing: bool,
}

/// The JSON object. `docs/settings.md` names the settings. Within `schema` 1 members are added, none changes.
#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    settings: Vec<SettingDocument>,
    listen: Vec<String>,
    listen_dot: Vec<String>,
    listen_doh: Vec<String>,
    listen_doq: Vec<String>,
    upstreams: Vec<String>,
    warnings: Vec<String>,
    /// Errors that prevent the start; the rest is empty then.
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct SettingDocument {
    /// `section.key`, or the variable of one that the file cannot have.
    name: String,
    variable: String,
    value: Option<String>,
    /// Where it was written, or `default`.
    origin: String,
    /// Whether it was set.
    changed: bool,
}

/// Writes the settings to `out`, or the problems to `err`, and returns the exit status: 0 or 2, and 1 if an
/// upstream that was probed fails or a part of the sandbox does not hold. As JSON both go to `out`.
pub fn run(
    loaded: &Result<Loaded, Problems>,
    shown: Shown,
    environment: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<ExitStatus> {
    let outcome = match loaded {
        Ok(loaded) => match verify(&loaded.config) {
            Ok(verified) => Ok((loaded, verified)),
            Err(problems) => Err((
                "dotgate: the configuration cannot be used\n".to_owned(),
                problems.iter().map(ToString::to_string).collect(),
            )),
        },
        Err(problems) => Err((
            problems.title(),
            problems.iter().map(ToString::to_string).collect(),
        )),
    };
    if shown.is_json {
        return write_document(&outcome, shown, out);
    }
    match outcome {
        Ok((loaded, verified)) => {
            write_settings(&loaded.effective, shown, out)?;
            write_meaning(loaded, &verified, out)?;
            out.flush()?;
            let are_all_well = !shown.is_probing || probe_all(&loaded.config, out)?;
            // Last: nothing can be read or asked from here on.
            let is_held = !shown.is_sandboxing
                || sandbox::report(loaded, files_of(loaded), environment, out)?;
            Ok(ExitStatus::success_if(are_all_well && is_held))
        }
        Err((title, problems)) => {
            let problems: Vec<String> = problems;
            write!(err, "{title}")?;
            for problem in problems {
                writeln!(err, "\n{problem}")?;
            }
            err.flush()?;
            Ok(ExitStatus::Unusable)
        }
    }
}

/// Writes the settings in effect as a file to `out`, or the problems to `err`.
///
/// # Errors
/// Those of writing to either.
pub fn print_file(
    environment: &Environment,
    file: Option<&Path>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<ExitStatus> {
    match dotgate_config::effective_file(environment, file) {
        Ok(text) => {
            out.write_all(text.as_bytes())?;
            out.flush()?;
            Ok(ExitStatus::Success)
        }
        Err(problems) => {
            write!(err, "{problems}")?;
            err.flush()?;
            Ok(ExitStatus::Unusable)
        }
    }
}

type Outcome<'a> = Result<(&'a Loaded, Verified), (String, Vec<String>)>;

fn write_document(
    outcome: &Outcome<'_>,
    shown: Shown,
    out: &mut dyn Write,
) -> io::Result<ExitStatus> {
    let mut document = Document {
        schema: 1,
        settings: Vec::new(),
        listen: Vec::new(),
        listen_dot: Vec::new(),
        listen_doh: Vec::new(),
        listen_doq: Vec::new(),
        upstreams: Vec::new(),
        warnings: Vec::new(),
        problems: Vec::new(),
    };
    let status = match outcome {
        Ok((loaded, verified)) => {
            let config = &loaded.config;
            let effective = loaded.effective.iter();
            let effective = effective.filter(|it| it.is_changed() || !shown.only_changed);
            document.settings = effective.map(SettingDocument::of).collect();
            let server = config.server();
            document.listen = server.listen.iter().map(ToString::to_string).collect();
            document.listen_dot = server.dot.listen.iter().map(ToString::to_string).collect();
            document.listen_doh = server.doh.listen.iter().map(ToString::to_string).collect();
            document.listen_doq = server.doq.listen.iter().map(ToString::to_string).collect();
            let upstreams = config.upstreams().iter();
            document.upstreams = upstreams.map(|it| it.label.clone()).collect();
            document.warnings = all_warnings(loaded, verified).collect();
            ExitStatus::Success
        }
        Err((_, problems)) => {
            document.problems.clone_from(problems);
            ExitStatus::Unusable
        }
    };
    serde_json::to_writer(&mut *out, &document)?;
    writeln!(out)?;
    out.flush()?;
    Ok(status)
}

impl SettingDocument {
    fn of(effective: &Effective) -> SettingDocument {
        SettingDocument {
            name: name(effective.subject),
            variable: effective.subject.entry().variable().into_owned(),
            value: effective.value.clone(),
            origin: effective.origin.to_string(),
            changed: effective.is_changed(),
        }
    }
}

/// Writes one line for each setting: its name, its value's origin and its value, the first two in columns. Those that
/// were set come first.
fn write_settings(effective: &[Effective], shown: Shown, out: &mut dyn Write) -> io::Result<()> {
    let (set, defaults): (Vec<&Effective>, Vec<&Effective>) =
        effective.iter().partition(|it| it.is_changed());
    let defaults = if shown.only_changed {
        Vec::new()
    } else {
        defaults
    };
    let rows: Vec<[String; 3]> = set.iter().chain(&defaults).map(|it| row(it)).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(String::len).max().unwrap_or_default()
    };
    let (names, origins) = (width(0), width(1));
    for (number, [name, origin, value]) in rows.iter().enumerate() {
        if number == set.len() {
            writeln!(out)?;
        }
        let style = if number < set.len() {
            SET
        } else {
            Style::new()
        };
        writeln!(
            out,
            "{style}{name:names$}{style:#}  {origin:origins$}  {value}"
        )?;
    }
    Ok(())
}

fn row(effective: &Effective) -> [String; 3] {
    let name = name(effective.subject);
    let value = match effective.value.as_deref() {
        Some("") => "(none)".to_owned(),
        Some(value) => Escaped(value).to_string(),
        None => "(not set)".to_owned(),
    };
    let origin = match &effective.origin {
        Origin::Default if effective.value.is_none() => "-".to_owned(),
        origin => origin.to_string(),
    };
    [name, origin, value]
}

fn name(subject: &dyn Described) -> String {
    let entry = subject.entry();
    match entry.section_and_key() {
        Some((section, key)) => format!("{section}.{key}"),
        None => entry.variable().into_owned(),
    }
}

/// Writes what the settings come to.
fn write_meaning(loaded: &Loaded, verified: &Verified, out: &mut dyn Write) -> io::Result<()> {
    let config = &loaded.config;
    let server = config.server();
    writeln!(out)?;
    for address in &server.listen {
        writeln!(out, "listen on {address}, UDP and TCP")?;
    }
    for address in &server.dot.listen {
        writeln!(out, "listen on {address}, DNS over TLS")?;
    }
    for address in &server.doh.listen {
        writeln!(
            out,
            "listen on {address}, DNS over HTTPS at {}",
            dotgate_http::PATH
        )?;
    }
    for address in &server.doq.listen {
        writeln!(out, "listen on {address}, DNS over QUIC")?;
    }
    for certificate in verified.certificates.iter() {
        let names = certificate.facts.names.join(", ");
        let (path, days) = (
            certificate.path.display(),
            certificate.facts.days_left(UnixTime::now()),
        );
        writeln!(
            out,
            "certificate {path}: {}, {days} days left",
            Escaped(&names)
        )?;
    }
    for record in designation::records(server, &verified.certificates) {
        writeln!(out, "clients are pointed to: {}", Escaped(&record.text))?;
    }
    writeln!(out, "workers: {}", server.workers)?;
    for upstream in config.upstreams() {
        writeln!(out, "upstream {}: {}", upstream.label, upstream.demand())?;
    }
    write_routes(config, out)?;
    writeln!(out, "authorities: {}", Escaped(&verified.roots.describe()))?;
    for line in verified.local.describe(config.local()) {
        writeln!(out, "{}", Escaped(&line))?;
    }
    for warning in all_warnings(loaded, verified) {
        writeln!(out, "{WARNING}warning:{WARNING:#} {warning}")?;
    }
    writeln!(out, "{RIGHT}configuration OK{RIGHT:#}")
}

/// Writes which names go to which upstreams, in the order of matching.
fn write_routes(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    let Some((default, others)) = config.groups().split_first() else {
        return Ok(());
    };
    if others.is_empty() {
        return Ok(());
    }
    let suffixes = others
        .iter()
        .flat_map(|group| group.suffixes.iter().map(move |suffix| (suffix, group)));
    let mut routes: Vec<(&Suffix, &GroupConfig)> = suffixes.collect();
    let length = |suffix: &Suffix| suffix.zones().iter().map(|zone| zone.len()).max();
    routes.sort_by_key(|(suffix, _)| std::cmp::Reverse(length(suffix)));
    let labels = |group: &GroupConfig| {
        let labels = group.upstreams.iter().map(|upstream| &*upstream.label);
        labels.collect::<Vec<&str>>().join(", ")
    };
    for (suffix, group) in routes {
        let (label, upstreams) = (&group.label, labels(group));
        writeln!(out, "route {suffix}: group {label}, {upstreams}")?;
    }
    writeln!(out, "route .: group {}, {}", default.label, labels(default))
}

fn all_warnings(loaded: &Loaded, verified: &Verified) -> impl Iterator<Item = String> {
    let notes = loaded.notes.iter().map(ToString::to_string);
    let config = &loaded.config;
    notes
        .chain(warnings(config))
        .chain(certificate_warnings(&verified.certificates))
        .chain(token_problem(config))
        .chain(absent_addresses(config))
}

#[cfg(test)]
mod tests;
