//! An answer in the form that a cache stores: bytes that can be sent without parsing.
//!
//! Written once when an answer is cached, read on every hit; between them the bytes are opaque. They
//! are an internal header, the places of all TTLs, which records are a set of addresses if there is one, an Extended DNS
//! Error if there was one, and the message without its OPT record. Never checked again as a message: they come from
//! [`UpstreamResponse::store`] alone, and what was saved elsewhere meanwhile is loaded as an answer first.
//!
//! Limits: those of an answer. Follows RFC 1035 section 3.2.1 and RFC 8767 section 4 (TTLs only
//! count down), RFC 6840 section 5.8 (AD).

mod local;

use core::ops::{Range, RangeInclusive};

use crate::answer::{Entry, TTL_MAX, UpstreamResponse};
use crate::bytes::{length_u16, put_u16, put_u32, set_u16, set_u32, u16_at, u32_at};
use crate::consts::{ede as ede_codes, rcode as rcodes, rtype};
use crate::header::{FLAGS_AT, Flags, HEADER_LEN, Header, QDCOUNT_AT};
use crate::name;
use crate::parts::MessageParts;
use crate::question::{Question, TYPE_AND_CLASS_LEN};
use crate::respond::Ede;

pub use local::{LocalResponse, LocalSet, store_joined, store_local};

/// Bytes of our header: the ends of the authority section and of the message, RCODE and
/// [`HAS_EDE`], how many TTLs there are.
const OWN_HEADER_LEN: usize = 8;

/// The RCODE in its field.
const RCODE: u16 = 0x0fff;

/// Marks in the RCODE's field that an Extended DNS Error follows.
const HAS_EDE: u16 = 0x8000;

/// Marks there that the set of addresses follows: the number of its first record, and of its records.
const HAS_ADDRESSES: u16 = 0x4000;

/// Marks there that the answer is of local data.
const IS_LOCAL: u16 = 0x2000;

/// Marks there that the number follows under which the answer was judged.
const IS_JUDGED: u16 = 0x1000;

/// Marks of what follows the TTLs' places.
const HAS_MORE: u16 = HAS_ADDRESSES | IS_JUDGED | HAS_EDE;

/// Bytes between a record's TTL and its RDATA.
const TTL_TO_RDATA: usize = 6;

/// The most addresses of a set that change places.
const ROTATED_MAX: usize = 256;

/// Bytes of one TTL's place.
const PLACE_LEN: usize = 2;

/// The current TTLs of a cached answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ttls {
    /// Each is lower by these seconds, and at least 0.
    CountedDown(u32),
    /// All are these seconds (RFC 8767 section 4: 30 for stale answers).
    All(u32),
}

/// Optional parts of a cached answer.
#[derive(Default)]
struct More<'a> {
    addresses: &'a [u8],
    ede: Option<Ede<'a>>,
}

impl<'a> More<'a> {
    /// Reads it by the marks, from in front of the message; returns the message, too.
    fn read(marks: u16, places: &'a [u8], mut rest: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut more = Self::default();
        if marks & HAS_ADDRESSES != 0 {
            let first = usize::from(u16_at(rest, 0)?) * PLACE_LEN;
            let length = usize::from(u16_at(rest, 2)?) * PLACE_LEN;
            more.addresses = places.get(first..first + length)?;
            rest = rest.get(4..)?;
        }
        if marks & IS_JUDGED != 0 {
            rest = rest.get(4..)?;
        }
        if marks & HAS_EDE != 0 {
            let code = u16_at(rest, 0)?;
            let length = usize::from(u16_at(rest, 2)?);
            let (text, behind) = rest.get(4..)?.split_at_checked(length)?;
            let text = str::from_utf8(text).ok()?;
            (more.ede, rest) = (Some(Ede { code, text }), behind);
        }
        Some((more, rest))
    }
}

