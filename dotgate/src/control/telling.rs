//! What workers report, in words for an operator. A change of an upstream's state is told once.

use dotgate_core::Event;
use dotgate_core::labels::Limit;
use tracing::{debug, error, info, warn};

use crate::serve::Forwarder;
use crate::worker::Report;

/// Logs one report.
pub(super) fn tell(forwarder: &Forwarder, worker: usize, report: &Report) {
    let label = |upstream: &usize| forwarder.label(*upstream);
    match report {
        Report::Event(event) => tell_event(event, label),
        Report::SessionOpened { upstream, resumed } => {
            debug!(
                worker,
                upstream = label(upstream),
                resumed,
                "session opened"
            );
        }
        Report::SessionFailed { upstream, reason } => {
            debug!(worker, upstream = label(upstream), reason, "session failed");
        }
        Report::AcceptPaused => {
            warn!(
                worker,
                "no file descriptor left: new TCP connections wait; raise the limit of open files"
            );
        }
        Report::AcceptRefused { reason } => {
            error!(
                worker,
                reason,
                "the system accepts no TCP connections of clients; trying again four times a second"
            );
        }
        Report::ReceiveRefused { reason } => {
            error!(
                worker,
                reason, "the system gives no datagrams: queries over UDP are lost"
            );
        }
        Report::NotListening { reason } => {
            error!(
                worker,
                reason, "the sockets of a new listening address cannot be watched"
            );
        }
        Report::Panicked { message } => {
            error!(
                worker,
                message, "a bug: the worker began anew, its queries in flight got SERVFAIL"
            );
        }
        Report::Broken { reason } => error!(worker, reason, "the worker cannot go on"),
    }
}

fn tell_event<'l>(event: &Event, label: impl Fn(&usize) -> &'l str) {
    match event {
        Event::UpstreamDown { upstream, failure } => {
            warn!(
                upstream = label(upstream),
                reason = failure.text(),
                "upstream is down"
            );
        }
        Event::UpstreamWell { upstream } => {
            info!(upstream = label(upstream), "upstream answers again");
        }
        Event::AlpnRefused { upstream } => {
            info!(
                upstream = label(upstream),
                "upstream knows no ALPN protocol dot; asked without"
            );
        }
        Event::HarmfulQuestion { upstream } => {
            warn!(
                upstream = label(upstream),
                "a question makes the upstream end every connection that carries it; it is asked apart, at most once a \
                 second, and gets SERVFAIL"
            );
        }
        Event::FewAnswers { upstream, answers } => {
            info!(
                upstream = label(upstream),
                answers,
                "upstream closes its connections after few answers; each gets no more queries than that"
            );
        }
        Event::KeyExchangeReduced { upstream } => {
            info!(
                upstream = label(upstream),
                "a large TLS ClientHello does not get through: a classical key exchange is offered instead of \
                 X25519MLKEM768 for an hour at a time (DOTGATE_TLS_KEY_EXCHANGE)"
            );
        }
        Event::LimitHit {
            limit,
            max,
            times,
            client,
        } => {
            warn!(
                limit = limit.label(),
                max, times, %client, "{}", what_a_limit_did(*limit)
            );
        }
    }
}

/// What was turned away at a limit, and the setting that has it.
fn what_a_limit_did(limit: Limit) -> &'static str {
    match limit {
        Limit::Queries => {
            "too many queries in flight: some got SERVFAIL (DOTGATE_QUERY_IN_FLIGHT_MAX)"
        }
        Limit::QueriesPerClient => {
            "a client has too many queries in flight: some got SERVFAIL \
             (DOTGATE_QUERY_IN_FLIGHT_PER_CLIENT_MAX)"
        }
        Limit::Streams => {
            "too many TCP connections: some were closed at once (DOTGATE_TCP_CONNECTIONS_MAX)"
        }
        Limit::StreamsPerClient => {
            "a client has too many TCP connections: some were closed at once \
             (DOTGATE_TCP_CONNECTIONS_PER_CLIENT_MAX)"
        }
        Limit::ClientMemory => {
            "TCP clients do not read their responses or have too many connections: some were closed \
             (DOTGATE_SERVER_CLIENT_MEMORY)"
        }
        Limit::UdpRelease => "responses over UDP went without records",
        Limit::Descriptors => "no file descriptor left",
    }
}
