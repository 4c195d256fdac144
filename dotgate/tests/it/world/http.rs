//! A client of the admin endpoint that says exactly what a test wants said.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::wait::BOUND;

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A connection to `address`.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream
}

/// Asks for a path.
pub(crate) fn get(address: SocketAddr, path: &str) -> Response {
    ask(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"),
    )
}

/// The value of a series on the page for scrapers; it must be there.
#[track_caller]
pub(crate) fn metric(admin: SocketAddr, series: &str) -> f64 {
    let page = get(admin, "/metrics").body;
    value_of(&page, series).unwrap_or_else(|| panic!("{series}: {page}"))
}

/// The same; none if it is not there yet.
pub(crate) fn metric_once_there(admin: SocketAddr, series: &str) -> Option<f64> {
    value_of(&get(admin, "/metrics").body, series)
}

/// The value of a series on a page for scrapers.
pub(crate) fn value_of(page: &str, series: &str) -> Option<f64> {
    let mut lines = page.lines();
    let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map(|value| value.parse().unwrap())
}

/// Posts a body, with further lines of the header, each with its end.
pub(crate) fn post(address: SocketAddr, path: &str, lines: &str, body: &str) -> Response {
    let length = body.len();
    ask(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{lines}\
             Content-Length: {length}\r\n\r\n{body}"
        ),
    )
}

/// Says all of `request` and reads until the connection ends.
pub(crate) fn ask(address: SocketAddr, request: &str) -> Response {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    receive(&mut stream)
}

/// Reads a response until the connection ends.
pub(crate) fn receive(stream: &mut TcpStream) -> Response {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a header");
    Response {
        status: head[9..12].parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
