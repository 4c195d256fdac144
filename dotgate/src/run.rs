//! What each command does, from the configuration to the exit status.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use dotgate_net::Named;
use tracing::{error, info, warn};

use crate::admin::{Admin, AdminError};
use crate::cli::{self, Command};
use crate::config::{self, Config, EXIT_STATUS, Environment};
use crate::control::{self, End, Listening};
use crate::log::Output;
use crate::reload::InForce;
use crate::serve::{Forwarder, StartError};
use crate::service::Service;
use crate::take_over::{Inherited, Predecessor, Succession, TakeOverError};
use crate::tls::Roots;
use crate::{cache, check, demo, healthcheck, log, query, replace, verify};

/// The exit status when serving could not begin, or did not end in good order.
const FAILED: u8 = 1;

/// Carries a command out and returns the exit status: 0, 1 for a failure, 2 for a wrong configuration.
///
/// # Errors
/// Those of writing to `out` or `err`.
pub fn run(
    command: Command,
    environment: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    match command {
        Command::Serve { config, announce } => {
            let announced = announce.then_some(out);
            serve(environment, config.as_deref(), announced, err)
        }
        Command::Check { config, shown } => check::run(
            &config::load(environment, config.as_deref()),
            shown,
            out,
            err,
        ),
        Command::Print(page) => page.write(out),
        Command::Demo { once } => demo::run(once, out, err),
        Command::Replace { config } => replace::run(environment, config.as_deref(), out, err),
        Command::Cache { config, request } => {
            cache::run(environment, config.as_deref(), &request, out, err)
        }
        Command::Healthcheck { config, upstreams } => {
            healthcheck::run(environment, config.as_deref(), upstreams, out, err)
        }
        Command::Query { config, request } => {
            query::run(environment, config.as_deref(), &request, out, err)
        }
        Command::Completions(shell) => cli::write_completions(shell, out),
        Command::Version { verbose } => cli::write_version(verbose, out),
    }
}

fn serve(
    environment: &Environment,
    file: Option<&Path>,
    announced: Option<&mut dyn Write>,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let loaded = match config::load(environment, file) {
        Ok(loaded) => loaded,
        Err(problems) => {
            write!(err, "{problems}")?;
            return Ok(EXIT_STATUS);
        }
    };
    log::start(loaded.config.log(), Output::of(environment));
    let in_force = InForce::new(environment, file.map(Path::to_owned), loaded);
    let listening = Listening::new()?;
    // The default hook writes to standard error itself, where a blocked pipe would hold a worker up.
    std::panic::set_hook(Box::new(|panic| error!(%panic, "a bug")));
    let status = serve_loaded(listening, in_force, environment, announced);
    log::flush();
    status
}

fn serve_loaded(
    listening: Listening,
    in_force: InForce,
    environment: &Environment,
    announced: Option<&mut dyn Write>,
) -> io::Result<u8> {
    let config = in_force.config();
    for note in in_force.notes().iter().filter(|note| note.is_logged()) {
        warn!("{note}");
    }
    for warning in verify::warnings(config) {
        warn!("{warning}");
    }
    let roots = match verify::verify(config) {
        Ok(roots) => roots,
        Err(problems) => {
            for problem in problems {
                error!("{problem}");
            }
            return Ok(EXIT_STATUS);
        }
    };
    let (forwarder, admin, succession, watchdog) = match start(config, &roots, announced.is_some())
    {
        Ok(started) => started,
        Err(Failure::Start(problem)) => {
            error!("{problem}");
            return Ok(FAILED);
        }
        Err(Failure::Admin(problem)) => {
            error!("{problem}");
            return Ok(FAILED);
        }
        Err(Failure::TakeOver(problem)) => {
            error!("{problem}");
            return Ok(FAILED);
        }
        Err(Failure::NotRelieved(problem, forwarder)) => {
            error!("{problem}");
            control::end(*forwarder, config)?;
            return Ok(FAILED);
        }
    };
    tell_start(&forwarder, &admin, config, &roots);
    let service = Service::of(environment).unwrap_or_else(|problem| {
        warn!(%problem, "the service manager named in NOTIFY_SOCKET cannot be told anything");
        Service::default()
    });
    let service = service.with_watchdog(watchdog);
    if let Some(announced) = announced
        && let Err(problem) = writeln!(announced, "serving").and_then(|()| announced.flush())
    {
        warn!(%problem, "nobody heard that this process serves");
    }
    Ok(
        match control::run(listening, forwarder, admin, succession, service, in_force)? {
            End::Finished => 0,
            End::CutShort => FAILED,
        },
    )
}

