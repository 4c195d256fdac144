//! The OPT record of a response: as much of it as fits.
//!
//! An Extended DNS Error is a comment: its text is the first thing to leave out, then the rest of
//! it (RFC 8914 section 3). Our idle limit goes before a record does, because it may be sent but
//! need not be (RFC 7828 section 3.3.2).

use super::{ClientHop, Ede, MESSAGE_MAX, ResponseOpt};
use crate::bytes::{put_u16, set_u16, u16_at};
use crate::header::ARCOUNT_AT;
use crate::opt::{OPT_LEN, OPTION_HEADER_LEN, code, put_opt, put_option};

/// Responses are padded to a multiple of this many bytes (RFC 8467 section 4.1).
const PADDING_BLOCK: usize = 468;

/// The OPT record chosen for a response, if there is one.
pub(super) struct OptRecord<'a>(Option<ResponseOpt<'a>>);

impl<'a> OptRecord<'a> {
    /// Returns the fullest OPT record that takes at most `room` bytes; `None` if not even a bare
    /// one does.
    pub(super) fn fitting(hop: &ClientHop<'a>, room: usize) -> Option<Self> {
        let whole = Self(hop.opt);
        if whole.len() <= room {
            return Some(whole);
        }
        let choices = [without_text, without_ede, without_options];
        let less = choices.map(|leave_out| Self(hop.opt.map(leave_out)));
        less.into_iter().find(|opt| opt.len() <= room)
    }

    /// Returns the shortest OPT record that may be sent to the client.
    pub(super) fn bare(hop: &ClientHop<'a>) -> Self {
        Self(hop.opt.map(without_options))
    }

    /// Returns the bytes it takes, 0 if there is none.
    fn len(&self) -> usize {
        self.0.map_or(0, |opt| OPT_LEN + options_len(&opt))
    }

    /// Appends it to the message that begins at `start`, and counts it in ARCOUNT.
    pub(super) fn append(&self, out: &mut Vec<u8>, start: usize, extended_rcode: u8) {
        let Some(opt) = self.0 else { return };
        let options_len = options_len(&opt);
        let padding = match opt.pads {
            true => padding_for(out.len() - start + OPT_LEN + options_len),
            false => None,
        };
        let padding_len = padding.map_or(0, |padding| OPTION_HEADER_LEN + padding);
        put_opt(
            out,
            opt.udp_size,
            extended_rcode,
            opt.dnssec_ok,
            options_len + padding_len,
        );
        if let Some(limit) = opt.keepalive {
            put_option(out, code::KEEPALIVE, size_of_val(&limit));
            put_u16(out, limit);
        }
        if let Some(ede) = opt.ede {
            put_option(out, code::EDE, size_of_val(&ede.code) + ede.text.len());
            put_u16(out, ede.code);
            out.extend_from_slice(ede.text.as_bytes());
        }
        if let Some(second) = opt.second_ede {
            put_option(out, code::EDE, size_of_val(&second));
            put_u16(out, second);
        }
        if let Some(padding) = padding {
            put_option(out, code::PADDING, padding);
            out.resize(out.len() + padding, 0);
        }
        let additionals = u16_at(out, start + ARCOUNT_AT).unwrap_or_default();
        set_u16(out, start + ARCOUNT_AT, additionals.saturating_add(1));
    }
}

/// Appends the fullest OPT record for which the message that begins at `start` has room.
pub(super) fn put_fitting_opt(
    out: &mut Vec<u8>,
    start: usize,
    hop: &ClientHop<'_>,
    extended_rcode: u8,
) {
    let room = hop.limit.saturating_sub(out.len() - start);
    OptRecord::fitting(hop, room)
        .unwrap_or_else(|| OptRecord::bare(hop))
        .append(out, start, extended_rcode);
}

/// The bytes of padding for a message that has so many without the option; `None` if there is no room for it.
pub(super) fn padding_for(unpadded: usize) -> Option<usize> {
    let with_option = unpadded + OPTION_HEADER_LEN;
    let padded = with_option.next_multiple_of(PADDING_BLOCK).min(MESSAGE_MAX);
    padded.checked_sub(with_option)
}

fn options_len(opt: &ResponseOpt<'_>) -> usize {
    let keepalive = opt
        .keepalive
        .map_or(0, |limit| OPTION_HEADER_LEN + size_of_val(&limit));
    let ede = opt.ede.map_or(0, |ede| {
        OPTION_HEADER_LEN + size_of_val(&ede.code) + ede.text.len()
    });
    let second = opt
        .second_ede
        .map_or(0, |code| OPTION_HEADER_LEN + size_of_val(&code));
    keepalive + ede + second
}

fn without_text(opt: ResponseOpt<'_>) -> ResponseOpt<'_> {
    ResponseOpt {
        ede: opt.ede.map(|ede| Ede { text: "", ..ede }),
        ..opt
    }
}

fn without_ede(opt: ResponseOpt<'_>) -> ResponseOpt<'_> {
    ResponseOpt {
        ede: None,
        second_ede: None,
        ..opt
    }
}

fn without_options(opt: ResponseOpt<'_>) -> ResponseOpt<'_> {
    ResponseOpt {
        keepalive: None,
        ..without_ede(opt)
    }
}
