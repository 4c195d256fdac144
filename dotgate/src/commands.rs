//! What each command does, from the configuration to the exit status.

pub mod cache;
pub mod check;
mod client;
pub mod demo;
mod exit;
pub mod healthcheck;
mod init;
pub mod portal;
pub mod query;
pub mod replace;
pub mod routes;
mod serve;
pub mod status;
pub mod tail;
pub mod top;
pub mod why;

use std::io::{self, Write};

use dotgate_config::Environment;

use self::exit::status_of;
pub use self::exit::{ExitStatus, exit_code};
use crate::cli::{self, Command};

/// Carries a command out and returns its exit status.
///
/// # Errors
/// Those of writing to `out` or `err`.
pub fn run(
    command: Command,
    environment: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<ExitStatus> {
    match command {
        Command::Serve { config, announce } => {
            let announced = announce.then_some(out);
            status_of(serve::run(environment, config.as_deref(), announced, err))
        }
        Command::Check { config, shown } => {
            let loaded = dotgate_config::load(environment, config.as_deref());
            check::run(&loaded, shown, environment, out, err)
        }
        Command::Init { config, is_printed } => init::run(config.as_deref(), is_printed, out, err),
        Command::PrintFile { config } => {
            check::print_file(environment, config.as_deref(), out, err)
        }
        Command::Print(page) => page.write(out).map(|()| ExitStatus::Success),
        Command::Demo { once } => demo::run(once, out, err),
        Command::Replace { config } => {
            status_of(replace::run(environment, config.as_deref(), out, err))
        }
        Command::Cache { config, request } => {
            let config = config.as_deref();
            status_of(cache::run(environment, config, &request, out, err))
        }
        Command::Status { config, form } => {
            let config = config.as_deref();
            status_of(status::run(environment, config, form, out, err))
        }
        Command::Top { config, form } => {
            let config = config.as_deref();
            status_of(top::run(environment, config, form, out, err))
        }
        Command::Tail { config, request } => {
            let config = config.as_deref();
            status_of(tail::run(environment, config, &request, out, err))
        }
        Command::Why { config, request } => {
            let config = config.as_deref();
            status_of(why::run(environment, config, &request, out, err))
        }
        Command::Portal { config, request } => {
            let config = config.as_deref();
            status_of(portal::run(environment, config, &request, out, err))
        }
        Command::Routes { config, request } => {
            let config = config.as_deref();
            status_of(routes::run(environment, config, &request, out, err))
        }
        Command::Healthcheck { config, upstreams } => {
            let config = config.as_deref();
            status_of(healthcheck::run(environment, config, upstreams, out, err))
        }
        Command::Query { config, request } => {
            let config = config.as_deref();
            status_of(query::run(environment, config, &request, out, err))
        }
        Command::Completions(shell) => {
            cli::write_completions(shell, out).map(|()| ExitStatus::Success)
        }
        Command::Version { verbose } => {
            cli::write_version(verbose, out).map(|()| ExitStatus::Success)
        }
    }
}
