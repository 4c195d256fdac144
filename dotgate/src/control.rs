//! The control thread: signals, the admin endpoint, the service manager, the log, and the end.
//!
//! Runs in a thread of its own and never touches a query. Draining on the first signal: everything is served
//! until no packet came for `QUIET`, at most `server.drain_max`; then what is in flight is finished. A second
//! signal ends the program at once. A process that is replaced drains likewise, but takes nothing new.

mod log_events;
mod network;
mod portal;
mod routes;
mod signals;
mod status;
mod watchdog;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use dotgate_config::{Config, StartPolicy};
use dotgate_core::{Count, Moment, PortalEnd};
use dotgate_net::Named;
use dotgate_tls::UnixTime;
use tokio::time::{Interval, MissedTickBehavior, interval};

use self::log_events::log_report;
use self::network::NetworkWatch;
use self::portal::{LOOK as PORTAL_LOOK, Portal};
use self::signals::{SignalRequest, Signals};
use self::status::log_status;
use self::watchdog::Watchdog;
use crate::admin::{Admin, Serving};
use crate::bootstrap::Bootstrap;
use crate::clock::now;
use crate::learned::StateFile;
use crate::log::message::say;
use crate::reload::{ActiveConfig, POLL_INTERVAL};
use crate::running::{Incoming, Ordered, RoutesRequest, Running};
use crate::serve::{Forwarder, cache_settings};
use crate::service::{Service, State};
use crate::snapshot::Snapshot;
use crate::take_over::{Handover, Legacy, Successor, Successors};
use crate::worker::WorkerCommand;

/// After this long without a packet, clients have switched to another server.
const QUIET: Duration = Duration::from_secs(2);

/// How often a drain looks whether it is over.
const TICK: Duration = Duration::from_millis(50);

/// How often listening addresses that this host does not have yet are looked for.
const ADDRESSES: Duration = Duration::from_secs(1);

/// How often the system's clock is looked at while it is not set.
const CLOCK: Duration = Duration::from_secs(1);

/// How long a start waits for the first session to an upstream, if it ends without one. The process that is replaced
/// waits for ten seconds.
const START_WAIT: Duration = Duration::from_secs(8);

/// How often upstreams are looked for to which no session was opened yet: a name may have been resolved.
const FIRST_SESSIONS: Duration = Duration::from_millis(250);

/// How often is looked whether something new was learned about upstreams that is to be saved.
const STATE_EVERY: Duration = Duration::from_secs(5);

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
/// Those of the system: signals or processes that replace this one cannot be heard, or the admin endpoint cannot be
/// watched.
pub fn run(
    listening: Listening,
    mut forwarder: Forwarder,
    admin: Admin,
    succession: Option<Handover>,
    service: Service,
    in_force: ActiveConfig,
) -> io::Result<End> {
    let Listening { runtime, signals } = listening;
    let service = Arc::new(service);
    runtime.block_on(async {
        let config = in_force.config();
        forwarder.running().note_sandbox(in_force.sandbox().clone());
        forwarder.running().set_settings(in_force.effective());
        in_force.publish_routes(forwarder.running());
        let snapshot = snapshot(&forwarder, config);
        if let Some(snapshot) = &snapshot {
            snapshot.restore();
            let file = config.cache().snapshot_file.iter();
            let file = file.map(|path| path.display().to_string());
            file.for_each(|file| forwarder.running().note_snapshot(file));
        }
        let path = config.sessions().state_file.as_deref();
        let state_file = path.map(|path| StateFile::new(path, forwarder.running()));
        let successors = match (succession, forwarder.to_hand_over()) {
            (Some(succession), Some(sockets)) => {
                sockets.add(admin.second_descriptors()?);
                Some(succession.serve(Legacy {
                    sockets: sockets.clone(),
                    watchdog: service.watchdog(),
                    credentials: in_force.credentials().clone(),
                    cookies: forwarder.cookies().clone(),
                    running: Arc::clone(forwarder.running()),
                    snapshot: snapshot.clone(),
                    state_file: state_file.clone(),
                })?)
            }
            (Some(_), None) | (None, _) => None,
        };
        let waits = config.server().start == StartPolicy::Wait && !forwarder.has_reached_one();
        forwarder.running().set_awaits_upstream(waits);
        let serving = admin.serve(forwarder.running(), forwarder.to_hand_over())?;
        notify_ready(&service, &forwarder);
        let tasks = ControlTasks {
            portal: Portal::new(forwarder.running(), &in_force),
            route_orders: forwarder.running().routes().orders().take(),
            admin: serving,
            watchdog: Watchdog::start(&service, forwarder.running()),
            service,
            snapshot,
            state_file,
            bootstrap: Bootstrap::start(config, &forwarder.upstreams()),
            in_force,
        };
        let end = control(&mut forwarder, tasks, signals, successors).await;
        log_totals(&forwarder, end);
        Ok(end)
    })
}

