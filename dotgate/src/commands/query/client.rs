//! A client of plain DNS that asks one question and waits for its response.
//!
//! It is before *listener*, where clients are. Each question has a random ID and a port of its own; what does
//! not answer it is passed over while time is left. It never asks twice and never changes the transport.
//! RFC 1035 section 4.2, RFC 5452 section 9, RFC 6891.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use domain::base::iana::Rtype;
use domain::base::message_builder::PushError;
use domain::base::{Message, MessageBuilder, Name, Question};
use dotgate_net::boottime_nanos;

/// The UDP payload size that the OPT record announces, in bytes (RFC 9715).
const UDP_SIZE: u16 = 1232;

/// Room for any datagram and any message, in bytes.
const MESSAGE_MAX: usize = 65_535;

/// What carries a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One datagram there, one back.
    Udp,
    /// A connection for this question alone.
    Tcp,
}

/// A question, and how it is asked. It has an OPT record, and AD set: whether data are authentic is of interest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryParameters {
    /// The name.
    pub name: Name<Vec<u8>>,
    /// The type.
    pub record_type: Rtype,
    /// What carries it.
    pub transport: Transport,
}

/// A response, with how it came.
#[derive(Clone, Debug)]
pub struct Response {
    /// The message: of the right ID, and for the right question.
    pub message: Message<Vec<u8>>,
    /// Who answered.
    pub server: SocketAddr,
    /// What carried it.
    pub transport: Transport,
    /// The time from the question to the response, a connection's set-up included.
    pub took: Duration,
}

/// Asks `server` and returns its response.
///
/// # Errors
/// `TimedOut` where no response to the question came within `wait`; else what the system says, and `InvalidData`
/// for a TCP response to something else.
pub fn ask(server: SocketAddr, asked: &QueryParameters, wait: Duration) -> io::Result<Response> {
    let start = boottime_nanos();
    let id = random_id()?;
    let query = query(id, asked)?;
    let deadline = Deadline {
        start,
        wait: u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX),
    };
    let message = match asked.transport {
        Transport::Udp => ask_by_udp(server, &query, deadline)?,
        Transport::Tcp => ask_by_tcp(server, &query, deadline)?,
    };
    Ok(Response {
        message,
        server,
        transport: asked.transport,
        took: Duration::from_nanos(boottime_nanos().saturating_sub(start)),
    })
}

/// When a wait ends, in nanoseconds of the boot-time clock.
#[derive(Clone, Copy)]
struct Deadline {
    start: u64,
    wait: u64,
}

impl Deadline {
    fn left(self) -> io::Result<Duration> {
        let passed = boottime_nanos().saturating_sub(self.start);
        match self.wait.saturating_sub(passed) {
            0 => Err(ErrorKind::TimedOut.into()),
            left => Ok(Duration::from_nanos(left)),
        }
    }
}

fn ask_by_udp(
    server: SocketAddr,
    query: &Message<Vec<u8>>,
    deadline: Deadline,
) -> io::Result<Message<Vec<u8>>> {
    let here: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((here, 0))?;
    // The kernel then passes on what comes from there alone.
    socket.connect(server)?;
    socket.send(query.as_slice())?;
    let mut buffer = vec![0; MESSAGE_MAX];
    loop {
        socket.set_read_timeout(Some(deadline.left()?))?;
        match socket.recv(&mut buffer) {
            Ok(length) => {
                if let Some(response) = response_to(query, &buffer[..length]) {
                    return Ok(response);
                }
            }
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn ask_by_tcp(
    server: SocketAddr,
    query: &Message<Vec<u8>>,
    deadline: Deadline,
) -> io::Result<Message<Vec<u8>>> {
    let mut stream = TcpStream::connect_timeout(&server, deadline.left()?)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(deadline.left()?))?;
    let mut frame = Vec::new();
    dotgate_wire::write_framed(&mut frame, |out| out.extend_from_slice(query.as_slice()));
    stream.write_all(&frame)?;
    let mut length = [0; 2];
    read_all(&mut stream, &mut length, deadline)?;
    let mut response = vec![0; usize::from(u16::from_be_bytes(length))];
    read_all(&mut stream, &mut response, deadline)?;
    response_to(query, &response).ok_or_else(|| ErrorKind::InvalidData.into())
}

fn read_all(stream: &mut TcpStream, buffer: &mut [u8], deadline: Deadline) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        stream.set_read_timeout(Some(deadline.left()?))?;
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => filled += length,
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether a read ended with nothing, by its time-out or a signal.
fn is_pause(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

/// The message in `bytes`, if it responds to `query`. Only an error may come without the question.
fn response_to(query: &Message<Vec<u8>>, bytes: &[u8]) -> Option<Message<Vec<u8>>> {
    let response = Message::from_octets(bytes.to_vec()).ok()?;
    let header = response.header();
    let is_ours = header.id() == query.header().id() && header.qr();
    let is_bare_error = header.rcode().to_int() != 0 && response.header_counts().qdcount() == 0;
    (is_ours && (is_bare_error || response.question() == query.question())).then_some(response)
}

/// The query with which something is asked.
pub(super) fn query(id: u16, asked: &QueryParameters) -> io::Result<Message<Vec<u8>>> {
    let build = || -> Result<Message<Vec<u8>>, PushError> {
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(id);
        builder.header_mut().set_rd(true);
        builder.header_mut().set_ad(true);
        let mut question = builder.question();
        question.push(Question::new_in(&asked.name, asked.record_type))?;
        let mut additional = question.additional();
        additional.opt(|opt| {
            opt.set_udp_payload_size(UDP_SIZE);
            Ok(())
        })?;
        Ok(additional.into_message())
    };
    build().map_err(|_| ErrorKind::InvalidInput.into())
}

fn random_id() -> io::Result<u16> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    Ok(u16::from_be_bytes(id))
}
