//! A response of ours, already written, without all that it can do without.
//!
//! For a response that the system refused to send: header, question and an OPT record with its cookie alone are left, with
//! TC if there were records. Follows RFC 2181 section 9.

use crate::bytes::{length_u16, put_u16, set_u16};
use crate::consts::rtype;
use crate::cookie::Cookie;
use crate::header::{
    ANCOUNT_AT, ARCOUNT_AT, FLAGS_AT, Flags, HEADER_LEN, Header, NSCOUNT_AT, QDCOUNT_AT,
};
use crate::name;
use crate::opt::{OPT_LEN, OPTION_HEADER_LEN, code, put_option};
use crate::question::TYPE_AND_CLASS_LEN;
use crate::records::Record;

/// Appends the response `message` in its shortest form. False, with nothing appended, if it is that short or no
/// response.
pub fn write_shortened(out: &mut Vec<u8>, message: &[u8]) -> bool {
    let Some(header) = Header::read(message).filter(|header| header.flags.is_response()) else {
        return false;
    };
    let question_end = match header.questions {
        0 => HEADER_LEN,
        _ => match name::find_end(message, HEADER_LEN) {
            Ok(end) => end + TYPE_AND_CLASS_LEN,
            Err(_) => return false,
        },
    };
    let (records, opt) = records_and_opt(message, question_end, &header);
    let cookie = opt.and_then(|opt| Cookie::of_opt(message, &opt));
    let opt = opt.and_then(|opt| message.get(opt.start..opt.start + OPT_LEN));
    let start = out.len();
    out.extend_from_slice(message.get(..question_end).unwrap_or_default());
    if let Some(opt) = opt {
        out.extend_from_slice(opt.get(..OPT_LEN - 2).unwrap_or_default());
        let data = cookie.map(|cookie| [&cookie.client, cookie.server].concat());
        let data_len = data
            .as_ref()
            .map_or(0, |data| OPTION_HEADER_LEN + data.len());
        put_u16(out, length_u16(data_len));
        if let Some(data) = data {
            put_option(out, code::COOKIE, data.len());
            out.extend_from_slice(&data);
        }
    }
    if out.len() - start >= message.len() {
        out.truncate(start);
        return false;
    }
    let Some(shortened) = out.get_mut(start..) else {
        return false;
    };
    let mut flags = header.flags.0;
    if records > 0 {
        flags = (flags | Flags::TC) & !Flags::AD;
    }
    set_u16(shortened, FLAGS_AT, flags);
    set_u16(shortened, QDCOUNT_AT, header.questions.min(1));
    set_u16(shortened, ANCOUNT_AT, 0);
    set_u16(shortened, NSCOUNT_AT, 0);
    set_u16(shortened, ARCOUNT_AT, u16::from(opt.is_some()));
    true
}

/// Returns how many records there are besides the OPT record, and that one, as far as they can be read.
pub(super) fn records_and_opt(
    message: &[u8],
    start: usize,
    header: &Header,
) -> (usize, Option<Record>) {
    let counts = [header.answers, header.authorities, header.additionals];
    let (mut at, mut records, mut opt) = (start, 0, None);
    for _ in 0..counts.into_iter().map(usize::from).sum() {
        let Ok(record) = Record::read_skipping_owner(message, at) else {
            break;
        };
        at = record.end;
        if record.rtype == rtype::OPT {
            opt = Some(record);
        } else {
            records += 1;
        }
    }
    (records, opt)
}
