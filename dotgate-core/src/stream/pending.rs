//! Responses whose bytes are written once the client has taken what is ready before them.
//!
//! One answer may be for a thousand queries of a connection: written out at once it would take memory a thousand
//! times. Those that wait share one copy of the answer.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;

use dotgate_wire::{Ede, ResponseCookie, Stored, Ttls, add_cookie, write_stored};

use crate::respond::ClientParameters;

/// The Extended DNS Error of a response made of a stored answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PendingEde {
    /// The one that came with the answer, if any, and perhaps the code of another one.
    OfAnswer(Option<u16>),
    /// This one.
    Own(u16, &'static str),
}

/// What a response made of a stored answer depends on, its question apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseTerms {
    pub(crate) parameters: ClientParameters,
    pub(crate) ttls: Ttls,
    /// The turn of its addresses, 0 if they are to stand as they came.
    pub(crate) turn: u32,
    pub(crate) ede: PendingEde,
    /// Whether AD may pass.
    pub(crate) is_authenticated: bool,
}

impl ResponseTerms {
    /// For an upstream response that has just arrived, with its Extended DNS Error.
    pub(crate) fn of_answer(parameters: ClientParameters, is_authenticated: bool) -> ResponseTerms {
        ResponseTerms {
            parameters,
            ttls: Ttls::CountedDown(0),
            turn: 0,
            ede: PendingEde::OfAnswer(None),
            is_authenticated,
        }
    }

    /// Appends the response to `question`, the client's own bytes.
    pub(crate) fn write(&self, out: &mut Vec<u8>, question: &[u8], stored: &Stored<'_>) {
        let (ede, second) = match self.ede {
            PendingEde::OfAnswer(second) => (stored.ede(), second),
            PendingEde::Own(code, text) => (Some(Ede { code, text }), None),
        };
        let mut hop = self.parameters.hop(ede, self.is_authenticated);
        if let Some(opt) = &mut hop.opt {
            opt.second_ede = second;
        }
        write_stored(out, &stored.rotated(self.turn), question, self.ttls, &hop);
    }
}

/// A response that waits.
pub(crate) struct Pending {
    pub(crate) terms: ResponseTerms,
    /// The question in the client's own bytes.
    pub(crate) question: Box<[u8]>,
    pub(crate) cookie: Option<Box<ResponseCookie>>,
    /// The answer as a cache stores it.
    pub(crate) answer: Arc<[u8]>,
}

impl Pending {
    /// Appends the response.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        if let Some(stored) = Stored::read(&self.answer) {
            let write = |out: &mut Vec<u8>| self.terms.write(out, &self.question, &stored);
            match &self.cookie {
                None => write(out),
                Some(cookie) => out.extend(with_cookie(cookie, write)),
            }
        }
    }
}

/// A response with a cookie.
pub(crate) fn with_cookie(cookie: &ResponseCookie, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut message = Vec::new();
    write(&mut message);
    add_cookie(&mut message, cookie);
    message
}

/// The responses of one connection that wait, in order.
#[derive(Default)]
pub(crate) struct PendingQueue {
    queue: VecDeque<Pending>,
    /// Bytes of their questions and answers; an answer that several in a row share counts once.
    bytes: usize,
}

impl PendingQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// What they cost, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.queue.capacity() * size_of::<Pending>()
    }

    /// Whether the last one has this answer.
    pub(crate) fn shares(&self, answer: &Arc<[u8]>) -> bool {
        let last = self.queue.back();
        last.is_some_and(|last| Arc::ptr_eq(&last.answer, answer))
    }

    pub(crate) fn push(&mut self, pending: Pending) {
        let is_shared = self.shares(&pending.answer);
        self.bytes += pending.question.len();
        if !is_shared {
            self.bytes += pending.answer.len();
        }
        self.queue.push_back(pending);
    }

    pub(crate) fn pop(&mut self) -> Option<Pending> {
        let pending = self.queue.pop_front()?;
        let is_shared = self
            .queue
            .front()
            .is_some_and(|next| Arc::ptr_eq(&next.answer, &pending.answer));
        let gone = pending.question.len() + if is_shared { 0 } else { pending.answer.len() };
        self.bytes = self.bytes.saturating_sub(gone);
        if self.queue.is_empty() {
            *self = PendingQueue::default();
        }
        Some(pending)
    }
}

#[cfg(test)]
mod tests {
    use dotgate_wire::Flags;

    use super::*;
    use crate::respond::Transport;

    #[test]
    fn an_answer_that_many_wait_for_counts_once() {
        let parameters = ClientParameters {
            id: 1,
            flags: Flags(0x0100),
            edns: None,
            transport: Transport::Stream {
                idle: None,
                is_encrypted: false,
            },
        };
        let terms = ResponseTerms::of_answer(parameters, true);
        let pending = |answer: &Arc<[u8]>| Pending {
            terms,
            question: vec![0; 10].into(),
            cookie: None,
            answer: Arc::clone(answer),
        };
        let (first, second): (Arc<[u8]>, Arc<[u8]>) = ([0; 5_000].into(), [0; 7_000].into());
        let mut queue = PendingQueue::default();
        for answer in [&first, &first, &second, &first] {
            queue.push(pending(answer));
        }
        assert_eq!(queue.bytes, 4 * 10 + 5_000 + 7_000 + 5_000);
        let mut left = Vec::new();
        while queue.pop().is_some() {
            left.push(queue.bytes);
        }
        assert_eq!(left, [17_030, 12_020, 5_010, 0]);
        assert_eq!(queue.bytes(), 0);
    }
}
