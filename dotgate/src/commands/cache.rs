//! `dotgate cache`: inspects or flushes the cache of the running dotgate.
//!
//! It asks the admin endpoint: at its Unix socket, or at its address with the token of `DOTGATE_ADMIN_TOKEN_FILE`.

use std::io::Write;
use std::path::Path;

use domain::base::Name;
use dotgate_config::{ClientConfig, Environment};
use serde::Deserialize;

use super::client::{self, CommandError, body_of};
use super::exit::{Ended, ExitStatus};
use crate::admin::client as endpoint;
use crate::admin::percent::encoded;
use crate::admin::{CacheEntry, CacheReport, Flush};

/// The operation on the cache.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Print the entries of a name.
    Show(Name<Vec<u8>>),
    /// Flush entries.
    Flush(Flush),
}

/// Runs the command and returns the exit status: 0, 1 if nothing could be done.
///
/// # Errors
/// [`Ended`]: the configuration is wrong, or the output cannot be written.
pub(super) fn run(
    environment: &Environment,
    file: Option<&Path>,
    request: &Request,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<ExitStatus, Ended> {
    client::run(environment, file, out, err, |config, out| {
        out.write_all(carry_out(config, request)?.as_bytes())?;
        Ok(ExitStatus::Success)
    })
}

fn carry_out(config: &ClientConfig, request: &Request) -> Result<String, CommandError> {
    #[derive(Deserialize)]
    struct Flushed {
        flushed: usize,
    }
    match request {
        Request::Show(name) => {
            let path = format!(
                "/api/v1/cache/{}",
                encoded(&name.fmt_with_dot().to_string())
            );
            let body = body_of(endpoint::ask(
                config,
                endpoint::Request::ReadWithToken(&path),
            )?)?;
            Ok(report_text(&serde_json::from_str(&body)?))
        }
        Request::Flush(flush) => {
            let body = client::change(config, "/api/v1/cache/flush", &flush.body())?;
            let Flushed { flushed } = serde_json::from_str(&body)?;
            Ok(match flushed {
                1 => "1 entry flushed\n".to_owned(),
                count => format!("{count} entries flushed\n"),
            })
        }
    }
}

fn report_text(report: &CacheReport) -> String {
    if report.entries.is_empty() {
        return format!("nothing is cached for {}\n", report.name);
    }
    let entries = report
        .entries
        .iter()
        .map(|entry| entry_text(&report.name, entry));
    entries.collect()
}

/// An entry as a line for itself, and one for each record.
fn entry_text(name: &str, entry: &CacheEntry) -> String {
    let asked_for = if entry.for_all_types {
        "all types"
    } else {
        &entry.record_type
    };
    let bits = match (entry.dnssec_ok, entry.checking_disabled) {
        (false, false) => "",
        (true, false) => " +do",
        (false, true) => " +cd",
        (true, true) => " +do +cd",
    };
    let remaining = match entry.ttl_left_seconds {
        left @ 0.. => format!("{left} s left"),
        over => format!("stale for {} s", -over),
    };
    let CacheEntry {
        rcode,
        age_seconds,
        hits,
        bytes,
        ..
    } = entry;
    let kind = if entry.is_failure {
        "a failure"
    } else {
        "a response"
    };
    let mut text = format!(
        "{name} {asked_for}{bits}: {rcode}, {kind}, stored {age_seconds} s ago, {remaining}, {hits} hits, {bytes} bytes\n"
    );
    for record in &entry.records {
        text.push_str(&format!("  {record}\n"));
    }
    text
}
