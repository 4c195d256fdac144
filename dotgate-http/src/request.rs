//! Requests: which of them hold a query (RFC 8484 section 4.1), and what is said to the others.

use std::net::IpAddr;

use data_encoding::BASE64URL_NOPAD;
use dotgate_wire::HEADER_LEN;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Method, Request, Uri};

use crate::exchange::Status;
use crate::forwarded;
use crate::limits;

/// The path of the resource.
pub const PATH: &str = "/dns-query";

/// The media type of DNS messages.
pub(crate) const MEDIA_TYPE: &str = "application/dns-message";

/// The byte of the header with the bit that tells responses from queries.
const QR_AT: usize = 2;

/// Reads the query out of a request. `is_trusted` says of which addresses the forwarding headers are believed; none if the
/// connection is not of such an address.
pub(crate) async fn read(
    request: Request<Incoming>,
    is_trusted: Option<&(dyn Fn(IpAddr) -> bool + Send + Sync)>,
) -> Result<(Option<IpAddr>, Vec<u8>), Status> {
    let (head, body) = request.into_parts();
    let head = read_head(&Request::from_parts(head, ()), is_trusted);
    // The body is read in any case: clients that still send it take an early response for an error of the connection.
    let body = collect(body).await;
    let (client, message) = head?;
    let message = match message {
        Some(message) => message,
        None => body?,
    };
    if !is_query(&message) {
        return Err(Status::BadRequest);
    }
    Ok((client, message))
}

/// Reads what comes before the body: the client that a proxy names, and the message if it is there.
fn read_head(
    head: &Request<()>,
    is_trusted: Option<&(dyn Fn(IpAddr) -> bool + Send + Sync)>,
) -> Result<(Option<IpAddr>, Option<Vec<u8>>), Status> {
    if head.uri().path() != PATH {
        return Err(Status::NotFound);
    }
    let client = match is_trusted {
        Some(is_trusted) => {
            forwarded::client(head.headers(), is_trusted).map_err(|_| Status::BadRequest)?
        }
        None => None,
    };
    match *head.method() {
        Method::GET => Ok((client, Some(decode(head.uri())?))),
        Method::POST if has_media_type(head.headers()) => Ok((client, None)),
        Method::POST => Err(Status::UnsupportedMediaType),
        _ => Err(Status::MethodNotAllowed),
    }
}

/// The message in the variable `dns` of a URL, in base64url without padding.
fn decode(uri: &Uri) -> Result<Vec<u8>, Status> {
    let variables = uri.query().unwrap_or_default().split('&');
    let mut values = variables.filter_map(|variable| variable.strip_prefix("dns="));
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Status::BadRequest);
    };
    BASE64URL_NOPAD
        .decode(value.as_bytes())
        .map_err(|_| Status::BadRequest)
}

fn has_media_type(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let media_type = value.and_then(|value| value.split(';').next());
    media_type.is_some_and(|it| it.trim().eq_ignore_ascii_case(MEDIA_TYPE))
}

async fn collect(body: Incoming) -> Result<Vec<u8>, Status> {
    let announced = body.size_hint().lower();
    if announced > limits::MESSAGE_BYTES as u64 {
        return Err(Status::ContentTooLarge);
    }
    match Limited::new(body, limits::MESSAGE_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes().into()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Status::ContentTooLarge)
        }
        Err(_) => Err(Status::BadRequest),
    }
}

/// Whether a message can have a response at all.
fn is_query(message: &[u8]) -> bool {
    let is_response = |flags: &u8| flags & 0x80 != 0;
    message.len() >= HEADER_LEN
        && message.len() <= limits::MESSAGE_BYTES
        && !message.get(QR_AT).is_none_or(is_response)
}
