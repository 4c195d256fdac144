//! `dotgate check --probe`: one question to every upstream of every group, and a line about each.
//!
//! The question is the root's NS records, which says nothing of anybody. An upstream that does not pass what is demanded of it gets
//! none.

use std::io::{self, Write};

use domain::base::Name;
use domain::base::iana::Rtype;
use dotgate_config::{Config, Escaped, UpstreamConfig};

use super::client::{QueryParameters, Transport, ask};
use super::document::UpstreamDocument;
use super::probe::{ProbeFailure, Target};
use super::{Prepared, addresses, prepare};
use crate::bootstrap::LookupError;
use crate::upstreams::Upstream;

/// Asks every upstream, and writes what it found. True if all of them respond and pass what is demanded.
///
/// # Errors
/// Those of writing to `out`, or of the system that resolves no names.
pub(crate) fn probe_all(config: &Config, out: &mut dyn Write) -> io::Result<bool> {
    let prepared = match prepare(config) {
        Ok(prepared) => prepared,
        Err(problem) => {
            writeln!(out, "probe: {}", Escaped(&problem))?;
            return Ok(false);
        }
    };
    let mut are_all_well = true;
    for (upstream, shared) in config.upstreams().iter().zip(prepared.upstreams.iter()) {
        let document = probe(config, &prepared, upstream, shared)?;
        are_all_well &= document.is_healthy();
        writeln!(out, "probe {}", Escaped(&document.line()))?;
        if let Some(pin) = document.pin() {
            writeln!(out, "  to pin its key: {}", Escaped(&pin))?;
        }
        out.flush()?;
    }
    Ok(are_all_well)
}

fn probe(
    config: &Config,
    prepared: &Prepared,
    upstream: &UpstreamConfig,
    shared: &Upstream,
) -> io::Result<UpstreamDocument> {
    let asked = QueryParameters {
        name: Name::root_vec(),
        record_type: Rtype::NS,
        transport: Transport::Udp,
    };
    let wait = config.query().deadline;
    let addresses = addresses(config, upstream)?;
    let Some((authentication, tls)) = upstream.authentication.as_ref().zip(shared.tls()) else {
        let address = addresses.ok().and_then(|all| all.first().copied());
        let response = match address {
            Some(address) => ask(address, &asked, wait).map_err(|error| error.to_string()),
            None => Err(format!("bootstrap: {}", LookupError::NO_ADDRESS)),
        };
        return Ok(UpstreamDocument::of_plain_asked(upstream, response));
    };
    let outcome = addresses.map_err(ProbeFailure::Name).and_then(|addresses| {
        let target = Target {
            authentication,
            tls,
            roots: &prepared.roots,
            egress: &upstream.egress,
            key_exchange: upstream.key_exchange,
            wait,
        };
        target.look_at_any(&addresses, &asked)
    });
    Ok(UpstreamDocument::of(upstream, &outcome))
}
