//! Local data and lists: answered at once, or, behind CNAME records that lead out of it, with what an upstream says
//! about the name they lead to.
//!
//! Such a query waits for the exchange of that name's question, with all others that ask it, and its CNAME records are
//! put in front of the answer only when it is delivered. So the cache never holds local data.

use std::sync::Arc;

use dotgate_wire::{
    Ede, LocalData, LocalResponse, LocalSet, Question, Stored, TTL_MAX, Ttls, UpstreamResponse,
    ede, rclass, rcode, rtype, store_failure, store_joined, store_local, write_local,
};

use super::deliver::TermsWithCookie;
use super::{Clients, Request};
use crate::counters::labels::{Filtering, Outcome};
use crate::exchange::Client;
use crate::filter::{Listed, store_substitute};
use crate::local::Answered;
use crate::record::Ended;
use crate::respond::ClientParameters;
use crate::route::leaves_to_parent;
use crate::stream::ResponseTerms;

/// What became of a query at local data.
pub(crate) enum Local {
    /// Its name is not local.
    No,
    /// The client has its response.
    Answered,
    /// CNAME records, in the form that a cache stores, lead to a name that is not local.
    LeadsTo(Box<Question>, Arc<[u8]>),
}

impl Clients {
    /// Answers a query from local data and lists, as far as these go.
    pub(crate) fn answer_locally(&mut self, request: &Request<'_>, question: &Question) -> Local {
        if let Some(data) = &self.settings.local
            && !leaves_to_parent(question)
            && !dotgate_wire::planted!("local-names-are-forwarded")
        {
            self.local.clear();
            match data.answer(&mut self.local, request.query.question, question) {
                Answered::No => {}
                Answered::Whole => {
                    self.deliver_local_data(request, Outcome::Local);
                    return Local::Answered;
                }
                Answered::LeadsTo(target) => {
                    return Local::LeadsTo(target, self.local.as_slice().into());
                }
            }
        }
        self.filter_query(request, question)
    }

    /// Answers a query whose name is on a list.
    fn filter_query(&mut self, request: &Request<'_>, question: &Question) -> Local {
        let filter = &self.settings.filter;
        let exact = request.query.question;
        let name = question.name();
        match filter.listed(question) {
            Listed::No | Listed::Allowed => Local::No,
            Listed::Denied(how, suffix_len) => {
                let substitute = how.unwrap_or(filter.substitute);
                let zone = name.get(name.len().saturating_sub(suffix_len)..);
                let soa = (zone.unwrap_or_default(), filter.ttl);
                self.local.clear();
                let ede = Filtering::BlockList.ede();
                store_substitute(&mut self.local, (exact, question), substitute, soa, ede);
                self.tally.filtered(Filtering::BlockList);
                self.deliver_local_data(request, Outcome::Blocked);
                Local::Answered
            }
            Listed::Redirected(target) => {
                let ttl = filter.ttl;
                let target = Question::new(target, question.qtype(), rclass::IN);
                self.tally.filtered(Filtering::Redirect);
                self.redirect(request, target, ttl)
            }
        }
    }

    /// Answers a query for a reverse name with a CNAME record, and with local data for the name that it leads to, or has
    /// that looked up.
    pub(crate) fn redirect_reverse(
        &mut self,
        request: &Request<'_>,
        target: Question,
        ttl: u32,
    ) -> Local {
        let local = self.redirect(request, Some(target), ttl);
        let Local::LeadsTo(target, alias) = &local else {
            return local;
        };
        let mut rest = Vec::new();
        let data = self.settings.local.as_ref();
        let answered = data.map(|data| data.answer(&mut rest, target.as_bytes(), target));
        if !matches!(answered, Some(Answered::Whole)) {
            return local;
        }
        self.local = joined(alias, &rest, 0);
        self.deliver_local_data(request, Outcome::Local);
        Local::Answered
    }

