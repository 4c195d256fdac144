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
        are_all_well &=
            document.is_healthy() || dotgate_wire::planted!("failed-probes-are-not-reported");
        writeln!(out, "probe {}", Escaped(&document.line()))?;
        if let Some(pin) = document.pin() {
            writeln!(out, "  to pin its key: {}", Escaped(&pin))?;
        }
        out.flush()?;
        if dotgate_wire::planted!("one-upstream-is-probed-for-all") {
            break;
        }
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

#[cfg(test)]
mod tests {
    use dotgate_config::Environment;
    use dotgate_testbed::resolver::{Resolver, ResolverConfig};

    use super::*;

    /// The line of each upstream, and whether all of them are healthy.
    fn probed(resolver: &Resolver, hosts: &str) -> (Vec<String>, bool) {
        let authorities = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(authorities.path(), resolver.authority_pem()).unwrap();
        let file = authorities.path().to_str().unwrap();
        let variables = [
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("DNS_PORT", "853"),
            ("DNS_HOST", hosts),
            ("DOTGATE_TLS_CA_FILE", file),
        ];
        let environment: Environment = variables.into_iter().collect();
        let loaded = dotgate_config::load(&environment, None).unwrap();
        let mut said = Vec::new();
        let are_all_well = probe_all(&loaded.config, &mut said).unwrap();
        let said = String::from_utf8(said).unwrap();
        let lines = said.lines().filter(|line| line.starts_with("probe "));
        (lines.map(str::to_owned).collect(), are_all_well)
    }

    #[test]
    fn every_upstream_is_probed_and_one_that_fails_is_enough() {
        let resolver = Resolver::start(&ResolverConfig::default()).unwrap();
        let (address, name) = (resolver.address(), resolver.name());
        let written = |name: &str| format!("{}@{}#{name}", address.ip(), address.port());
        let (right, wrong) = (written(name), written("other.test"));
        let (lines, are_all_well) = probed(&resolver, &right);
        assert!(are_all_well, "{lines:?}");
        let each = resolver.queries();
        assert!(each > 0);
        for hosts in [format!("{right},{wrong}"), format!("{wrong},{right}")] {
            let (lines, are_all_well) = probed(&resolver, &hosts);
            assert!(!are_all_well, "{lines:?}");
            let healthy = lines.iter().filter(|line| line.contains(": OK: "));
            assert_eq!((lines.len(), healthy.count()), (2, 1), "{lines:?}");
        }
        let asked = resolver.queries();
        assert_eq!(asked, 3 * each, "none where the certificate is wrong");
    }
}
