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
            let path = format!("/api/v1/cache/{}", percent_encoded(name));
            let body = body_of(endpoint::ask(
                config,
                endpoint::Request::ReadWithToken(&path),
            )?)?;
            Ok(report_text(&serde_json::from_str(&body)?))
        }
        Request::Flush(flush) => {
            let path = "/api/v1/cache/flush";
            let body = flush.body();
            let body = body_of(endpoint::ask(
                config,
                endpoint::Request::Change(path, &body),
            )?)?;
            let Flushed { flushed } = serde_json::from_str(&body)?;
            Ok(match flushed {
                1 => "1 entry flushed\n".to_owned(),
                count => format!("{count} entries flushed\n"),
            })
        }
    }
}

/// A name as a part of a path: all but letters, digits, `-`, `_` and `.` encoded (RFC 3986 section 2.3).
fn percent_encoded(name: &Name<Vec<u8>>) -> String {
    let text = name.fmt_with_dot().to_string();
    let encoded = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    });
    encoded.collect()
}

fn report_text(report: &CacheReport) -> String {
    if report.held.is_empty() {
        return format!("nothing is held for {}\n", report.name);
    }
    let entries = report
        .held
        .iter()
        .map(|held| entry_text(&report.name, held));
    entries.collect()
}

/// An entry as a line for itself, and one for each record.
fn entry_text(name: &str, held: &CacheEntry) -> String {
    let asked_for = if held.for_all_types {
        "all types"
    } else {
        &held.record_type
    };
    let bits = match (held.dnssec_ok, held.checking_disabled) {
        (false, false) => "",
        (true, false) => " +do",
        (false, true) => " +cd",
        (true, true) => " +do +cd",
    };
    let remaining = match held.ttl_left_seconds {
        left @ 0.. => format!("{left} s left"),
        over => format!("stale for {} s", -over),
    };
    let CacheEntry {
        rcode,
        age_seconds,
        hits,
        bytes,
        ..
    } = held;
    let kind = if held.is_failure {
        "a failure"
    } else {
        "a response"
    };
    let mut text = format!(
        "{name} {asked_for}{bits}: {rcode}, {kind}, stored {age_seconds} s ago, {remaining}, {hits} hits, {bytes} bytes\n"
    );
    for record in &held.records {
        text.push_str(&format!("  {record}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_into_a_path_as_it_is() {
        let encoded = |name: &str| percent_encoded(&name.parse().unwrap());
        assert_eq!(encoded("example.com"), "example.com.");
        assert_eq!(encoded("_dns.a/b?.test"), "_dns.a%2Fb%3F.test.");
        assert_eq!(encoded("."), ".");
    }
}
