//! Responses: plain words, JSON, or a stream of events. Nothing is ever cached.

use std::convert::Infallible;

use http_body_util::channel::Channel;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A response with its body.
pub(super) type Response = hyper::Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Marks a response that is sent for as long as its client reads it.
#[derive(Clone, Copy)]
pub(super) struct HasNoEnd;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The body of every error below `/api/`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ErrorBody {
    /// What is wrong, and what to do.
    pub(crate) error: String,
}

/// A line for a person.
pub(super) fn words(status: StatusCode, line: &str) -> Response {
    with_body(status, TEXT, format!("{line}\n"))
}

/// Text that was written already, unless that failed.
pub(super) fn text(text: Result<String, serde_json::Error>) -> Response {
    match text {
        Ok(text) => with_body(StatusCode::OK, TEXT, text),
        Err(error) => words(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("a bug: the response cannot be written: {error}"),
        ),
    }
}

/// A JSON document in one line.
pub(super) fn document(status: StatusCode, document: &impl Serialize) -> Response {
    json_text(
        status,
        serde_json::to_string(document).map(|text| text + "\n"),
    )
}

/// A JSON document that was written already, unless that failed.
pub(super) fn json_text(status: StatusCode, text: Result<String, serde_json::Error>) -> Response {
    match text {
        Ok(text) => with_body(status, JSON, text),
        Err(error) => words(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("a bug: the response cannot be written: {error}"),
        ),
    }
}

/// A response with these bytes.
pub(super) fn with_body(
    status: StatusCode,
    content_type: HeaderValue,
    body: impl Into<Bytes>,
) -> Response {
    response(status, content_type, Full::new(body.into()).boxed_unsync())
}

/// A response whose body is still being written.
pub(super) fn with_stream(content_type: HeaderValue, body: Channel<Bytes, Infallible>) -> Response {
    response(StatusCode::OK, content_type, body.boxed_unsync())
}

fn response(
    status: StatusCode,
    content_type: HeaderValue,
    body: UnsyncBoxBody<Bytes, Infallible>,
) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