fn notify_ready(service: &Service, forwarder: &Forwarder) {
    let addresses = forwarder.addresses();
    let addresses: Vec<String> = addresses.iter().map(|it| Named(*it).to_string()).collect();
    service.notify(State::Ready(&addresses.join(", ")));
}

/// What carries the cache over a restart, if that is wanted.
fn snapshot(forwarder: &Forwarder, config: &Config) -> Option<Snapshot> {
    let (path, cache) = (
        config.cache().snapshot_file.as_ref()?,
        forwarder.running().cache(),
    );
    let settings = cache_settings(config.cache());
    let is_on = cache.is_on();
    let filter = forwarder.running().local().filter().filter().clone();
    is_on.then(|| Snapshot::new(path, Arc::clone(cache), settings, filter))
}

/// Answers what is in flight and ends: for a start that turned out to be of no use.
///
/// # Errors
/// Those of the system.
pub fn end(mut forwarder: Forwarder, config: &Config) -> io::Result<End> {
    Ok(runtime()?.block_on(finish(&mut forwarder, config)))
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// Signal input of the control thread. A signal that arrives while the program starts is not lost.
#[derive(Debug)]
pub struct Listening {
    runtime: tokio::runtime::Runtime,
    signals: Signals,
}

impl Listening {
    /// Begins to listen.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new() -> io::Result<Listening> {
        let runtime = runtime()?;
        let signals = {
            let _inside = runtime.enter();
            Signals::new()?
        };
        Ok(Listening { runtime, signals })
    }
}

impl Listening {
    /// Opens sessions to upstreams until one is open.
    ///
    /// # Errors
    /// Why none came about within `START_WAIT`, or which signal asked for the end.
    pub fn await_upstream(
        &mut self,
        forwarder: &mut Forwarder,
        config: &Config,
    ) -> Result<(), String> {
        let Listening { runtime, signals } = self;
        runtime.block_on(async {
            let _bootstrap = Bootstrap::start(config, &forwarder.upstreams());
            let given_up = now() + START_WAIT;
            let mut tick = ticks(FIRST_SESSIONS);
            loop {
                tokio::select! {
                    asked = signals.next() => match asked {
                        SignalRequest::Stop(name) => return Err(name.to_owned()),
                        SignalRequest::Reload | SignalRequest::Status => {}
                    },
                    _ = tick.tick() => {
                        log_reports(forwarder);
                        if forwarder.has_reached_one() {
                            return Ok(());
                        }
                        if now() >= given_up {
                            return Err(forwarder.why_unreached());
                        }
                        forwarder.open_first_sessions(true);
                    }
                }
            }
        })
    }
}

/// Waits for the next signal that asks for the end, while this process is about to end already.
async fn next_stop(signals: &mut Signals, running: &Running) {
    loop {
        match signals.next().await {
            SignalRequest::Stop(_) => return,
            SignalRequest::Reload => {
                say!(RELOAD_WHILE_STOPPING);
            }
            SignalRequest::Status => log_status(running),
        }
    }
}

/// Why this process ends.
enum Reason {
    /// In these words.
    Requested(&'static str),
    /// Another process serves.
    Replaced(Successor),
}

/// What runs in addition to the workers.
struct ControlTasks {
    admin: Serving,
    watchdog: Watchdog,
    service: Arc<Service>,
    snapshot: Option<Snapshot>,
    state_file: Option<StateFile>,
    bootstrap: Bootstrap,
    portal: Portal,
    route_orders: Incoming<RoutesRequest>,
    in_force: ActiveConfig,
}

impl ControlTasks {
    /// Reloads the configuration.
    /// Returns true: there may be upstreams that no session was opened to yet.
    fn reload(&mut self, why: &str, forwarder: &mut Forwarder) -> bool {
        // Of the clock that the service manager compares it with (sd_notify(3)).
        let since = dotgate_net::monotonic_nanos() / 1_000;
        self.service.notify(State::Reloading(since));
        let (portal, bootstrap) = (&mut self.portal, &mut self.bootstrap);
        self.in_force
            .reload(why, forwarder, &self.admin, |in_force, forwarder| {
                use_groups(in_force, forwarder, portal, bootstrap);
            });
        notify_ready(&self.service, forwarder);
        true
    }

    /// Goes on with other groups of upstreams. Returns true: there may be upstreams that no session was opened to yet.
    fn use_groups(&mut self, forwarder: &mut Forwarder) -> bool {
        let (portal, bootstrap) = (&mut self.portal, &mut self.bootstrap);
        use_groups(&self.in_force, forwarder, portal, bootstrap);
        true
    }

