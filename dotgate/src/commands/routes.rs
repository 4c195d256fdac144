//! `dotgate routes`: sets routes in the running dotgate, removes them, or lists those that programs have set.
//!
//! It asks the admin endpoint: at its Unix socket, or at its address with the token of `DOTGATE_ADMIN_TOKEN_FILE`.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use dotgate_config::{ClientConfig, Environment, RouteOwner, VolatileRoutes};
use dotgate_core::limits::ROUTES_LIFETIME_MAX;
use serde::Deserialize;
use serde_json::json;

use super::client::{self, CommandError, body_of};
use super::exit::{Ended, ExitStatus};
use crate::admin::client::{Request as AdminRequest, ask};
use crate::admin::{OwnerReport, RoutesReport, RoutesSetting};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Which routes there are.
    List,
    /// Set routes.
    Set(RoutesSetting),
    /// Remove those of an owner.
    Remove(String),
}

/// Reads who sets routes.
///
/// # Errors
/// What was expected.
pub fn read_owner(text: &str) -> Result<String, String> {
    let owner: Result<RouteOwner, _> = text.parse();
    owner
        .map(|owner| owner.to_string())
        .map_err(|fault| fault.to_string())
}

/// Reads one route.
///
/// # Errors
/// What is wrong with it.
pub fn read_route(text: &str) -> Result<String, String> {
    let Ok(nobody) = "-".parse() else {
        return Ok(text.to_owned());
    };
    let routes = VolatileRoutes::read(nobody, text);
    routes
        .map(|routes| routes.text().to_owned())
        .map_err(|fault| fault.to_string())
}

/// Reads how long routes are to hold.
///
/// # Errors
/// What was expected.
pub fn read_lifetime(text: &str) -> Result<Duration, String> {
    client::read_span(text, ROUTES_LIFETIME_MAX)
}

/// Runs the command and returns the exit status: 0, 1 if it was not done.
///
/// # Errors
/// [`Ended`]: the configuration is wrong, or the output cannot be written.
pub(super) fn run(
    environment: &Environment,
    file: Option<&Path>,
    request: &Request,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<ExitStatus, Ended> {
    client::run(environment, file, out, err, |config, out| {
        let report = carry_out(config, request)?;
        out.write_all(text(&report).as_bytes())?;
        out.flush()?;
        Ok(ExitStatus::Success)
    })
}

fn carry_out(config: &ClientConfig, request: &Request) -> Result<RoutesReport, CommandError> {
    #[derive(Deserialize)]
    struct Status {
        volatile_routes: RoutesReport,
    }
    let change = match request {
        Request::List => {
            let status = body_of(ask(config, AdminRequest::Read("/api/v1/status"))?)?;
            let Status { volatile_routes } = serde_json::from_str(&status)?;
            return Ok(volatile_routes);
        }
        Request::Set(setting) => setting.body(),
        Request::Remove(owner) => json!({ "remove": owner }).to_string(),
    };
    let done = client::change(config, "/api/v1/routes", &change)?;
    Ok(serde_json::from_str(&done)?)
}

fn text(report: &RoutesReport) -> String {
    if report.owners.is_empty() {
        return "no program has set routes\n".to_owned();
    }
    let lines = report.owners.iter().flat_map(|owned| {
        let OwnerReport { owner, routes, .. } = owned;
        let title = format!("{owner} ({})\n", owned.state());
        let routes = routes.split_whitespace();
        std::iter::once(title).chain(routes.map(|route| format!("  {route}\n")))
    });
    lines.collect()
}
