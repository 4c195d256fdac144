//! What can be wrong with a configuration beyond its text: the files that it names, the TLS of its upstreams, upstreams
//! that are this program. `dotgate check` and the start ask here, so that both say the same, with the same exit status.
//! Nothing is bound and nothing is written. *Not done*: whether a port is free, which only binding it tells.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::net;
use std::path::Path;
use std::sync::Arc;

use dotgate_config::Config;
use dotgate_net::presence::{is_absence, look_for};
use dotgate_tls::{Roots, RootsError, ServedCertificate, UnixTime};
use thiserror::Error;

use crate::admin::{AdminError, Token};
use crate::designation::with_designation;
use crate::local::{Local, LocalError};
use crate::serve::{self, StartError};
use crate::take_over::TakeOverError;

/// Why the program cannot run with a configuration.
#[derive(Debug, Error)]
pub enum Unusable {
    /// The trust anchors cannot be loaded.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The local data cannot be used.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// An upstream cannot be used.
    #[error(transparent)]
    Upstream(#[from] StartError),
    /// The Unix socket of the admin endpoint cannot be made.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The Unix socket for the next process cannot be made.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
}

/// What a configuration names, read and found to be right.
#[derive(Debug)]
pub struct Verified {
    /// The trust anchors.
    pub roots: Roots,
    /// The local data.
    pub local: Local,
    /// The certificates for clients that speak TLS.
    pub certificates: Arc<[ServedCertificate]>,
}

/// Verifies `config`, and returns what it names.
///
/// # Errors
/// All that is wrong.
pub fn verify(config: &Config) -> Result<Verified, Vec<Unusable>> {
    let mut problems = Vec::new();
    let roots = Roots::load(&config.tls().authorities);
    if let Some(path) = &config.server().take_over_socket
        && let Err(source) = can_hold_a_socket(path)
    {
        let path = path.clone();
        problems.push(TakeOverError::Listen { path, source }.into());
    }
    if let Some(socket) = config.admin().socket.as_ref().filter(|it| it.is_named)
        && let Err(source) = can_hold_a_socket(&socket.path)
    {
        let path = socket.path.clone();
        problems.push(AdminError::Socket { path, source }.into());
    }
    if let Ok(roots) = &roots
        && let Err(problem) = serve::verify_upstreams(config, roots)
    {
        problems.push(problem.into());
    }
    if let Err(problem) = serve::verify_cookies(config) {
        problems.push(problem.into());
    }
    let mut certificates = Arc::from([]);
    match serve::verify_server_tls(config) {
        Ok(Some(tls)) => certificates = Arc::clone(tls.certificates()),
        Ok(None) => {}
        Err(problem) => problems.push(problem.into()),
    }
    let local = with_designation(config.local(), config.server(), &certificates);
    match (roots, Local::load(&local)) {
        (Ok(roots), Ok(local)) if problems.is_empty() => {
            return Ok(Verified {
                roots,
                local,
                certificates,
            });
        }
        (roots, local) => {
            problems.extend(roots.err().map(Unusable::from));
            problems.extend(local.err().map(Unusable::from));
        }
    }
    Err(problems)
}

/// What can be run with, but not as it is meant: files that can never be written.
pub fn warnings(config: &Config) -> Vec<String> {
    let files = [
        ("cache.snapshot_file", &config.cache().snapshot_file),
        ("dns.state_file", &config.sessions().state_file),
    ];
    let cannot = files.into_iter().filter_map(|(key, path)| {
        let path = path.as_deref()?;
        let source = is_in_a_folder(path).err()?;
        let path = path.display();
        Some(format!("{key} {path} cannot be written: {source}"))
    });
    cannot.collect()
}

/// Certificates that clients will soon not accept any more, or do not accept now.
pub fn certificate_warnings(certificates: &[ServedCertificate]) -> Vec<String> {
    warnings_at(UnixTime::now(), certificates)
}

fn warnings_at(now: UnixTime, certificates: &[ServedCertificate]) -> Vec<String> {
    let warnings = certificates.iter().filter_map(|certificate| {
        let (path, facts) = (certificate.path.display(), &certificate.facts);
        let what = match facts.days_left(now) {
            ..0 => "has expired: clients that verify it reject it".to_owned(),
            days @ 0..CERTIFICATE_DAYS_LOW => format!("expires in {days} days"),
            _ if facts.not_before > now.as_secs().cast_signed() => "is not valid yet".to_owned(),
            _ => return None,
        };
        Some(format!("server.certificate_file {path} {what}"))
    });
    warnings.collect()
}

/// Days before its end from which on a certificate for clients is reported.
const CERTIFICATE_DAYS_LOW: i64 = 14;

/// Why the admin token cannot be used, if it is set. The server starts without it, and logs this as an error.
pub fn token_problem(config: &Config) -> Option<String> {
    let file = config.admin().token_file.as_deref()?;
    let problem = Token::load(file).err()?;
    Some(format!(
        "{problem}\n  The server starts, but requests with the token are rejected."
    ))
}

/// Listening addresses that this host does not have now, in words.
pub fn absent_addresses(config: &Config) -> Vec<String> {
    let listen = config.server().listeners().map(|(_, address)| address);
    let listen = listen.chain(&config.admin().listen);
    let absent = listen.filter_map(|address| {
        let resolved: io::Result<SocketAddr> = address.resolve().map_err(io::Error::from);
        let reason = resolved.and_then(look_for).err().filter(is_absence)?;
        Some(format!(
            "this host does not have the listening address {address} now ({reason}); it is served as soon as it does"
        ))
    });
    absent.collect()
}

fn can_hold_a_socket(path: &Path) -> io::Result<()> {
    net::SocketAddr::from_pathname(path)?;
    is_in_a_folder(path)
}

/// Whether the folder of a file is there.
fn is_in_a_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    if fs::metadata(folder)?.is_dir() {
        Ok(())
    } else {
        Err(ErrorKind::NotADirectory.into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dotgate_testbed::certificates::{Leaf, TestAuthority, Validity};
    use dotgate_tls::CertificateFacts;

    use super::*;

    #[test]
    fn a_certificate_is_reported_before_its_time_within_14_days_of_its_end_and_after_it() {
        const DAY: i64 = 86_400;
        let leaf = Leaf {
            validity: Validity::Past,
            ..Leaf::for_name("dns.example")
        };
        let issued = TestAuthority::new().unwrap().issue(&leaf).unwrap();
        let certificate = ServedCertificate {
            path: "/dns.pem".into(),
            facts: CertificateFacts::read(&issued.chain[0]).unwrap(),
        };
        let (from, to) = (certificate.facts.not_before, certificate.facts.not_after);
        for (now, expected) in [
            (from - 1, Some("is not valid yet")),
            (from, None),
            (to - 14 * DAY, None),
            (to - 14 * DAY + 1, Some("expires in 13 days")),
            (to - 3 * DAY - 1, Some("expires in 3 days")),
            (to - 1, Some("expires in 0 days")),
            (
                to + DAY,
                Some("has expired: clients that verify it reject it"),
            ),
        ] {
            let time = Duration::from_secs(now.unsigned_abs());
            let time = UnixTime::since_unix_epoch(time);
            let expected = expected.map(|what| format!("server.certificate_file /dns.pem {what}"));
            let said = warnings_at(time, std::slice::from_ref(&certificate));
            assert_eq!(said, Vec::from_iter(expected), "{}", to - now);
        }
    }
}
