//! The cookie of a response, added once the rest is written: few clients have one, and others do not pay for it.
//!
//! The caller has left [`COOKIE_OPTION_LEN`] bytes of the client's limit for it (RFC 7873 section 5.2).

use super::opt_record::padding_for;
use super::shortened::records_and_opt;
use crate::bytes::{length_u16, set_u16};
use crate::cookie::ResponseCookie;
use crate::header::{HEADER_LEN, Header};
use crate::name;
use crate::opt::{OPT_LEN, OPTION_HEADER_LEN, Opt, code, put_option};
use crate::question::TYPE_AND_CLASS_LEN;

/// Bytes that a cookie adds to a response.
pub const COOKIE_OPTION_LEN: usize = OPTION_HEADER_LEN + size_of::<ResponseCookie>();

/// Adds a cookie to the response `message`, one of ours, which has its OPT record at its end. Without one it stays as it is.
/// If it is padded, it is padded to the same blocks again.
#[cold]
pub fn add_cookie(message: &mut Vec<u8>, cookie: &ResponseCookie) {
    let Some(header) = Header::read(message) else {
        return;
    };
    let question_end = match header.questions {
        0 => HEADER_LEN,
        _ => match name::find_end(message, HEADER_LEN) {
            Ok(end) => end + TYPE_AND_CLASS_LEN,
            Err(_) => return,
        },
    };
    let (_, opt) = records_and_opt(message, question_end, &header);
    let Some(opt) = opt.filter(|opt| opt.end == message.len()) else {
        return;
    };
    let mut padding_at = None;
    let mut at = opt.start + OPT_LEN;
    let visited = Opt::of_record(message, &opt).visit_options(|option, data| {
        if option == code::PADDING {
            padding_at = Some(at);
        }
        at += OPTION_HEADER_LEN + data.len();
    });
    if visited.is_err() {
        return;
    }
    // It is the last option.
    message.truncate(padding_at.unwrap_or(message.len()));
    put_option(message, code::COOKIE, cookie.len());
    message.extend_from_slice(cookie);
    if padding_at.is_some()
        && let Some(padding) = padding_for(message.len())
    {
        put_option(message, code::PADDING, padding);
        message.resize(message.len() + padding, 0);
    }
    let options_len = message.len() - opt.start - OPT_LEN;
    set_u16(message, opt.start + OPT_LEN - 2, length_u16(options_len));
}
