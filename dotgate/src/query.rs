//! `dotgate query`: one question through the same engine and the same TLS, with every step of the way shown.
//!
//! Stands beside the path of a query. Each upstream is first looked at by sessions of this module's own, for what a
//! worker never needs to know; then a worker of this process's own asks, as it would for a client, and what that
//! client gets is shown as `dig` shows it. It takes the configuration that serving takes, required variables included,
//! listens on nothing of it, and sends no query to an upstream that does not pass what the configuration demands.

mod client;
mod forward;
mod message;
mod probe;
mod report;
mod session;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use domain::base::Name;
use domain::base::iana::Rtype;

pub use self::client::{Asked, Response, Transport, ask};
pub(crate) use self::message::record_text;
pub use self::message::{Millis, write_response};
use self::probe::{Probe, ProbeFailure, Target};
use crate::bootstrap;
use crate::config::{self, Config, EXIT_STATUS, Endpoint, Environment, UpstreamConfig};
use crate::tls::Roots;
use crate::upstreams::{Upstream, Upstreams};

/// The exit status when no upstream answered, or nobody could be asked.
const FAILED: u8 = 1;

/// Asks for `name` and `record_type` and shows the way of the question. Returns the exit status: 0 with an answer
/// of an upstream or of dotgate itself, 1 without, 2 for a wrong configuration.
///
/// # Errors
/// Those of writing to `out` or `err`, and of the system: no poll loop, no thread, no socket on loopback.
pub fn run(
    environment: &Environment,
    file: Option<&Path>,
    question: (Name<Vec<u8>>, Rtype),
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let loaded = match config::load(environment, file) {
        Ok(loaded) => loaded,
        Err(problems) => {
            write!(err, "{problems}")?;
            return Ok(EXIT_STATUS);
        }
    };
    let config = &loaded.config;
    for note in loaded.notes.iter().filter(|note| note.is_logged()) {
        writeln!(err, "dotgate query: note: {note}")?;
    }
    let roots = match Roots::load(&config.tls().authorities) {
        Ok(roots) => roots,
        Err(problem) => {
            writeln!(err, "dotgate query: {problem}")?;
            return Ok(FAILED);
        }
    };
    let mut upstreams = Vec::new();
    for (slot, upstream) in config.upstreams().iter().enumerate() {
        match Upstream::new(slot, upstream, &roots) {
            Ok(upstream) => upstreams.push(Arc::new(upstream)),
            Err(problem) => {
                writeln!(err, "dotgate query: upstream {}: {problem}", upstream.label)?;
                return Ok(FAILED);
            }
        }
    }
    let (name, record_type) = question;
    let asked = Asked {
        name,
        record_type,
        transport: Transport::Tcp,
    };
    show(config, &roots, upstreams.into(), &asked, out, err)
}

fn show(
    config: &Config,
    roots: &Roots,
    upstreams: Upstreams,
    asked: &Asked,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    if forward::is_forwarded(config, &upstreams, asked)? {
        for (upstream, shared) in config.upstreams().iter().zip(upstreams.iter()) {
            writeln!(out, "upstream {}", upstream.label)?;
            out.flush()?;
            match look_at(config, roots, upstream, shared, asked)? {
                Ok(probe) => report::write_probe(out, upstream, &probe)?,
                Err(failure) => report::write_failure(out, &failure)?,
            }
            writeln!(out)?;
        }
    } else {
        writeln!(out, "dotgate answers this itself; no upstream is asked\n")?;
    }
    out.flush()?;
    let through = forward::ask_through_worker(config, &upstreams, asked)?;
    report::write_way(out, &upstreams, &through)?;
    let is_answered = match &through.response {
        Ok(response) => {
            write_response(out, response)?;
            !through.has_failed
        }
        Err(error) => {
            writeln!(out, ";; no response: {error}")?;
            false
        }
    };
    out.flush()?;
    if is_answered {
        return Ok(0);
    }
    writeln!(err, "dotgate query: no upstream answered")?;
    Ok(FAILED)
}

/// Finds one upstream's addresses and looks at the first that takes a connection.
fn look_at(
    config: &Config,
    roots: &Roots,
    upstream: &UpstreamConfig,
    shared: &Upstream,
    asked: &Asked,
) -> io::Result<Result<Probe, ProbeFailure>> {
    let addresses = match addresses(config, upstream)? {
        Ok(addresses) => addresses,
        Err(problem) => return Ok(Err(ProbeFailure::Name(problem))),
    };
    shared.set_addresses(&addresses);
    let target = Target {
        authentication: &upstream.authentication,
        tls: shared.tls(),
        roots,
        key_exchange: upstream.key_exchange,
        wait: config.query().deadline,
    };
    Ok(target.look_at_any(&addresses, asked))
}

fn addresses(
    config: &Config,
    upstream: &UpstreamConfig,
) -> io::Result<Result<Vec<SocketAddr>, bootstrap::LookupError>> {
    match &upstream.endpoint {
        Endpoint::Address(address) => Ok(Ok(vec![address.resolve()?])),
        Endpoint::Name { name, port } => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            Ok(runtime.block_on(bootstrap::resolve(name, *port, config.bootstrap())))
        }
    }
}
