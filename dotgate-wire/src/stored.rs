//! An answer as a cache keeps it: octets that need no parsing to be sent again.
//!
//! Written once when an answer is kept, read on every hit; between them the octets are opaque. They
//! are a header of ours, the places of all TTLs, an Extended DNS Error if there was one, and the
//! message without its OPT record. Never checked again as a message: they come from
//! [`Answer::store`] alone, and what was saved elsewhere meanwhile is loaded as an answer first.
//!
//! Limits: those of an answer. Follows RFC 1035 section 3.2.1 and RFC 8767 section 4 (TTLs only
//! count down), RFC 6840 section 5.8 (AD).

use core::ops::RangeInclusive;

use crate::answer::{Answer, TTL_MAX};
use crate::bytes::{length_u16, put_u16, set_u16, set_u32, u16_at, u32_at};
use crate::consts::{ede as ede_codes, rcode as rcodes};
use crate::header::{FLAGS_AT, Flags, HEADER_LEN, Header, QDCOUNT_AT};
use crate::question::Question;
use crate::respond::{Ede, Parts};

/// Octets of our header: the ends of the authority section and of the message, RCODE and
/// [`HAS_EDE`], how many TTLs there are.
const OWN_HEADER_LEN: usize = 8;

/// Marks in the RCODE's field that an Extended DNS Error follows.
const HAS_EDE: u16 = 0x8000;

/// Octets of one TTL's place.
const PLACE_LEN: usize = 2;

/// What the TTLs of a kept answer have become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ttls {
    /// Each is lower by these seconds, and at least 0.
    CountedDown(u32),
    /// All are these seconds (RFC 8767 section 4: 30 for stale answers).
    All(u32),
}

/// A view of a kept answer.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    authority_end: usize,
    rcode: u16,
    places: &'a [u8],
    ede: Option<Ede<'a>>,
    body: &'a [u8],
}

impl<'a> Stored<'a> {
    /// Views octets that [`Answer::store`] or [`store_failure`] wrote; `None` for others, as far as
    /// that can be seen.
    pub fn read(octets: &'a [u8]) -> Option<Self> {
        let authority_end = usize::from(u16_at(octets, 0)?);
        let body_len = usize::from(u16_at(octets, 2)?);
        let rcode = u16_at(octets, 4)?;
        let places_len = usize::from(u16_at(octets, 6)?) * PLACE_LEN;
        let (places, mut rest) = octets.get(OWN_HEADER_LEN..)?.split_at_checked(places_len)?;
        let mut ede = None;
        if rcode & HAS_EDE != 0 {
            let code = u16_at(rest, 0)?;
            let length = usize::from(u16_at(rest, 2)?);
            let (text, behind) = rest.get(4..)?.split_at_checked(length)?;
            let text = str::from_utf8(text).ok()?;
            (ede, rest) = (Some(Ede { code, text }), behind);
        }
        (rest.len() == body_len && body_len >= HEADER_LEN).then_some(Self {
            authority_end,
            rcode: rcode & !HAS_EDE,
            places,
            ede,
            body: rest,
        })
    }

    /// Returns the Extended DNS Error that came with it.
    pub fn ede(&self) -> Option<Ede<'a>> {
        self.ede
    }

    /// Returns the response code of 12 bits.
    pub fn rcode(&self) -> u16 {
        self.rcode
    }

    /// Returns the message, without an OPT record and with the TTLs it was kept with.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Returns whether it is kept for this question, whatever the letter case.
    pub fn answers(&self, question: &Question) -> bool {
        let end = HEADER_LEN + question.as_bytes().len();
        self.body
            .get(HEADER_LEN..end)
            .is_some_and(|exact| question.matches(exact))
    }

    /// Returns the EDE of a stale answer (RFC 8914 sections 4.4 and 4.20).
    pub fn stale_ede(&self) -> u16 {
        if self.rcode == rcodes::NXDOMAIN {
            ede_codes::STALE_NXDOMAIN_ANSWER
        } else {
            ede_codes::STALE_ANSWER
        }
    }

    pub(crate) fn parts(&self, question_len: usize) -> Parts<'a> {
        let flags = Header::read(self.body).map_or(Flags(0), |header| header.flags);
        Parts {
            body: self.body,
            question_end: (HEADER_LEN + question_len).min(self.body.len()),
            authority_end: self.authority_end,
            rcode: self.rcode,
            is_authentic: flags.authentic_data(),
            is_truncated: false,
        }
    }

    /// Sets the TTLs of a message that begins as the kept one does.
    pub(crate) fn set_ttls(&self, message: &mut [u8], ttls: Ttls) {
        for place in self.places.chunks_exact(PLACE_LEN) {
            let at = usize::from(u16_at(place, 0).unwrap_or(u16::MAX));
            let Some(kept) = u32_at(message, at) else {
                // The places are in order, and the rest was cut.
                return;
            };
            let ttl = match ttls {
                Ttls::CountedDown(seconds) => kept.saturating_sub(seconds),
                Ttls::All(seconds) => seconds,
            };
            set_u32(message, at, ttl);
        }
    }
}

impl Answer {
    /// Appends the answer as a cache keeps it, each TTL within `ttls`, in seconds. AD is kept only
    /// if it may be told: not with records outside the question's chain. An answer without its
    /// question is an error, for [`store_failure`].
    pub fn store(&self, out: &mut Vec<u8>, ttls: RangeInclusive<u32>, ede: Option<Ede<'_>>) {
        let parts = self.parts();
        let places = self.ttl_places();
        put_own_header(out, &parts, ede.is_some(), places.len());
        for place in places {
            put_u16(out, length_u16(place));
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

/// Appends an error without records for `question`, in its own octets, as a cache keeps it.
pub fn store_failure(out: &mut Vec<u8>, question: &[u8], rcode: u16, ede: Option<Ede<'_>>) {
    let body_len = HEADER_LEN + question.len();
    let mut header = [0; HEADER_LEN];
    set_u16(&mut header, FLAGS_AT, Flags::QR);
    set_u16(&mut header, QDCOUNT_AT, 1);
    put_u16(out, length_u16(body_len));
    put_u16(out, length_u16(body_len));
    put_u16(
        out,
        rcode & !HAS_EDE | if ede.is_some() { HAS_EDE } else { 0 },
    );
    put_u16(out, 0);
    put_ede(out, ede);
    out.extend_from_slice(&header);
    out.extend_from_slice(question);
}

fn put_own_header(out: &mut Vec<u8>, parts: &Parts<'_>, has_ede: bool, places: usize) {
    put_u16(out, length_u16(parts.authority_end));
    put_u16(out, length_u16(parts.body.len()));
    put_u16(
        out,
        parts.rcode & !HAS_EDE | if has_ede { HAS_EDE } else { 0 },
    );
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
