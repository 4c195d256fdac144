//! The other end of the admin endpoint: one request on one connection, for the commands that ask a running dotgate.
//! `follow` reads a response that has no end.
//! Its Unix socket comes first: it needs no token and belongs to this user or root. Where there is none, or it is not for
//! this user, the address is asked.
//!
//! Limits: `WAIT` for all of it, `RESPONSE_BYTES`.

mod follow;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dotgate_config::{ClientConfig, NoInterface, ScopedSocketAddress};
use dotgate_core::Moment;
use dotgate_net::Named;
use thiserror::Error;

pub(crate) use self::follow::{Followed, follow};
use super::listeners::{Listening, Trusted, listening_at};
use super::token::{Token, TokenError};
use crate::clock::now;

/// What a request and its response may take.
const WAIT: Duration = Duration::from_secs(6);

/// The longest response read, in bytes.
const RESPONSE_BYTES: u64 = 16 * 1024 * 1024;

/// Why there is no response.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The settings say that there is no endpoint.
    #[error("there is no admin endpoint: DOTGATE_ADMIN_LISTEN is off")]
    Off,
    /// The port was left to the system, which alone knows it.
    #[error("the admin endpoint's port is not known: DOTGATE_ADMIN_LISTEN has port 0")]
    PortUnknown,
    /// Its address is of an interface that is not there.
    #[error("the admin endpoint {address} (DOTGATE_ADMIN_LISTEN): {error}")]
    NoInterface {
        /// Where it was expected.
        address: String,
        /// The interface.
        error: NoInterface,
    },
    /// The endpoint cannot be reached, or does not answer.
    #[error("the admin endpoint {} (DOTGATE_ADMIN_LISTEN): {source}", Named(*.address))]
    Unreachable {
        /// Where it was expected.
        address: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
    /// The token would go to a process of another user.
    #[error(
        "the process at {address} (DOTGATE_ADMIN_LISTEN) belongs to user {user}, so the token was not sent\n  It is \
         sent only to processes of this user, of root or of the owner of DOTGATE_ADMIN_TOKEN_FILE. If that process is \
         dotgate, run this command as its user."
    )]
    Stranger {
        /// Where it listens.
        address: SocketAddr,
        /// Whose process it is.
        user: u32,
    },
    /// It is unknown which process would get the token.
    #[error(
        "cannot determine the user of the process at {0} (DOTGATE_ADMIN_LISTEN), so the token was not sent\n  Run \
         this command on the host, and in the container, in which dotgate runs."
    )]
    ListenerUnknown(SocketAddr),
    /// The endpoint at the Unix socket does not answer.
    #[error("the admin endpoint {} (DOTGATE_ADMIN_SOCKET): {source}", path.display())]
    Socket {
        /// Where it was expected.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Something else answers at the Unix socket.
    #[error("the server at {} (DOTGATE_ADMIN_SOCKET) is not dotgate", .0.display())]
    NotHttpAtSocket(PathBuf),
    /// There is no token to show.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Something else answers there.
    #[error("the server at {} (DOTGATE_ADMIN_LISTEN) is not dotgate", Named(*.0))]
    NotHttp(SocketAddr),
}

