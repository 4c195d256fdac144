//! What all connections to the admin endpoint share, and the verdicts on this instance.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dotgate_config::AdminConfig;
use dotgate_core::Moment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::live::Live;
use super::token::{Token, TokenState, is_open_to_all};
use crate::clock::now;
use crate::log::message::say;
use crate::log::with_hint;
use crate::running::{Liveness, Readiness, Reason, Running, Verdict, WorkerState};
use crate::upstreams::Group;

/// How often one who waits for a woken worker looks.
const LOOK: Duration = Duration::from_millis(10);

/// What all connections share.
#[derive(Debug)]
pub(super) struct Endpoint {
    running: Arc<Running>,
    access: Mutex<Arc<Access>>,
    liveness: Mutex<Liveness>,
    readiness: Mutex<Readiness>,
    socket: Option<PathBuf>,
    live: Live,
}

/// Who may ask what.
#[derive(Clone, Default, Debug)]
pub struct Access {
    /// The names by which it may be asked.
    pub(super) hosts: Vec<String>,
    /// The token for restricted requests.
    pub(super) token: TokenState,
}

/// The sender of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Peer {
    /// Any client of the address.
    Anybody,
    /// This user or root, at the Unix socket.
    Owner,
}

impl Access {
    /// Finds out what the settings say, and reads the token's file. DNS does not depend on the token: one that cannot be
    /// used is logged, and no request is accepted with it.
    pub fn load(config: &AdminConfig) -> Access {
        if let Some(file) = config.token_file.as_deref().filter(|it| is_open_to_all(it)) {
            say!(
                TOKEN_READABLE,
                file = %file.display(),
                hint = "chmod o-rwx takes that away"
            );
        }
        let token = match config.token_file.as_deref().map(Token::load) {
            None => TokenState::NotSet,
            Some(Ok(token)) => TokenState::Set(token),
            Some(Err(problem)) => {
                let (reason, hint) = with_hint(&problem);
                say!(TOKEN_UNUSABLE, reason = reason, hint = hint);
                TokenState::Broken
            }
        };
        Access {
            hosts: config.hosts.clone(),
            token,
        }
    }
}

/// The body of `/livez` and `/readyz`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusReport {
    /// `ready`, `degraded` or `not ready`; for `/livez`, `alive` or `not alive`.
    pub(super) status: String,
    /// Why the state is not `ok`.
    pub(super) reasons: Vec<String>,
}

impl Endpoint {
    pub(super) fn new(running: Arc<Running>, access: Access, socket: Option<PathBuf>) -> Endpoint {
        Endpoint {
            socket,
            live: Live::default(),
            liveness: Mutex::new(Liveness::new(running.workers().len())),
            readiness: Mutex::new(Readiness::new()),
            access: Mutex::new(Arc::new(access)),
            running,
        }
    }

    /// Where its Unix socket is.
    pub(super) fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// The pages that are kept current.
    pub(super) fn live(&self) -> &Live {
        &self.live
    }

    pub(super) fn running(&self) -> &Running {
        &self.running
    }

    pub(super) fn access(&self) -> Arc<Access> {
        let guard = self.access.lock();
        Arc::clone(&guard.unwrap_or_else(PoisonError::into_inner))
    }

    /// Switches to other names and another token, for the requests that come from now on.
    pub(super) fn set_access(&self, access: Access) {
        let guard = self.access.lock();
        let mut current = guard.unwrap_or_else(PoisonError::into_inner);
        if current.token != access.token {
            // Who reads on has shown the token of before.
            self.running.query_readers().end_all();
        }
        *current = Arc::new(access);
    }

    /// The state of each worker, by number. Those that sleep are woken.
    pub(super) fn look_at_workers(&self, now: Moment) -> Vec<WorkerState> {
        let mut liveness = self.liveness.lock().unwrap_or_else(PoisonError::into_inner);
        liveness.look(now, self.running.workers())
    }

    /// Whether every worker turned lately, or does so when woken; what is wrong otherwise.
    pub(super) async fn liveness(&self) -> (bool, StatusReport) {
        let mut standings = self.look_at_workers(now());
        // This ends: a woken worker runs, or is stuck.
        while standings.contains(&WorkerState::Waking) {
            sleep(LOOK).await;
            standings = self.look_at_workers(now());
        }
        let reasons = worker_reasons(&standings);
        let is_alive = reasons.is_empty();
        let word = if is_alive { "alive" } else { "not alive" };
        (is_alive, report(word, &reasons))
    }

    /// Whether this instance is ready, the reasons if not, and other problems.
    pub(super) fn readiness(&self) -> (bool, StatusReport) {
        let now = now();
        let mut reasons = worker_reasons(&self.look_at_workers(now));
        if self.running.is_draining() {
            reasons.push(Reason::Draining);
        }
        if self.running.awaits_upstream() {
            reasons.push(Reason::NoUpstreamReached);
        }
        let awaited = self.running.awaited();
        if !awaited.is_empty() {
            reasons.push(Reason::AddressesAwaited(awaited.join(", ")));
        }
        if let Some(open) = self.running.portal().open() {
            reasons.push(Reason::PortalWindow(open.to_string()));
        }
        let routes = self.running.routes().all();
        let expired = routes.iter().filter(|it| it.routes.is_expired());
        reasons.extend(expired.map(|it| Reason::RoutesExpired(it.routes.owner().to_string())));
        reasons.extend(self.outages());
        let mut readiness = self
            .readiness
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let verdict = readiness.judge(now, &reasons);
        (
            verdict != Verdict::NotReady,
            report(verdict.word(), &reasons),
        )
    }

    /// The groups of which no upstream is healthy.
    fn outages(&self) -> Vec<Reason> {
        let groups = self.running.groups();
        groups.iter().filter_map(|group| outage(group)).collect()
    }
}

/// The reason that no upstream of a group is healthy, if so.
fn outage(group: &Group) -> Option<Reason> {
    // Routes that have expired.
    if group.upstreams().is_empty() {
        return None;
    }
    let upstreams = group.upstreams().iter();
    let failures: Option<Vec<String>> = upstreams
        .map(|upstream| {
            let failure = upstream.health().why()?;
            Some(format!("{}: {}", upstream.label(), failure.text()))
        })
        .collect();
    let failures = failures?.join("; ");
    Some(match group.is_default() {
        true => Reason::NoHealthyUpstream(failures),
        false => Reason::GroupDown {
            group: group.label().to_owned(),
            failures,
        },
    })
}

fn worker_reasons(standings: &[WorkerState]) -> Vec<Reason> {
    if standings
        .iter()
        .all(|standing| *standing == WorkerState::Ended)
    {
        return vec![Reason::NoWorkerLeft];
    }
    let reason = |(number, standing): (usize, &WorkerState)| match standing {
        WorkerState::Running | WorkerState::Waking => None,
        WorkerState::Stuck => Some(Reason::WorkerStuck(number)),
        WorkerState::Ended => Some(Reason::WorkerEnded(number)),
    };
    standings.iter().enumerate().filter_map(reason).collect()
}

fn report(status: &str, reasons: &[Reason]) -> StatusReport {
    StatusReport {
        status: status.to_owned(),
        reasons: reasons.iter().map(ToString::to_string).collect(),
    }
}

/// The body of `/readyz` as a line for people. None if it is something else.
pub fn readiness_line(body: &str) -> Option<String> {
    let StatusReport { status, reasons } = serde_json::from_str(body).ok()?;
    if reasons.is_empty() {
        return Some(status);
    }
    Some(format!("{status}: {}", reasons.join("; ")))
}
