//! A snapshot as bytes, written and read as a stream.
//!
//! ```text
//! magic      8   "dotgateC"
//! version    2   2
//! written    8   milliseconds since 1970
//! entry      4   how long it is, not 0; then the entry, see `dotgate_core::cache::SavedEntry`
//! ...
//! end        4   0
//! SHA-256   32   of all bytes before it
//! ```
//!
//! Numbers are big-endian. Nothing is taken from a file before its sum is found right; the sum detects damage, not
//! who wrote it, so every entry is then checked by `dotgate_core::CacheImporter` nevertheless. Memory: one entry.

use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use dotgate_core::cache::SavedEntry;
use thiserror::Error;

/// What a snapshot begins with.
pub(super) const MAGIC: [u8; 8] = *b"dotgateC";

/// The form of all that follows.
const VERSION: u16 = 2;

const HEADER_LEN: usize = 18;

/// What ends the entries.
const END: [u8; 4] = [0; 4];

/// Bytes summed at once.
const CHUNK_LEN: usize = 64 * 1024;

/// Why bytes are not a snapshot to be read.
#[derive(Debug, Error)]
pub(super) enum Unreadable {
    /// It does not begin as one.
    #[error("it is not a snapshot of dotgate's cache; name another file, or remove it")]
    Foreign,
    /// It is one of another version of the program.
    #[error(
        "another version of dotgate wrote it, in form {found}, and this one reads form {VERSION}; it is replaced at \
         the next stop"
    )]
    Version {
        /// Its form.
        found: u16,
    },
    /// It is not as it was written.
    #[error(
        "it is damaged or cut short, its SHA-256 sum is wrong; it is replaced at the next stop. If this happens \
         again, check the disk"
    )]
    Damaged,
    /// The system's words.
    #[error("{0}; check the file and its folder")]
    Io(#[from] io::Error),
}

/// A snapshot on its way out.
pub(super) struct Writing<W> {
    out: W,
    sum: Context,
    entries: usize,
    encoded: Vec<u8>,
}

impl<W: Write> Writing<W> {
    /// Begins one that is written at this time, in milliseconds since 1970.
    pub(super) fn begin(out: W, written_at: u64) -> io::Result<Writing<W>> {
        let mut writing = Writing {
            out,
            sum: Context::new(&SHA256),
            entries: 0,
            encoded: Vec::new(),
        };
        writing.put(&MAGIC)?;
        writing.put(&VERSION.to_be_bytes())?;
        writing.put(&written_at.to_be_bytes())?;
        Ok(writing)
    }

    pub(super) fn entry(&mut self, entry: &SavedEntry<'_>) -> io::Result<()> {
        let mut encoded = std::mem::take(&mut self.encoded);
        encoded.clear();
        entry.write(&mut encoded);
        let length = u32::try_from(encoded.len()).map_err(|_| ErrorKind::FileTooLarge)?;
        self.put(&length.to_be_bytes())?;
        self.put(&encoded)?;
        self.encoded = encoded;
        self.entries += 1;
        Ok(())
    }

    /// Ends it and returns how many entries there are.
    pub(super) fn end(mut self) -> io::Result<usize> {
        self.put(&END)?;
        self.out.write_all(self.sum.finish().as_ref())?;
        self.out.flush()?;
        Ok(self.entries)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.out.write_all(bytes)
    }
}

/// A snapshot whose sum is right.
#[derive(Debug)]
pub(super) struct Verified<F> {
    file: F,
    written_at: u64,
    /// Bytes from the first entry to the sum.
    length: u64,
}

impl<F: Read + Seek> Verified<F> {
    /// Reads all `length` bytes of `file` once, and sums them.
    pub(super) fn verify(mut file: F, length: u64) -> Result<Verified<F>, Unreadable> {
        let mut header = Vec::new();
        file.by_ref()
            .take(HEADER_LEN as u64)
            .read_to_end(&mut header)?;
        let Some(rest) = header.strip_prefix(&MAGIC) else {
            return Err(Unreadable::Foreign);
        };
        let (version, time) = rest.split_first_chunk().ok_or(Unreadable::Damaged)?;
        let found = u16::from_be_bytes(*version);
        if found != VERSION {
            return Err(Unreadable::Version { found });
        }
        let written_at = time.try_into().map_err(|_| Unreadable::Damaged)?;
        let overhead = (HEADER_LEN + SHA256_OUTPUT_LEN) as u64;
        let length = length.checked_sub(overhead).ok_or(Unreadable::Damaged)?;
        let mut sum = Context::new(&SHA256);
        sum.update(&header);
        let (mut left, mut chunk) = (length, vec![0; CHUNK_LEN]);
        while left > 0 {
            let wanted = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let chunk = chunk.get_mut(..wanted).unwrap_or_default();
            file.read_exact(chunk).map_err(cut_short)?;
            sum.update(chunk);
            left -= wanted as u64;
        }
        let mut written = [0; SHA256_OUTPUT_LEN];
        file.read_exact(&mut written).map_err(cut_short)?;
        if sum.finish().as_ref() != written {
            return Err(Unreadable::Damaged);
        }
        Ok(Verified {
            file,
            written_at: u64::from_be_bytes(written_at),
            length,
        })
    }