/// A request to the running instance.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// To read what everybody may.
    Read(&'a str),
    /// To read what only those with the token may.
    ReadWithToken(&'a str),
    /// To read a stream that only those with the token may.
    Follow(&'a str),
    /// A change: the path and the body.
    Change(&'a str, &'a str),
}

impl Request<'_> {
    fn needs_token(self) -> bool {
        match self {
            Request::Read(_) => false,
            Request::ReadWithToken(_) | Request::Follow(_) | Request::Change(..) => true,
        }
    }

    /// The request as HTTP has it.
    fn text(self, host: &str, token: Option<&Token>) -> String {
        let authorization = token.map_or_else(String::new, |token| {
            format!("Authorization: {}\r\n", token.authorization())
        });
        let fields = format!("Host: {host}\r\nConnection: close\r\n{authorization}");
        match self {
            Request::Read(path) | Request::ReadWithToken(path) => {
                format!("GET {path} HTTP/1.1\r\n{fields}\r\n")
            }
            // There a body of unknown length is not chunked.
            Request::Follow(path) => format!("GET {path} HTTP/1.0\r\n{fields}\r\n"),
            Request::Change(path, body) => {
                let length = body.len();
                format!("POST {path} HTTP/1.1\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
            }
        }
    }
}

/// A response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Asks the running instance.
///
/// # Errors
/// [`ClientError`]; a status that reports a failure is not an error.
pub fn ask(config: &ClientConfig, request: Request<'_>) -> Result<HttpResponse, ClientError> {
    let bound = now() + WAIT;
    let Opened {
        stream,
        text,
        place,
    } = open(config, request)?;
    match transfer(stream, &text, bound) {
        Ok(response) => read_response(&response).ok_or_else(|| place.not_http()),
        Err(error) => Err(place.failed(error)),
    }
}

/// A connection, and what is to be written to it.
struct Opened {
    stream: Box<dyn Bounded>,
    text: String,
    place: Place,
}

/// Where the running instance was reached.
enum Place {
    Socket(PathBuf),
    Address(SocketAddr),
}

impl Place {
    fn failed(self, source: io::Error) -> ClientError {
        match self {
            Place::Socket(path) => ClientError::Socket { path, source },
            Place::Address(address) => ClientError::Unreachable { address, source },
        }
    }

    fn not_http(self) -> ClientError {
        match self {
            Place::Socket(path) => ClientError::NotHttpAtSocket(path),
            Place::Address(address) => ClientError::NotHttp(address),
        }
    }
}

/// Connects to the running instance.
fn open(config: &ClientConfig, request: Request<'_>) -> Result<Opened, ClientError> {
    if let Some(socket) = &config.admin.socket
        && let Some(stream) = connect_to_socket(&socket.path)?
    {
        return Ok(Opened {
            stream: Box::new(stream),
            text: request.text("localhost", None),
            place: Place::Socket(socket.path.clone()),
        });
    }
    let address = endpoint(&config.admin.listen)?;
    let opened = |stream, proof| Opened {
        stream: Box::new(stream),
        text: request.text(&address.to_string(), proof),
        place: Place::Address(address),
    };
    let file = config.admin.token_file.as_deref();
    let Some(file) = file.filter(|_| request.needs_token()) else {
        return Ok(opened(connect(address, None)?, None));
    };
    let token = &Token::load(file)?;
    let trusted = &Trusted::with_token(file, config.take_over_socket.as_deref());
    let stream = connect(address, Some(trusted))?;
    Ok(opened(stream, Some(token)))
}

/// Connects to the Unix socket. None if no process listens, or not for this user.
fn connect_to_socket(path: &Path) -> Result<Option<UnixStream>, ClientError> {
    match UnixStream::connect(path) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            ErrorKind::NotFound
            | ErrorKind::ConnectionRefused
            | ErrorKind::PermissionDenied
            | ErrorKind::NotADirectory => Ok(None),
            _ => Err(Place::Socket(path.to_owned()).failed(error)),
        },
    }
}

/// Where to reach an endpoint that listens there: a wildcard is reached by loopback.
fn endpoint(listen: &[ScopedSocketAddress]) -> Result<SocketAddr, ClientError> {
    let listen = listen.first().ok_or(ClientError::Off)?;
    if listen.port() == 0 {
        return Err(ClientError::PortUnknown);
    }
    let mut address = listen.resolve().map_err(|error| ClientError::NoInterface {
        address: listen.to_string(),
        error,
    })?;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(address)
}

