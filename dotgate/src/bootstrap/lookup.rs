//! One lookup: both address types of a name, asked of each resolver in turn until one answers.
//!
//! It is between the search and the sockets. Each question has an ID of the system's randomness and a socket, and
//! so a port, of its own; what does not answer it is passed over while its time lasts (RFC 5452 section 9).
//! It never asks a resolver twice, but for what was truncated (RFC 7766 section 5).

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use domain::base::iana::{Rcode, Rtype};
use domain::base::wire::ParseError;
use domain::base::{Message, Name};
use dotgate_config::ScopedSocketAddress;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::message::{Found, LookupResponse, Query};

/// Room for a datagram: without EDNS one has at most 512 bytes (RFC 1035 section 4.2.1), and more is no answer.
const DATAGRAM_MAX: usize = 4_096;

/// Why a resolver did not give addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupFault {
    /// There is no randomness, or no resolver, or the name cannot be asked about.
    CannotAsk,
    /// The TCP connection for a truncated answer ended early.
    Closed,
    /// The name has no address.
    NoAddress,
    /// The resolver designates no endpoint for DNS over TLS.
    NotDesignated,
    /// The answer has no meaning, over TCP.
    Malformed,
    /// The resolver answered with an error.
    Rcode(Rcode),
    /// No answer came in time.
    TimedOut,
    /// The system refused.
    System(ErrorKind),
}

impl fmt::Display for LookupFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LookupFault::CannotAsk => out.write_str("nobody can be asked"),
            LookupFault::Closed => out.write_str("closed the connection"),
            LookupFault::NoAddress => out.write_str("the name has no address"),
            LookupFault::NotDesignated => {
                out.write_str("designates no endpoint for DNS over TLS (RFC 9462)")
            }
            LookupFault::Malformed => out.write_str("malformed answer"),
            LookupFault::Rcode(rcode) => write!(out, "answered {rcode}"),
            LookupFault::TimedOut => out.write_str("no answer in time"),
            LookupFault::System(kind) => write!(out, "{kind}"),
        }
    }
}

/// Why a name was not resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupError {
    /// The resolver that failed last; `None` where no single one did.
    pub resolver: Option<ScopedSocketAddress>,
    /// What happened there.
    pub fault: LookupFault,
}

impl LookupError {
    pub(crate) const NO_ADDRESS: LookupError = LookupError {
        resolver: None,
        fault: LookupFault::NoAddress,
    };

    pub(super) const UNASKABLE: LookupError = LookupError {
        resolver: None,
        fault: LookupFault::CannotAsk,
    };
}

impl fmt::Display for LookupError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.resolver {
            Some(resolver) => write!(out, "{resolver}: {}", self.fault),
            None => write!(out, "{}", self.fault),
        }
    }
}

impl std::error::Error for LookupError {}

/// What both questions brought.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) ipv4: Result<Found, LookupError>,
    pub(super) ipv6: Result<Found, LookupError>,
}

/// A name and who is asked for it.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) name: Name<Vec<u8>>,
    pub(super) resolvers: Vec<ScopedSocketAddress>,
    /// For one resolver and question.
    pub(super) wait: Duration,
}

impl Lookup {
    pub(super) async fn run(&self) -> Outcome {
        let (ipv4, ipv6) = tokio::join!(self.ask_in_turn(Rtype::A), self.ask_in_turn(Rtype::AAAA));
        Outcome { ipv4, ipv6 }
    }

    async fn ask_in_turn(&self, qtype: Rtype) -> Result<Found, LookupError> {
        let mut last = LookupError::UNASKABLE;
        for resolver in &self.resolvers {
            let asked = ask(resolver, &self.name, qtype, self.wait, Query::addresses);
            match asked.await {
                Ok(found) => return Ok(found),
                Err(fault) => {
                    let resolver = Some(resolver.clone());
                    last = LookupError { resolver, fault };
                }
            }
        }
        Err(last)
    }
}

