//! What of the public name space clients do not get: names on lists, and private addresses in public answers.
//!
//! It is at two places of the path. A name is looked up on the way in, behind local data and before the cache, so
//! that a change of the lists applies at once and nothing of them is cached. A response is judged on the way back,
//! before it is cached: its aliases may lead to a listed name, and its addresses may be private ones. One that is
//! denied is replaced as a whole. A cached answer that another filter might judge differently carries the generation
//! of the filter that judged it, and is judged again when that is not the present one.
//! A response without AAAA records carries it too, because DNS64 may be configured by then.
//!
//! [`lists`] has the names, [`addresses`] knows which addresses are private, [`substitute`] makes responses.

mod addresses;
mod lists;
mod substitute;

use std::sync::Arc;

use dotgate_wire::{Ede, Question, UpstreamResponse, ede, rclass};

pub(crate) use self::lists::Listed;
pub use self::lists::{ListAction, ListCount, ListFault, ListScope, Lists, ListsBuilder};
pub use self::substitute::Substitute;
pub(crate) use self::substitute::store_substitute;
use crate::counters::labels::Filtering;
use crate::nat64::Dns64Prefix;
use crate::suffixes::{Labels, Starts};

/// Marks the generation of an answer that was made here in place of a response.
const MADE_HERE: u32 = 1 << 31;

/// Private addresses in answers from outside.
#[derive(Clone, Debug)]
pub struct Rebinding {
    /// What a client gets in place of such an answer.
    pub substitute: Substitute,
    /// Names below which such addresses are right, as the allowed names of these lists.
    pub except: Option<Arc<Lists>>,
}

/// All that is filtered.
#[derive(Clone, Debug)]
pub struct Filter {
    /// A number from 1, which changes with any of the following.
    pub generation: u32,
    /// The names that are blocked or allowed.
    pub lists: Option<Arc<Lists>>,
    /// What a client gets for a name that a list blocks without saying how.
    pub substitute: Substitute,
    /// The TTL of what a client gets in place of an answer, in seconds.
    pub ttl: u32,
    /// What happens to private addresses from groups that are not trusted with them; none if they pass.
    pub rebinding: Option<Rebinding>,
    /// The prefix for DNS64 of the default group, which changes what a cached answer is worth: see `Filter::mark`.
    pub dns64: Option<Dns64Prefix>,
}

impl Filtering {
    /// The Extended DNS Error that tells a client (RFC 8914 sections 4.16 and 4.18).
    pub(crate) const fn ede(self) -> Ede<'static> {
        let (code, text) = match self {
            Filtering::BlockList | Filtering::Redirect => (ede::BLOCKED, "on a block list"),
            Filtering::Alias => (ede::BLOCKED, "an alias leads to a name on a block list"),
            Filtering::Rebinding => (ede::FILTERED, "a public name with a private address"),
        };
        Ede { code, text }
    }
}

/// Why a response is not passed on, and what is in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Denied {
    pub(crate) why: Filtering,
    pub(crate) substitute: Substitute,
}

impl Filter {
    /// One that lets everything pass.
    pub const fn off() -> Filter {
        Filter {
            generation: 1,
            lists: None,
            substitute: Substitute::NxDomain,
            ttl: 60,
            rebinding: None,
            dns64: None,
        }
    }

    /// The entry of the lists for a name in a query.
    pub(crate) fn listed(&self, question: &Question) -> Listed<'_> {
        match &self.lists {
            Some(lists) if question.qclass() == rclass::IN => {
                lists.find_labels(&Labels::of_question(question, &mut Starts::new()))
            }
            Some(_) | None => Listed::No,
        }
    }

    /// Judges the response to a question. `is_public` says whether it comes from a group that is not trusted with
    /// private addresses. None if clients get it.
    pub(crate) fn judge(
        &self,
        question: &Question,
        response: &UpstreamResponse,
        is_public: bool,
    ) -> Option<Denied> {
        if question.qclass() != rclass::IN {
            return None;
        }
        let denied = self.judge_aliases(question, response);
        denied.or_else(|| self.judge_addresses(question, response, is_public))
    }

    fn judge_aliases(&self, question: &Question, response: &UpstreamResponse) -> Option<Denied> {
        let lists = self.lists.as_ref()?;
        if !response.has_alias()
            || lists.find(question.name()) == Listed::Allowed
            || dotgate_wire::planted!("aliases-are-not-judged")
        {
            return None;
        }
        let mut substitute = self.substitute;
        let is_denied = response.any_target(|target| match lists.find(target) {
            Listed::Denied(how, _) => {
                substitute = how.unwrap_or(substitute);
                true
            }
            Listed::Redirected(_) => true,
            Listed::No | Listed::Allowed => false,
        });
        let why = Filtering::Alias;
        is_denied.then_some(Denied { why, substitute })
    }

    fn judge_addresses(
        &self,
        question: &Question,
        response: &UpstreamResponse,
        is_public: bool,
    ) -> Option<Denied> {
        let rebinding = self.rebinding.as_ref().filter(|_| is_public)?;
        if !response.any_address(addresses::is_private)
            || dotgate_wire::planted!("private-addresses-pass")
        {
            return None;
        }
        let except = rebinding.except.as_ref();
        let is_excepted = except.is_some_and(|it| it.find(question.name()) == Listed::Allowed);
        (!is_excepted).then_some(Denied {
            why: Filtering::Rebinding,
            substitute: rebinding.substitute,
        })
    }

    /// The number with which an answer is cached: 0 if every filter would let it pass.
    pub(crate) fn mark(&self, answer: &UpstreamResponse, is_made_here: bool) -> u32 {
        if is_made_here {
            self.generation | MADE_HERE
        } else if answer.has_alias()
            || answer.any_address(addresses::is_private)
            || answer.lacks_aaaa()
        {
            self.generation
        } else {
            0
        }
    }

    /// Whether a cached answer with this number was judged by this filter, or needs no judgement.
    #[inline]
    pub(crate) fn has_judged(&self, mark: u32) -> bool {
        mark == 0
            || mark & !MADE_HERE == self.generation
            || dotgate_wire::planted!("cached-answers-are-not-judged-again")
    }

    /// Whether an answer with this number is one that was made here.
    pub(crate) fn is_made_here(mark: u32) -> bool {
        mark & MADE_HERE != 0
    }
}
