//! Connections of HTTP clients: accepted, bounded, timed.
//!
//! Limits: `CONNECTIONS` at once, of which the oldest is closed for a new one, so that no client can exclude others by
//! holding on; a stream without end is not, because it needs the token and their number is bounded; a request's header
//! within `HEADER_WAIT`, which is also how long an idle connection is kept, and within `HEADER_BYTES`; a response
//! within `RESPONSE_WAIT`; a connection for `CONNECTION_MAX`, unless its response is a stream that has no end.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::endpoint::{Endpoint, Peer};
use super::response::{HasNoEnd, Response, words};
use super::routes::respond;
use crate::take_over::is_trusted;

/// Connections at once.
const CONNECTIONS: usize = 64;

/// What a client gets to send a request's header, from its connection or the response before.
const HEADER_WAIT: Duration = Duration::from_secs(5);

/// The longest header, in bytes, and the most lines of it.
const HEADER_BYTES: usize = 16 * 1024;
const HEADER_LINES: usize = 64;

/// What a response may take to be made; `/livez` and `/healthz` wait for two seconds at most.
const RESPONSE_WAIT: Duration = Duration::from_secs(5);

/// Maximum duration of a connection, and of the response that it is then sending.
const CONNECTION_MAX: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(5);

/// The pause after the system had no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// The connections that are open, oldest first.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<VecDeque<Open>>);

#[derive(Debug)]
struct Open {
    connection: AbortHandle,
    /// Whether its response has no end: those with the token alone have such, and few of them.
    has_no_end: Arc<AtomicBool>,
}

impl Connections {
    /// Serves one more; if there are too many, the oldest is closed whose response has an end.
    fn add<S>(&self, stream: S, endpoint: &Arc<Endpoint>, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let has_no_end = Arc::<AtomicBool>::default();
        let serving = serve(stream, Arc::clone(endpoint), peer, Arc::clone(&has_no_end));
        let connection = tokio::spawn(serving).abort_handle();
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|open| !open.connection.is_finished());
        let oldest = open.iter().position(|open| !open.has_no_end.load(Relaxed));
        if open.len() >= CONNECTIONS
            && let Some(oldest) = oldest.and_then(|oldest| open.remove(oldest))
        {
            oldest.connection.abort();
        }
        open.push_back(Open {
            connection,
            has_no_end,
        });
    }
}

/// Accepts connections until the runtime ends.
pub(super) async fn accept(
    listener: TcpListener,
    endpoint: Arc<Endpoint>,
    connections: Arc<Connections>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => connections.add(stream, &endpoint, Peer::Anybody),
            // The client has left already, or no descriptor is left, which passes.
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Accepts connections at the Unix socket until the runtime ends. Those of other users are closed at once.
pub(super) async fn accept_unix(
    listener: UnixListener,
    endpoint: Arc<Endpoint>,
    connections: Arc<Connections>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if stream.peer_cred().is_ok_and(|peer| is_trusted(peer.uid())) {
                    connections.add(stream, &endpoint, Peer::Owner);
                }
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve<S>(stream: S, endpoint: Arc<Endpoint>, peer: Peer, has_no_end: Arc<AtomicBool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| {
        let (endpoint, has_no_end) = (Arc::clone(&endpoint), &has_no_end);
        async move {
            let response = respond_in_time(&endpoint, peer, request).await;
            has_no_end.store(response.extensions().get::<HasNoEnd>().is_some(), Relaxed);
            Ok::<Response, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT)
        .max_headers(HEADER_LINES)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        // How it ended is the client's business.
        _ = connection.as_mut() => return,
        () = sleep(CONNECTION_MAX) => {}
    }
    if has_no_end.load(Relaxed) {
        drop(connection.await);
        return;
    }
    connection.as_mut().graceful_shutdown();
    drop(timeout(GRACE, connection).await);
}

async fn respond_in_time(endpoint: &Endpoint, peer: Peer, request: Request<Incoming>) -> Response {
    let response = timeout(RESPONSE_WAIT, respond(endpoint, peer, request)).await;
    response.unwrap_or_else(|_| {
        words(
            StatusCode::SERVICE_UNAVAILABLE,
            "this took too long; try again",
        )
    })
}
