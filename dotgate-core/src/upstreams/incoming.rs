//! The message of an upstream that came last, and which question it answers.

use dotgate_wire::{UpstreamResponse, rcode};

use crate::cache::QuestionHasher;
use crate::counters::labels::Reason;
use crate::failure::Misbehaviour;
use crate::pool::Pool;
use crate::questions::Questions;
use crate::routes::RouteId;
use crate::session::{QueryOwner, Session};

/// A message of an upstream, which is as it came until it is replaced by the next one.
pub(super) struct Incoming {
    message: UpstreamResponse,
    hasher: QuestionHasher,
}

impl Incoming {
    /// Nothing has come yet.
    pub(super) fn new(hasher: QuestionHasher) -> Incoming {
        Incoming {
            message: UpstreamResponse::new(),
            hasher,
        }
    }

    /// Takes a message. False if it is malformed.
    pub(super) fn load(&mut self, message: &[u8]) -> bool {
        self.message.load(message).is_ok()
    }

    /// The message that came last.
    pub(super) fn message(&self) -> &UpstreamResponse {
        &self.message
    }

    /// Whether the message answers a question that was asked on its session, and which.
    pub(super) fn check(
        &self,
        session: Option<&Session>,
        questions: &mut Questions,
        id: Option<u16>,
        is_well_formed: bool,
    ) -> Result<(u16, QueryOwner), Reason> {
        let owner = id.and_then(|id| Some((id, session?.owner(id)?)));
        let Some((id, owner)) = owner else {
            return Err(Reason::UpstreamUnknownId);
        };
        if !is_well_formed {
            questions.note_misbehaviour(owner, Misbehaviour::Malformed);
            return Err(Reason::UpstreamMalformed);
        }
        if !self.answers_question_of(owner, questions) {
            questions.note_misbehaviour(owner, Misbehaviour::WrongQuestion);
            return Err(Reason::UpstreamWrongQuestion);
        }
        Ok((id, owner))
    }

    /// Whether the loaded answer is for the question that was asked (RFC 7766 section 7). Only an error may come
    /// without a question.
    fn answers_question_of(&self, owner: QueryOwner, questions: &Questions) -> bool {
        let exact = self.message.question();
        if exact.is_empty() {
            return self.message.rcode() != rcode::NOERROR
                && self.message.rcode() != rcode::NXDOMAIN;
        }
        match owner {
            QueryOwner::Exchange(key) => questions.get(key).is_some_and(|attempts| {
                attempts.question.matches(exact) || dotgate_wire::planted!("any-question-matches")
            }),
            QueryOwner::Probe(hash) | QueryOwner::Copy(hash) | QueryOwner::Retired(hash) => {
                self.is_hash_of(hash, exact)
            }
        }
    }

    fn is_hash_of(&self, hash: u64, exact: &[u8]) -> bool {
        let Some(question) = dotgate_wire::Question::fold(exact) else {
            return false;
        };
        let key = self.hasher.key(&question, RouteId::DEFAULT, false, false);
        key.question_hash() == hash
    }

    /// Its Extended DNS Error as it is passed on, for the upstream of this pool: the text says where it came from first
    /// (RFC 8914 section 3). Structured text would not survive a word before it, so it is dropped.
    pub(super) fn relayed_ede(&self, pool: Option<&Pool>) -> Option<(u16, String)> {
        let (code, text) = self.message.ede()?;
        let Some(pool) = pool else {
            return Some((code, String::new()));
        };
        let label = &pool.upstream.label;
        let text = match text {
            text if text.is_empty() || text.starts_with('{') => format!("from {label}"),
            text => format!("from {label}: {text}"),
        };
        Some((code, text))
    }
}
