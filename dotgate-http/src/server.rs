//! One client connection over HTTP/2 or HTTP/1.1: bytes and responses in, queries and bytes out.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::server::conn::{http1, http2};
use hyper::{Request, Response, StatusCode, Version};

use crate::exchange::{Answer, Desk, HttpQuery, Status};
use crate::limits;
use crate::pipe::Pipe;
use crate::request::{self, MEDIA_TYPE};
use crate::tasks::{Begun, Flag, Tasks};

/// What a client over HTTP/2 sends first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Says of an address whether it is of a proxy whose forwarding headers are believed.
pub type Trust = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Why a connection is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HttpEnd {
    /// The client closed it, or it has all its responses after [`HttpServer::shut_down`].
    Closed,
    /// The client broke HTTP.
    Protocol,
    /// The client sent much and asked little, or cancelled most of what it asked.
    Flood,
}

/// The HTTP of one connection.
pub struct HttpServer {
    pipe: Pipe,
    connection: Connection,
    tasks: Tasks,
    service: Service,
    flag: Arc<Flag>,
    waker: Waker,
    /// Bytes that the client may send without another query.
    allowance: usize,
    end: Option<HttpEnd>,
}

enum Connection {
    /// The client has not sent enough to tell the version.
    Unknown,
    Http1(Pin<Box<http1::Connection<Pipe, Service>>>),
    Http2(Pin<Box<http2::Connection<Pipe, Service, Begun>>>),
    Over,
}

impl HttpServer {
    /// Begins a connection. If it is of a trusted proxy, `trust` says whose headers are believed.
    pub fn new(trust: Option<Trust>) -> HttpServer {
        let flag = Arc::new(Flag::default());
        let trust = trust.or_else(|| {
            dotgate_wire::planted!("anybody-may-name-its-client")
                .then(|| Arc::new(|_| false) as Trust)
        });
        HttpServer {
            pipe: Pipe::default(),
            connection: Connection::Unknown,
            tasks: Tasks::new(Begun::default()),
            service: Service {
                desk: Arc::new(Desk::default()),
                is_ending: Arc::new(AtomicBool::new(false)),
                trust,
            },
            waker: Waker::from(Arc::clone(&flag)),
            flag,
            allowance: limits::OVERHEAD_BYTES,
            end: None,
        }
    }

    /// Whether more of what the client sends can be taken now.
    pub fn wants_bytes(&self) -> bool {
        let is_unknown = matches!(self.connection, Connection::Unknown);
        self.end.is_none() && (is_unknown || self.pipe.lock().unread() == 0)
    }

    /// Takes bytes of the client, cut anywhere.
    pub fn on_bytes(&mut self, bytes: &[u8]) {
        self.allowance = self.allowance.saturating_sub(bytes.len());
        self.pipe.lock().input.extend_from_slice(bytes);
        self.flag.set();
        self.drive();
    }

    /// The client has sent its last byte.
    pub fn on_end(&mut self) {
        self.pipe.lock().has_ended = true;
        self.flag.set();
        self.drive();
    }

    /// The next query for the engine.
    pub fn next_query(&mut self) -> Option<HttpQuery> {
        self.service.desk.next_query()
    }

    /// Takes a response of the engine to one of the queries. [`HttpServer::drive`] turns responses into bytes.
    pub fn respond(&mut self, message: &[u8]) {
        // A client that takes a long response in small pieces sends a window update for each of them (RFC 9113 section 6.9).
        self.allowance = self.allowance.saturating_add(message.len());
        self.service.desk.respond(message);
    }

    /// Lets the client finish what it has begun, and tells it to open another connection for more.
    pub fn shut_down(&mut self) {
        self.service.is_ending.store(true, Ordering::Relaxed);
        if let Connection::Http2(connection) = &mut self.connection {
            connection.as_mut().graceful_shutdown();
        }
        self.flag.set();
        self.drive();
    }

    /// Does what can be done. Call it again later if [`HttpServer::wants_turn`].
    pub fn drive(&mut self) {
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        for _ in 0..limits::ROUNDS {
            if self.end.is_some() || !self.flag.take() {
                break;
            }
            self.find_version();
            self.poll_connection(&mut context);
            self.tasks.poll(&mut context);
        }
        self.refuse_floods();
    }

    /// Whether it is to be driven once more.
    pub fn wants_turn(&self) -> bool {
        self.end.is_none() && self.flag.is_set()
    }

    /// Lends the bytes that wait for the client, to be taken from the front.
    pub fn with_output<R>(&mut self, take: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let mut bytes = self.pipe.lock();
        let before = bytes.output.len();
        let result = take(&mut bytes.output);
        if bytes.output.is_empty() && bytes.output.capacity() > limits::HEADER_BYTES {
            bytes.output = Vec::new();
        }
        if before >= limits::OUTPUT_BYTES && bytes.output.len() < before {
            self.flag.set();
        }
        result
    }

    /// Bytes of HTTP and of responses that the client has not taken.
    pub fn unsent(&self) -> usize {
        self.pipe.lock().output.len() + self.service.desk.unsent()
    }

    /// What the connection costs, in bytes, without what is unsent.
    pub fn bytes(&self) -> usize {
        limits::CONNECTION_BYTES + self.pipe.lock().input.capacity() + self.service.desk.bytes()
    }

    /// Queries that wait for the engine or for its response.
    pub fn waiting(&self) -> usize {
        self.service.desk.waiting()
    }

    /// Requests that were answered since the last call, by status in the order of [`Status::ALL`].
    pub fn take_counts(&mut self) -> [u64; Status::ALL.len()] {
        self.service.desk.take_counts()
    }