/// A view of a cached answer.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    authority_end: usize,
    rcode: u16,
    places: &'a [u8],
    /// The places of the set of addresses, empty if there is none.
    addresses: &'a [u8],
    /// How often the addresses were given before.
    turn: u32,
    ede: Option<Ede<'a>>,
    is_local: bool,
    body: &'a [u8],
}

impl<'a> Stored<'a> {
    /// Views bytes that [`UpstreamResponse::store`], [`store_failure`], [`store_local`] or [`store_joined`] wrote; `None` for
    /// others, as far as that can be seen.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let authority_end = usize::from(u16_at(bytes, 0)?);
        let body_len = usize::from(u16_at(bytes, 2)?);
        let rcode = u16_at(bytes, 4)?;
        let places_len = usize::from(u16_at(bytes, 6)?) * PLACE_LEN;
        let (places, mut rest) = bytes.get(OWN_HEADER_LEN..)?.split_at_checked(places_len)?;
        let mut more = More::default();
        if rcode & HAS_MORE != 0 {
            (more, rest) = More::read(rcode, places, rest)?;
        }
        (rest.len() == body_len && body_len >= HEADER_LEN).then_some(Self {
            authority_end,
            rcode: rcode & RCODE,
            places,
            addresses: more.addresses,
            turn: 0,
            ede: more.ede,
            is_local: rcode & IS_LOCAL != 0,
            body: rest,
        })
    }

    /// Has its addresses begin with another one in each turn, in an order that does not depend on how many turns are
    /// taken by other answers. Turn 0 leaves them as they came.
    #[must_use]
    pub fn rotated(self, turn: u32) -> Self {
        Self { turn, ..self }
    }

    /// Returns the Extended DNS Error that came with it.
    pub fn ede(&self) -> Option<Ede<'a>> {
        self.ede
    }

    /// Returns the response code of 12 bits.
    pub fn rcode(&self) -> u16 {
        self.rcode
    }

    /// Returns the message, without an OPT record and with the TTLs it was cached with.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Returns the message with its TTLs counted down by `age` seconds.
    pub fn aged_body(&self, age: u32) -> Vec<u8> {
        let mut body = self.body.to_vec();
        for place in places_in(self.places) {
            if let Some(ttl) = u32_at(&body, place) {
                set_u32(&mut body, place, ttl.saturating_sub(age));
            }
        }
        body
    }

    /// Returns the message as an upstream would have sent it, an RCODE of 4 bits in its header.
    pub fn response(&self) -> Vec<u8> {
        let mut message = self.body.to_vec();
        let flags = u16_at(&message, FLAGS_AT).unwrap_or_default();
        set_u16(&mut message, FLAGS_AT, (flags & !0xf) | (self.rcode & 0xf));
        message
    }

    /// Returns whether it is cached for this question, whatever the letter case.
    pub fn answers(&self, question: &Question) -> bool {
        let end = HEADER_LEN + question.as_bytes().len();
        self.body
            .get(HEADER_LEN..end)
            .is_some_and(|exact| question.matches(exact))
    }

    /// Returns the exact bytes of its question.
    pub fn question(&self) -> &'a [u8] {
        let name_end = name::find_end(self.body, HEADER_LEN).unwrap_or(self.body.len());
        let end = name_end + TYPE_AND_CLASS_LEN;
        self.body.get(HEADER_LEN..end).unwrap_or_default()
    }

    /// Returns the EDE of a stale answer (RFC 8914 sections 4.4 and 4.20).
    pub fn stale_ede(&self) -> u16 {
        if self.rcode == rcodes::NXDOMAIN {
            ede_codes::STALE_NXDOMAIN_ANSWER
        } else {
            ede_codes::STALE_ANSWER
        }
    }

    pub(crate) fn parts(&self, question_len: usize) -> MessageParts<'a> {
        let flags = Header::read(self.body).map_or(Flags(0), |header| header.flags);
        MessageParts {
            body: self.body,
            question_end: (HEADER_LEN + question_len).min(self.body.len()),
            authority_end: self.authority_end,
            rcode: self.rcode,
            is_authentic: flags.authentic_data(),
            is_truncated: false,
            is_local: self.is_local,
        }
    }

    /// Sets the TTLs of a message that begins as the cached one does.
    pub(crate) fn set_ttls(&self, message: &mut [u8], ttls: Ttls) {
        for at in places_in(self.places) {
            let Some(cached) = u32_at(message, at) else {
                // The places are in order, and the rest was cut.
                return;
            };
            let ttl = match ttls {
                Ttls::CountedDown(seconds) => cached.saturating_sub(seconds),
                Ttls::All(seconds) => seconds,
            };
            set_u32(message, at, ttl);
        }
    }
}

