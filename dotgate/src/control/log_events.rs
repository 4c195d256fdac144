//! Logs what workers report. A change of an upstream's state is logged once.

use std::time::Duration;

use dotgate_core::labels::Limit;
use dotgate_core::{ConnectFault, Event, Failure, TlsFault, UpstreamId, WorkerId};
use dotgate_tls::pin_text;

use crate::clock::now;
use crate::log::message::say;
use crate::serve::Forwarder;
use crate::worker::WorkerEvent;

/// Logs one report.
pub(super) fn log_report(forwarder: &mut Forwarder, worker: WorkerId, report: &WorkerEvent) {
    match report {
        WorkerEvent::Event(event) => log_event(forwarder, worker, event),
        WorkerEvent::SessionOpened(opened) => {
            let time_ms = milliseconds(opened.time);
            say!(
                SESSION_OPENED,
                worker = worker.0,
                upstream = forwarder.label(opened.upstream),
                tls = opened.tls,
                key_exchange = opened.key_exchange.as_deref(),
                resumed = opened.resumed,
                time_ms = time_ms
            );
            if let Some((upstream, certificate_days)) = forwarder.note_reached(opened.upstream) {
                say!(
                    UPSTREAM_REACHABLE,
                    upstream = upstream,
                    tls = opened.tls,
                    key_exchange = opened.key_exchange.as_deref(),
                    time_ms = time_ms,
                    certificate_days = certificate_days
                );
            }
        }
        WorkerEvent::SessionFailed { upstream, reason } => {
            say!(
                SESSION_FAILED,
                worker = worker.0,
                upstream = forwarder.label(*upstream),
                reason = reason
            );
            forwarder.note_failure(*upstream, reason);
        }
        WorkerEvent::PinMismatch { upstream, pin } => say!(
            PIN_MISMATCH,
            upstream = forwarder.label(*upstream),
            pin = pin_text(pin)
        ),
        WorkerEvent::AcceptPaused => say!(
            ACCEPT_PAUSED,
            worker = worker.0,
            hint = "raise the limit of open files (LimitNOFILE=, ulimit -n)"
        ),
        WorkerEvent::AcceptRefused { reason } => {
            say!(ACCEPT_REFUSED, worker = worker.0, reason = reason);
        }
        WorkerEvent::ReceiveRefused { reason } => {
            say!(RECEIVE_REFUSED, worker = worker.0, reason = reason);
        }
        WorkerEvent::NotListening { reason } => {
            say!(NOT_LISTENING, worker = worker.0, reason = reason)
        }
        WorkerEvent::Panicked { message } => {
            say!(WORKER_PANICKED, worker = worker.0, reason = message)
        }
        WorkerEvent::Broken { reason } => say!(WORKER_ENDED, worker = worker.0, reason = reason),
    }
}

fn log_event(forwarder: &mut Forwarder, worker: WorkerId, event: &Event) {
    let label = |upstream: &UpstreamId| forwarder.label(*upstream);
    match event {
        Event::UpstreamDown { upstream, failure } => {
            say!(
                UPSTREAM_DOWN,
                upstream = label(upstream),
                reason = failure.text(),
                detail = forwarder.last_failure(*upstream),
                hint = hint_for(*failure)
            );
            log_preferred(forwarder);
        }
        Event::UpstreamHealthy { upstream } => {
            say!(UPSTREAM_RECOVERED, upstream = label(upstream));
            log_preferred(forwarder);
        }
        Event::AlpnRejected { upstream } => say!(ALPN_REJECTED, upstream = label(upstream)),
        Event::Loop { group } => say!(
            LOOP,
            group = group,
            hint = "the servers of this route must not forward its names to dotgate, directly or through others"
        ),
        Event::HarmfulQuestion { upstream } => say!(HARMFUL_QUERY, upstream = label(upstream)),
        Event::FewAnswers { upstream, answers } => {
            say!(
                FEW_RESPONSES,
                upstream = label(upstream),
                responses = answers
            );
        }
        Event::KeyExchangeReduced { upstream } => say!(
            KEY_EXCHANGE_REDUCED,
            upstream = label(upstream),
            hint = "DOTGATE_TLS_KEY_EXCHANGE=classical avoids the first delay; ask the operator of the network for \
                    the reason"
        ),
        Event::SessionEnded { .. }
        | Event::ProbeSent { .. }
        | Event::ProbeAnswered { .. }
        | Event::ClientHandshake { .. } => log_detail(worker, event, label),
        Event::Attempted { .. } | Event::AttemptFailed { .. } => {
            log_attempt(worker, event, label);
        }
        Event::LimitHit {
            limit,
            max,
            times,
            client,
        } => {
            let (setting, effect) = effect_of(*limit);
            say!(
                LIMIT_REACHED,
                limit = limit.label(),
                setting = setting,
                max = max,
                times = times,
                client = %client,
                effect = effect
            );
        }
    }
}

/// What is logged of single sessions and clients' connections.
fn log_detail<'l>(worker: WorkerId, event: &Event, label: impl Fn(&UpstreamId) -> &'l str) {
    if let Event::SessionEnded {
        upstream,
        ending,
        opened,
        responses,
    } = event
    {
        say!(
            SESSION_CLOSED,
            worker = worker.0,
            upstream = label(upstream),
            reason = ending.label(),
            lifetime_ms = milliseconds(now().since(*opened)),
            responses = responses
        );
    } else if let Event::ProbeSent { upstream } = event {
        say!(PROBE_SENT, worker = worker.0, upstream = label(upstream));
    } else if let Event::ProbeAnswered {
        upstream,
        round_trip,
    } = event
    {
        say!(
            PROBE_ANSWERED,
            worker = worker.0,
            upstream = label(upstream),
            round_trip_ms = milliseconds(*round_trip)
        );
    } else if let Event::ClientHandshake {
        client,
        transport,
        result,
        began,
    } = event
    {
        say!(
            CLIENT_HANDSHAKE,
            worker = worker.0,
            client = %client,
            transport = transport.label(),
            result = result.label(),
            ms = milliseconds(now().since(*began))
        );
    }
}