    /// Answers a query with a CNAME record, and has what it leads to looked up.
    fn redirect(&mut self, request: &Request<'_>, target: Option<Question>, ttl: u32) -> Local {
        let Some(target) = target else {
            return Local::No;
        };
        // A name has 255 bytes at most.
        let length = (target.name().len() as u16).to_be_bytes();
        let rdata = [&length, target.name()].concat();
        let set = LocalSet {
            rtype: rtype::CNAME,
            ttl,
            count: 1,
            rdata: &rdata,
        };
        let response = LocalResponse {
            rcode: rcode::NOERROR,
            sets: &[set],
            soa: None,
            ede: None,
        };
        self.local.clear();
        store_local(&mut self.local, request.query.question, &response);
        if matches!(target.qtype(), rtype::CNAME | rtype::ANY) {
            self.deliver_local_data(request, Outcome::Blocked);
            return Local::Answered;
        }
        Local::LeadsTo(Box::new(target), self.local.as_slice().into())
    }

    /// Sends the local answer in `local`.
    fn deliver_local_data(&mut self, request: &Request<'_>, outcome: Outcome) {
        let (client, query) = (request.client, &request.query);
        self.turn = self.turn.wrapping_add(1);
        let mut terms = ResponseTerms::of_answer(request.parameters, false);
        if self.settings.cache.rotates_addresses {
            terms.turn = self.turn;
        }
        let bytes = std::mem::take(&mut self.local);
        let cookie = self.cookie_of(query);
        let terms = (&terms, cookie.as_ref());
        let rcode = self.deliver_bytes(client, &bytes, query.question, terms);
        let ended = || {
            let ede = Stored::read(&bytes).and_then(|stored| stored.ede());
            Ended::here(outcome, rcode, ede.map(|ede| ede.code))
        };
        self.record((client, request.peer, query.id), query.question, ended);
        self.local = bytes;
        let transport = client.transport();
        self.tally.at_once(transport, query.qtype, outcome, rcode);
    }

    /// Answers a query whose local CNAME records lead to a name of special use: its question, zone and answer.
    pub(crate) fn deliver_local_behind(
        &mut self,
        request: &Request<'_>,
        alias: &[u8],
        (question, zone, data): (&Question, &[u8], LocalData),
    ) {
        let mut message = Vec::new();
        let hop = ClientParameters::PLAIN.hop(None, false);
        write_local(&mut message, question.as_bytes(), zone, data, &hop);
        let mut answer = UpstreamResponse::new();
        let mut stored = Vec::new();
        if answer.load(&message).is_ok() {
            answer.store(&mut stored, 0..=TTL_MAX, None);
        }
        self.local = joined(alias, &stored, 0);
        self.deliver_local_data(request, Outcome::Local);
    }

    /// Answers with a stored answer behind the local CNAME records that led there. Returns the RCODE.
    pub(super) fn deliver_behind(
        &mut self,
        alias: &[u8],
        client: Client,
        bytes: &[u8],
        question: &[u8],
        (terms, cookie): TermsWithCookie<'_>,
    ) -> u16 {
        let age = match terms.ttls {
            Ttls::CountedDown(age) => age,
            Ttls::All(_) => 0,
        };
        let terms = ResponseTerms {
            // Nothing local is signed.
            is_authenticated: false,
            ..*terms
        };
        self.deliver_bytes(
            client,
            &joined(alias, bytes, age),
            question,
            (&terms, cookie),
        )
    }

    fn deliver_bytes(
        &mut self,
        client: Client,
        bytes: &[u8],
        question: &[u8],
        terms: TermsWithCookie<'_>,
    ) -> u16 {
        // What was made here can be read here.
        let stored = Stored::read(bytes);
        stored.map_or(rcode::SERVFAIL, |stored| {
            self.deliver_stored_with(client, (bytes, &stored), question, terms)
        })
    }
}

/// The local CNAME records in `alias` and then what `rest` says, both in the form that a cache stores. `age` is the time in
/// seconds by which TTLs are counted down when it is sent.
fn joined(alias: &[u8], rest: &[u8], age: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let (Some(alias), Some(rest)) = (Stored::read(alias), Stored::read(rest)) else {
        return out;
    };
    if !store_joined(&mut out, &alias, &rest, age) {
        let too_long = Ede {
            code: ede::OTHER,
            text: "too long with the local CNAME records in front of it",
        };
        store_failure(&mut out, alias.question(), rcode::SERVFAIL, Some(too_long));
    }
    out
}
