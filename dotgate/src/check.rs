//! `dotgate check`: tells what the configuration is, or what is wrong with it.
//! Stands after the configuration and starts nothing. It verifies what the start verifies (`verify`).

use std::io::{self, Write};

use crate::config::setting::Described;
use crate::config::{EXIT_STATUS, Effective, Escaped, Loaded, Origin, Problems};
use crate::tls::Roots;
use crate::verify::{absent_addresses, verify, warnings};

/// Writes the settings to `out`, or the problems to `err`, and returns the exit status: 0 or 2.
pub fn run(
    loaded: &Result<Loaded, Problems>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    match loaded {
        Ok(loaded) => match verify(&loaded.config) {
            Ok(roots) => {
                write_settings(&loaded.effective, out)?;
                write_meaning(loaded, &roots, out)?;
                out.flush()?;
                Ok(0)
            }
            Err(problems) => {
                let problems = problems.iter().map(|problem| format!("\n{problem}\n"));
                let problems: String = problems.collect();
                let text = format!("dotgate: the configuration cannot be used\n{problems}");
                refuse(&text, err)
            }
        },
        Err(problems) => refuse(&problems.to_string(), err),
    }
}

fn refuse(text: &str, err: &mut dyn Write) -> io::Result<u8> {
    err.write_all(text.as_bytes())?;
    err.flush()?;
    Ok(EXIT_STATUS)
}

/// Writes one line for each setting: its name, its value's origin and its value, the first two in columns.
fn write_settings(effective: &[Effective], out: &mut dyn Write) -> io::Result<()> {
    let rows: Vec<[String; 3]> = effective.iter().map(row).collect();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(String::len)
            .max()
    };
    let (names, origins) = (width(0).unwrap_or_default(), width(1).unwrap_or_default());
    for [name, origin, value] in &rows {
        writeln!(out, "{name:names$}  {origin:origins$}  {value}")?;
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
fn write_meaning(loaded: &Loaded, roots: &Roots, out: &mut dyn Write) -> io::Result<()> {
    let config = &loaded.config;
    let server = config.server();
    writeln!(out)?;
    for address in &server.listen {
        writeln!(out, "listen on {address}, UDP and TCP")?;
    }
    writeln!(out, "workers: {}", server.workers)?;
    for upstream in config.upstreams() {
        writeln!(out, "upstream {}: {}", upstream.label, upstream.demand())?;
    }
    writeln!(out, "authorities: {}", roots.describe())?;
    for note in &loaded.notes {
        writeln!(out, "warning: {note}")?;
    }
    for warning in warnings(config).iter().chain(&absent_addresses(config)) {
        writeln!(out, "warning: {warning}")?;
    }
    writeln!(out, "the configuration is right")
}

#[cfg(test)]
mod tests;
