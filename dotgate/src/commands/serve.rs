//! Serving: from the configuration to the end of the process.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::panic::PanicHookInfo;
use std::path::Path;
use std::time::Duration;

use dotgate_config::{Config, Environment, Listener, StartPolicy};
use dotgate_net::Named;
use dotgate_tls::{Roots, UnixTime};

use super::exit::{Ended, ExitStatus, load_or_exit};
use crate::activation::{self, ActivationError};
use crate::admin::{Admin, AdminError};
use crate::control::{self, End, Listening};
use crate::credentials::Credentials;
use crate::log::message::say;
use crate::log::{self, Output, with_hint};
use crate::reload::ActiveConfig;
use crate::sandbox::{Plan, Sandbox};
use crate::serve::{Forwarder, StartError};
use crate::service::{Service, State};
use crate::take_over::{Handover, Inherited, Predecessor, TakeOverError};
use crate::verify::{self, Verified};

/// Serves until the process is to end.
///
/// # Errors
/// [`Ended`]: the configuration is wrong, or the system refuses what the control thread needs.
pub(super) fn run(
    environment: &Environment,
    file: Option<&Path>,
    announced: Option<&mut dyn Write>,
    err: &mut dyn Write,
) -> Result<ExitStatus, Ended> {
    let loaded = load_or_exit(environment, file, err)?;
    dotgate_net::map_large_blocks();
    log::start(loaded.config.log(), Output::of(environment));
    let listening = Listening::new()?;
    std::panic::set_hook(Box::new(log_panic));
    // Credentials that the configuration needs may have to come from the process before this one.
    let mut before = Before::ask(&loaded.config, announced.is_some(), environment);
    let credentials = Credentials::of(environment, before.inherited.take_credentials());
    let file = file.map(Path::to_owned);
    let in_force = ActiveConfig::new(environment, file, loaded, credentials);
    let in_force = in_force.with_volatile_routes(before.inherited.take_routes());
    let status = match in_force {
        Ok(in_force) => serve_loaded(listening, in_force, before, environment, announced),
        Err(problems) => {
            for problem in problems.iter() {
                log_start_failed(problem);
            }
            Ok(ExitStatus::Failed)
        }
    };
    log::flush();
    Ok(status?)
}

fn serve_loaded(
    mut listening: Listening,
    mut in_force: ActiveConfig,
    before: Before,
    environment: &Environment,
    announced: Option<&mut dyn Write>,
) -> io::Result<ExitStatus> {
    let config = in_force.config();
    for note in in_force.notes().iter().filter(|note| note.is_logged()) {
        say!(CONFIG_NOTE, note = %note);
    }
    for warning in verify::warnings(config) {
        say!(CONFIG_NOTE, note = warning);
    }
    let verified = match verify::verify(config) {
        Ok(verified) => verified,
        Err(problems) => {
            for problem in problems {
                log_start_failed(&problem);
            }
            return Ok(ExitStatus::Unusable);
        }
    };
    for warning in verify::certificate_warnings(&verified.certificates) {
        say!(CONFIG_NOTE, note = warning);
    }
    let plan = in_force.plan();
    let Started {
        forwarder,
        admin,
        handover,
        watchdog,
        has_taken_over,
        sandbox,
    } = match start(config, plan, &verified, before, &mut listening) {
        Ok(started) => started,
        Err(failure) => return give_up(failure, config),
    };
    log_start(&forwarder, &admin, config, &verified.roots);
    in_force.set_sandbox(sandbox);
    let service = Service::of(environment).unwrap_or_else(|problem| {
        say!(NOTIFY_FAILED, reason = %problem);
        Service::default()
    });
    let service = service.with_watchdog(watchdog);
    if has_taken_over {
        // Before `dotgate replace` returns: with it, the reload is over for the service manager.
        service.notify(State::TakenOver);
    }
    if let Some(announced) = announced
        && let Err(problem) = writeln!(announced, "serving").and_then(|()| announced.flush())
    {
        say!(ANNOUNCE_FAILED, reason = %problem);
    }
    Ok(
        match control::run(listening, forwarder, admin, handover, service, in_force)? {
            End::Finished => ExitStatus::Success,
            End::CutShort => ExitStatus::Failed,
        },
    )
}

