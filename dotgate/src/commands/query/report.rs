//! What a look at an upstream found, in lines for a person.
//!
//! It is at the end of the command. What an upstream's certificate says is printed with its control characters
//! escaped; unverified data is marked.

use dotgate_core::UpstreamId;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::Arc;

use domain::base::iana::OptRcode;
use dotgate_config::{Escaped, UpstreamConfig};
use dotgate_tls::{CertificateFacts, HandshakeFacts, UnixTime};

use super::forward::Through;
use super::message::Millis;
use super::probe::{Alpn, Pipelined, Probe, ProbeFailure, Resumption};
use super::session::SessionFailure;
use crate::upstreams::Upstream;
use crate::worker::{SessionOpened, WorkerEvent};

fn write_line(out: &mut dyn Write, title: &str, value: impl Display) -> io::Result<()> {
    writeln!(out, "  {title:<14}{value}")
}

/// Writes what there is to know of a plain upstream before it is asked.
pub(super) fn write_plain(out: &mut dyn Write) -> io::Result<()> {
    write_line(
        out,
        "transport",
        "UDP, and TCP for long responses; NOT ENCRYPTED",
    )?;
    writeln!(out)
}

/// Writes what is known of an upstream that is healthy.
pub(super) fn write_probe(
    out: &mut dyn Write,
    upstream: &UpstreamConfig,
    probe: &Probe,
) -> io::Result<()> {
    write_line(out, "address", probe.address)?;
    write_line(out, "connect", Millis(probe.connect))?;
    let handshake = Millis(probe.handshake);
    write_line(
        out,
        "tls",
        format_args!("{handshake}, {}", negotiated(&probe.facts)),
    )?;
    write_line(out, "demanded", upstream.demand())?;
    match &probe.alpn {
        Alpn::Chosen(Some(protocol)) => write_line(out, "alpn", Escaped(protocol))?,
        Alpn::Chosen(None) => write_line(out, "alpn", "ignored")?,
        Alpn::Refused => write_line(out, "alpn", "dot refused, so not offered")?,
    }
    if let Some(failure) = &probe.fell_back {
        let failure = failure_text(failure);
        let reported = format_args!("classical, after a hybrid handshake failed: {failure}");
        write_line(out, "key exchange", reported)?;
    }
    write_certificate(out, &probe.facts)?;
    if probe.has_pin_mismatch {
        write_line(out, "pin-report", "does not match")?;
    }
    match &probe.pipelined {
        Ok(pipelined) => write_pipelined(out, pipelined)?,
        Err(failure) => write_line(out, "response", failure_text(failure))?,
    }
    match &probe.resumption {
        Resumption::Resumed(took) => {
            write_line(out, "resumption", format_args!("yes, in {}", Millis(*took)))
        }
        Resumption::Full(took) => write_line(
            out,
            "resumption",
            format_args!("no, a full handshake in {}", Millis(*took)),
        ),
        Resumption::Failed(failure) => {
            let text = failure_text(failure);
            write_line(out, "resumption", format_args!("no second session: {text}"))
        }
    }
}

/// Writes at which stage it ended and why, and the certificate if that is at fault.
pub(super) fn write_failure(out: &mut dyn Write, failure: &ProbeFailure) -> io::Result<()> {
    match failure {
        ProbeFailure::Name(problem) => {
            write_line(out, "failed", format_args!("bootstrap: {problem}"))
        }
        ProbeFailure::Session {
            address,
            failure,
            shown,
        } => {
            write_line(out, "address", address)?;
            write_line(out, "failed", failure_text(failure))?;
            let Some(facts) = shown else {
                return Ok(());
            };
            writeln!(
                out,
                "  What it shows, NOT TRUSTED (a handshake alone, no query was sent):"
            )?;
            write_line(out, "tls", negotiated(facts))?;
            write_certificate(out, facts)
        }
    }
}

