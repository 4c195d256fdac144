//! The DNS messages of a measurement: queries for numbered names, and their answers.
//!
//! Written apart from `dotgate-wire` on purpose: a forwarder is not to be measured and checked by
//! its own code. Queries are arrays, and are not made by `dotgate-message`, because a load must not
//! allocate for each of them. RFC 1035 sections 4.1 and 4.2.2.

pub mod mix;

use std::io::{self, Read};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 12;

/// Bytes of a query.
pub const QUERY_BYTES: usize = QUESTION.len() + HEADER_BYTES;

/// One label of 24 hexadecimal digits below example.com, type A, class IN. The name is none of
/// those that resolvers treat on their own (RFC 6761), as they do `.test`.
const QUESTION: &[u8; 42] = b"\x18000000000000000000000000\x07example\x03com\x00\x00\x01\x00\x01";
const SEED: std::ops::Range<usize> = 13..21;
const SOCKET: std::ops::Range<usize> = 21..25;
const NUMBER: std::ops::Range<usize> = 25..37;

/// The question's name, A, IN, a day (no cache lets go of it within a run), 192.0.2.1 (RFC 5737).
pub const RECORD: &[u8; 16] = b"\xc0\x0c\x00\x01\x00\x01\x00\x01\x51\x80\x00\x04\xc0\x00\x02\x01";

const TYPE_A: u16 = 1;
const TYPE_TXT: u16 = 16;
const TYPE_OPT: u16 = 41;

/// Strings of 255 bytes in a TXT record, which is the long answer.
const LONG_STRINGS: u16 = 226;
const QR: u8 = 0x80;
const RD: u8 = 0x01;
const RA: u8 = 0x80;

/// A name of a measurement. Two that differ in anything are two names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Name {
    /// The measurement.
    pub seed: u32,
    /// The socket it leaves from, or 0 for a name that all sockets ask for.
    pub socket: u16,
    /// Its number there; the lower 48 bits are in the name.
    pub number: u64,
}

/// Writes the query for this name: recursion desired, no EDNS.
#[must_use]
pub fn query(id: u16, name: Name) -> [u8; QUERY_BYTES] {
    let mut message = [0; QUERY_BYTES];
    message[..2].copy_from_slice(&id.to_be_bytes());
    message[2] = RD;
    message[5] = 1;
    message[HEADER_BYTES..].copy_from_slice(QUESTION);
    write_hex(&mut message[SEED], u64::from(name.seed));
    write_hex(&mut message[SOCKET], u64::from(name.socket));
    write_hex(&mut message[NUMBER], name.number);
    message
}

/// Bytes of a query with EDNS.
pub const EDNS_QUERY_BYTES: usize = QUERY_BYTES + mix::OPT.len();

/// Writes the query for this name with an OPT record, which allows responses of 1,232 bytes.
#[must_use]
pub fn edns_query(id: u16, name: Name) -> [u8; EDNS_QUERY_BYTES] {
    let mut message = [0; EDNS_QUERY_BYTES];
    message[..QUERY_BYTES].copy_from_slice(&query(id, name));
    message[11] = 1;
    message[QUERY_BYTES..].copy_from_slice(mix::OPT);
    message
}

/// Whether a query asks for a name as [`query`] makes them, and not what a forwarder asks on its own account.
#[must_use]
pub fn is_of_a_load(query: &[u8]) -> bool {
    query.get(HEADER_BYTES) == QUESTION.first()
        // A forwarder may change the case of letters, and look for the same in the response.
        && query
            .get(NUMBER.end..QUERY_BYTES)
            .zip(QUESTION.get(NUMBER.end - HEADER_BYTES..))
            .is_some_and(|(name, ours)| name.eq_ignore_ascii_case(ours))
}

/// Writes the query for the long answer.
#[must_use]
pub fn long_query() -> [u8; QUERY_BYTES] {
    let name = Name {
        seed: 0,
        socket: 0,
        number: 0,
    };
    let mut message = query(1, name);
    message[QUERY_BYTES - 4..QUERY_BYTES - 2].copy_from_slice(&TYPE_TXT.to_be_bytes());
    message
}