/// Connects to an address; to a process that may have the token only, if it is to be sent.
fn connect(address: SocketAddr, trusted: Option<&Trusted>) -> Result<TcpStream, ClientError> {
    // Asked before and after: who listens now is then who took the connection.
    if let Some(trusted) = trusted {
        match listening_at(address, trusted) {
            // The connection is refused, or ends on another host: both are seen below.
            Listening::Nobody | Listening::Trusted => {}
            Listening::Stranger(user) => return Err(ClientError::Stranger { address, user }),
            Listening::Unknown => return Err(ClientError::ListenerUnknown(address)),
        }
    }
    let stream = TcpStream::connect_timeout(&address, WAIT);
    let stream = stream.map_err(|source| ClientError::Unreachable { address, source })?;
    if let Some(trusted) = trusted {
        match listening_at(address, trusted) {
            Listening::Trusted => {}
            Listening::Stranger(user) => return Err(ClientError::Stranger { address, user }),
            Listening::Nobody | Listening::Unknown => {
                return Err(ClientError::ListenerUnknown(address));
            }
        }
    }
    Ok(stream)
}

/// A stream whose waits can be bounded.
trait Bounded: Read + Write {
    fn bound(&self, wait: Duration) -> io::Result<()>;
}

impl Bounded for TcpStream {
    fn bound(&self, wait: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(wait))?;
        self.set_read_timeout(Some(wait))
    }
}

impl Bounded for UnixStream {
    fn bound(&self, wait: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(wait))?;
        self.set_read_timeout(Some(wait))
    }
}

fn transfer(mut stream: Box<dyn Bounded>, request: &str, bound: Moment) -> io::Result<Vec<u8>> {
    let left = || bound.since(now()).max(Duration::from_millis(1));
    stream.bound(left())?;
    stream.write_all(request.as_bytes())?;
    let mut response = Vec::new();
    let mut piece = [0; 4096];
    loop {
        stream.bound(left())?;
        let length = match stream.read(&mut piece) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(io::Error::new(ErrorKind::TimedOut, "no response in time"));
            }
            Err(error) => return Err(error),
        };
        response.extend_from_slice(piece.get(..length).unwrap_or_default());
        if length == 0 || response.len() as u64 > RESPONSE_BYTES {
            return Ok(response);
        }
        if now() >= bound {
            return Err(io::Error::new(ErrorKind::TimedOut, "no response in time"));
        }
    }
}

/// Reads a response whose end is the end of its connection.
fn read_response(bytes: &[u8]) -> Option<HttpResponse> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some(HttpResponse {
        status,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_reached_by_loopback() {
        let reached = |listen: &str| endpoint(&[listen.parse().unwrap()]).unwrap().to_string();
        assert_eq!(reached("0.0.0.0:9153"), "127.0.0.1:9153");
        assert_eq!(reached("[::]:9153"), "[::1]:9153");
        assert_eq!(reached("192.0.2.1:80"), "192.0.2.1:80");
        let missing = endpoint(&["[fe80::1%no-such-if]:80".parse().unwrap()]);
        let missing = missing.unwrap_err().to_string();
        let expected = "the admin endpoint [fe80::1%no-such-if]:80 (DOTGATE_ADMIN_LISTEN): \
                        the interface no-such-if does not exist";
        assert_eq!(missing, expected);
        assert!(matches!(endpoint(&[]), Err(ClientError::Off)));
        let unknown = endpoint(&["127.0.0.1:0".parse().unwrap()]);
        assert!(matches!(unknown, Err(ClientError::PortUnknown)));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_of_another_user_does_not_get_the_token() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let trusted = &Trusted::Users(Vec::new());
        let outcome = connect(address, Some(trusted));
        assert!(
            matches!(outcome, Err(ClientError::Stranger { .. })),
            "{outcome:?}"
        );
        assert!(listener.accept().is_err(), "not even a connection");
    }

    #[test]
    fn what_is_no_response_is_none() {
        for bytes in [
            &b""[..],
            b"SSH-2.0\r\n\r\n",
            b"HTTP/1.1 2",
            b"HTTP/1.1 200 OK\r\n",
        ] {
            assert_eq!(read_response(bytes), None);
        }
        let body = "yes".to_owned();
        let response = HttpResponse { status: 200, body };
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";
        assert_eq!(read_response(bytes), Some(response));
    }
}
