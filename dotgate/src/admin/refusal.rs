//! Why a request is refused, each with its status and in words that say what to do.

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue, WWW_AUTHENTICATE};
use thiserror::Error;

use super::response::{ErrorBody, Response, document, words};

/// The longest body taken, in bytes.
pub(super) const BODY_BYTES: usize = 4096;

/// Why a request is refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(super) enum Refusal {
    /// RFC 9112 section 3.2 requires one Host header in HTTP/1.1.
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
    /// No token is configured.
    #[error(
        "this needs the admin token, and none is set: run the command as root or as the user of dotgate where it has a \
         DOTGATE_ADMIN_SOCKET, or write a token to a file, name it in DOTGATE_ADMIN_TOKEN_FILE, and restart"
    )]
    NoToken,
    /// The token file cannot be used.
    #[error(
        "this needs the admin token, and the file in DOTGATE_ADMIN_TOKEN_FILE cannot be used; the log says why, \
         and so does `dotgate check`"
    )]
    BrokenToken,
    /// The token is missing or wrong.
    #[error("this needs `Authorization: Bearer` and the token in DOTGATE_ADMIN_TOKEN_FILE")]
    Unauthorized,
    /// The body is longer than anything that is taken.
    #[error("the body is longer than {BODY_BYTES} bytes")]
    TooLong,
    /// The body did not come to its end in time.
    #[error("the body did not come in time")]
    TooSlow,
    /// The body is not what the path takes.
    #[error("the body is wrong: {problem}; expected {expected}")]
    Body {
        /// What is wrong.
        problem: String,
        /// What is expected.
        expected: &'static str,
    },
    /// The path holds something that is no DNS name.
    #[error("what follows /api/v1/cache/ is no DNS name")]
    NotAName,
    /// No stream is left.
    #[error("too many pages are open; close one, or try again in a minute")]
    TooManyStreams,
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
            Refusal::NoToken | Refusal::BrokenToken => StatusCode::FORBIDDEN,
            Refusal::Unauthorized => StatusCode::UNAUTHORIZED,
            Refusal::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::NotAName | Refusal::Body { .. } => StatusCode::BAD_REQUEST,
            Refusal::NoPath => StatusCode::NOT_FOUND,
            Refusal::TooManyStreams => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}

impl Refusal {
    /// The response: JSON for programs below `/api/`, a line for people elsewhere.
    pub(super) fn response(self, is_api: bool) -> Response {
        let error = self.to_string();
        let mut response = match is_api {
            true => document(self.status(), &ErrorBody { error }),
            false => words(self.status(), &error),
        };
        let headers = response.headers_mut();
        if let Refusal::Method { allowed } = self {
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        if self == Refusal::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