/// Logs why this process does not serve, and answers what it has read already.
fn give_up(failure: Failure, config: &Config) -> io::Result<ExitStatus> {
    let forwarder = match failure {
        Failure::Start(problem) => {
            log_start_failed(&problem);
            None
        }
        Failure::Activation(problem) => {
            log_start_failed(&problem);
            None
        }
        Failure::Admin(problem) => {
            log_start_failed(&problem);
            None
        }
        Failure::TakeOver(problem) => {
            log_start_failed(&problem);
            None
        }
        Failure::NoUpstream(reasons, forwarder) => {
            say!(
                NO_UPSTREAM_AT_START,
                reasons = reasons,
                hint = "`dotgate query` shows the cause; DOTGATE_SERVER_START=serve-anyway serves without upstreams"
            );
            Some(forwarder)
        }
        Failure::NotRelieved(problem, forwarder) => {
            log_start_failed(&problem);
            Some(forwarder)
        }
    };
    if let Some(forwarder) = forwarder {
        control::end(*forwarder, config)?;
    }
    Ok(ExitStatus::Failed)
}

/// The process before this one, if there is one, and what it handed over.
struct Before {
    predecessor: Result<Option<Predecessor>, TakeOverError>,
    inherited: Inherited,
    /// Why sockets of the service manager cannot be used.
    unusable: Option<ActivationError>,
}

impl Before {
    /// Asks for it; that there is none is a problem where it must be replaced.
    fn ask(config: &Config, must_replace: bool, environment: &Environment) -> Before {
        let path = config.server().take_over_socket.as_deref();
        let asked = path.map(Predecessor::ask).transpose();
        let mut unusable = None;
        let (predecessor, inherited) = match asked.map(Option::flatten) {
            Ok(Some((predecessor, inherited))) => (Ok(Some(predecessor)), inherited),
            Ok(None) if must_replace => {
                let path = path.unwrap_or(Path::new("")).to_owned();
                (Err(TakeOverError::Nobody { path }), Inherited::default())
            }
            Ok(None) => match activation::passed(environment, config) {
                Ok(sockets) => (Ok(None), Inherited::of_service_manager(sockets)),
                Err(problem) => {
                    unusable = Some(problem);
                    (Ok(None), Inherited::default())
                }
            },
            Err(problem) => (Err(problem), Inherited::default()),
        };
        Before {
            predecessor,
            inherited,
            unusable,
        }
    }
}

/// Why this process does not serve.
enum Failure {
    Start(StartError),
    Activation(ActivationError),
    Admin(AdminError),
    TakeOver(TakeOverError),
    /// No upstream is reachable. It has read queries already, which are owed a response.
    NoUpstream(String, Box<Forwarder>),
    /// The same, as the process before it continues.
    NotRelieved(TakeOverError, Box<Forwarder>),
}

/// What serves from now on.
struct Started {
    forwarder: Forwarder,
    admin: Admin,
    /// The socket for the next process.
    handover: Option<Handover>,
    watchdog: Option<Duration>,
    has_taken_over: bool,
    sandbox: Sandbox,
}

