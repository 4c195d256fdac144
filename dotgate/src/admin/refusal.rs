//! Why a request is refused, each with its status and in words that say what to do.

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue};
use thiserror::Error;

use super::response::{Response, words};

/// Why a request is refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(super) enum Refusal {
    /// RFC 9112 section 3.2 wants one Host header.
    #[error("a request has one Host header (RFC 9112 section 3.2)")]
    NoHost,
    /// It is asked by a name that is not ours.
    #[error(
        "this name is not known here: ask by address or as localhost, or name it in DOTGATE_ADMIN_HOST_NAMES"
    )]
    ForeignHost,
    /// Nothing is at this path.
    #[error("there is nothing here; docs/admin.md says what is where")]
    NoPath,
    /// The path takes another method.
    #[error("this takes {allowed}")]
    Method {
        /// The methods it takes.
        allowed: &'static str,
    },
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Refusal::NoHost => StatusCode::BAD_REQUEST,
            Refusal::ForeignHost => StatusCode::FORBIDDEN,
            Refusal::NoPath => StatusCode::NOT_FOUND,
            Refusal::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Response {
        let mut response = words(refusal.status(), &refusal.to_string());
        if let Refusal::Method { allowed } = refusal {
            let allowed = HeaderValue::from_static(allowed);
            response.headers_mut().insert(ALLOW, allowed);
        }
        response
    }
}