/// What is logged of single attempts.
fn log_attempt<'l>(worker: WorkerId, event: &Event, label: impl Fn(&UpstreamId) -> &'l str) {
    if let Event::Attempted {
        upstream,
        kind,
        question,
    } = event
    {
        say!(
            ATTEMPT,
            worker = worker.0,
            upstream = label(upstream),
            kind = kind.label(),
            question = %question
        );
    } else if let Event::AttemptFailed {
        upstream,
        kind,
        question,
        failure,
        took,
    } = event
    {
        say!(
            ATTEMPT_FAILED,
            worker = worker.0,
            upstream = label(upstream),
            kind = kind.label(),
            question = %question,
            reason = failure.text(),
            ms = milliseconds(*took)
        );
    }
}

/// Logs which upstream queries go to, if that has changed.
fn log_preferred(forwarder: &mut Forwarder) {
    if let Some((upstream, before)) = forwarder.note_preferred() {
        say!(UPSTREAM_PREFERRED, upstream = upstream, before = before);
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// What an operator can do about an upstream that is down.
fn hint_for(failure: Failure) -> Option<&'static str> {
    match failure {
        Failure::Connect(fault) => match fault {
            ConnectFault::NoAddress => {
                Some("check DOTGATE_BOOTSTRAP_ADDRESSES, or use the address")
            }
            ConnectFault::NoDescriptor => Some("raise the limit of open files"),
            ConnectFault::Refused => {
                Some("no server listens there: check the address and the port")
            }
            ConnectFault::TimedOut => Some("check the address, and firewalls for this port"),
            ConnectFault::Unreachable => Some("check the route to the address"),
            ConnectFault::Other => None,
        },
        Failure::Tls(fault) => match fault {
            TlsFault::CertificateName => {
                Some("check the name after # in DNS_HOST; `dotgate query` shows the certificate")
            }
            TlsFault::IssuerUnknown => {
                Some("check DOTGATE_TLS_CA_FILE; `dotgate query` shows the certificate")
            }
            TlsFault::PinMismatch => Some("if the key was replaced on purpose, update the pin"),
            TlsFault::ClockWrong | TlsFault::CertificateNotYetValid => {
                Some("check the clock of this host")
            }
            TlsFault::CertificateBad
            | TlsFault::CertificateExpired
            | TlsFault::CertificateRevoked => {
                Some("report it to the provider; `dotgate query` shows the certificate")
            }
            TlsFault::Alert(_)
            | TlsFault::AlpnRejected
            | TlsFault::Closed
            | TlsFault::Protocol
            | TlsFault::TimedOut => Some("check that this port speaks DNS over TLS"),
        },
        Failure::Answered { .. }
        | Failure::Closed
        | Failure::Misbehaved(_)
        | Failure::NoResponse => Some("ask the provider"),
        Failure::Harmful
        | Failure::Internal
        | Failure::Loop
        | Failure::NotReady
        | Failure::Overload => None,
    }
}

/// The setting of a limit, and what happens to those beyond it.
fn effect_of(limit: Limit) -> (Option<&'static str>, &'static str) {
    match limit {
        Limit::Queries => (
            Some("DOTGATE_QUERY_IN_FLIGHT_MAX"),
            "queries in flight; further ones got SERVFAIL",
        ),
        Limit::QueriesPerClient => (
            Some("DOTGATE_QUERY_IN_FLIGHT_PER_CLIENT_MAX"),
            "queries in flight of one client; further ones got SERVFAIL",
        ),
        Limit::Streams => (
            Some("DOTGATE_TCP_CONNECTIONS_MAX"),
            "TCP connections; further ones were closed at once",
        ),
        Limit::StreamsPerClient => (
            Some("DOTGATE_TCP_CONNECTIONS_PER_CLIENT_MAX"),
            "TCP connections of one client; further ones were closed at once",
        ),
        Limit::StreamsMalformed => (
            None,
            "TCP connections per second of one client that sends malformed messages; further ones were closed at once",
        ),
        Limit::Handshakes => (
            None,
            "TLS handshakes of clients in progress in one worker; the oldest were closed, or one address had a \
             quarter of them",
        ),
        Limit::ClientMemory => (
            Some("DOTGATE_SERVER_CLIENT_MEMORY"),
            "memory for TCP clients that do not read their responses or have many connections; some were closed",
        ),
        Limit::QueryRate => (
            Some("DOTGATE_RATE_QUERIES"),
            "queries per second of one client; further ones were shed",
        ),
        Limit::ResponseRate => (
            Some("DOTGATE_RATE_RESPONSES"),
            "equal queries over UDP per second of one client; further ones were shed",
        ),
        Limit::ConnectionRate => (
            Some("DOTGATE_RATE_CONNECTIONS"),
            "connections per second of one client; further ones were closed at once",
        ),
        Limit::HandshakeRate => (
            Some("DOTGATE_RATE_HANDSHAKES"),
            "TLS handshakes per second of one client; further connections were closed at once",
        ),
        Limit::RateTable => (None, "clients in the table of rates; some were evicted"),
        Limit::UdpRelease => (
            None,
            "late responses over UDP; some were sent without records",
        ),
        Limit::Descriptors => (None, "open files; connections wait"),
    }
}
