//! Connections of HTTP clients: accepted, bounded, timed.
//!
//! Limits: `CONNECTIONS` at once, of which the oldest is closed for a new one, so that no client can exclude others by
//! holding on; a request's header within `HEADER_WAIT`, which is also how long an idle connection is kept, and within
//! `HEADER_BYTES`; a response within `RESPONSE_WAIT`; a connection for `CONNECTION_MAX`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;
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
use super::response::{Response, words};
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
pub(super) struct Connections(Mutex<VecDeque<AbortHandle>>);

impl Connections {
    /// Adds one; the oldest is closed if there are too many.
    fn add(&self, connection: AbortHandle) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(connection);
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
            Ok((stream, _)) => {
                let serving = serve(stream, Arc::clone(&endpoint), Peer::Anybody);
                let connection = tokio::spawn(serving);
                connections.add(connection.abort_handle());
            }
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
                    let serving = serve(stream, Arc::clone(&endpoint), Peer::Owner);
                    connections.add(tokio::spawn(serving).abort_handle());
                }
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve<S>(stream: S, endpoint: Arc<Endpoint>, peer: Peer)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(move |request| {
        let endpoint = Arc::clone(&endpoint);
        async move { Ok::<Response, Infallible>(respond_in_time(&endpoint, peer, request).await) }
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
    connection.as_mut().graceful_shutdown();
    drop(timeout(GRACE, connection).await);
}

async fn respond_in_time(endpoint: &Endpoint, peer: Peer, request: Request<Incoming>) -> Response {
    let response = timeout(RESPONSE_WAIT, respond(endpoint, peer, request)).await;
    response.unwrap_or_else(|_| {
        words(
            StatusCode::SERVICE_UNAVAILABLE,
            "this took too long; ask again",
        )
    })
}
