//! DNS messages as bytes, made and read without the code under test.

/// What a client asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) id: u16,
    pub(crate) name: u16,
    pub(crate) is_upper_case: bool,
    pub(crate) checking_disabled: bool,
    /// The DO bit of its OPT record, if it has one.
    pub(crate) edns: Option<bool>,
}

/// A well-formed query for the address of `nNNNNN.example`.
pub(crate) fn query(ask: Ask) -> Vec<u8> {
    let mut message = ask.id.to_be_bytes().to_vec();
    message.extend([1, if ask.checking_disabled { 0x10 } else { 0 }]);
    message.extend([0, 1, 0, 0, 0, 0, 0, u8::from(ask.edns.is_some()), 6]);
    let label = format!("n{:05}", ask.name);
    message.extend(match ask.is_upper_case {
        true => label.to_ascii_uppercase().into_bytes(),
        false => label.into_bytes(),
    });
    message.extend(b"\x07example\0\0\x01\0\x01");
    if let Some(dnssec_ok) = ask.edns {
        message.extend([0, 0, 41, 0x04, 0xd0, 0, 0]);
        message.extend([if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
    }
    message
}

pub(crate) fn id(message: &[u8]) -> Option<u16> {
    message
        .first_chunk::<2>()
        .map(|bytes| u16::from_be_bytes(*bytes))
}

fn u16_at(message: &[u8], place: usize) -> u16 {
    message
        .get(place..place + 2)
        .map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// The question of a message without compression in it; empty if there is none.
pub(crate) fn question(message: &[u8]) -> &[u8] {
    if u16_at(message, 4) == 0 {
        return &[];
    }
    let mut end = 12;
    while let Some(length) = message.get(end).filter(|length| **length != 0) {
        end += 1 + usize::from(*length);
    }
    message.get(12..end + 5).unwrap_or_default()
}

pub(crate) fn rcode(message: &[u8]) -> u8 {
    message.get(3).map_or(0, |byte| byte & 0x0f)
}

pub(crate) fn is_truncated(message: &[u8]) -> bool {
    message.get(2).is_some_and(|byte| byte & 2 != 0)
}

/// The data that belongs to a question, whatever its name case, so that no answer passes for another's.
pub(crate) fn right_data(question: &[u8]) -> [u8; 4] {
    let fold = |hash: u32, byte: &u8| {
        (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
    };
    question.iter().fold(0x811c_9dc5, fold).to_be_bytes()
}

/// The data of a response's first answer record, if it has one.
pub(crate) fn data(message: &[u8]) -> Option<[u8; 4]> {
    if u16_at(message, 6) == 0 {
        return None;
    }
    let start = 12 + question(message).len() + 12;
    message.get(start..start + 4)?.try_into().ok()
}

/// What an upstream says, where it is not the plain answer.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Form {
    pub(crate) rcode: u8,
    pub(crate) ede: Option<u16>,
    pub(crate) keepalive: Option<u16>,
    pub(crate) is_truncated: bool,
    pub(crate) lacks_question: bool,
    pub(crate) lacks_opt: bool,
    /// Records in the answer after the first.
    pub(crate) more_records: u16,
}

/// An upstream's response to a query.
pub(crate) fn response(query: &[u8], form: Form) -> Vec<u8> {
    let asked = question(query);
    let mut message = query.get(..2).unwrap_or_default().to_vec();
    let has_opt = u16_at(query, 10) > 0 && !form.lacks_opt;
    let answers = match form.rcode == 0 && !form.lacks_question {
        true => 1 + form.more_records,
        false => 0,
    };
    message.extend([0x81 | if form.is_truncated { 2 } else { 0 }]);
    message.extend([0x80 | form.rcode, 0, u8::from(!form.lacks_question)]);
    message.extend(answers.to_be_bytes());
    message.extend([0, 0, 0, u8::from(has_opt)]);
    if !form.lacks_question {
        message.extend(asked);
    }
    for _ in 0..answers {
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        message.extend(right_data(asked));
    }
    if has_opt {
        let mut options = Vec::new();
        if let Some(code) = form.ede {
            options.extend([0, 15, 0, 2]);
            options.extend(code.to_be_bytes());
        }
        if let Some(tenths) = form.keepalive {
            options.extend([0, 11, 0, 2]);
            options.extend(tenths.to_be_bytes());
        }
        message.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, options.len() as u8]);
        message.extend(options);
    }
    message
}

pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("a message that fits a frame");
    [&length.to_be_bytes(), message].concat()
}

/// Takes the complete messages off the front of a stream's bytes.
pub(crate) fn take_frames(bytes: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut start = 0;
    while let Some(&[high, low]) = bytes.get(start..).and_then(|rest| rest.first_chunk()) {
        let end = start + 2 + usize::from(u16::from_be_bytes([high, low]));
        let Some(message) = bytes.get(start + 2..end) else {
            break;
        };
        messages.push(message.to_vec());
        start = end;
    }
    bytes.drain(..start);
    messages
}