/// Asks a resolver one question, and again over TCP for what was truncated; `read` takes what is sought from the answer.
pub(super) async fn ask<T>(
    resolver: &ScopedSocketAddress,
    name: &Name<Vec<u8>>,
    qtype: Rtype,
    wait: Duration,
    read: impl Fn(&Query, &Message<&[u8]>) -> Result<T, ParseError>,
) -> Result<T, LookupFault> {
    let resolver = resolver.resolve().map_err(|error| system(error.into()))?;
    let asked = query(name, qtype)?;
    match limited(wait, by_udp(resolver, &asked, &read)).await? {
        LookupResponse::Found(found) => Ok(found),
        LookupResponse::Rcode(rcode) => Err(LookupFault::Rcode(rcode)),
        LookupResponse::Truncated => {
            let asked = query(name, qtype)?;
            match limited(wait, by_tcp(resolver, &asked, &read)).await? {
                LookupResponse::Found(found) => Ok(found),
                LookupResponse::Rcode(rcode) => Err(LookupFault::Rcode(rcode)),
                LookupResponse::Truncated => Err(LookupFault::Malformed),
            }
        }
    }
}

fn query(name: &Name<Vec<u8>>, qtype: Rtype) -> Result<Query, LookupFault> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(|_| LookupFault::CannotAsk)?;
    Query::new(u16::from_be_bytes(id), name, qtype).map_err(|_| LookupFault::CannotAsk)
}

async fn limited<T>(
    wait: Duration,
    exchange: impl Future<Output = Result<T, LookupFault>>,
) -> Result<T, LookupFault> {
    match timeout(wait, exchange).await {
        Ok(outcome) => outcome,
        Err(_) => Err(LookupFault::TimedOut),
    }
}

async fn by_udp<T>(
    resolver: SocketAddr,
    query: &Query,
    read: &impl Fn(&Query, &Message<&[u8]>) -> Result<T, ParseError>,
) -> Result<LookupResponse<T>, LookupFault> {
    let here: IpAddr = match resolver {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((here, 0)).await.map_err(system)?;
    // The kernel then passes on what comes from there alone.
    socket.connect(resolver).await.map_err(system)?;
    socket.send(query.as_bytes()).await.map_err(system)?;
    let mut buffer = [0; DATAGRAM_MAX];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(system)?;
        if let Some(reading) = query.read_with(buffer.get(..length).unwrap_or_default(), read) {
            return Ok(reading);
        }
    }
}

async fn by_tcp<T>(
    resolver: SocketAddr,
    query: &Query,
    read: &impl Fn(&Query, &Message<&[u8]>) -> Result<T, ParseError>,
) -> Result<LookupResponse<T>, LookupFault> {
    let stream = TcpStream::connect(resolver).await.map_err(system)?;
    let mut frame = Vec::new();
    dotgate_wire::write_framed(&mut frame, |out| out.extend_from_slice(query.as_bytes()));
    write_all(&stream, &frame).await?;
    let mut length = [0; 2];
    read_all(&stream, &mut length).await?;
    let mut response = vec![0; usize::from(u16::from_be_bytes(length))];
    read_all(&stream, &mut response).await?;
    query
        .read_with(&response, read)
        .ok_or(LookupFault::Malformed)
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> Result<(), LookupFault> {
    while !bytes.is_empty() {
        stream.writable().await.map_err(system)?;
        match stream.try_write(bytes) {
            Ok(length) => bytes = bytes.get(length..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(system(error)),
        }
    }
    Ok(())
}

async fn read_all(stream: &TcpStream, mut buffer: &mut [u8]) -> Result<(), LookupFault> {
    while !buffer.is_empty() {
        stream.readable().await.map_err(system)?;
        match stream.try_read(buffer) {
            Ok(0) => return Err(LookupFault::Closed),
            Ok(length) => buffer = buffer.get_mut(length..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(system(error)),
        }
    }
    Ok(())
}

fn system(error: io::Error) -> LookupFault {
    LookupFault::System(error.kind())
}
