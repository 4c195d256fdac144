//! What workers report, in words for an operator. A change of an upstream's state is told once.

use dotgate_core::Event;
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
        Event::Overload => {
            warn!(
                "too many queries in flight: some got SERVFAIL; dotgate_limits_hit_total says whether all clients \
                 together ask too much (DOTGATE_QUERY_IN_FLIGHT_MAX) or one does (DOTGATE_QUERY_IN_FLIGHT_PER_CLIENT_MAX)"
            );
        }
        Event::TooManyStreams => {
            warn!(
                "too many TCP connections: some were closed at once; dotgate_limits_hit_total says whether of all clients \
                 together (DOTGATE_TCP_CONNECTIONS_MAX) or of one (DOTGATE_TCP_CONNECTIONS_PER_CLIENT_MAX)"
            );
        }
    }
}
