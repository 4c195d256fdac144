//! A response that has no end: server-sent events, one after the other.
//!
//! Limits: `WAIT` without a byte, `LINE_BYTES` in a line.

use std::io::{BufRead, BufReader, Read as _};
use std::time::Duration;

use dotgate_config::ClientConfig;

use super::{ClientError, HttpResponse, Opened, Request, open};

/// The longest time without a byte; the other end sends something every 2 seconds.
const WAIT: Duration = Duration::from_secs(10);

/// The longest line.
const LINE_BYTES: u64 = 64 * 1024;

/// What came of it.
pub(crate) enum Followed {
    /// Something else than a stream was answered.
    Refused(HttpResponse),
    /// The stream has ended, or broke off.
    Ended,
}

/// Asks the running instance for a stream, and takes each event: its name and its data.
///
/// # Errors
/// [`ClientError`] if there is no stream; those of `take`.
pub(crate) fn follow<E: From<ClientError>>(
    config: &ClientConfig,
    path: &str,
    mut take: impl FnMut(&str, &str) -> Result<(), E>,
) -> Result<Followed, E> {
    let Opened {
        mut stream,
        text,
        place,
    } = open(config, Request::Follow(path))?;
    let asked = stream
        .bound(WAIT)
        .and_then(|()| stream.write_all(text.as_bytes()));
    if let Err(error) = asked {
        return Err(place.failed(error).into());
    }
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while let Some(line) = next_line(&mut stream).filter(|line| !line.is_empty()) {
        head.push_str(&line);
        head.push('\n');
        if head.len() as u64 > LINE_BYTES {
            return Err(place.not_http().into());
        }
    }
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
    let Some(status) = status.filter(|_| head.starts_with("HTTP/1.")) else {
        return Err(place.not_http().into());
    };
    if status != 200 {
        let mut body = String::new();
        // Its beginning is enough to say what is wrong.
        drop(stream.take(LINE_BYTES).read_to_string(&mut body));
        return Ok(Followed::Refused(HttpResponse { status, body }));
    }
    let mut event = String::new();
    while let Some(line) = next_line(&mut stream) {
        match line.split_once(": ") {
            Some(("event", name)) => event = name.to_owned(),
            Some(("data", data)) => take(&event, data)?,
            _ => {}
        }
    }
    Ok(Followed::Ended)
}

/// The next line without its end; none at the end of the stream, whatever ended it.
fn next_line(stream: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let length = stream.take(LINE_BYTES).read_line(&mut line).ok()?;
    (length > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}
