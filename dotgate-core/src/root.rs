//! The servers of the root zone, as everybody has known them for decades.
//!
//! The response to `. NS` before an upstream has responded. Forwarders in front of this one ask
//! that question to learn whether dotgate responds, which must not depend on an upstream. The names are those of IANA's
//! root hints (RFC 9609 section 2); they are never used to ask anybody.

use dotgate_wire::{Question, UpstreamResponse};

use crate::limits;

/// `. NS IN`, in lower case as every question.
const QUESTION: &[u8] = &[0, 0, 2, 0, 1];

/// Whether a question asks for the servers of the root.
pub(crate) fn is_root_servers(question: &Question) -> bool {
    question.as_bytes() == QUESTION
}

/// The answer in the form that a cache stores.
pub(crate) fn root_servers() -> Vec<u8> {
    let mut message = vec![0, 0, 0x81, 0x80, 0, 1, 0, 13, 0, 0, 0, 0];
    message.extend_from_slice(QUESTION);
    // Behind the first letter, the rest of the first name is pointed to by the others.
    let rest = u16::try_from(message.len() + 1 + 10 + 2).unwrap_or_default();
    for letter in b'a'..=b'm' {
        let mut name = vec![1, letter];
        if letter == b'a' {
            name.extend_from_slice(b"\x0croot-servers\x03net\0");
        } else {
            name.extend_from_slice(&(0xc000 | rest).to_be_bytes());
        }
        message.extend_from_slice(&[0, 0, 2, 0, 1]);
        message.extend_from_slice(&limits::STALE_TTL.to_be_bytes());
        message.extend_from_slice(&u16::try_from(name.len()).unwrap_or_default().to_be_bytes());
        message.extend_from_slice(&name);
    }
    let mut answer = UpstreamResponse::new();
    let mut cached = Vec::new();
    if answer.load(&message).is_ok() {
        answer.store(&mut cached, 0..=limits::STALE_TTL, None);
    }
    cached
}

#[cfg(test)]
mod tests {
    use dotgate_wire::Stored;

    use super::*;

    #[test]
    fn the_servers_of_the_root_are_thirteen() {
        let bytes = root_servers();
        let body = Stored::read(&bytes).unwrap().body().to_vec();
        assert_eq!(body[6..8], [0, 13]);
        let mut answer = UpstreamResponse::new();
        answer.load(&body).unwrap();
        assert_eq!((answer.answer_count(), answer.off_chain_count()), (13, 0));
        assert!(is_root_servers(&Question::fold(&body[12..17]).unwrap()));
        assert!(body.ends_with(&[b'm', 0xc0, 30]));
        assert!(
            body.get(30..)
                .unwrap()
                .starts_with(b"\x0croot-servers\x03net\0")
        );
    }
}
