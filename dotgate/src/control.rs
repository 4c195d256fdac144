//! The control thread: signals, the admin endpoint, the log, and the end.
//!
//! Stands beside the path of a query and never touches one. Draining on the first signal: everything is served
//! until no packet came for `QUIET`, at most `server.drain_max`; then what is in flight is finished. A second
//! signal ends the program at once.

mod telling;

use std::io;
use std::time::Duration;

use dotgate_core::{Count, Moment};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use self::telling::tell;
use crate::admin::Admin;
use crate::bootstrap::Bootstrap;
use crate::config::Config;
use crate::serve::Forwarder;
use crate::worker::Order;

/// Without a packet for this long, clients have gone elsewhere.
const QUIET: Duration = Duration::from_secs(2);

/// How often a drain looks whether it is over.
const TICK: Duration = Duration::from_millis(50);

/// What the workers get beyond the query deadline to end.
const ENDING: Duration = Duration::from_secs(1);

/// How the program ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Everything in flight was answered.
    Finished,
    /// A second signal, or a worker that did not end, cut it short.
    CutShort,
}

/// Runs the control thread until the program is to end.
///
/// # Errors
/// Those of the system: signals cannot be received, or the admin endpoint cannot be watched.
pub fn run(forwarder: Forwarder, admin: Admin, config: &Config) -> io::Result<End> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let signals = Signals::new()?;
        admin.serve(forwarder.sources())?;
        let _bootstrap = Bootstrap::start(config, forwarder.upstreams());
        Ok(control(forwarder, config, signals).await)
    })
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal that asks for the end.
    async fn stop(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hang_up.recv() => {
                    warn!("SIGHUP: settings are read at the start alone; restart to change them");
                }
            }
        }
    }
}

async fn control(mut forwarder: Forwarder, config: &Config, mut signals: Signals) -> End {
    let name = loop {
        tokio::select! {
            name = signals.stop() => break name,
            report = forwarder.next_report() => match report {
                Some((worker, report)) => tell(&forwarder, worker, &report),
                None => break "end of all workers",
            },
        }
    };
    info!(
        reason = name,
        "stopping: clients are served until they have gone elsewhere"
    );
    let end = tokio::select! {
        end = drain(&mut forwarder, config) => end,
        _ = signals.stop() => End::CutShort,
    };
    tell_totals(&forwarder, end);
    end
}

async fn drain(forwarder: &mut Forwarder, config: &Config) -> End {
    let start = now();
    let last_moment = start + config.server().drain_max;
    forwarder.drain();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        tell_reports(forwarder);
        let last_packet = Moment::from_nanos(forwarder.last_packet()).max(start);
        if now().since(last_packet) >= QUIET || now() >= last_moment || forwarder.has_ended() {
            break;
        }
    }
    forwarder.order(Order::Finish);
    let given_up = now() + config.query().deadline + ENDING;
    loop {
        tick.tick().await;
        tell_reports(forwarder);
        if forwarder.has_ended() {
            return End::Finished;
        }
        if now() >= given_up {
            return End::CutShort;
        }
    }
}

fn tell_reports(forwarder: &mut Forwarder) {
    while let Some((worker, report)) = forwarder.try_next_report() {
        tell(forwarder, worker, &report);
    }
}

fn tell_totals(forwarder: &Forwarder, end: End) {
    let count = |count| forwarder.count(count);
    info!(
        finished = end == End::Finished,
        forwarded = count(Count::QueriesForwarded),
        answered = count(Count::Answered),
        failed = count(Count::Failed),
        refused = count(Count::QueriesRefused) + count(Count::ClientsRefused),
        malformed = count(Count::QueriesMalformed),
        attempts = count(Count::Attempts),
        sessions = count(Count::SessionsOpened),
        resumed = count(Count::HandshakesResumed),
        "stopped"
    );
}

fn now() -> Moment {
    Moment::from_nanos(dotgate_net::boottime_nanos())
}