impl Stored<'_> {
    /// Moves the RDATA of the addresses on, in a message that begins as the cached one does. All else of an address's
    /// record is the same in each of the set.
    pub(crate) fn rotate_addresses(&self, message: &mut [u8]) {
        let count = self.addresses.len() / PLACE_LEN;
        if self.turn == 0 || count < 2 {
            return;
        }
        let first = first_of_turn(self.turn, count);
        let (before, after) = self.addresses.split_at(first * PLACE_LEN);
        let from = places_in(after).chain(places_in(before));
        for (to, from) in places_in(self.addresses).zip(from) {
            let length = usize::from(u16_at(self.body, to + TTL_TO_RDATA - 2).unwrap_or_default());
            let (to, from) = (to + TTL_TO_RDATA, from + TTL_TO_RDATA);
            if let (Some(room), Some(address)) = (
                message.get_mut(to..to + length),
                self.body.get(from..from + length),
            ) {
                room.copy_from_slice(address);
            }
        }
    }
}

/// Reads the places of TTLs.
fn places_in(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let places = bytes.chunks_exact(PLACE_LEN);
    places.map(|place| usize::from(u16_at(place, 0).unwrap_or(u16::MAX)))
}

/// Returns which of `count` addresses comes first: numbers that follow upon each other are spread by the golden ratio,
/// and so are every second, third or fourth of them.
fn first_of_turn(turn: u32, count: usize) -> usize {
    let spread = turn.wrapping_mul(0x9e37_79b9) >> 16;
    (spread as usize * count) >> 16
}

impl UpstreamResponse {
    /// Returns which records are the first run of addresses of one name, where they are what was asked for and there
    /// are several. None where a name may lead through their RDATA.
    fn addresses(&self) -> Range<usize> {
        let (rtype, length) = match self.question_type() {
            Some(rtype::A) => (rtype::A, 4),
            Some(rtype::AAAA) => (rtype::AAAA, 16),
            _ => return 0..0,
        };
        let entries = self.scan.entries.iter().take(self.answer_count().into());
        let mut run = entries
            .enumerate()
            .skip_while(|(_, entry)| entry.record.rtype != rtype);
        let Some((start, first)) = run.next().filter(|_| !self.scan.names.leads_elsewhere) else {
            return 0..0;
        };
        let is_like_first = |entry: &Entry| {
            let record = &entry.record;
            let set = (record.rtype, record.rclass, record.end - record.rdata_at);
            set == (rtype, first.record.rclass, length)
                && (entry.owner.hash, entry.owner.labels) == (first.owner.hash, first.owner.labels)
        };
        if !is_like_first(first) {
            return 0..0;
        }
        let more = run
            .take(ROTATED_MAX - 1)
            .take_while(|(_, entry)| is_like_first(entry))
            .count();
        if more == 0 {
            0..0
        } else {
            start..start + 1 + more
        }
    }

    /// Appends the answer in the form that a cache stores, each TTL within `ttls`, in seconds. AD is stored only
    /// if it may be sent: not with records outside the question's chain. An answer without its
    /// question is an error, for [`store_failure`].
    pub fn store(&self, out: &mut Vec<u8>, ttls: RangeInclusive<u32>, ede: Option<Ede<'_>>) {
        self.store_judged(out, ttls, ede, 0);
    }

