//! One connection of the embedded resolver: TLS, framing, and answers in the order they are ready.
//!
//! It is on the far side of a *session*. It blocks in its own thread and wakes for what the client
//! sends and for the next late answer. RFC 7766 sections 6.2.1.1, 7 and 8; RFC 7858 section 3.3.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dotgate_net::boottime_nanos;
use rustls::{ServerConfig, ServerConnection};

use super::zone::{Speed, answer};
use super::{Counters, ResolverError};

/// Idle timeout of a connection.
const IDLE: Duration = Duration::from_secs(30);

/// How long a client may take nothing of what it is sent.
const SEND: Duration = Duration::from_secs(5);

/// Answers that wait to be late; beyond that they are on time.
const MAX_LATE: usize = 4096;

/// A connection and all it owns.
pub(super) struct Connection {
    stream: TcpStream,
    tls: ServerConnection,
    slow: Duration,
    counters: Arc<Counters>,
    /// Plaintext that is not a whole frame yet.
    partial: Vec<u8>,
    /// Frames with the moment, in nanoseconds, at which they leave; in that order, as all wait equally long.
    late: VecDeque<(u64, Vec<u8>)>,
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        tls: Arc<ServerConfig>,
        slow: Duration,
        counters: Arc<Counters>,
    ) -> Result<Self, ResolverError> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(SEND))?;
        let mut tls = ServerConnection::new(tls)?;
        // What the client does not take is bounded by the write's time-out, not in bytes.
        tls.set_buffer_limit(None);
        let late = VecDeque::new();
        Ok(Self {
            stream,
            tls,
            slow,
            counters,
            partial: Vec::new(),
            late,
        })
    }

    /// Serves until the client closes, misbehaves or is idle for too long.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; 65_536];
        loop {
            let mut frames = self.due();
            self.send(&mut frames)?;
            self.stream.set_read_timeout(Some(self.wait()))?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => {
                    self.receive(&buffer[..length], &mut frames)?;
                    self.send(&mut frames)?;
                }
                Err(error) if is_timeout(&error) && self.late.is_empty() => return self.close(),
                Err(error) if is_timeout(&error) || error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The late answers whose time has come.
    fn due(&mut self) -> Vec<u8> {
        let now = boottime_nanos();
        let due = self
            .late
            .iter()
            .take_while(|(moment, _)| *moment <= now)
            .count();
        let mut frames = Vec::new();
        for (_, frame) in self.late.drain(..due) {
            frames.extend_from_slice(&frame);
        }
        frames
    }

    /// How long to wait for the client: at least a millisecond, as zero would mean no timeout.
    fn wait(&self) -> Duration {
        let Some((moment, _)) = self.late.front() else {
            return IDLE;
        };
        let left = Duration::from_nanos(moment.saturating_sub(boottime_nanos()));
        left.max(Duration::from_millis(1))
    }

    fn receive(&mut self, mut bytes: &[u8], frames: &mut Vec<u8>) -> io::Result<()> {
        while !bytes.is_empty() && self.tls.read_tls(&mut bytes)? > 0 {
            let outcome = self.tls.process_new_packets();
            if let Err(error) = outcome {
                // The alert is a courtesy.
                drop(self.tls.write_tls(&mut self.stream));
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
            let mut reader = self.tls.reader();
            while let Ok(plaintext) = io::BufRead::fill_buf(&mut reader) {
                let length = plaintext.len();
                if length == 0 {
                    break;
                }
                self.partial.extend_from_slice(plaintext);
                io::BufRead::consume(&mut reader, length);
            }
        }
        let taken = self.answer_whole_frames(frames)?;
        self.partial.drain(..taken);
        Ok(())
    }

    /// Answers every whole frame and returns how many bytes they had.
    fn answer_whole_frames(&mut self, frames: &mut Vec<u8>) -> io::Result<usize> {
        let mut taken = 0;
        while let Some((length, rest)) = self.partial[taken..].split_first_chunk() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some(query) = rest.get(..length) else {
                break;
            };
            taken += 2 + length;
            self.counters.queries.fetch_add(1, Ordering::Relaxed);
            let Some((message, speed)) = answer(query) else {
                return Err(io::Error::from(ErrorKind::InvalidData));
            };
            let Ok(length) = u16::try_from(message.len()) else {
                return Err(io::Error::from(ErrorKind::InvalidData));
            };
            let frame = [&length.to_be_bytes()[..], &message].concat();
            match speed {
                Speed::Late if self.late.len() < MAX_LATE => {
                    let slow = u64::try_from(self.slow.as_nanos()).unwrap_or(u64::MAX);
                    self.late
                        .push_back((boottime_nanos().saturating_add(slow), frame));
                }
                Speed::Late | Speed::AtOnce => frames.extend_from_slice(&frame),
            }
        }
        Ok(taken)
    }

    /// Sends the frames, and what the handshake has to say.
    fn send(&mut self, frames: &mut Vec<u8>) -> io::Result<()> {
        self.tls.writer().write_all(frames)?;
        frames.clear();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.stream)?;
        }
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.tls.send_close_notify();
        self.send(&mut Vec::new())
    }
}

/// The read's time-out has either kind, by the system.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
