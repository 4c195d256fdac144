//! `dotgate demo`: the real forwarder in front of the embedded resolver, with three questions asked through both.
//!
//! It is on both sides of the path of a query: it is the client and, with the embedded resolver, the upstream.
//! It leaves loopback never and needs no privilege. Limit: 5 s for each question.

use std::io::{self, Write};
use std::str::FromStr;
use std::time::Duration;

use domain::base::Name;
use domain::base::iana::{Rcode, Rtype};
use dotgate_config::{Environment, Loaded, Problems};
use dotgate_testbed::resolver::{Resolver, ResolverConfig};
use dotgate_testbed::upstream::UpstreamError;
use dotgate_tls::{Roots, RootsError};

use super::exit::ExitStatus;
use super::query::{QueryParameters, Transport, ask, write_response};
use crate::admin::Admin;
use crate::control::{self, End, Listening};
use crate::log;
use crate::reload::ActiveConfig;
use crate::serve::{Forwarder, StartError};
use crate::service::Service;
use crate::worker::WorkerCommand;

/// The port that is taken if it is free: it needs no right, and 5353 belongs to mDNS.
const PORT: u16 = 5300;

/// How long a response may take.
const WAIT: Duration = Duration::from_secs(5);

/// What the workers get to end.
const ENDING: Duration = Duration::from_secs(6);

/// Why the demo cannot start.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("the embedded resolver: {0}")]
    Resolver(#[from] UpstreamError),
    #[error("the embedded resolver's authority: {0}")]
    Roots(#[from] RootsError),
    #[error("{0}")]
    Config(#[from] Problems),
    #[error("{0}")]
    Start(#[from] StartError),
}

/// A question that shows something, and the response code it gets.
struct Sample {
    name: &'static str,
    transport: Transport,
    rcode: Rcode,
    shows: &'static str,
}

const SAMPLES: [Sample; 3] = [
    Sample {
        name: "example.test",
        transport: Transport::Udp,
        rcode: Rcode::NOERROR,
        shows: "an address, asked over UDP with EDNS",
    },
    Sample {
        name: "alias.example.test",
        transport: Transport::Tcp,
        rcode: Rcode::NOERROR,
        shows: "an alias and what it points to, asked over TCP",
    },
    Sample {
        name: "nothing.example.test",
        transport: Transport::Udp,
        rcode: Rcode::NXDOMAIN,
        shows: "a name that does not exist",
    },
];

/// Serves in front of an embedded resolver and asks three questions: with `once` nothing more, else until a signal.
/// It fails if it could not start or a question was not answered as it should be.
///
/// # Errors
/// Those of writing to `out` or `err`, and of the system: signals cannot be received.
pub(super) fn run(once: bool, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitStatus> {
    let (resolver, forwarder, loaded) = match start() {
        Ok(started) => started,
        Err(problem) => {
            writeln!(err, "dotgate demo: {problem}")?;
            return Ok(ExitStatus::Failed);
        }
    };
    write_start(out, &resolver, &forwarder)?;
    let mut has_failed = false;
    for sample in &SAMPLES {
        has_failed |= !show(out, &forwarder, sample)?;
    }
    let end = if once {
        finish(forwarder)?
    } else {
        write_hints(out, &forwarder)?;
        control::run(
            Listening::new()?,
            forwarder,
            Admin::default(),
            None,
            Service::default(),
            ActiveConfig::made(loaded),
        )?
    };
    log::flush();
    Ok(ExitStatus::success_if(!has_failed && end == End::Finished))
}

fn start() -> Result<(Resolver, Forwarder, Loaded), DemoError> {
    let resolver = Resolver::start(&ResolverConfig::default())?;
    let roots = Roots::trusting(resolver.authority())?;
    let loaded = configuration(PORT, &resolver)?;
    log::start(loaded.config.log(), log::Output::Plain);
    match Forwarder::start(&loaded.config, &roots) {
        Ok(forwarder) => Ok((resolver, forwarder, loaded)),
        // Somebody else has the port; the system finds another.
        Err(StartError::Bind(_)) => {
            let loaded = configuration(0, &resolver)?;
            let forwarder = Forwarder::start(&loaded.config, &roots)?;
            Ok((resolver, forwarder, loaded))
        }
        Err(problem) => Err(problem.into()),
    }
}

/// The configuration as an operator would write it. The process's own environment has no part in it.
fn configuration(port: u16, resolver: &Resolver) -> Result<Loaded, Problems> {
    let address = resolver.address();
    let environment: Environment = [
        ("HOST", "127.0.0.1".to_owned()),
        ("PORT", port.to_string()),
        ("DNS_HOST", format!("{}#{}", address.ip(), resolver.name())),
        ("DNS_PORT", address.port().to_string()),
        ("LOG_LEVEL", "warn".to_owned()),
        ("DOTGATE_SERVER_DRAIN_MAX", "0s".to_owned()),
        ("DOTGATE_ADMIN_LISTEN", "off".to_owned()),
    ]
    .into_iter()
    .collect();
    dotgate_config::load(&environment, None)
}

fn write_start(out: &mut dyn Write, resolver: &Resolver, forwarder: &Forwarder) -> io::Result<()> {
    for address in forwarder.addresses().iter() {
        writeln!(
            out,
            "dotgate accepts plain DNS over UDP and TCP on {address}"
        )?;
    }
    writeln!(
        out,
        "and forwards to an embedded resolver over TLS on {}, which must be {}.",
        resolver.address(),
        resolver.name()
    )?;
    writeln!(
        out,
        "Its certificate was made for this run, and only this run trusts it."
    )?;
    out.flush()
}

/// Asks and shows one question. False if the response is not what it should be.
fn show(out: &mut dyn Write, forwarder: &Forwarder, sample: &Sample) -> io::Result<bool> {
    writeln!(out, "\n--- {}: {}\n", sample.name, sample.shows)?;
    let (Some(&server), Ok(name)) = (
        forwarder.addresses().first(),
        Name::<Vec<u8>>::from_str(sample.name),
    ) else {
        return Ok(false);
    };
    let asked = QueryParameters {
        name,
        record_type: Rtype::A,
        transport: sample.transport,
    };
    let is_right = match ask(server, &asked, WAIT) {
        Ok(response) => {
            write_response(out, &response)?;
            response.message.header().rcode() == sample.rcode
        }
        Err(error) => {
            writeln!(out, ";; no response: {error}")?;
            false
        }
    };
    out.flush()?;
    Ok(is_right)
}

fn write_hints(out: &mut dyn Write, forwarder: &Forwarder) -> io::Result<()> {
    let port = forwarder
        .addresses()
        .first()
        .map_or(0, |address| address.port());
    writeln!(out, "\nSend queries yourself; Ctrl-C ends it:")?;
    writeln!(out, "  kdig @127.0.0.1 -p {port} example.test")?;
    writeln!(
        out,
        "  kdig @127.0.0.1 -p {port} +tcp alias.example.test AAAA"
    )?;
    writeln!(out, "  kdig @127.0.0.1 -p {port} example.test TXT")?;
    writeln!(out, "  kdig @127.0.0.1 -p {port} slow.example.test")?;
    out.flush()
}

/// Ends the forwarder and waits until its workers have ended.
fn finish(mut forwarder: Forwarder) -> io::Result<End> {
    forwarder.command(WorkerCommand::Finish);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let ended = runtime.block_on(async {
        // The reports end with the workers.
        let reports = async { while forwarder.next_report().await.is_some() {} };
        tokio::time::timeout(ENDING, reports).await
    });
    Ok(match ended {
        Ok(()) => End::Finished,
        Err(_) => End::CutShort,
    })
}
