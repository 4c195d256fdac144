//! The query towards an upstream, written afresh.
//!
//! Between an attempt and its session's frames. Takes nothing from the client's message but the
//! question, DO and CD, so that no byte of a client (its OPT record, its other
//! records, what trails them) can reach an upstream. Limit: a message has at most 384 bytes.
//! Follows RFC 6891 section 6.2, RFC 7828 section 3.2.1, RFC 8467 section 4.1 (blocks of 128
//! bytes), RFC 9715 (size), RFC 6840 section 5.7 (AD asks for AD).

use crate::bytes::put_u16;
use crate::frame::write_framed;
use crate::header::{Flags, HEADER_LEN};
use crate::opt::{OPT_LEN, OPTION_HEADER_LEN, code, put_opt, put_option};
use crate::question::{NameCase, Question};

/// Bytes of which every padded query's length is a multiple (RFC 8467 section 4.1).
pub const PADDING_BLOCK: usize = 128;

/// The UDP payload size announced to upstreams, in bytes. It means nothing on a stream, but an
/// upstream may hand it on.
pub const UPSTREAM_UDP_SIZE: u16 = 1232;

/// What a query towards an upstream says.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamQuery<'a> {
    /// The message ID, unique among the session's unanswered queries.
    pub id: u16,
    /// The question.
    pub question: &'a Question,
    /// The letter case in which its name is asked.
    pub name_case: NameCase,
    /// Whether DO is set; needs `edns`.
    pub dnssec_ok: bool,
    /// Whether CD is set.
    pub checking_disabled: bool,
    /// Whether there is an OPT record.
    pub edns: bool,
    /// Whether padding hides the length; needs `edns`, and an encrypted transport to be of use.
    pub pads: bool,
    /// Whether an empty edns-tcp-keepalive option asks for the upstream's idle limit; needs `edns`.
    pub asks_keepalive: bool,
}

/// Appends the two-byte length and the message: RD and AD set, CD as given. With `edns` there is
/// an OPT record; with `pads` that has exactly one padding option, which makes the message's length
/// a multiple of [`PADDING_BLOCK`].
pub fn write_query(out: &mut Vec<u8>, query: &UpstreamQuery<'_>) {
    write_framed(out, |out| {
        let question = query.question.as_bytes();
        let checking_disabled = if query.checking_disabled {
            Flags::CD
        } else {
            0
        };
        put_u16(out, query.id);
        put_u16(out, Flags::RD | Flags::AD | checking_disabled);
        for count in [1, 0, 0, u16::from(query.edns)] {
            put_u16(out, count);
        }
        let question_start = out.len();
        out.extend_from_slice(question);
        if let Some(question) = out.get_mut(question_start..) {
            query.name_case.apply(question);
        }
        if !query.edns {
            return;
        }
        let keepalive_len = if query.asks_keepalive {
            OPTION_HEADER_LEN
        } else {
            0
        };
        let unpadded = HEADER_LEN + question.len() + OPT_LEN + keepalive_len + OPTION_HEADER_LEN;
        let padding = unpadded.next_multiple_of(PADDING_BLOCK) - unpadded;
        let padding_len = match query.pads {
            true => OPTION_HEADER_LEN + padding,
            false => 0,
        };
        let options_len = keepalive_len + padding_len;
        put_opt(out, UPSTREAM_UDP_SIZE, 0, query.dnssec_ok, options_len);
        if query.asks_keepalive {
            put_option(out, code::KEEPALIVE, 0);
        }
        if query.pads {
            put_option(out, code::PADDING, padding);
            out.resize(out.len() + padding, 0);
        }
    });
}

#[cfg(test)]
mod tests;
