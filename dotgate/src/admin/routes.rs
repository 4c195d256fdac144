//! What is where: every path, who may ask and by which method, and who answers.
//!
//! A new path is a variant of `Path`, its line in `Path::read` and `Path::takes`, and its arm in `respond_to`.

use std::error::Error;

use hyper::body::{Body, Bytes};
use hyper::header::{ACCEPT, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde_json::json;
use tracing::warn;

use super::body::read_level;
use super::endpoint::Endpoint;
use super::refusal::Refusal;
use super::response::{Response, document, json_text, with_body};
use super::status::Status;
use super::{host, token, upstreams};
use crate::config::Word;
use crate::log;
use crate::metrics::Format;

/// Everything that can be asked for.
enum Path {
    Livez,
    Readyz,
    Healthz,
    Metrics,
    Status,
    LogLevel,
}

/// How a path is asked for.
enum Takes {
    /// It is read, by whoever reaches it; also by HEAD.
    Get,
    /// It changes something, for those with the token.
    PostWithToken,
}

impl Path {
    fn read(path: &str) -> Option<Path> {
        match path {
            "/livez" => Some(Path::Livez),
            "/readyz" => Some(Path::Readyz),
            "/healthz" => Some(Path::Healthz),
            "/metrics" => Some(Path::Metrics),
            "/api/v1/status" => Some(Path::Status),
            "/api/v1/log-level" => Some(Path::LogLevel),
            _ => None,
        }
    }

    fn takes(&self) -> Takes {
        match self {
            Path::Livez | Path::Readyz | Path::Healthz | Path::Metrics | Path::Status => Takes::Get,
            Path::LogLevel => Takes::PostWithToken,
        }
    }
}

impl Takes {
    fn check_method(&self, method: &Method) -> Result<(), Refusal> {
        let (methods, allowed): (&[Method], _) = match self {
            Takes::Get => (&[Method::GET, Method::HEAD], "GET, HEAD"),
            Takes::PostWithToken => (&[Method::POST], "POST"),
        };
        if methods.contains(method) {
            Ok(())
        } else {
            Err(Refusal::Method { allowed })
        }
    }

    fn needs_token(&self) -> bool {
        match self {
            Takes::Get => false,
            Takes::PostWithToken => true,
        }
    }
}

/// Answers a request, whatever it is.
pub(super) async fn respond<B>(endpoint: &Endpoint, request: Request<B>) -> Response
where
    B: Body<Data = Bytes>,
    B::Error: Error + Send + Sync + 'static,
{
    let format = accepted_format(&request);
    let response = match route(endpoint, &request) {
        Ok(path) => respond_to(endpoint, path, format, request.into_body()).await,
        Err(refusal) => Err(refusal),
    };
    response.unwrap_or_else(Response::from)
}

/// What is asked for, if it may be.
fn route<B>(endpoint: &Endpoint, request: &Request<B>) -> Result<Path, Refusal> {
    host::check(request, endpoint.hosts())?;
    let path = Path::read(request.uri().path()).ok_or(Refusal::NoPath)?;
    let takes = path.takes();
    takes.check_method(request.method())?;
    if takes.needs_token() {
        token::check(request.headers(), endpoint.token())?;
    }
    Ok(path)
}

async fn respond_to<B>(
    endpoint: &Endpoint,
    path: Path,
    format: Format,
    body: B,
) -> Result<Response, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Error + Send + Sync + 'static,
{
    Ok(match path {
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
            let content_type = HeaderValue::from_static(format.content_type());
            let page = endpoint.sources().reading().page(format);
            with_body(StatusCode::OK, content_type, page)
        }
        Path::Status => document(StatusCode::OK, &Status::of(endpoint)),
        Path::LogLevel => {
            let level = read_level(body).await?;
            log::set_level(level);
            warn!(
                level = level.word(),
                "the log level was changed, until the next start"
            );
            document(StatusCode::OK, &json!({ "level": level.word() }))
        }
    })
}

/// The format of metrics that the client asks for.
fn accepted_format<B>(request: &Request<B>) -> Format {
    let fields = request.headers().get_all(ACCEPT).iter();
    let fields: Vec<&str> = fields.filter_map(|field| field.to_str().ok()).collect();
    Format::accepted(&fields.join(","))
}

fn ok_or_unavailable(is_ok: bool) -> StatusCode {
    if is_ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
