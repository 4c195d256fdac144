//! The bytes of a connection in both directions, as what hyper reads and writes.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

use crate::limits;

#[derive(Default)]
pub(crate) struct Bytes {
    /// What the client sent, of which `read` bytes were read.
    pub(crate) input: Vec<u8>,
    pub(crate) read: usize,
    pub(crate) has_ended: bool,
    pub(crate) output: Vec<u8>,
}

impl Bytes {
    pub(crate) fn unread(&self) -> usize {
        self.input.len() - self.read
    }
}

/// Both ends share the bytes; only one thread ever holds them.
#[derive(Clone, Default)]
pub(crate) struct Pipe(Arc<Mutex<Bytes>>);

impl Pipe {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = self.lock();
        let unread = bytes.input.get(bytes.read..).unwrap_or_default();
        if unread.is_empty() {
            return match bytes.has_ended {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            };
        }
        let taken = unread.get(..buffer.remaining()).unwrap_or(unread);
        buffer.put_slice(taken);
        bytes.read += taken.len();
        if bytes.unread() == 0 {
            bytes.input.clear();
            bytes.read = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let output = &mut self.lock().output;
        let room = limits::OUTPUT_BYTES.saturating_sub(output.len());
        if room == 0 && !bytes.is_empty() {
            return Poll::Pending;
        }
        let taken = bytes.get(..room).unwrap_or(bytes);
        output.extend_from_slice(taken);
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
