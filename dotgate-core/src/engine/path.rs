//! The path of a query, from the listener to the attempts that are made for it.

use std::sync::Arc;

use dotgate_wire::{NameCase, Question};

use super::{Engine, dns64};
use crate::cache::Cached;
use crate::clients::{Local, Request};
use crate::counters::Count;
use crate::counters::labels::Limit;
use crate::exchange::{Client, Lookup, Waiter};
use crate::failure::Failure;
use crate::flights::Role;
use crate::keys::ExchangeKey;
use crate::moment::Moment;
use crate::outbox::ReturnPath;
use crate::route::{is_never_forwarded, special_use_answer};

/// What was served from the cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Served {
    /// Its response.
    Response,
    /// A stale answer, for the time when its client response timer expires.
    NotYet,
    /// Nothing.
    Nothing,
}

impl Engine {
    /// Takes a datagram that came in on `path`.
    pub fn on_datagram(&mut self, now: Moment, path: ReturnPath, message: &[u8]) {
        // What is no query was answered already.
        if let Ok((peer, query)) = self.clients.receive_datagram(now, path, message) {
            let request = self.clients.request(Client::Datagram(path), peer, query);
            self.on_query(now, &request);
        }
    }

    /// Answers a query, or has its client wait. A part of its callers, for its speed.
    #[inline(always)]
    pub(super) fn on_query(&mut self, now: Moment, request: &Request<'_>) {
        let query = &request.query;
        let question = Question::of(query);
        if self.has_local_stage {
            self.on_query_with_local_data(now, request, &question);
        } else {
            self.find_answer(now, request, &question);
        }
    }

    /// The same where there are local data, lists or DNS64, which come first. Apart, so that others do not pay for it.
    #[inline(never)]
    fn on_query_with_local_data(
        &mut self,
        now: Moment,
        request: &Request<'_>,
        question: &Question,
    ) {
        let local = match self.clients.answer_locally(request, question) {
            Local::No => match self.dns64().reverse_target(question) {
                Some(target) => self.clients.redirect_reverse(request, target, dns64::TTL),
                None => Local::No,
            },
            local @ (Local::Answered | Local::LeadsTo(..)) => local,
        };
        match local {
            Local::No => self.find_answer(now, request, question),
            Local::Answered => {}
            Local::LeadsTo(target, alias) => {
                let request = Request {
                    alias: Some(alias),
                    ..*request
                };
                self.find_answer(now, &request, &target);
            }
        }
    }

    /// Answers a query with what is known of `question`: here for a name of special use, else from the cache or an upstream.
    #[inline]
    fn find_answer(&mut self, now: Moment, request: &Request<'_>, question: &Question) {
        let query = &request.query;
        let route = self.settings.routes.find(question);
        let local = special_use_answer(question);
        // A route for a name of special use takes precedence over its answer here.
        let is_local = |zone: &[u8]| zone.len() > route.suffix_len || is_never_forwarded(zone);
        if let Some((zone, data)) = local.filter(|(zone, _)| is_local(zone)) {
            return match &request.alias {
                None => self.clients.deliver_local(request, zone, data),
                Some(alias) => {
                    let special = (question, zone, data);
                    self.clients.deliver_local_behind(request, alias, special);
                }
            };
        }
        let dnssec_ok = query.edns.is_some_and(|edns| edns.dnssec_ok);
        let checking_disabled = query.flags.checking_disabled();
        let route = (route.group, self.groups.get(route.group).route);
        let lookup = self
            .cache
            .lookup(question, route, dnssec_ok, checking_disabled);
        let served = self.serve_from_cache(now, request, &lookup);
        if served == Served::Response {
            return;
        }
        let group = self.groups.get(lookup.group);
        let received = (&lookup, query.question);
        // dotgate asks for the target of an alias, never for the alias.
        if request.alias.is_none() && self.upstreams.is_loop(now, received, group) {
            return self.clients.break_loop(request);
        }
        if let Err(limit) = self.wait(now, request, &lookup, served) {
            if served == Served::NotYet {
                let recoveries = self.groups.get(lookup.group).recoveries();
                let cached = self.cache.look_up_overloaded(now, &lookup, recoveries);
                if let Some(response) = cached {
                    let route = self.groups.get(lookup.group).route;
                    return self.clients.deliver_cached(request, &response, route);
                }
            }
            self.clients.turn_away(now, request, limit);
        }
    }