    /// Why the connection is over. The rest of its output is still to be sent.
    pub fn end(&self) -> Option<HttpEnd> {
        self.end
    }

    fn find_version(&mut self) {
        if !matches!(self.connection, Connection::Unknown) {
            return;
        }
        let is_http2 = {
            let bytes = self.pipe.lock();
            match bytes.input.get(..PREFACE.len()) {
                Some(start) => start == PREFACE,
                None if PREFACE.starts_with(&bytes.input) && !bytes.has_ended => return,
                None => false,
            }
        };
        let (pipe, service) = (self.pipe.clone(), self.service.clone());
        self.connection = if is_http2 {
            let mut begun = Box::pin(http2(&self.tasks).serve_connection(pipe, service));
            if self.service.is_ending.load(Ordering::Relaxed) {
                begun.as_mut().graceful_shutdown();
            }
            Connection::Http2(begun)
        } else {
            Connection::Http1(Box::pin(http1().serve_connection(pipe, service)))
        };
    }

    fn poll_connection(&mut self, context: &mut Context<'_>) {
        let polled = match &mut self.connection {
            Connection::Unknown | Connection::Over => return,
            Connection::Http1(connection) => connection.as_mut().poll(context),
            Connection::Http2(connection) => connection.as_mut().poll(context),
        };
        let Poll::Ready(result) = polled else {
            return;
        };
        self.finish(match result {
            Ok(()) => HttpEnd::Closed,
            Err(error) if error.is_incomplete_message() || error.is_closed() => HttpEnd::Closed,
            Err(_) => HttpEnd::Protocol,
        });
    }

    /// A client that sends much has to ask something, and to wait for most of the responses.
    fn refuse_floods(&mut self) {
        if self.service.desk.take_has_asked() {
            self.allowance = self.allowance.max(limits::OVERHEAD_BYTES);
        }
        let asks_little =
            self.allowance == 0 && !dotgate_wire::planted!("http-frames-without-queries-are-borne");
        let cancels_most = self.service.desk.cancelled() > limits::CANCELLED
            && !dotgate_wire::planted!("cancelled-http-requests-are-borne");
        let is_flood = asks_little || cancels_most;
        if is_flood && self.end.is_none() {
            self.finish(HttpEnd::Flood);
        }
    }

    fn finish(&mut self, end: HttpEnd) {
        self.end = Some(end);
        self.connection = Connection::Over;
        self.tasks = Tasks::new(Begun::default());
    }
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .half_close(true)
        .header_read_timeout(None)
        .max_headers(limits::HEADER_FIELDS)
        .max_buf_size(limits::HEADER_BYTES);
    builder
}

fn http2(tasks: &Tasks) -> http2::Builder<Begun> {
    let mut builder = http2::Builder::new(tasks.begun.clone());
    builder
        .max_concurrent_streams(limits::STREAMS)
        .max_header_list_size(limits::HEADER_BYTES as u32)
        .initial_stream_window_size(limits::WINDOW_BYTES / 2)
        .initial_connection_window_size(limits::WINDOW_BYTES)
        .max_pending_accept_reset_streams(limits::RESETS)
        .max_local_error_reset_streams(limits::RESETS)
        .max_send_buf_size(limits::OUTPUT_BYTES);
    builder
}

/// Answers the requests of one connection.
#[derive(Clone)]
struct Service {
    desk: Arc<Desk>,
    is_ending: Arc<AtomicBool>,
    trust: Option<Trust>,
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request).await) })
    }
}

impl Service {
    async fn answer(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let version = request.version();
        let result = self.ask(request).await;
        let mut response = match result {
            Ok(answer) => {
                self.desk.count(Status::Ok);
                with_message(answer)
            }
            Err(status) => {
                self.desk.count(status);
                without_message(status)
            }
        };
        // HTTP/2 says it in a frame.
        if version < Version::HTTP_2 && self.is_ending.load(Ordering::Relaxed) {
            let headers = response.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn ask(&self, request: Request<Incoming>) -> Result<Answer, Status> {
        let (client, message) = request::read(request, self.trust.as_deref()).await?;
        let ticket = self.desk.ask(client, message);
        Ok(ticket.ok_or(Status::Unavailable)?.await)
    }
}

fn with_message(answer: Answer) -> Response<Full<Bytes>> {
    let lifetime = format!("max-age={}", answer.fresh);
    let mut response = Response::new(Full::new(answer.message));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    if let Ok(lifetime) = HeaderValue::try_from(lifetime) {
        headers.insert(CACHE_CONTROL, lifetime);
    }
    response
}

fn without_message(status: Status) -> Response<Full<Bytes>> {
    let (code, text) = match status {
        Status::Ok => (StatusCode::OK, ""),
        Status::BadRequest => (
            StatusCode::BAD_REQUEST,
            "expected one DNS query: GET with ?dns= and base64url without padding, or POST\n",
        ),
        Status::NotFound => (
            StatusCode::NOT_FOUND,
            "DNS queries are answered at /dns-query\n",
        ),
        Status::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "expected GET or POST\n"),
        Status::ContentTooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "a DNS message has at most 65535 bytes\n",
        ),
        Status::UnsupportedMediaType => (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "expected content-type: application/dns-message\n",
        ),
        Status::Unavailable => (
            StatusCode::SERVICE_UNAVAILABLE,
            "too many queries of this connection wait for a response\n",
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    match status {
        Status::MethodNotAllowed => {
            headers.insert(ALLOW, HeaderValue::from_static("GET, POST"));
        }
        Status::Unavailable => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}
