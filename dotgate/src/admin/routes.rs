//! What is where: every path, the one method it takes, and who answers.
//!
//! A new path is a variant of `Path`, its line in `Path::read` and `Path::method`, and its arm in `respond_to`.

use hyper::{Method, Request, StatusCode};

use super::endpoint::Endpoint;
use super::refusal::Refusal;
use super::response::{Response, json, json_text};
use super::{host, upstreams};

/// Everything that can be asked for.
enum Path {
    Livez,
    Readyz,
    Healthz,
}

impl Path {
    fn read(path: &str) -> Option<Path> {
        match path {
            "/livez" => Some(Path::Livez),
            "/readyz" => Some(Path::Readyz),
            "/healthz" => Some(Path::Healthz),
            _ => None,
        }
    }

    fn method(&self) -> Takes {
        match self {
            Path::Livez | Path::Readyz | Path::Healthz => Takes::Get,
        }
    }
}

/// The method of a path.
#[derive(Clone, Copy)]
enum Takes {
    /// It is read, also by HEAD.
    Get,
}

impl Takes {
    fn check(self, method: &Method) -> Result<(), Refusal> {
        let (is_right, allowed) = match self {
            Takes::Get => (
                *method == Method::GET || *method == Method::HEAD,
                "GET, HEAD",
            ),
        };
        if is_right {
            Ok(())
        } else {
            Err(Refusal::Method { allowed })
        }
    }
}

/// Answers a request, whatever it is.
pub(super) async fn respond<B>(endpoint: &Endpoint, request: Request<B>) -> Response {
    match route(endpoint, &request) {
        Ok(path) => respond_to(endpoint, path).await,
        Err(refusal) => refusal.into(),
    }
}

/// What is asked for, if it may be asked for so.
fn route<B>(endpoint: &Endpoint, request: &Request<B>) -> Result<Path, Refusal> {
    host::check(request, endpoint.hosts())?;
    let path = Path::read(request.uri().path()).ok_or(Refusal::NoPath)?;
    path.method().check(request.method())?;
    Ok(path)
}

async fn respond_to(endpoint: &Endpoint, path: Path) -> Response {
    match path {
        Path::Livez => {
            let (is_alive, report) = endpoint.liveness().await;
            json(ok_or_unavailable(is_alive), &report)
        }
        Path::Readyz => {
            let (is_ready, report) = endpoint.readiness();
            json(ok_or_unavailable(is_ready), &report)
        }
        Path::Healthz => {
            let report = upstreams::verify(endpoint).await;
            json_text(ok_or_unavailable(report.is_ok()), report.lines())
        }
    }
}

fn ok_or_unavailable(is_ok: bool) -> StatusCode {
    if is_ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