    /// The same with a number for [`judged`], 0 for none.
    pub fn store_judged(
        &self,
        out: &mut Vec<u8>,
        ttls: RangeInclusive<u32>,
        ede: Option<Ede<'_>>,
        judged: u32,
    ) {
        let parts = self.parts();
        let places = self.ttl_places();
        let addresses = self.addresses();
        let marks = mark(ede.is_some(), HAS_EDE)
            | mark(!addresses.is_empty(), HAS_ADDRESSES)
            | mark(judged != 0, IS_JUDGED);
        put_own_header(out, &parts, marks, places.len());
        for place in places {
            put_u16(out, length_u16(place));
        }
        if !addresses.is_empty() {
            put_u16(out, length_u16(addresses.start));
            put_u16(out, length_u16(addresses.len()));
        }
        if judged != 0 {
            put_u32(out, judged);
        }
        put_ede(out, ede);
        let start = out.len();
        out.extend_from_slice(parts.body);
        let Some(message) = out.get_mut(start..) else {
            return;
        };
        if !parts.is_authentic {
            set_u16(message, FLAGS_AT, self.flags().0 & !Flags::AD);
        }
        let (lowest, highest) = (*ttls.start(), (*ttls.end()).min(TTL_MAX));
        for place in self.ttl_places() {
            if let Some(ttl) = u32_at(message, place) {
                set_u32(message, place, ttl.max(lowest).min(highest));
            }
        }
    }
}

/// Appends an error without records for `question`, in its own bytes, in the form that a cache stores.
pub fn store_failure(out: &mut Vec<u8>, question: &[u8], rcode: u16, ede: Option<Ede<'_>>) {
    let body_len = HEADER_LEN + question.len();
    let mut header = [0; HEADER_LEN];
    set_u16(&mut header, FLAGS_AT, Flags::QR);
    set_u16(&mut header, QDCOUNT_AT, 1);
    put_u16(out, length_u16(body_len));
    put_u16(out, length_u16(body_len));
    put_u16(out, rcode & RCODE | mark(ede.is_some(), HAS_EDE));
    put_u16(out, 0);
    put_ede(out, ede);
    out.extend_from_slice(&header);
    out.extend_from_slice(question);
}

/// Returns whether a cached answer, in the bytes that [`Stored::read`] reads, has a number for [`judged`].
#[inline]
pub fn is_judged(bytes: &[u8]) -> bool {
    u16_at(bytes, 4).is_some_and(|marks| marks & IS_JUDGED != 0)
}

/// Returns the number with which [`UpstreamResponse::store_judged`] stored an answer; 0 if there is none.
pub fn judged(bytes: &[u8]) -> u32 {
    let marks = u16_at(bytes, 4).unwrap_or_default();
    let places = usize::from(u16_at(bytes, 6).unwrap_or_default());
    let addresses = if marks & HAS_ADDRESSES == 0 { 0 } else { 4 };
    let number = u32_at(bytes, OWN_HEADER_LEN + places * PLACE_LEN + addresses);
    number.filter(|_| is_judged(bytes)).unwrap_or_default()
}

fn mark(is_set: bool, mark: u16) -> u16 {
    if is_set { mark } else { 0 }
}

fn put_own_header(out: &mut Vec<u8>, parts: &MessageParts<'_>, marks: u16, places: usize) {
    put_u16(out, length_u16(parts.authority_end));
    put_u16(out, length_u16(parts.body.len()));
    put_u16(out, parts.rcode & RCODE | marks);
    put_u16(out, length_u16(places));
}

fn put_ede(out: &mut Vec<u8>, ede: Option<Ede<'_>>) {
    if let Some(ede) = ede {
        put_u16(out, ede.code);
        put_u16(out, length_u16(ede.text.len()));
        out.extend_from_slice(ede.text.as_bytes());
    }
}

#[cfg(test)]
mod tests;
