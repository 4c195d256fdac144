//! What each command does, from the configuration to the exit status.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use tracing::{error, info, warn};

use crate::admin::Admin;
use crate::cli::Command;
use crate::config::{self, Config, EXIT_STATUS, Environment, Loaded};
use crate::control::{self, End};
use crate::serve::Forwarder;
use crate::tls::Roots;
use crate::{check, demo, healthcheck, log, query};

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
        Command::Serve { config } => serve(environment, config.as_deref(), err),
        Command::Check { config } => {
            check::run(&config::load(environment, config.as_deref()), out, err)
        }
        Command::Print(page) => page.write(out),
        Command::Demo { once } => demo::run(once, out, err),
        Command::Healthcheck { config, upstreams } => {
            healthcheck::run(environment, config.as_deref(), upstreams, out, err)
        }
        Command::Query {
            config,
            name,
            record_type,
        } => query::run(
            environment,
            config.as_deref(),
            (name, record_type),
            out,
            err,
        ),
    }
}

fn serve(environment: &Environment, file: Option<&Path>, err: &mut dyn Write) -> io::Result<u8> {
    let loaded = match config::load(environment, file) {
        Ok(loaded) => loaded,
        Err(problems) => {
            write!(err, "{problems}")?;
            return Ok(EXIT_STATUS);
        }
    };
    log::start(loaded.config.log());
    // The default hook writes to standard error itself, where a blocked pipe would hold a worker up.
    std::panic::set_hook(Box::new(|panic| error!(%panic, "a bug")));
    let status = serve_loaded(&loaded);
    log::flush();
    status
}

fn serve_loaded(loaded: &Loaded) -> io::Result<u8> {
    let config = &loaded.config;
    for note in &loaded.notes {
        warn!("{note}");
    }
    let roots = match Roots::load(config.tls().ca_file.as_deref()) {
        Ok(roots) => roots,
        Err(problem) => {
            error!("{problem}");
            return Ok(FAILED);
        }
    };
    let admin = match Admin::bind(config.admin(), config.server().take_over) {
        Ok(admin) => admin,
        Err(problem) => {
            error!("{problem}");
            return Ok(FAILED);
        }
    };
    let forwarder = match Forwarder::start(config, &roots) {
        Ok(forwarder) => forwarder,
        Err(problem) => {
            error!("{problem}");
            return Ok(FAILED);
        }
    };
    tell_start(&forwarder, &admin, config, &roots);
    Ok(match control::run(forwarder, admin, config)? {
        End::Finished => 0,
        End::CutShort => FAILED,
    })
}

fn tell_start(forwarder: &Forwarder, admin: &Admin, config: &Config, roots: &Roots) {
    let texts = |addresses: &[SocketAddr]| {
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        texts.join(",")
    };
    let upstreams: Vec<&str> = forwarder
        .upstreams()
        .iter()
        .map(|upstream| upstream.label())
        .collect();
    info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = texts(forwarder.addresses()),
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
