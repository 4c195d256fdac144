//! `dotgate query`: one question through the same engine and the same TLS, with every step of the way shown.
//!
//! Not on the path of a query. Each upstream is first looked at by sessions of this module's own, for what a
//! worker never needs to know; then a worker of this process's own asks, as it would for a client, and what that
//! client gets is shown as `dig` shows it. The upstreams are those of the command line, which need no other setting, or
//! those of the configuration. It listens on nothing, and sends no query to an upstream that does not pass what is
//! demanded. `server` asks a running dotgate instead.

mod client;
mod conclusion;
mod document;
mod every;
mod forward;
mod message;
mod prepared;
mod probe;
mod question;
mod report;
mod rule;
mod server;
mod session;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use domain::base::iana::Rtype;
use dotgate_config::{
    Config, Endpoint, Environment, Escaped, Loaded, Note, ScopedSocketAddress, UpstreamConfig,
};
use dotgate_tls::Roots;

pub use self::client::{QueryParameters, Response, Transport, ask};
use self::conclusion::{By, Conclusion};
use self::document::{Document, UpstreamDocument};
pub(crate) use self::every::probe_all;
use self::forward::Through;
pub(crate) use self::message::record_text;
use self::message::write_response_of;
pub use self::message::{Millis, write_response};
use self::prepared::{Prepared, prepare};
use self::probe::{ProbeFailure, Target};
pub use self::question::{NotAskable, QueryName, read_name, read_reverse, read_type};
use self::rule::Rule;
pub use self::server::read_server;
use super::exit::{Ended, ExitStatus, loaded_or_exit};
use crate::bootstrap;
use crate::upstreams::{Upstream, Upstreams};

/// The option of the command line that names upstreams.
pub const UPSTREAM: &str = "--upstream";

/// The question, the server, and the output format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The name.
    pub name: QueryName,
    /// The type.
    pub record_type: Rtype,
    /// Who is asked.
    pub of: Respondent,
    /// How the outcome is shown.
    pub form: Form,
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Respondent {
    /// The upstreams of the configuration.
    Configured,
    /// These upstreams, separated by commas.
    Upstreams(String),
    /// A running dotgate: at this address, or where the configuration has it listen.
    Server(Option<ScopedSocketAddress>),
}

/// How the outcome is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Every step, in lines for a person.
    Long,
    /// The data of the answer's records alone.
    Short,
    /// One JSON object.
    Json,
}

/// The question, as far as its outcome is shown.
struct Shown<'a> {
    request: &'a Request,
    asked: QueryParameters,
}

