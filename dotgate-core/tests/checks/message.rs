//! DNS messages as bytes, made and read without the code under test.

pub(crate) use dotgate_message::framed;
use dotgate_message::{
    A, CD, Compose as _, DO, EDE, KEEPALIVE, QNAME, QR, RA, RD, TC, UDP_SIZE, header, question_of,
    record, split_frame,
};

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
    let label = match ask.is_upper_case {
        true => format!("N{:05}", ask.name),
        false => format!("n{:05}", ask.name),
    };
    let flags = RD | if ask.checking_disabled { CD } else { 0 };
    let message = dotgate_message::query(ask.id, &format!("{label}.example")).with_flags(flags);
    match ask.edns {
        None => message,
        Some(dnssec_ok) => message.with_opt(UDP_SIZE, if dnssec_ok { DO } else { 0 }, &[]),
    }
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
    question_of(message).unwrap_or_default()
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
    let id = id(query).unwrap_or_default();
    let answers = match form.rcode == 0 {
        true => 1 + usize::from(form.more_records),
        false => 0,
    };
    let flags = QR | RD | RA | u16::from(form.rcode) | if form.is_truncated { TC } else { 0 };
    let message = match form.lacks_question {
        true => header(id, flags, [0; 4]),
        false => {
            let records = vec![record(QNAME, A, 60, &right_data(asked)); answers];
            dotgate_message::message(id, flags, asked, [&records, &[], &[]])
        }
    };
    if u16_at(query, 10) == 0 || form.lacks_opt {
        return message;
    }
    let [ede, keepalive] = [form.ede, form.keepalive].map(|it| it.map(u16::to_be_bytes));
    let ede = ede.as_ref().map(|data| (EDE, &data[..]));
    let keepalive = keepalive.as_ref().map(|data| (KEEPALIVE, &data[..]));
    let options: Vec<_> = ede.into_iter().chain(keepalive).collect();
    message.with_options(&options)
}

/// Takes the complete messages off the front of a stream's bytes.
pub(crate) fn take_frames(bytes: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut rest = &bytes[..];
    while let Some((message, after)) = split_frame(rest) {
        messages.push(message.to_vec());
        rest = after;
    }
    bytes.drain(..bytes.len() - rest.len());
    messages
}