/// What came back for a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// NOERROR with at least one record in the answer section; for a name of the mix that does not exist, NXDOMAIN.
    Answered,
    /// SERVFAIL.
    ServerFailure,
    /// Another RCODE, or no record.
    Other,
}

/// A response to a query of a measurement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Response {
    /// The message ID.
    pub id: u16,
    /// The name asked for.
    pub name: Name,
    /// How it went.
    pub verdict: Verdict,
}

/// Reads a response. `None` for anything else, among it a question that no [`query`] has.
#[must_use]
pub fn response(message: &[u8]) -> Option<Response> {
    let id = u16::from_be_bytes([*message.first()?, *message.get(1)?]);
    let name = Name {
        seed: u32::try_from(read_hex(message.get(SEED)?)?).ok()?,
        socket: u16::try_from(read_hex(message.get(SOCKET)?)?).ok()?,
        number: read_hex(message.get(NUMBER)?)?,
    };
    let expected = query(id, name);
    let is_response = message[2] & QR != 0 && message[4..6] == [0, 1];
    let is_ours = message.get(HEADER_BYTES..QUERY_BYTES)? == &expected[HEADER_BYTES..];
    let has_answer = message[6..8] != [0, 0];
    let exists = name.socket != mix::MIXED || mix::kind(name.number) != mix::Kind::Nothing;
    let verdict = match (message[3] & 0x0f, has_answer) {
        (0, true) if exists => Verdict::Answered,
        (3, false) if !exists => Verdict::Answered,
        (2, _) => Verdict::ServerFailure,
        (_, _) => Verdict::Other,
    };
    (is_response && is_ours).then_some(Response { id, name, verdict })
}

/// Appends the upstream's answer to `query`: its question, one record if A or TXT is the type asked
/// for, and an OPT record if the query begins its additional section with one. False, and nothing
/// appended, if it is no query with one question.
pub fn answer(query: &[u8], output: &mut Vec<u8>) -> bool {
    let Some((question_end, kind)) = question(query) else {
        return false;
    };
    let has_record = kind == TYPE_A || kind == TYPE_TXT;
    let has_opt = query[10..12] != [0, 0]
        && query.get(question_end..question_end + 3) == Some(&[0, 0, TYPE_OPT as u8]);
    if kind == TYPE_A
        && let Some(number) = mix::number(query)
    {
        mix::answer(query, number, has_opt, output);
        return true;
    }
    output.extend_from_slice(&query[..2]);
    output.extend_from_slice(&[QR | (query[2] & RD), RA]);
    for count in [1, u16::from(has_record), 0, u16::from(has_opt)] {
        output.extend_from_slice(&count.to_be_bytes());
    }
    output.extend_from_slice(&query[HEADER_BYTES..question_end]);
    match kind {
        TYPE_A => output.extend_from_slice(RECORD),
        TYPE_TXT => {
            output.extend_from_slice(b"\xc0\x0c\x00\x10\x00\x01\x00\x01\x51\x80");
            output.extend_from_slice(&(LONG_STRINGS * 256).to_be_bytes());
            for _ in 0..LONG_STRINGS {
                output.push(255);
                output.extend_from_slice(&[b'x'; 255]);
            }
        }
        _ => {}
    }
    if has_opt {
        output.extend_from_slice(mix::OPT);
    }
    true
}

/// The end of the only question of a query and the type it asks for.
fn question(query: &[u8]) -> Option<(usize, u16)> {
    let header = query.get(..HEADER_BYTES)?;
    if header[2] & QR != 0 || header[4..6] != [0, 1] {
        return None;
    }
    let mut at = HEADER_BYTES;
    loop {
        match usize::from(*query.get(at)?) {
            0 => break,
            length @ 1..=63 => at += 1 + length,
            _ => return None,
        }
    }
    let fixed = query.get(at + 1..at + 5)?;
    Some((at + 5, u16::from_be_bytes([fixed[0], fixed[1]])))
}

