//! The DNS messages of a measurement: queries for unique names, and their answers.
//!
//! Written apart from `dotgate-wire` on purpose: a forwarder is not to be measured and checked by
//! its own code. RFC 1035 sections 4.1 and 4.2.2.

/// Octets of a header.
pub const HEADER_BYTES: usize = 12;

/// Octets of a query.
pub const QUERY_BYTES: usize = QUESTION.len() + HEADER_BYTES;

/// One label of 24 hexadecimal digits below example.com, type A, class IN. The name is none of
/// those that resolvers treat on their own (RFC 6761), as they do `.test`.
const QUESTION: &[u8; 42] = b"\x18000000000000000000000000\x07example\x03com\x00\x00\x01\x00\x01";
const SEED: std::ops::Range<usize> = 13..21;
const SOCKET: std::ops::Range<usize> = 21..25;
const SEQUENCE: std::ops::Range<usize> = 25..37;

const TYPE_A: u16 = 1;
const TYPE_OPT: u16 = 41;
const QR: u8 = 0x80;
const RD: u8 = 0x01;
const RA: u8 = 0x80;

/// Which query of a measurement this is; no two are the same, so that no cache can answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Serial {
    /// The measurement.
    pub seed: u32,
    /// The socket it leaves from.
    pub socket: u16,
    /// Its number on that socket. The lower 16 bits are the message ID, the lower 48 in the name.
    pub sequence: u64,
}

impl Serial {
    /// The message ID.
    #[must_use]
    pub fn id(self) -> u16 {
        self.sequence as u16
    }
}

/// Writes the query with this serial number: recursion desired, no EDNS.
#[must_use]
pub fn query(serial: Serial) -> [u8; QUERY_BYTES] {
    let mut message = [0; QUERY_BYTES];
    message[..2].copy_from_slice(&serial.id().to_be_bytes());
    message[2] = RD;
    message[5] = 1;
    message[HEADER_BYTES..].copy_from_slice(QUESTION);
    write_hex(&mut message[SEED], u64::from(serial.seed));
    write_hex(&mut message[SOCKET], u64::from(serial.socket));
    write_hex(&mut message[SEQUENCE], serial.sequence);
    message
}

/// What came back for a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// NOERROR with at least one record in the answer section.
    Answered,
    /// SERVFAIL.
    ServerFailure,
    /// Another RCODE, or no record.
    Other,
}

/// Reads a response to a query of this seed sent on this socket: the query's serial number and
/// how it went. `None` for anything else, among it a question that does not fit the message ID.
#[must_use]
pub fn response(message: &[u8], seed: u32, socket: u16) -> Option<(Serial, Verdict)> {
    let sequence = read_hex(message.get(SEQUENCE)?)?;
    let serial = Serial {
        seed,
        socket,
        sequence,
    };
    let expected = query(serial);
    let is_response = message[2] & QR != 0 && message[4..6] == [0, 1];
    let is_ours = message[..2] == expected[..2]
        && message.get(HEADER_BYTES..QUERY_BYTES)? == &expected[HEADER_BYTES..];
    let has_answer = message[6..8] != [0, 0];
    let verdict = match (message[3] & 0x0f, has_answer) {
        (0, true) => Verdict::Answered,
        (2, _) => Verdict::ServerFailure,
        (_, _) => Verdict::Other,
    };
    (is_response && is_ours).then_some((serial, verdict))
}

/// Appends the upstream's answer to `query`: its question, one A record if that is the type asked
/// for, and an OPT record if the query begins its additional section with one. False, and nothing
/// appended, if it is no query with one question.
pub fn answer(query: &[u8], output: &mut Vec<u8>) -> bool {
    let Some((question_end, kind)) = question(query) else {
        return false;
    };
    let is_a = kind == TYPE_A;
    let has_opt = query[10..12] != [0, 0]
        && query.get(question_end..question_end + 3) == Some(&[0, 0, TYPE_OPT as u8]);
    output.extend_from_slice(&query[..2]);
    output.extend_from_slice(&[QR | (query[2] & RD), RA]);
    for count in [1, u16::from(is_a), 0, u16::from(has_opt)] {
        output.extend_from_slice(&count.to_be_bytes());
    }
    output.extend_from_slice(&query[HEADER_BYTES..question_end]);
    if is_a {
        // The question's name, A, IN, 300 s, 192.0.2.1 (RFC 5737).
        output
            .extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc0\x00\x02\x01");
    }
    if has_opt {
        // The root, OPT, 1232 octets, no extended RCODE, no flags, no options (RFC 6891).
        output.extend_from_slice(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00");
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

#[cfg(test)]
mod tests {
    use super::*;

    const SERIAL: Serial = Serial {
        seed: 0xdead_beef,
        socket: 31,
        sequence: 0x1_2345,
    };

    #[test]
    fn a_query_carries_its_serial_number_in_name_and_id() {
        let message = query(SERIAL);
        assert_eq!(message[..12], [0x23, 0x45, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(message[12..42], *b"\x18deadbeef001f000000012345\x07exam");
        assert_eq!(message[42..], *b"ple\x03com\x00\x00\x01\x00\x01");
    }

    #[test]
    fn an_answer_is_read_as_the_answer_to_its_query() {
        let mut message = Vec::new();
        assert!(answer(&query(SERIAL), &mut message));
        assert_eq!(message.len(), QUERY_BYTES + 16);
        assert_eq!(
            response(&message, SERIAL.seed, 31),
            Some((SERIAL, Verdict::Answered))
        );
        assert_eq!(
            response(&message, SERIAL.seed, 30),
            None,
            "another socket's"
        );
        assert_eq!(response(&message, 1, 31), None, "another measurement's");
        message[1] ^= 1;
        assert_eq!(
            response(&message, SERIAL.seed, 31),
            None,
            "another query's ID"
        );
        message[1] ^= 1;
        message[3] |= 2;
        assert_eq!(
            response(&message, SERIAL.seed, 31),
            Some((SERIAL, Verdict::ServerFailure))
        );
        message[3] ^= 2;
        message[7] = 0;
        assert_eq!(
            response(&message, SERIAL.seed, 31),
            Some((SERIAL, Verdict::Other))
        );
        assert_eq!(
            response(&query(SERIAL), SERIAL.seed, 31),
            None,
            "not a response"
        );
        assert_eq!(response(&message[..36], SERIAL.seed, 31), None, "cut");
    }

    #[test]
    fn an_answer_has_opt_if_the_query_had_and_no_record_for_another_type() {
        let mut edns = query(SERIAL).to_vec();
        edns[11] = 1;
        edns.extend_from_slice(b"\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00");
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
    fn what_is_no_query_gets_no_answer() {
        let mut response = query(SERIAL);
        response[2] |= QR;
        let mut two_questions = query(SERIAL);
        two_questions[5] = 2;
        let whole = query(SERIAL);
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