    /// When it was written, in milliseconds since 1970.
    pub(super) fn written_at(&self) -> u64 {
        self.written_at
    }

    /// Reads it once more and calls `each` with each entry; what is none is left out.
    pub(super) fn read(mut self, mut each: impl FnMut(SavedEntry<'_>)) -> Result<(), Unreadable> {
        self.file.seek(SeekFrom::Start(HEADER_LEN as u64))?;
        let mut entries = BufReader::new(self.file.take(self.length));
        let mut bytes = Vec::new();
        loop {
            let mut length = [0; 4];
            entries.read_exact(&mut length).map_err(cut_short)?;
            if length == END {
                return Ok(());
            }
            let length = u32::from_be_bytes(length) as usize;
            if length > SavedEntry::BYTES_MAX {
                return Err(Unreadable::Damaged);
            }
            bytes.resize(length, 0);
            entries.read_exact(&mut bytes).map_err(cut_short)?;
            if let Some(entry) = SavedEntry::read(&bytes) {
                each(entry);
            }
        }
    }
}

/// The end of the file where more was to come is damage, all else the system's.
fn cut_short(error: io::Error) -> Unreadable {
    if error.kind() == ErrorKind::UnexpectedEof {
        Unreadable::Damaged
    } else {
        Unreadable::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::time::Duration;

    use dotgate_core::cache::Scope;

    use super::*;

    fn entry<'e>(name: &'e [u8], bytes: &'e [u8]) -> SavedEntry<'e> {
        SavedEntry {
            name,
            qtype: 1,
            qclass: 1,
            scope: Scope::Exact,
            dnssec_ok: false,
            checking_disabled: true,
            age: Duration::from_millis(1_500),
            ttl_seconds: 300,
            bytes,
        }
    }

    fn snapshot(entries: &[SavedEntry<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writing = Writing::begin(&mut bytes, 1_234).unwrap();
        for entry in entries {
            writing.entry(entry).unwrap();
        }
        assert_eq!(writing.end().unwrap(), entries.len());
        bytes
    }

    fn verify(bytes: &[u8]) -> Result<Verified<Cursor<&[u8]>>, Unreadable> {
        Verified::verify(Cursor::new(bytes), bytes.len() as u64)
    }

    #[test]
    fn what_was_written_is_read() {
        let long = vec![7; 60_000];
        for entries in [
            vec![],
            vec![entry(b"\x01a\0", b"one"), entry(b"\x01b\0", &long)],
            vec![entry(b"\x01a\0", &long); 5],
        ] {
            let bytes = snapshot(&entries);
            let verified = verify(&bytes).unwrap();
            assert_eq!(verified.written_at(), 1_234);
            let mut left = entries.iter();
            verified
                .read(|read| assert_eq!(Some(&read), left.next()))
                .unwrap();
            assert_eq!(left.next(), None);
        }
    }

    #[test]
    fn a_snapshot_with_any_bit_flipped_or_cut_anywhere_or_with_more_behind_it_is_refused() {
        let bytes = snapshot(&[entry(b"\x01a\0", b"one"), entry(b"\x01b\0", b"two")]);
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[place] ^= 1 << bit;
                let refusal = verify(&flipped).unwrap_err();
                assert_eq!(
                    (
                        matches!(refusal, Unreadable::Foreign),
                        matches!(refusal, Unreadable::Version { .. }),
                        matches!(refusal, Unreadable::Damaged),
                    ),
                    (place < 8, (8..10).contains(&place), place >= 10),
                    "bit {bit} of byte {place}: {refusal}"
                );
            }
            assert!(verify(&bytes[..place]).is_err(), "cut at {place}");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(matches!(verify(&longer), Err(Unreadable::Damaged)));
        assert!(matches!(verify(b""), Err(Unreadable::Foreign)));
    }
}
