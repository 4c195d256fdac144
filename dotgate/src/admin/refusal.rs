//! Why a request is refused, each with its status and in words that say what to do.

use hyper::StatusCode;
use hyper::header::{ALLOW, CONNECTION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use thiserror::Error;

use super::response::{ErrorBody, Response, document, words};
use crate::running::NotDone;

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
        "unknown name in Host: use an address or localhost, or add the name to DOTGATE_ADMIN_HOST_NAMES"
    )]
    ForeignHost,
    /// Nothing is at this path.
    #[error("there is nothing here; docs/admin.md lists all paths")]
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
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The body is not what the path takes.
    #[error("the body is invalid: {problem}; expected {expected}")]
    Body {
        /// What is wrong.
        problem: String,
        /// What is expected.
        expected: &'static str,
    },
    /// The path holds something that is no DNS name.
    #[error("the part after /api/v1/cache/ is not a DNS name")]
    NotAName,
    /// No stream is left.
    #[error("too many pages are open; close one, or try again in a minute")]
    TooManyStreams,
    /// The settings do not show queries.
    #[error("queries are not shown: set DOTGATE_ADMIN_QUERIES=true, and reload")]
    QueriesNotShown,
    /// Enough readers see queries.
    #[error("there are too many readers of queries; end one, or try again later")]
    TooManyReaders,
    /// The filter is none.
    #[error("the filter is invalid: {problem}; docs/query-log.md has all conditions")]
    Filter {
        /// What is wrong.
        problem: String,
    },
    /// The filter would reveal what the settings hide.
    #[error("{item} would reveal what {setting} hides")]
    FilterReveals {
        /// The condition.
        item: &'static str,
        /// The setting.
        setting: &'static str,
    },
    /// What was asked was not done.
    #[error(transparent)]
    NotDone(#[from] NotDone),
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
            Refusal::NotAName
            | Refusal::Body { .. }
            | Refusal::Filter { .. }
            | Refusal::FilterReveals { .. } => StatusCode::BAD_REQUEST,
            Refusal::QueriesNotShown => StatusCode::FORBIDDEN,
            Refusal::NoPath => StatusCode::NOT_FOUND,
            Refusal::TooManyStreams | Refusal::TooManyReaders => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::NotDone(NotDone::Refused(_)) => StatusCode::CONFLICT,
            Refusal::NotDone(NotDone::HandingOver | NotDone::Stopping) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
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
        if let Refusal::NotDone(NotDone::HandingOver | NotDone::Stopping) = self {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            // The next request on this connection would be one to this process.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if self == Refusal::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
