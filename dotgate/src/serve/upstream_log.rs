//! What has been logged about upstreams, so that each event is logged once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dotgate_core::{HealthState, UpstreamId};
use dotgate_tls::UnixTime;

use super::Forwarder;
use crate::upstreams::Upstream;
use crate::worker::WorkerCommand;

/// What was logged.
#[derive(Debug, Default)]
pub(super) struct UpstreamLog {
    /// The labels of those that were reached.
    reached: BTreeSet<String>,
    /// The last failure of a session to each upstream, in the words of the system or of TLS.
    failures: BTreeMap<UpstreamId, String>,
    preferred: Option<String>,
}

impl Forwarder {
    /// Notes that a session to an upstream is open: its label and the days until its certificate expires, if it is the
    /// first one.
    pub(crate) fn note_reached(&mut self, id: UpstreamId) -> Option<(String, Option<i64>)> {
        let upstreams = self.upstreams();
        let upstream = upstreams.iter().find(|upstream| upstream.id() == id)?;
        let label = upstream.label().to_owned();
        let is_first = self.upstream_log.reached.insert(label.clone());
        is_first.then(|| (label, upstream.certificate_days_left(UnixTime::now())))
    }

    /// Notes why a session failed.
    pub(crate) fn note_failure(&mut self, id: UpstreamId, reason: &str) {
        self.upstream_log.failures.insert(id, reason.to_owned());
    }

    /// Why the last session to this upstream failed that did.
    pub(crate) fn last_failure(&self, id: UpstreamId) -> Option<&str> {
        self.upstream_log.failures.get(&id).map(String::as_str)
    }

    /// Which upstream queries go to now, and to which before, if that has changed.
    pub(crate) fn note_preferred(&mut self) -> Option<(Option<String>, Option<String>)> {
        let upstreams = self.upstreams();
        let preferred = upstreams
            .iter()
            .find(|upstream| upstream.health().state() == HealthState::Healthy)
            .map(|upstream| upstream.label().to_owned());
        let before = std::mem::replace(&mut self.upstream_log.preferred, preferred.clone());
        (preferred != before).then_some((preferred, before))
    }

    /// Lets one worker open a session to each upstream of which nothing is known yet, or if `again` to each that was not
    /// reached. Whether there are such, also without an address.
    pub(crate) fn open_first_sessions(&self, again: bool) -> bool {
        let upstreams = self.upstreams();
        let is_unknown = |upstream: &&Arc<Upstream>| {
            let evidence = upstream.health().evidence();
            evidence.handshakes() == 0 && (again || evidence.last_error().is_none())
        };
        let mut unknown = upstreams.iter().filter(is_unknown).peekable();
        let are_left = unknown.peek().is_some();
        if let Some(worker) = self.running.workers().first() {
            for upstream in unknown.filter(|upstream| !upstream.addresses().is_empty()) {
                worker.command(WorkerCommand::OpenFirstSession(upstream.id()));
            }
        }
        are_left
    }

    /// Why no session to an upstream was opened, each with its reason.
    pub(crate) fn why_unreached(&self) -> String {
        let upstreams = self.upstreams();
        let reasons = upstreams.iter().map(|upstream| {
            let failure = upstream.health().evidence().last_error();
            let reason = match (failure, upstream.addresses().is_empty()) {
                (Some((_, failure)), _) => failure.text(),
                (None, true) => "the name has no address yet",
                (None, false) => "no response",
            };
            format!("{}: {reason}", upstream.label())
        });
        reasons.collect::<Vec<String>>().join("; ")
    }

    /// Whether a session to one of the upstreams was opened.
    pub(crate) fn has_reached_one(&self) -> bool {
        let upstreams = self.upstreams();
        let mut upstreams = upstreams.iter();
        upstreams.any(|upstream| upstream.health().evidence().handshakes() > 0)
    }
}
