//! The response towards a client: its ID, its question's spelling, its size, its EDNS.
//!
//! The last step on the path before the listener. Writes what an answer holds, an error, or data of
//! a locally served zone; decides nothing but what must be left out to fit. An OPT record is
//! written if and only if the caller says what is in it, which is when the client sent one (RFC
//! 6891 section 7). Limit: the caller's, at least 512 bytes, at most 65,535. Follows RFC 1035
//! section 4.1.1, RFC 2181 section 9 (TC), RFC 8914 section 3, RFC 7828 section 3.3.2, RFC 6303
//! section 3.

mod compressed;
mod cookie;
mod hop;
mod local;
mod opt_record;
mod shortened;

use crate::answer::UpstreamResponse;
use crate::bytes::{put_u16, set_u16};
use crate::consts::{opcode, rcode as rcodes};
use crate::header::{ANCOUNT_AT, ARCOUNT_AT, FLAGS_AT, Flags, HEADER_LEN, NSCOUNT_AT};
use crate::parts::MessageParts;
use crate::question::NameCase;
use crate::stored::{Stored, Ttls};
use opt_record::{OptRecord, put_fitting_opt};

pub(crate) use compressed::NameWriter;
pub use cookie::{COOKIE_OPTION_LEN, add_cookie};
pub use hop::{ClientHop, Ede, ResponseOpt, Truncation};
pub(crate) use local::put_soa;
pub use local::{LocalData, write_local};
pub use shortened::write_shortened;

/// The most bytes a message can have: its length in a stream is a 16-bit number.
pub(crate) const MESSAGE_MAX: usize = 65_535;

/// Appends an answer's response for one client, its question in `name_case`, and returns
/// what was cut. The first of these that
/// fits is written: all records; without the additional section; the same two with names compressed; without any
/// record and with TC.
/// Each is tried with the Extended DNS Error, then without its text, then without it. AA and an
/// RCODE of more than four bits are the upstream hop's: AA is clear, such an RCODE becomes SERVFAIL
/// (RFC 6891 section 6.1.3). An answer that holds nothing is a SERVFAIL.
pub fn write_response(
    out: &mut Vec<u8>,
    answer: &UpstreamResponse,
    name_case: NameCase,
    hop: &ClientHop<'_>,
) -> Truncation {
    if answer.body().is_empty() {
        write_error(out, &[], opcode::QUERY, rcodes::SERVFAIL, hop);
        return Truncation::Full;
    }
    write_fitting(out, hop, |out, hop| {
        let start = out.len();
        let parts = answer.parts();
        let RecordsWritten {
            truncation, opt, ..
        } = put_records(out, &parts, hop);
        if let Some(question) = out.get_mut(start + HEADER_LEN..start + parts.question_end) {
            if !crate::planted!("name-case-is-lost") {
                name_case.apply(question);
            } else {
                NameCase::default().apply(question);
            }
        }
        opt.append(out, start, 0);
        truncation
    })
}

/// The same for a stored answer. Its question becomes `question`, the client's own bytes, /// whose name is the one
/// it was stored under; every remaining record gets its TTL by `ttls`.
pub fn write_stored(
    out: &mut Vec<u8>,
    stored: &Stored<'_>,
    question: &[u8],
    ttls: Ttls,
    hop: &ClientHop<'_>,
) -> Truncation {
    write_fitting(out, hop, |out, hop| {
        let start = out.len();
        let parts = stored.parts(question.len());
        let RecordsWritten {
            truncation,
            end,
            opt,
        } = put_records(out, &parts, hop);
        if let Some(message) = out.get_mut(start..) {
            if let Some(echo) = message.get_mut(HEADER_LEN..parts.question_end)
                && echo.len() == question.len()
            {
                echo.copy_from_slice(question);
            }
            let message = message.get_mut(..end).unwrap_or_default();
            stored.set_ttls(message, ttls);
            stored.rotate_addresses(message);
        }
        opt.append(out, start, 0);
        truncation
    })
}