fn write_hex(digits: &mut [u8], value: u64) {
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
    }
}

fn read_hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| {
        Some(value << 4 | u64::from(char::from(*digit).to_digit(16)?))
    })
}

/// Reads one message with its length in front (RFC 1035 section 4.2.2).
///
/// # Errors
/// Those of the stream, its end before the message's among them.
pub fn read_framed(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use dotgate_message::Compose as _;

    use super::*;

    const NAME: Name = Name {
        seed: 0xdead_beef,
        socket: 31,
        number: 0x1_2345,
    };
    const ID: u16 = 0x2345;

    fn read(message: &[u8]) -> Option<(u16, Name, Verdict)> {
        response(message).map(|response| (response.id, response.name, response.verdict))
    }

    #[test]
    fn a_query_carries_its_number_in_its_name() {
        let expected = dotgate_message::query(ID, "deadbeef001f000000012345.example.com");
        assert_eq!(query(ID, NAME)[..], expected);
        assert_eq!(edns_query(ID, NAME)[..], expected.with_edns());
    }

    #[test]
    fn an_answer_is_read_as_the_answer_to_its_query() {
        let mut message = Vec::new();
        assert!(answer(&query(ID, NAME), &mut message));
        assert_eq!(message.len(), QUERY_BYTES + 16);
        assert_eq!(read(&message), Some((ID, NAME, Verdict::Answered)));
        message[1] ^= 1;
        assert_eq!(read(&message), Some((ID ^ 1, NAME, Verdict::Answered)));
        message[1] ^= 1;
        message[3] |= 2;
        assert_eq!(read(&message), Some((ID, NAME, Verdict::ServerFailure)));
        message[3] ^= 2;
        message[7] = 0;
        assert_eq!(read(&message), Some((ID, NAME, Verdict::Other)));
        message[QUERY_BYTES - 3] = 28;
        assert_eq!(read(&message), None, "another type");
        assert_eq!(read(&query(ID, NAME)), None, "not a response");
        assert_eq!(read(&message[..36]), None, "cut");
    }

    #[test]
    fn a_query_of_a_load_is_distinguished_from_others() {
        let query = query(ID, NAME);
        assert!(is_of_a_load(&query));
        let mut other = query;
        other[38] = b'f';
        for message in [&other[..], &query[..QUERY_BYTES - 1], &[]] {
            assert!(!is_of_a_load(message));
        }
    }

    #[test]
    fn an_answer_has_opt_if_the_query_had_and_no_record_for_another_type() {
        let mut edns = query(ID, NAME).to_vec().with_opt(4_096, 0, &[]);
        let mut message = Vec::new();
        assert!(answer(&edns, &mut message));
        assert_eq!(message.len(), QUERY_BYTES + 16 + 11);
        assert_eq!(message[4..12], [0, 1, 0, 1, 0, 0, 0, 1]);

        edns[QUERY_BYTES - 3] = 28;
        message.clear();
        assert!(answer(&edns, &mut message));
        assert_eq!(message[4..12], [0, 1, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn the_long_answer_is_one_record_that_nearly_fills_a_message() {
        let mut message = Vec::new();
        assert!(answer(&long_query(), &mut message));
        assert_eq!(message.len(), QUERY_BYTES + 12 + 226 * 256);
        assert_eq!(message[4..12], [0, 1, 0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn what_is_no_query_gets_no_answer() {
        let mut response = query(ID, NAME);
        response[2] |= QR;
        let mut two_questions = query(ID, NAME);
        two_questions[5] = 2;
        let whole = query(ID, NAME);
        let mut output = Vec::new();
        for message in [
            &response[..],
            &two_questions,
            &whole[..QUERY_BYTES - 1],
            &[],
        ] {
            assert!(!answer(message, &mut output));
        }
        assert!(output.is_empty());
    }
}
