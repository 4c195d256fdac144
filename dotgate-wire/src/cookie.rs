//! DNS cookies (RFC 7873): the COOKIE option of a client's message, and its place in a response.
//!
//! Read apart from the message, because few clients send one: [`crate::parse_query`] says whether there is one of a
//! valid length. Whether a server cookie is valid is for the caller. Limits: that of the records of a query, and of
//! options.

use crate::consts::rtype;
use crate::header::{HEADER_LEN, Header};
use crate::name;
use crate::opt::{Opt, code};
use crate::query::RECORDS_MAX;
use crate::question::TYPE_AND_CLASS_LEN;
use crate::records::Record;

/// Bytes of a client cookie.
const CLIENT_LEN: usize = 8;

/// A client cookie, and behind it a server cookie of RFC 9018: what the COOKIE option of a response holds.
pub type ResponseCookie = [u8; 24];

/// What a client's COOKIE option holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cookie<'a> {
    /// The client cookie.
    pub client: [u8; CLIENT_LEN],
    /// The server cookie: 8 to 32 bytes, or none if the client knows none.
    pub server: &'a [u8],
}

impl<'a> Cookie<'a> {
    /// Reads the data of an option. None if its length is that of no cookie (section 5.2.2).
    fn read(data: &'a [u8]) -> Option<Self> {
        let (client, server) = data.split_first_chunk()?;
        let client = *client;
        is_cookie_length(data.len()).then_some(Self { client, server })
    }

    /// Reads an OPT record. Of several cookies the first one counts.
    pub(crate) fn of_opt(message: &'a [u8], record: &Record) -> Option<Self> {
        let opt = Opt::of_record(message, record);
        let mut found = None;
        let options = opt.visit_options(|option, data| {
            if option == code::COOKIE {
                found.get_or_insert(data);
            }
        });
        options.ok().filter(|()| opt.version == 0)?;
        found.and_then(Self::read)
    }
}

/// Whether a COOKIE option may have so many bytes of data: those of a client cookie, or of both cookies.
pub(crate) const fn is_cookie_length(length: usize) -> bool {
    matches!(length, CLIENT_LEN | 16..=40)
}

/// Finds the cookie of a client's message.
#[cold]
pub fn find_cookie(message: &[u8]) -> Option<Cookie<'_>> {
    let header = Header::read(message)?;
    let mut at = match header.questions {
        0 => HEADER_LEN,
        1 => name::find_end(message, HEADER_LEN).ok()? + TYPE_AND_CLASS_LEN,
        _ => return None,
    };
    let counts = [header.answers, header.authorities, header.additionals];
    let records: u32 = counts.into_iter().map(u32::from).sum();
    for _ in 0..records.min(RECORDS_MAX.into()) {
        let record = Record::read_skipping_owner(message, at).ok()?;
        if record.rtype == rtype::OPT {
            return Cookie::of_opt(message, &record);
        }
        at = record.end;
    }
    None
}

#[cfg(test)]
mod tests {
    use dotgate_message::{
        A, Compose as _, IN, OPT, RD, Section, UDP_SIZE, header, question, record_in,
    };

    use super::*;

    /// A query for the root with these options.
    fn query(questions: u16, options: &[u8]) -> Vec<u8> {
        let mut message = header(1, RD, [questions, 0, 0, 0]);
        for _ in 0..questions {
            message.extend(question("", A, IN));
        }
        let opt = record_in(&[0], OPT, UDP_SIZE, 0, options);
        message.with_record(Section::Additional, &opt)
    }

    fn cookie(length: u8) -> Vec<u8> {
        let data = (1..=length).collect::<Vec<u8>>();
        [&[0, 10, 0, length], data.as_slice()].concat()
    }

    #[test]
    fn a_cookie_is_found_if_its_length_is_valid() {
        for length in 0..=60 {
            for questions in [0, 1] {
                let message = query(questions, &cookie(length));
                let found = find_cookie(&message).map(|it| (it.client, it.server.len()));
                let is_valid = length == 8 || (16..=40).contains(&length);
                let expected =
                    is_valid.then(|| ([1, 2, 3, 4, 5, 6, 7, 8], usize::from(length) - 8));
                assert_eq!(found, expected, "{length}");
            }
        }
    }

    #[test]
    fn the_first_of_several_counts_and_none_in_a_malformed_record() {
        let twice = [cookie(24), cookie(7), cookie(8)].concat();
        assert_eq!(find_cookie(&query(1, &twice)).unwrap().server.len(), 16);
        let twice = [cookie(7), cookie(24)].concat();
        assert_eq!(find_cookie(&query(1, &twice)), None);
        let cut = [cookie(24), vec![0, 12, 0, 9]].concat();
        assert_eq!(find_cookie(&query(1, &cut)), None);
        assert_eq!(find_cookie(&query(2, &cookie(24))), None);
        let mut other_version = query(1, &cookie(24));
        other_version[12 + 5 + 6] = 1;
        assert_eq!(find_cookie(&other_version), None);
        assert_eq!(find_cookie(&query(1, &[])), None);
        assert_eq!(find_cookie(&[0; 12]), None);
    }
}