/// Writes which sessions the worker opened for the question.
pub(super) fn write_way(
    out: &mut dyn Write,
    upstreams: &[Arc<Upstream>],
    through: &Through,
) -> io::Result<()> {
    let label = |upstream: UpstreamId| {
        let found = upstreams.iter().find(|it| it.id() == upstream);
        found.map_or("unknown", |it| it.label())
    };
    for report in &through.reports {
        match report {
            WorkerEvent::SessionOpened(SessionOpened {
                upstream, resumed, ..
            }) => {
                let how = if *resumed { "resumed" } else { "new" };
                writeln!(out, ";; queried {} on a session ({how})", label(*upstream))?;
            }
            WorkerEvent::SessionFailed { upstream, reason } => {
                let (label, reason) = (label(*upstream), Escaped(reason));
                writeln!(out, ";; no session to {label}: {reason}")?;
            }
            WorkerEvent::Panicked { message } => writeln!(out, ";; a bug: {}", Escaped(message))?,
            WorkerEvent::Broken { reason } => writeln!(out, ";; {reason}")?,
            WorkerEvent::AcceptRefused { reason } | WorkerEvent::ReceiveRefused { reason } => {
                writeln!(out, ";; {}", Escaped(reason))?;
            }
            // The long form says so of the upstream.
            WorkerEvent::PinMismatch { .. } => {}
            WorkerEvent::Event(_)
            | WorkerEvent::AcceptPaused
            | WorkerEvent::NotListening { .. } => {}
        }
    }
    Ok(())
}

fn negotiated(facts: &HandshakeFacts) -> String {
    let group = facts.key_exchange.as_deref().unwrap_or("no key exchange");
    format!("{}, {}, {group}", facts.version, facts.cipher_suite)
}

fn write_certificate(out: &mut dyn Write, facts: &HandshakeFacts) -> io::Result<()> {
    let certificate = facts.certificates.first().map(CertificateFacts::read);
    let Some(Ok(certificate)) = certificate else {
        return write_line(out, "certificate", "cannot be parsed");
    };
    let names = match certificate.names.join(", ") {
        names if names.is_empty() => "for no name that counts".to_owned(),
        names => names,
    };
    write_line(out, "certificate", Escaped(&names))?;
    write_line(out, "issuer", Escaped(&certificate.issuer))?;
    let validity = match certificate.days_left(UnixTime::now()) {
        days @ 0.. => format!("{days} days left"),
        days => format!("ended {} days ago", days.unsigned_abs()),
    };
    write_line(out, "valid", validity)?;
    write_line(out, "pin", format_args!(";pin={}", certificate.pin_text()))
}

fn write_pipelined(out: &mut dyn Write, pipelined: &Pipelined) -> io::Result<()> {
    match pipelined.response {
        Some((rcode, took)) => {
            let rcode = OptRcode::masked_from_int(rcode);
            write_line(out, "response", format_args!("{rcode} in {}", Millis(took)))?;
        }
        None => write_line(out, "response", "upstream: none in time")?,
    }
    let (asked, answered) = (pipelined.asked, pipelined.answered);
    let order = if pipelined.is_out_of_order {
        "seen"
    } else {
        "not seen"
    };
    write_line(
        out,
        "out of order",
        format_args!("{order}, {asked} questions asked at once, {answered} answered"),
    )?;
    match pipelined.keepalive {
        Some(tenths) => {
            let limit = format_args!("{}.{} s", tenths / 10, tenths % 10);
            write_line(out, "keepalive", limit)
        }
        None => write_line(out, "keepalive", "not offered"),
    }
}

/// The stage, then what happened there.
pub(super) fn failure_text(failure: &SessionFailure) -> String {
    match failure {
        SessionFailure::Connect(error) => format!("connect: {error}"),
        SessionFailure::HandshakeTimedOut => "tls: handshake timed out".to_owned(),
        SessionFailure::Tls(failure) => Escaped(&format!("tls: {failure}")).to_string(),
    }
}