/// Why this process does not serve.
enum Failure {
    Start(StartError),
    Admin(AdminError),
    TakeOver(TakeOverError),
    /// It has read queries already, which are owed a response.
    NotRelieved(TakeOverError, Box<Forwarder>),
}

type Started = (Forwarder, Admin, Option<Succession>, Option<Duration>);

/// Starts, in place of the process before this one if there is one, which may be demanded.
fn start(config: &Config, roots: &Roots, must_replace: bool) -> Result<Started, Failure> {
    let path = config.server().take_over_socket.as_deref();
    let asked = path.map(Predecessor::ask).transpose();
    let (predecessor, mut inherited) = match asked.map_err(Failure::TakeOver)?.flatten() {
        Some((predecessor, inherited)) => (Some(predecessor), inherited),
        None if must_replace => {
            let path = path.unwrap_or(Path::new("")).to_owned();
            return Err(Failure::TakeOver(TakeOverError::Nobody { path }));
        }
        None => (None, Inherited::default()),
    };
    if let Some(predecessor) = &predecessor {
        let listen = config.server().listen.iter();
        let listen: Vec<SocketAddr> = listen.filter_map(|it| it.resolve().ok()).collect();
        predecessor
            .refuse_neighbour(&inherited, &listen)
            .map_err(Failure::TakeOver)?;
    }
    let admin = Admin::bind(config.admin(), &mut inherited).map_err(Failure::Admin)?;
    let forwarder = Forwarder::take_over(config, roots, &mut inherited).map_err(Failure::Start)?;
    let bind = |path| Succession::bind(path, &mut inherited);
    let relieved = path.map(bind).transpose().and_then(|succession| {
        let relieve = |predecessor: Predecessor| predecessor.relieve(&forwarder.addresses());
        predecessor.map_or(Ok(()), relieve)?;
        Ok(succession)
    });
    match relieved {
        Ok(succession) => Ok((forwarder, admin, succession, inherited.watchdog())),
        Err(problem) => Err(Failure::NotRelieved(problem, Box::new(forwarder))),
    }
}

fn tell_start(forwarder: &Forwarder, admin: &Admin, config: &Config, roots: &Roots) {
    let texts = |addresses: &[SocketAddr]| {
        let texts = addresses.iter().map(|address| Named(*address).to_string());
        texts.collect::<Vec<String>>().join(",")
    };
    let upstreams = forwarder.upstreams();
    let upstreams: Vec<&str> = upstreams.iter().map(|upstream| upstream.label()).collect();
    info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = texts(&forwarder.addresses()),
        admin = texts(admin.addresses()),
        upstreams = upstreams.join(","),
        workers = forwarder.worker_count(),
        roots = roots.describe(),
        udp_receive_buffer = forwarder.receive_buffer_bytes(),
        "serving DNS over UDP and TCP"
    );
    let (granted, asked) = (
        forwarder.receive_buffer_bytes(),
        config.server().udp_receive_buffer,
    );
    if granted < asked.0 as usize {
        warn!(
            granted,
            asked = %asked,
            "the system clips the UDP receive buffer: bursts of queries may be lost; \
             `sysctl net.core.rmem_max={}` allows it",
            asked.0
        );
    }
}