/// Starts, in place of the process before this one if there is one.
fn start(
    config: &Config,
    plan: Plan,
    verified: &Verified,
    before: Before,
    listening: &mut Listening,
) -> Result<Started, Failure> {
    let path = config.server().take_over_socket.as_deref();
    let Before {
        predecessor,
        mut inherited,
        unusable,
    } = before;
    if let Some(problem) = unusable {
        return Err(Failure::Activation(problem));
    }
    let predecessor = predecessor.map_err(Failure::TakeOver)?;
    if let Some(predecessor) = &predecessor {
        let listen = config.server().listeners();
        let listen = listen.filter_map(|(_, address)| address.resolve().ok());
        let listen: Vec<SocketAddr> = listen.collect();
        predecessor
            .check_addresses(&inherited, &listen)
            .map_err(Failure::TakeOver)?;
    }
    let admin = Admin::bind(config.admin(), &mut inherited).map_err(Failure::Admin)?;
    let bind = |path| Handover::bind(path, &mut inherited);
    let handover = path.map(bind).transpose().map_err(Failure::TakeOver)?;
    let Verified { roots, local, .. } = verified;
    let mut sandbox = Sandbox::default();
    let give_up = |bound: &[(Listener, SocketAddr)]| {
        let plan = plan.with_ports_of(bound.iter().map(|(_, address)| *address));
        plan.enter().map(|entered| sandbox = entered)
    };
    let started = Forwarder::take_over(config, roots, local, &mut inherited, give_up);
    let mut forwarder = started.map_err(Failure::Start)?;
    if config.server().start == StartPolicy::Fail
        && let Err(reasons) = listening.await_upstream(&mut forwarder, config)
    {
        return Err(Failure::NoUpstream(reasons, Box::new(forwarder)));
    }
    let has_taken_over = predecessor.is_some();
    let complete =
        |predecessor: Predecessor| predecessor.complete(&forwarder.running().all_addresses());
    match predecessor.map_or(Ok(()), complete) {
        Ok(()) => Ok(Started {
            forwarder,
            admin,
            handover,
            watchdog: inherited.watchdog(),
            has_taken_over,
            sandbox,
        }),
        Err(problem) => Err(Failure::NotRelieved(problem, Box::new(forwarder))),
    }
}

/// Logs why this process does not serve.
fn log_start_failed(problem: &dyn std::fmt::Display) {
    let (reason, hint) = with_hint(problem);
    say!(START_FAILED, reason = reason, hint = hint);
}

/// The default hook writes to standard error itself, where a blocked pipe would hold a worker up.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let at = panic.location().map(ToString::to_string);
    let reason = panic.payload_as_str().unwrap_or("no message");
    say!(PANICKED, thread = thread.name(), at = at, reason = reason);
}

fn log_start(forwarder: &Forwarder, admin: &Admin, config: &Config, roots: &Roots) {
    let texts = |addresses: &[SocketAddr]| {
        let texts = addresses.iter().map(|address| Named(*address).to_string());
        texts.collect::<Vec<String>>().join(",")
    };
    let (dot, doh) = (forwarder.dot_addresses(), forwarder.doh_addresses());
    let doq = forwarder.doq_addresses();
    let upstreams = forwarder.upstreams();
    let upstreams: Vec<&str> = upstreams.iter().map(|upstream| upstream.label()).collect();
    say!(
        SERVING,
        version = env!("CARGO_PKG_VERSION"),
        listen = texts(&forwarder.addresses()),
        dot = (!dot.is_empty()).then(|| texts(&dot)),
        doh = (!doh.is_empty()).then(|| texts(&doh)),
        doq = (!doq.is_empty()).then(|| texts(&doq)),
        admin = texts(admin.addresses()),
        upstreams = upstreams.join(","),
        workers = forwarder.worker_count(),
        roots = roots.describe(),
        udp_receive_buffer = forwarder.receive_buffer_bytes()
    );
    if !dotgate_tls::is_credible(UnixTime::now()) {
        log_clock_not_set(config);
    }
    let (granted, asked) = (
        forwarder.receive_buffer_bytes(),
        config.server().udp_receive_buffer,
    );
    if granted < asked.0 as usize {
        say!(
            UDP_BUFFER_SMALL,
            granted = granted,
            configured = asked.0,
            hint = format!("sysctl net.core.rmem_max={}", asked.0)
        );
    }
}

fn log_clock_not_set(config: &Config) {
    let group = config.clockless_group();
    let names = group.map_or_else(Vec::new, |group| {
        group.suffixes.iter().map(ToString::to_string).collect()
    });
    let upstreams = group.map_or_else(Vec::new, |group| {
        group.upstreams.iter().map(|it| it.label.clone()).collect()
    });
    say!(
        CLOCK_NOT_SET,
        names = names.join(","),
        upstreams = upstreams.join(","),
        hint = "set the clock, by NTP or by hand; a `;pin=` of an upstream lets DOTGATE_TLS_CLOCKLESS_NAMES be \
                resolved before that"
    );
}