/// Asks, and shows the way of the question. It succeeds for NOERROR, NXDOMAIN and what dotgate answers itself, and fails
/// for another code and without a response.
///
/// # Errors
/// [`Ended`]: the configuration is wrong, nothing can be written, or the system gives no poll loop, thread or socket on
/// loopback.
pub(super) fn run(
    environment: &Environment,
    file: Option<&Path>,
    request: &Request,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<ExitStatus, Ended> {
    let shown = Shown {
        asked: QueryParameters {
            name: request.name.name.clone(),
            record_type: request.record_type,
            transport: Transport::Tcp,
        },
        request,
    };
    let loaded = match &request.of {
        Respondent::Configured => dotgate_config::load(environment, file),
        Respondent::Upstreams(list) => {
            dotgate_config::load_for_upstreams(environment, file, UPSTREAM, list)
        }
        Respondent::Server(server) => {
            let listeners = match server {
                Some(server) => vec![server.clone()],
                None => {
                    let listeners = dotgate_config::load_listeners(environment, file);
                    loaded_or_exit(listeners, err)?
                }
            };
            return Ok(shown.ask_server(&listeners, out, err)?);
        }
    };
    let loaded = loaded_or_exit(loaded, err)?;
    for note in notes(&loaded) {
        writeln!(err, "dotgate query: note: {note}")?;
    }
    match prepare(&loaded.config) {
        Ok(prepared) => Ok(shown.ask(&loaded.config, &prepared, out, err)?),
        Err(problem) => {
            writeln!(err, "dotgate query: {problem}")?;
            Ok(ExitStatus::Failed)
        }
    }
}

fn notes(loaded: &Loaded) -> impl Iterator<Item = &Note> {
    loaded.notes.iter().filter(|note| note.is_logged())
}

impl Shown<'_> {
    fn is_long(&self) -> bool {
        self.request.form == Form::Long
    }

    fn ask(
        &self,
        config: &Config,
        prepared: &Prepared,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> io::Result<ExitStatus> {
        let Prepared {
            roots, upstreams, ..
        } = prepared;
        self.write_name(out)?;
        let is_forwarded = forward::is_forwarded(config, prepared, &self.asked)?;
        let rule = Rule::of(config, &self.asked, is_forwarded);
        if self.is_long() {
            if !is_forwarded {
                writeln!(out, "dotgate answers this itself; no upstream is queried\n")?;
            }
            rule.write(config, out)?;
        }
        let mut looked_at = Vec::new();
        // A name is sent to the upstreams of its group alone.
        let group = rule.group(config);
        let of_group =
            |upstream: &UpstreamConfig| group.is_some_and(|it| it.upstreams.contains(upstream));
        for (upstream, shared) in config.upstreams().iter().zip(upstreams.iter()) {
            if of_group(upstream) && self.request.form != Form::Short {
                looked_at.push(self.look_at(config, roots, (upstream, shared), out)?);
            } else if is_forwarded && let Ok(addresses) = addresses(config, upstream)? {
                shared.set_addresses(&addresses);
            }
        }
        out.flush()?;
        let through = forward::ask_through_worker(config, prepared, &self.asked)?;
        if self.is_long() {
            report::write_way(out, upstreams, &through)?;
        }
        let by = by(upstreams, &through, is_forwarded);
        self.conclude(&through.response, by, (looked_at, rule), out, err)
    }

    /// Looks at one upstream, at the first of its addresses that takes a connection, and says what it found unless
    /// that goes into a document.
    fn look_at(
        &self,
        config: &Config,
        roots: &Roots,
        (upstream, shared): (&UpstreamConfig, &Upstream),
        out: &mut dyn Write,
    ) -> io::Result<UpstreamDocument> {
        if self.is_long() {
            writeln!(out, "upstream {}", upstream.label)?;
            out.flush()?;
        }
        let Some((authentication, tls)) = upstream.authentication.as_ref().zip(shared.tls()) else {
            if self.is_long() {
                report::write_plain(out)?;
            }
            return Ok(UpstreamDocument::of_plain(upstream));
        };
        let outcome = match addresses(config, upstream)? {
            Ok(addresses) => {
                shared.set_addresses(&addresses);
                let target = Target {
                    authentication,
                    tls,
                    roots,
                    egress: &upstream.egress,
                    key_exchange: upstream.key_exchange,
                    wait: config.query().deadline,
                };
                target.look_at_any(&addresses, &self.asked)
            }
            Err(problem) => Err(ProbeFailure::Name(problem)),
        };
        if self.is_long() {
            match &outcome {
                Ok(probe) => report::write_probe(out, upstream, probe)?,
                Err(failure) => report::write_failure(out, failure)?,
            }
            writeln!(out)?;
        }
        Ok(UpstreamDocument::of(upstream, &outcome))
    }

    fn ask_server(
        &self,
        listeners: &[ScopedSocketAddress],
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> io::Result<ExitStatus> {
        let at = listeners.first().map(server::reached_at).transpose();
        let response = match at {
            Ok(Some(address)) => server::ask_server(address, &self.asked),
            Ok(None) => Err(io::ErrorKind::AddrNotAvailable.into()),
            Err(missing) => Err(missing.into()),
        };
        let server = match (&response, listeners.first()) {
            (Ok(response), _) => response.server.to_string(),
            (Err(_), Some(listener)) => listener.to_string(),
            (Err(_), None) => String::new(),
        };
        self.write_name(out)?;
        self.conclude(&response, By::Server(server), Default::default(), out, err)
    }

    /// Says which name is asked where another one was typed.
    fn write_name(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.request.name.typed {
            Some(typed) if self.is_long() => {
                let name = &self.request.name.name;
                writeln!(out, ";; {} is sent as {name}\n", Escaped(typed))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Shows the response and what came of it.
    fn conclude(
        &self,
        response: &io::Result<Response>,
        by: By,
        before: (Vec<UpstreamDocument>, Rule),
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> io::Result<ExitStatus> {
        let (server, over) = (by.server(), by.transport(response));
        let conclusion = Conclusion::of(response, by);
        match self.request.form {
            Form::Long => {
                match response {
                    Ok(response) => {
                        write_response_of(out, response, &format!("{server}{over}"))?;
                    }
                    Err(error) => writeln!(out, ";; no response: {error}")?,
                }
                writeln!(out, "\n;; {conclusion}")?;
            }
            Form::Short => {
                if let Ok(response) = response {
                    message::write_short(out, &response.message)?;
                }
            }
            Form::Json => {
                let (name, record_type) = (&self.request.name, self.request.record_type);
                let response = response.as_ref().ok().map(|response| (response, server));
                Document::new(name, record_type, before, response, &conclusion).write(out)?;
            }
        }
        out.flush()?;
        let status = conclusion.exit_status();
        if status != ExitStatus::Success {
            writeln!(err, "dotgate query: {conclusion}")?;
        }
        Ok(status)
    }
}

/// Whose response the worker's client got.
fn by(upstreams: &Upstreams, through: &Through, is_forwarded: bool) -> By {
    let upstream = through.answered_by.and_then(|id| {
        let upstream = upstreams.iter().find(|upstream| upstream.id() == id);
        upstream.map(|upstream| (upstream.label().to_owned(), upstream.config().transport()))
    });
    match upstream {
        _ if !is_forwarded => By::Dotgate,
        Some((label, transport)) => By::Upstream(label, transport),
        None => By::NoUpstream,
    }
}

fn addresses(
    config: &Config,
    upstream: &UpstreamConfig,
) -> io::Result<Result<Vec<SocketAddr>, bootstrap::LookupError>> {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build()
    };
    match &upstream.endpoint {
        Endpoint::Address(address) => Ok(Ok(vec![address.resolve()?])),
        Endpoint::Name { name, port } => {
            Ok(runtime()?.block_on(bootstrap::resolve(name, *port, config.bootstrap())))
        }
        Endpoint::Designated { resolver } => Ok(runtime()?.block_on(bootstrap::discover(resolver))),
    }
}