/// Appends what `write` makes for a client. Where all records had to be left out, names are compressed in the hope that
/// this is enough.
fn write_fitting(
    out: &mut Vec<u8>,
    hop: &ClientHop<'_>,
    write: impl Fn(&mut Vec<u8>, &ClientHop<'_>) -> Truncation,
) -> Truncation {
    let start = out.len();
    let cut = write(out, hop);
    if cut != Truncation::Full {
        return cut;
    }
    write_compressed(out, start, hop, write).unwrap_or(cut)
}

/// Writes a response again with its names compressed, in place of the one that begins at `start`, if it then fits.
#[cold]
fn write_compressed(
    out: &mut Vec<u8>,
    start: usize,
    hop: &ClientHop<'_>,
    write: impl Fn(&mut Vec<u8>, &ClientHop<'_>) -> Truncation,
) -> Option<Truncation> {
    let mut whole = Vec::new();
    let wide = ClientHop {
        limit: MESSAGE_MAX,
        ..*hop
    };
    match write(&mut whole, &wide) {
        Truncation::None => compressed::replace(out, start, &whole, hop.limit),
        Truncation::Additional | Truncation::Full => None,
    }
}

/// What `put_records` wrote, and what is still to be appended.
struct RecordsWritten<'a> {
    truncation: Truncation,
    /// Bytes of the message without its OPT record.
    end: usize,
    opt: OptRecord<'a>,
}

/// Appends as many records as the client may have, with its ID, flags and counts, and chooses the
/// OPT record for which there is room.
fn put_records<'a>(
    out: &mut Vec<u8>,
    parts: &MessageParts<'_>,
    hop: &ClientHop<'a>,
) -> RecordsWritten<'a> {
    let choices = [Truncation::None, Truncation::Additional, Truncation::Full];
    let fitting = choices.into_iter().find_map(|truncation| {
        let records = parts.without(truncation);
        let room = hop.limit.min(MESSAGE_MAX).checked_sub(records.len())?;
        Some((truncation, records, OptRecord::fitting(hop, room)?))
    });
    // No question and OPT record are longer than 512 bytes together; below that, the caller's
    // limit gives way.
    let (truncation, records, opt) = fitting.unwrap_or((
        Truncation::Full,
        parts.without(Truncation::Full),
        OptRecord::bare(hop),
    ));
    let written = RecordsWritten {
        truncation,
        end: records.len(),
        opt,
    };

    let start = out.len();
    out.extend_from_slice(records);
    let Some(message) = out.get_mut(start..) else {
        return written;
    };
    let rcode = if parts.rcode <= 0x0f {
        parts.rcode
    } else {
        rcodes::SERVFAIL
    };
    let mut flags = hop_flags(hop) | rcode;
    let is_cut = truncation == Truncation::Full && !crate::planted!("truncation-is-not-signaled");
    if is_cut || parts.is_truncated {
        flags |= Flags::TC;
    }
    if hop.authentic_data && parts.is_authentic && truncation != Truncation::Full {
        flags |= Flags::AD;
    }
    if parts.is_local {
        flags |= Flags::AA;
    }
    if !crate::planted!("client-gets-the-upstreams-id") {
        set_u16(message, 0, hop.id);
    }
    set_u16(message, FLAGS_AT, flags);
    let cleared: &[usize] = match truncation {
        Truncation::None => &[],
        Truncation::Additional => &[ARCOUNT_AT],
        Truncation::Full => &[ANCOUNT_AT, NSCOUNT_AT, ARCOUNT_AT],
    };
    for &count_at in cleared {
        set_u16(message, count_at, 0);
    }
    written
}

/// Appends a response without records. `question` is the exact bytes to echo, and may be empty.
/// `rcode` has up to 12 bits; for a client without EDNS, BADVERS becomes FORMERR and any other
/// RCODE above 15 SERVFAIL.
pub fn write_error(
    out: &mut Vec<u8>,
    question: &[u8],
    opcode: u8,
    rcode: u16,
    hop: &ClientHop<'_>,
) {
    let [extended_rcode, low] = (rcode << 4).to_be_bytes();
    let (extended_rcode, rcode) = match (hop.opt, rcode) {
        (_, 0..=0x0f) => (0, rcode),
        (Some(_), _) => (extended_rcode, u16::from(low >> 4)),
        (None, rcodes::BADVERS) => (0, rcodes::FORMERR),
        (None, _) => (0, rcodes::SERVFAIL),
    };
    let opcode_bits = u16::from(opcode & 0x0f) << 11;
    let start = out.len();
    put_header(out, hop, opcode_bits | rcode, question);
    out.extend_from_slice(question);
    put_fitting_opt(out, start, hop, extended_rcode);
}

/// Appends a header with QR, RA and the client's own bits, and one question or none.
fn put_header(out: &mut Vec<u8>, hop: &ClientHop<'_>, more_flags: u16, question: &[u8]) {
    put_u16(out, hop.id);
    put_u16(out, hop_flags(hop) | more_flags);
    for count in [u16::from(!question.is_empty()), 0, 0, 0] {
        put_u16(out, count);
    }
}

/// Returns the flags that every response to this client has.
fn hop_flags(hop: &ClientHop<'_>) -> u16 {
    let mut flags = Flags::QR | Flags::RA;
    if hop.recursion_desired {
        flags |= Flags::RD;
    }
    if hop.checking_disabled {
        flags |= Flags::CD;
    }
    flags
}

#[cfg(test)]
mod tests;
