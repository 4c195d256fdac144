//! The ring of frames between a worker and the thread that writes them to the reader.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use dotgate_core::{Count, Engine, MessagePeer, Moment, TappedMessage};
use rtrb::chunks::ChunkError;
use rtrb::{Consumer, Producer, RingBuffer};

use super::message::{self, Peer};
use crate::upstreams::Upstreams;
use crate::views::wall_time::WallTime;

/// Bytes of a worker that may wait to be written. The system gives the memory when they are first used.
const RING: usize = 1 << 20;

/// A worker's end.
pub struct TapSender {
    frames: Producer<u8>,
    is_wanted: Arc<AtomicBool>,
    /// The frame under way.
    frame: Vec<u8>,
}

/// The other end.
pub struct TapReceiver(Consumer<u8>);

impl fmt::Debug for TapReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TapReceiver").finish_non_exhaustive()
    }
}

/// Makes a ring, for which messages are copied while `is_wanted`.
pub fn tap(is_wanted: &Arc<AtomicBool>) -> (TapSender, TapReceiver) {
    let (frames, consumer) = RingBuffer::new(RING);
    let sender = TapSender {
        frames,
        is_wanted: Arc::clone(is_wanted),
        frame: Vec::new(),
    };
    (sender, TapReceiver(consumer))
}

impl TapSender {
    /// Whether messages of this turn are to be copied.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Relaxed)
    }

    /// Sends the messages of a turn that ended at `now`.
    pub(crate) fn send(&mut self, engine: &mut Engine, upstreams: &Upstreams, now: Moment) {
        if !engine.clients().is_tapping() {
            return;
        }
        let at = WallTime::now().since_1970(now);
        let mut dropped = 0;
        let no_room = engine.take_tapped(|tapped| {
            self.write(&tapped, upstreams, at);
            dropped += u64::from(self.push().is_err());
        });
        engine
            .counters()
            .add_many(Count::DnstapMessagesDropped, dropped + no_room);
    }

    fn write(&mut self, tapped: &TappedMessage<'_>, upstreams: &Upstreams, at: (u64, u32)) {
        let peer = match tapped.peer {
            MessagePeer::Client(address, port, transport) => Peer {
                address: Some(address),
                port,
                protocol: transport.into(),
            },
            MessagePeer::Upstream(id, link) => {
                let upstream = upstreams.iter().find(|upstream| upstream.id() == id);
                let addresses = upstream.map(|upstream| upstream.addresses());
                Peer::upstream(&addresses.unwrap_or_default(), link)
            }
        };
        self.frame.clear();
        message::write(&mut self.frame, tapped.kind, &peer, at, tapped.bytes);
    }

    /// The frame goes in as a whole, or not at all.
    fn push(&mut self) -> Result<(), ChunkError> {
        let chunk = self.frames.write_chunk_uninit(self.frame.len())?;
        chunk.fill_from_iter(self.frame.iter().copied());
        Ok(())
    }
}

impl TapReceiver {
    /// Writes the frames that are there with `write`. Only whole frames are there.
    pub(super) fn read(
        &mut self,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let Ok(chunk) = self.0.read_chunk(self.0.slots()) else {
            return Ok(());
        };
        let (first, second) = chunk.as_slices();
        let written = write(first).and_then(|()| write(second));
        chunk.commit_all();
        written
    }

    /// Forgets the frames that are there.
    pub(super) fn discard(&mut self) {
        drop(self.read(|_| Ok(())));
    }
}