    /// Answers a query from the cache, if that may be.
    fn serve_from_cache(
        &mut self,
        now: Moment,
        request: &Request<'_>,
        lookup: &Lookup<'_>,
    ) -> Served {
        let group = self.groups.get(lookup.group);
        let recoveries = group.recoveries();
        let may_refresh = self.exchanges.may_refresh();
        let cached = self.cache.look_up(now, lookup, recoveries, may_refresh);
        let refreshes = match cached {
            Cached::Fresh(response, prefetches) => {
                self.clients.deliver_cached(request, &response, group.route);
                if prefetches {
                    self.tally.count(Count::Prefetches);
                }
                prefetches
            }
            Cached::Root(response, refreshes) => {
                self.clients.deliver_cached(request, &response, group.route);
                refreshes
            }
            Cached::Failed(response) => {
                self.clients.deliver_cached(request, &response, group.route);
                false
            }
            Cached::Stale(_, true) if !group.is_unreachable() => return Served::NotYet,
            Cached::Stale(response, _) => {
                // So that upstreams that are down are tried on.
                self.upstreams.on_demand(now, group);
                let why = group.why_unhealthy();
                let response = response.because(why.map_or("", Failure::text));
                self.clients.deliver_cached(request, &response, group.route);
                false
            }
            Cached::Miss => {
                if lookup.is_cacheable {
                    self.tally.count(Count::CacheMisses);
                }
                return Served::Nothing;
            }
        };
        if refreshes {
            self.refresh(now, lookup);
        }
        Served::Response
    }

    /// Asks for a question for which no client waits.
    fn refresh(&mut self, now: Moment, lookup: &Lookup<'_>) {
        let given_up_at = now + self.settings.query_deadline;
        let group = self.groups.get(lookup.group);
        if let Some(key) = self.exchanges.begin_refresh(lookup, group, given_up_at) {
            self.upstreams.begin(now, key, lookup, Arc::clone(group));
            self.upstreams.ask(now, key);
            self.settle(now);
        }
    }

    /// Adds a client to the exchange of its question, unless a limit is reached.
    fn wait(
        &mut self,
        now: Moment,
        request: &Request<'_>,
        lookup: &Lookup<'_>,
        served: Served,
    ) -> Result<(), Limit> {
        let (client, query) = (request.client, &request.query);
        let found = self.exchanges.find(lookup);
        let has_alias = request.alias.is_some();
        let waits_already = |key| (self.exchanges).waits_already(key, client, query.id, has_alias);
        if found.is_some_and(waits_already) {
            self.clients.on_repeated(request);
            return Ok(());
        }
        if !self.exchanges.has_room(found) {
            return Err(Limit::Queries);
        }
        let client_id = self.clients.take_quota(client, request.peer)?;
        let queries_max = self.clients.queries_max();
        if self.exchanges.queries() >= queries_max && !self.make_room(now) {
            self.clients.release_quota(client_id, client);
            return Err(Limit::Queries);
        }
        // The query that gave way may have been the only one of this exchange.
        let found = found.filter(|key| self.exchanges.get(*key).is_some());
        self.tally.count(Count::QueriesForwarded);
        let group = self.groups.get(lookup.group);
        self.upstreams.on_query(now, group);
        let exchange = found.unwrap_or_else(|| {
            let key = self.exchanges.begin(lookup, group);
            self.upstreams.begin(now, key, lookup, Arc::clone(group));
            key
        });
        let counts_domain = self.exchanges.queries() >= queries_max / 2;
        self.clients.on_waiting(client);
        let waiter = Waiter {
            client,
            peer: request.peer,
            client_id,
            id: query.id,
            flags: query.flags,
            name_case: NameCase::of(query.question),
            edns: query.edns,
            asked_at: now,
            exchange,
            alias: request.alias.clone(),
            cookie: self.clients.cookie_of(&request.query).map(Box::new),
            zone: None,
            next: None,
        };
        let deadline = now + self.settings.query_deadline;
        let has_deadline =
            found.is_none() || !dotgate_wire::planted!("merged-query-has-no-deadline");
        let timer = self.settings.cache.stale_after;
        let has_timer = served == Served::NotYet && timer <= self.settings.query_deadline;
        self.exchanges.join(
            waiter,
            has_deadline.then_some(deadline),
            has_timer.then(|| now + timer),
            counts_domain,
        );
        match found {
            None => self.start(now, exchange),
            Some(_) => self.tally.count(Count::QueriesMerged),
        }
        Ok(())
    }

    /// Sheds the query that has waited longest, of the domain with most. False if it has not waited long enough.
    fn make_room(&mut self, now: Moment) -> bool {
        let Some((waiter, key)) = self.exchanges.longest_waiting(now) else {
            return false;
        };
        if let Some(waiter) = self.exchanges.take(waiter, key) {
            self.clients.hit_limit(now, Limit::Queries, waiter.peer);
            let cause = self.upstreams.cause(key);
            let upstream = cause.and_then(|cause| cause.upstream);
            self.fail_waiter(now, &waiter, (Failure::Overload, upstream));
            if !self.exchanges.has_waiters(key) {
                self.remove_exchange(now, key, None);
                self.settle(now);
            }
        }
        true
    }

    /// Asks a question, or waits for the worker that does.
    pub(super) fn start(&mut self, now: Moment, key: ExchangeKey) {
        match self.exchanges.get(key).map(|exchange| exchange.role) {
            Some(Role::Leads | Role::Alone) => {
                self.upstreams.ask(now, key);
                self.settle(now);
            }
            Some(Role::Follows) => {
                self.tally.count(Count::QueriesFollowing);
                let timeout = self.settings.query_deadline / 2;
                self.exchanges.follow(key, now + timeout);
            }
            None => {}
        }
    }
}
