//! Queries to plain upstreams that come back as queries of clients.

use dotgate_wire::{NameCase, Question};

use super::Sessions;
use crate::exchange::Lookup;
use crate::keys::SessionKey;
use crate::limits;
use crate::link::Link;
use crate::moment::Moment;
use crate::outbox::Event;
use crate::routes::RouteId;
use crate::settings::GroupSettings;

impl Sessions {
    /// Stores the name case in which a question was sent over UDP.
    pub(super) fn remember(&self, now: Moment, key: SessionKey, id: u16, question: &Question) {
        let session = self.table.get(key);
        if let Some(session) = session.filter(|session| session.link == Link::Datagrams) {
            let key = self.hasher.key(question, RouteId::DEFAULT, false, false);
            let case = session.name_case(id);
            self.own_queries.add(now, key.question_hash(), case);
        }
    }

    /// Whether a client's query is one of dotgate's own that came back: `received` is its question in its name case.
    pub(crate) fn is_own_query(&self, now: Moment, lookup: &Lookup<'_>, received: &[u8]) -> bool {
        let question = (lookup.question, lookup.key.question_hash());
        let case = NameCase::of(received);
        self.own_queries
            .recognizes(now, lookup.key.route(), question, case)
    }

    /// Reports a loop, at most one in a while.
    pub(crate) fn report_loop(&mut self, now: Moment, group: &GroupSettings) {
        let reported = self.loop_reported;
        let next = reported.map(|last| last + limits::LOOP_REPORT_EVERY);
        if next.is_none_or(|next| next <= now) {
            self.loop_reported = Some(now);
            let group = group.label.clone();
            self.events.push_back(Event::Loop { group });
        }
    }
}