    /// Carries out an order for routes. Returns true if there may be upstreams that no session was opened to yet.
    fn set_routes(&mut self, order: Ordered<RoutesRequest>, forwarder: &mut Forwarder) -> bool {
        let has_changed = routes::carry_out(order, &mut self.in_force, forwarder);
        has_changed && self.use_groups(forwarder)
    }

    fn expire_routes(&mut self, forwarder: &mut Forwarder) {
        if routes::expire(&mut self.in_force, forwarder) {
            self.use_groups(forwarder);
        }
    }

    /// Does what another network demands, or that the system slept. Returns true if the configuration was reloaded.
    fn on_network_change(&mut self, why: &str, forwarder: &mut Forwarder) -> bool {
        say!(NETWORK_CHANGED, reason = why);
        forwarder.command(WorkerCommand::Recheck);
        if forwarder.is_awaiting() {
            forwarder.look_for_addresses();
        }
        forwarder.running().access().is_outdated() && self.reload("other networks", forwarder)
    }
}

/// Goes on with other groups of upstreams. An open portal window comes first: until its group is there again, its names go to
/// upstreams that this network blocks.
fn use_groups(
    in_force: &ActiveConfig,
    forwarder: &mut Forwarder,
    portal: &mut Portal,
    bootstrap: &mut Bootstrap,
) {
    let upstreams = forwarder.upstreams();
    portal.reopen(in_force, forwarder);
    *bootstrap = Bootstrap::start(in_force.config(), &upstreams);
}

/// Writes what was learned about upstreams, for the next process.
async fn save_state(file: Option<&StateFile>) {
    if let Some(file) = file {
        file.save().await;
    }
}

async fn control(
    forwarder: &mut Forwarder,
    mut tasks: ControlTasks,
    mut signals: Signals,
    mut successors: Option<Successors>,
) -> End {
    let mut looks = ticks(POLL_INTERVAL);
    let mut looks_for_addresses = ticks(ADDRESSES);
    let mut looks_at_clock = ticks(CLOCK);
    // A configuration that is refused when the clock is set is not tried again by itself.
    let mut was_clock_set = false;
    let mut first_sessions = ticks(FIRST_SESSIONS);
    let mut saves_state = ticks(STATE_EVERY);
    let mut looks_at_portal = ticks(PORTAL_LOOK);
    let mut looks_at_routes = ticks(routes::LOOK);
    let mut opens_first_sessions = true;
    let mut network = NetworkWatch::start();
    let reason = loop {
        tokio::select! {
            asked = signals.next() => match asked {
                SignalRequest::Stop(name) => break Reason::Requested(name),
                SignalRequest::Reload => opens_first_sessions = tasks.reload("SIGHUP", forwarder),
                SignalRequest::Status => log_status(forwarder.running()),
            },
            () = network.changed() => {
                opens_first_sessions |= tasks.on_network_change("addresses or routes", forwarder);
            }
            _ = looks.tick() => {
                if network.has_slept() {
                    opens_first_sessions |= tasks.on_network_change("suspend", forwarder);
                }
                forwarder.running().set_wall_clock();
                if tasks.in_force.look() {
                    opens_first_sessions = tasks.reload("other content", forwarder);
                } else if forwarder.running().access().is_outdated() {
                    opens_first_sessions = tasks.reload("other networks", forwarder);
                }
            }
            _ = looks_at_clock.tick(), if !was_clock_set && tasks.in_force.awaits_clock() => {
                if dotgate_tls::is_credible(UnixTime::now()) {
                    was_clock_set = true;
                    opens_first_sessions = tasks.reload("clock set", forwarder);
                }
            }
            _ = looks_for_addresses.tick(), if forwarder.is_awaiting() => {
                forwarder.look_for_addresses();
            }
            _ = first_sessions.tick(), if opens_first_sessions => {
                opens_first_sessions = open_first_sessions(forwarder);
            }
            _ = saves_state.tick() => save_state(tasks.state_file.as_ref()).await,
            order = tasks.route_orders.next() => {
                opens_first_sessions |= tasks.set_routes(order, forwarder);
            }
            _ = looks_at_routes.tick(), if routes::may_expire(&tasks.in_force) => tasks.expire_routes(forwarder),
            order = tasks.portal.next_order() => {
                tasks.portal.carry_out(order, &tasks.in_force, forwarder);
            }
            _ = looks_at_portal.tick(), if tasks.portal.is_open() => {
                tasks.portal.look(&tasks.in_force, forwarder);
            }
            successor = next_successor(&mut successors) => break Reason::Replaced(successor),
            report = forwarder.next_report() => match report {
                Some((worker, report)) => log_report(forwarder, worker, &report),
                None => break Reason::Requested("end of all workers"),
            },
        }
    };
    end_for(reason, forwarder, tasks, signals, successors).await
}

/// Ends for this reason.
async fn end_for(
    reason: Reason,
    forwarder: &mut Forwarder,
    mut tasks: ControlTasks,
    mut signals: Signals,
    successors: Option<Successors>,
) -> End {
    // Nobody looks at it any more.
    let portal = &mut tasks.portal;
    portal.close(PortalEnd::Stopping, &tasks.in_force, forwarder);
    let config = tasks.in_force.config().clone();
    let is_replaced = matches!(reason, Reason::Replaced(_));
    let mut snapshot = None;
    match reason {
        Reason::Requested(name) => {
            say!(STOPPING, reason = name);
            tasks.service.notify(State::Stopping);
            // A request for routes or a window that comes now is refused at once.
            drop((tasks.route_orders, tasks.portal));
            forwarder.drain();
            save_state(tasks.state_file.as_ref()).await;
            // A process that is replaced has written its own before it left.
            snapshot = tasks.snapshot;
        }
        Reason::Replaced(successor) => {
            say!(REPLACED, by = successor.process());
            leave_to(forwarder, &successor, tasks);
        }
    }
    // From here on, this process cannot be replaced.
    drop(successors);
    let running = Arc::clone(forwarder.running());
    tokio::select! {
        end = drain_and_save(forwarder, &config, snapshot) => return end,
        () = next_stop(&mut signals, &running) => {}
    }
    if !is_replaced {
        return End::CutShort;
    }
    // The service ends, and this process learned of it for the first time.
    tokio::select! {
        end = finish(forwarder, &config) => end,
        () = next_stop(&mut signals, &running) => End::CutShort,
    }
}

/// Leaves everything but connected clients to the process that replaces this one.
fn leave_to(forwarder: &Forwarder, successor: &Successor, tasks: ControlTasks) {
    let ControlTasks {
        mut admin,
        watchdog,
        ..
    } = tasks;
    // From here on the service manager hears of the other one alone.
    drop(watchdog);
    admin.stop_accepting();
    forwarder.command(WorkerCommand::HandOver(Arc::clone(successor.addresses())));
}

/// Opens sessions to upstreams that have had none yet. Whether there may be more to open later.
fn open_first_sessions(forwarder: &Forwarder) -> bool {
    let waits = forwarder.running().awaits_upstream() && !forwarder.has_reached_one();
    forwarder.running().set_awaits_upstream(waits);
    forwarder.open_first_sessions(waits)
}

async fn next_successor(successors: &mut Option<Successors>) -> Successor {
    match successors {
        Some(successors) => successors.next().await,
        None => std::future::pending().await,
    }
}

/// Drains, then saves the cache for the next start.
async fn drain_and_save(
    forwarder: &mut Forwarder,
    config: &Config,
    snapshot: Option<Snapshot>,
) -> End {
    let end = drain(forwarder, config).await;
    if let (End::Finished, Some(snapshot)) = (end, snapshot) {
        snapshot.save().await;
    }
    end
}

/// Waits until no packet comes any more, then finishes.
async fn drain(forwarder: &mut Forwarder, config: &Config) -> End {
    let start = now();
    let last_moment = start + config.server().drain_max;
    let mut tick = ticks(TICK);
    loop {
        tick.tick().await;
        log_reports(forwarder);
        let last_packet = Moment::from_nanos(forwarder.last_packet()).max(start);
        if now().since(last_packet) >= QUIET || now() >= last_moment || forwarder.has_ended() {
            break;
        }
    }
    finish(forwarder, config).await
}

/// Lets the workers answer their queries in flight, and waits until they have ended.
async fn finish(forwarder: &mut Forwarder, config: &Config) -> End {
    forwarder.command(WorkerCommand::Finish);
    let given_up = now() + config.query().deadline + ENDING;
    let mut tick = ticks(TICK);
    loop {
        tick.tick().await;
        log_reports(forwarder);
        if forwarder.has_ended() {
            return End::Finished;
        }
        if now() >= given_up {
            return End::CutShort;
        }
    }
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn log_reports(forwarder: &mut Forwarder) {
    while let Some((worker, report)) = forwarder.try_next_report() {
        log_report(forwarder, worker, &report);
    }
}

fn log_totals(forwarder: &Forwarder, end: End) {
    let count = |count| forwarder.count(count);
    say!(
        STOPPED,
        finished = end == End::Finished,
        forwarded = count(Count::QueriesForwarded),
        answered = count(Count::Answered),
        failed = count(Count::Failed),
        refused = count(Count::QueriesRefused) + count(Count::ClientsRefused),
        malformed = count(Count::QueriesMalformed),
        attempts = count(Count::Attempts),
        sessions = count(Count::SessionsOpened),
        resumed = count(Count::HandshakesResumed)
    );
}
