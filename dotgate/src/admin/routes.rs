//! All paths, with their method, authorization and handler.
//!
//! A new path is a variant of `Path`, its line in `Path::samples`, `Path::read` and `Path::takes`, its arm in
//! `respond_to`, and its description in `openapi`.

use std::error::Error;

use dotgate_config::Word;

use crate::log::message::say;
use domain::base::Name;
use hyper::body::{Body, Bytes};
use hyper::header::{ACCEPT, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde::Deserialize as _;
use serde_json::json;

use super::body::{Flushed, read_flush, read_level};
use super::cache::CacheReport;
use super::endpoint::{Endpoint, Peer};
use super::failures::FailuresReport;
use super::overview::Overview;
use super::portal::{PortalReport, read_portal};
use super::refusal::Refusal;
use super::response::{Response, document, json_text, text, with_body};
use super::status::Status;
use super::volatile::{RoutesReport, read_routes};
use super::{host, page, percent, queries, token, upstreams};
use crate::clock::now;
use crate::log;
use crate::metrics::{Format, MetricsSnapshot};
use crate::running::Period;

/// Everything that can be asked for.
pub(super) enum Path {
    Root,
    Events,
    Livez,
    Readyz,
    Healthz,
    Metrics,
    Status,
    Failures,
    Queries,
    Cached(Name<Vec<u8>>),
    FlushCache,
    LogLevel,
    Portal,
    Routes,
}

/// How a path is asked for.
pub(super) enum Takes {
    /// Read-only, for all clients; HEAD is allowed.
    Get,
    /// It is read, by those with the token or at the Unix socket; also by HEAD.
    GetWithToken,
    /// It changes something, for those with the token or at the Unix socket.
    PostWithToken,
}

impl Path {
    /// One of each.
    pub(super) fn samples() -> [Path; 14] {
        [
            Path::Root,
            Path::Events,
            Path::Livez,
            Path::Readyz,
            Path::Healthz,
            Path::Metrics,
            Path::Status,
            Path::Failures,
            Path::Queries,
            Path::Cached(Name::root_vec()),
            Path::FlushCache,
            Path::LogLevel,
            Path::Portal,
            Path::Routes,
        ]
    }

    pub(super) fn read(path: &str) -> Result<Path, Refusal> {
        match path {
            "/" => Ok(Path::Root),
            "/events" => Ok(Path::Events),
            "/livez" => Ok(Path::Livez),
            "/readyz" => Ok(Path::Readyz),
            "/healthz" => Ok(Path::Healthz),
            "/metrics" => Ok(Path::Metrics),
            "/api/v1/status" => Ok(Path::Status),
            "/api/v1/failures" => Ok(Path::Failures),
            "/api/v1/queries" => Ok(Path::Queries),
            "/api/v1/cache/flush" => Ok(Path::FlushCache),
            "/api/v1/log-level" => Ok(Path::LogLevel),
            "/api/v1/portal" => Ok(Path::Portal),
            "/api/v1/routes" => Ok(Path::Routes),
            _ => match path.strip_prefix("/api/v1/cache/") {
                Some(name) => read_name(name).map(Path::Cached).ok_or(Refusal::NotAName),
                None => Err(Refusal::NoPath),
            },
        }
    }

    pub(super) fn takes(&self) -> Takes {
        match self {
            Path::Root
            | Path::Events
            | Path::Livez
            | Path::Readyz
            | Path::Healthz
            | Path::Metrics
            | Path::Status
            | Path::Failures => Takes::Get,
            Path::Cached(_) | Path::Queries => Takes::GetWithToken,
            Path::FlushCache | Path::LogLevel | Path::Portal | Path::Routes => Takes::PostWithToken,
        }
    }
}

impl Takes {
    fn check_method(&self, method: &Method) -> Result<(), Refusal> {
        let (methods, allowed): (&[Method], _) = match self {
            Takes::Get | Takes::GetWithToken => (&[Method::GET, Method::HEAD], "GET, HEAD"),
            Takes::PostWithToken => (&[Method::POST], "POST"),
        };
        if methods.contains(method) {
            Ok(())
        } else {
            Err(Refusal::Method { allowed })
        }
    }

    pub(super) fn needs_token(&self) -> bool {
        match self {
            Takes::Get => false,
            Takes::GetWithToken | Takes::PostWithToken => true,
        }
    }
}

/// Answers a request, whatever it is.
pub(super) async fn respond<B>(endpoint: &Endpoint, peer: Peer, request: Request<B>) -> Response
where
    B: Body<Data = Bytes>,
    B::Error: Error + Send + Sync + 'static,
{
    let wanted = Wanted::by(&request);
    let is_api = request.uri().path().starts_with("/api/");
    let response = match route(endpoint, peer, &request) {
        Ok(path) => respond_to(endpoint, path, wanted, request.into_body()).await,
        Err(refusal) => Err(refusal),
    };
    response.unwrap_or_else(|refusal| refusal.response(is_api))
}

/// The requested resource, if it is permitted.
fn route<B>(endpoint: &Endpoint, peer: Peer, request: &Request<B>) -> Result<Path, Refusal> {
    let access = endpoint.access();
    host::check(request, &access.hosts)?;
    let path = Path::read(request.uri().path())?;
    let takes = path.takes();
    takes.check_method(request.method())?;
    match peer {
        Peer::Anybody if takes.needs_token() => token::check(request.headers(), &access.token)?,
        Peer::Anybody | Peer::Owner => {}
    }
    Ok(path)
}

async fn respond_to<B>(
    endpoint: &Endpoint,
    path: Path,
    wanted: Wanted,
    body: B,
) -> Result<Response, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Error + Send + Sync + 'static,
{
    Ok(match path {
        Path::Root if wanted.is_html => page::response(endpoint, wanted.period),
        Path::Root => text(overview(endpoint)),
        Path::Events => endpoint.live().stream(wanted.period)?,
        Path::Livez => {
            let (is_alive, report) = endpoint.liveness().await;
            document(ok_or_unavailable(is_alive), &report)
        }
        Path::Readyz => {
            let (is_ready, report) = endpoint.readiness();
            document(ok_or_unavailable(is_ready), &report)
        }
        Path::Healthz => {
            let report = upstreams::verify(endpoint).await;
            json_text(ok_or_unavailable(report.is_ok()), report.lines())
        }
        Path::Metrics => {
            let content_type = HeaderValue::from_static(wanted.format.content_type());
            let page = MetricsSnapshot::of(endpoint.running()).page(wanted.format);
            with_body(StatusCode::OK, content_type, page)
        }
        Path::Status => document(StatusCode::OK, &Status::of(endpoint)),
        Path::Failures => document(StatusCode::OK, &FailuresReport::of(endpoint.running())),
        Path::Queries => queries::stream(endpoint.running(), wanted.query.as_deref())?,
        Path::Cached(name) => {
            let cache = endpoint.running().cache();
            document(StatusCode::OK, &CacheReport::of(cache, now(), &name))
        }
        Path::FlushCache => {
            let what = read_flush(body).await?;
            endpoint.running().handover().permit_change()?;
            let flushed = what.carry_out(endpoint.running().cache());
            say!(CACHE_FLUSHED, entries = flushed);
            document(StatusCode::OK, &Flushed { flushed })
        }
        Path::LogLevel => {
            let level = read_level(body).await?;
            endpoint.running().handover().permit_change()?;
            log::set_level(level);
            say!(LEVEL_CHANGED, level = level.word());
            document(StatusCode::OK, &json!({ "level": level.word() }))
        }
        Path::Portal => {
            let request = read_portal(body).await?;
            let portal = endpoint.running().portal();
            portal.orders().give(request).await?;
            document(StatusCode::OK, &PortalReport::of(portal))
        }
        Path::Routes => {
            let request = read_routes(body).await?;
            let routes = endpoint.running().routes();
            routes.orders().give(request).await?;
            document(StatusCode::OK, &RoutesReport::of(routes))
        }
    })
}

/// What stands below the overview.
const PATHS: &str = "
/livez                 does it run?
/readyz                may queries be sent here?
/healthz               do the upstreams answer?
/metrics               for Prometheus
/api/v1/status         all of this and more, as JSON
/api/v1/failures       failures of each upstream, and how dotgate reacted
/api/v1/queries        queries as they end; needs the token
/api/v1/cache/NAME     what is cached for a name; needs the token
docs/admin.md          describes them
";

/// The status for people, and where there is more.
fn overview(endpoint: &Endpoint) -> Result<String, serde_json::Error> {
    let status = serde_json::to_value(Status::of(endpoint))?;
    let overview = Overview::deserialize(status)?;
    Ok(overview.text(overview.rate(None)) + PATHS)
}

/// What of a resource the client asks for.
struct Wanted {
    /// The format of metrics.
    format: Format,
    /// Whether the client shows HTML, as browsers do.
    is_html: bool,
    /// What the page shows.
    period: Period,
    /// The query string.
    query: Option<String>,
}

impl Wanted {
    fn by<B>(request: &Request<B>) -> Wanted {
        let fields = request.headers().get_all(ACCEPT).iter();
        let fields: Vec<&str> = fields.filter_map(|field| field.to_str().ok()).collect();
        let accepted = fields.join(",");
        Wanted {
            format: Format::accepted(&accepted),
            is_html: accepted.contains("text/html"),
            period: page::period(request.uri().query()),
            query: request.uri().query().map(str::to_owned),
        }
    }
}

/// Reads a name as a part of a path has it, where `%2F` stands for a slash (RFC 3986 section 2.1).
fn read_name(part: &str) -> Option<Name<Vec<u8>>> {
    percent::decoded(part)?.parse().ok()
}

fn ok_or_unavailable(is_ok: bool) -> StatusCode {
    if is_ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_path_may_be_percent_encoded() {
        let read = |part: &str| read_name(part).map(|name| name.to_string());
        assert_eq!(read("example.com"), read("example.com."));
        assert_eq!(read("a%2eb"), read("a.b"));
        assert_eq!(read("a%2Fb.test").as_deref(), Some("a/b.test"));
        for wrong in ["", "a%2", "a%zz", "%ff", "a..b", "%", &"a".repeat(64)] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
