//! DNS cookies of clients (RFC 7873, RFC 9018): a valid one shows that a query came from its source.
//!
//! Off the path of queries without one. Each response to a query with a cookie has one, but for those to clients that may
//! not ask.

use std::net::IpAddr;

use dotgate_wire::{Query, Reject, ResponseCookie, find_cookie, rcode};

use super::{Clients, Handled};
use crate::cookies::CookieState;
use crate::counters::labels::{CookieResult, Outcome};
use crate::exchange::Client;
use crate::moment::Moment;
use crate::query::Refusal;
use crate::respond::ClientParameters;

impl Clients {
    /// The cookie for the response to a query that is taken now. It is not in the request: that would be copied for every
    /// query, most of which have none.
    pub(crate) fn cookie_of(&self, query: &Query<'_>) -> Option<ResponseCookie> {
        match query.edns {
            Some(edns) if edns.has_cookie => self.cookie,
            Some(_) | None => None,
        }
    }

    /// Checks and counts the cookie of a query, and makes that of its response.
    #[cold]
    #[inline(never)]
    pub(super) fn take_cookie(
        &self,
        now: Moment,
        peer: IpAddr,
        message: &[u8],
    ) -> Option<ResponseCookie> {
        let (state, response) = self.check_cookie(now, peer, message)?;
        self.tally.cookie(state.result());
        Some(response)
    }

    /// What the cookie of a query shows, and the one for its response. None if it has no well-formed one, or if there are
    /// no cookies here.
    pub(super) fn check_cookie(
        &self,
        now: Moment,
        peer: IpAddr,
        message: &[u8],
    ) -> Option<(CookieState, ResponseCookie)> {
        let cookie = find_cookie(message)?;
        let now = self.wall_clock.seconds(now);
        self.settings.cookies.check(&cookie, peer, now)
    }

    /// Answers a query without a question, which asks for a cookie or whether one is valid (RFC 7873 section 5.4).
    pub(super) fn answer_cookie_alone(
        &mut self,
        now: Moment,
        (client, peer): (Client, IpAddr),
        reject: &Reject<'_>,
        message: &[u8],
    ) -> Handled {
        let checked = self.check_cookie(now, peer, message);
        let (refusal, outcome) = match checked {
            None => (Refusal::of_fault(&reject.fault), Outcome::Malformed),
            Some((CookieState::Invalid, _)) => (Refusal::BAD_COOKIE, Outcome::Local),
            Some((CookieState::Valid | CookieState::ClientOnly, _)) => {
                (Refusal::plain(rcode::NOERROR), Outcome::Local)
            }
        };
        if let Some((state, _)) = checked {
            self.tally.cookie(state.result());
        }
        self.tally
            .at_once(client.transport(), 0, outcome, refusal.rcode);
        let ended = || refusal.ended(outcome);
        self.record((client, peer, reject.id), reject.question, ended);
        let parameters = ClientParameters {
            id: reject.id,
            flags: reject.flags,
            edns: reject.edns,
            transport: self.transport(client),
        };
        let question = (reject.question, reject.flags.opcode());
        let cookie = checked.as_ref().map(|(_, response)| response);
        self.deliver_error(client, &parameters, question, refusal, cookie);
        match checked {
            Some(_) => Handled::Answered,
            None => Handled::Rejected {
                is_cut_short: false,
            },
        }
    }
}

impl CookieState {
    fn result(self) -> CookieResult {
        match self {
            CookieState::ClientOnly => CookieResult::ClientOnly,
            CookieState::Valid => CookieResult::Valid,
            CookieState::Invalid => CookieResult::Invalid,
        }
    }
}
