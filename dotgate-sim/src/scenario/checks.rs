//! What was seen in a run, compared with what was expected.

use std::time::Duration;

use dotgate_core::labels::Limit;
use dotgate_core::{Count, Event, Moment};

use crate::message::{self, Seen};
use crate::record::{Attempt, ClientQuery, ClientResponse, shown};

use super::state::{Finding, Mark, Run};
use super::step::{Amount, AnswerForm, Check, Comparison, Figure, Wanted};
use super::words::{Names, rcode};

/// The response codes of answers; all others are failures.
const ANSWERS: [u8; 2] = [0, 3];

/// The INFO-CODEs of stale data (RFC 8914).
const STALE: [u16; 2] = [3, 19];

impl Run<'_> {
    /// Finds out whether it is so. If not, says what is so instead.
    pub(super) fn find(&mut self, check: &Check) -> Result<(), String> {
        match check {
            Check::Figure {
                figure,
                of,
                at,
                wanted,
            } => {
                let words = self.words(figure, of.as_ref(), *at);
                let Some(seen) = self.measure(figure, of.as_ref(), *at) else {
                    return Err(format!("{words}: there is nothing to measure"));
                };
                self.note(words, *wanted, seen)
            }
            Check::Answer(names, form) => self.find_answers(names, form),
            Check::NoAnswer(names) => {
                let mut queries = self.queries(Some(names)).peekable();
                if queries.peek().is_none() {
                    return Err(format!("nobody has asked for {names}"));
                }
                match queries.find_map(|query| query.response) {
                    Some(place) => {
                        let response = &self.sim.record().responses[place];
                        Err(format!("{names} was answered at {}", shown(response.at)))
                    }
                    None => Ok(()),
                }
            }
            Check::OutQuery(upstream, names) => {
                match self.attempts(Some(names), Some(*upstream)).next() {
                    Some(_) => Ok(()),
                    None => Err(format!("the upstream was not asked for {names}")),
                }
            }
            Check::Portal(is_open) => match self.portal.is_some() == *is_open {
                true => Ok(()),
                false => Err(format!("open is wanted to be {is_open}")),
            },
            Check::Health(upstream, state) => {
                let seen = self.sim.health(*upstream);
                match seen == *state {
                    true => Ok(()),
                    false => Err(format!("the upstream is {seen:?}")),
                }
            }
        }
    }

    fn note(&mut self, words: String, wanted: Wanted, seen: Amount) -> Result<(), String> {
        let text = format!(
            "{words}: wanted {}{}, seen {seen}",
            wanted.comparison.sign(),
            wanted.amount
        );
        self.findings.push(Finding {
            phase: self.mark.words.clone(),
            words,
            wanted,
            seen,
        });
        match wanted.is_met_by(seen) {
            true => Ok(()),
            false => Err(text),
        }
    }

    fn words(&self, figure: &Figure, of: Option<&Names>, at: Option<usize>) -> String {
        let mut words = figure.words();
        if let Some(upstream) = at.and_then(|at| self.scenario.upstreams.get(at)) {
            words = format!("{words} at {}", upstream.name);
        }
        if let Some(names) = of {
            words = format!("{words} of `{names}`");
        }
        words
    }

    fn measure(&self, figure: &Figure, of: Option<&Names>, at: Option<usize>) -> Option<Amount> {
        let since = &self.mark;
        let now = Mark::now(&self.sim);
        let of_upstreams = |now: &[u32], since: &[u32]| {
            let grown = now
                .iter()
                .zip(since)
                .map(|(now, since)| u64::from(now - since));
            let meant = grown
                .enumerate()
                .filter(|(place, _)| at.is_none_or(|at| at == *place));
            Amount::Count(meant.map(|(_, count)| count).sum())
        };
        let response = |query: &ClientQuery| self.response(query);
        let is_answered = |query: &&ClientQuery| response(query).is_some_and(is_answer);
        Some(match figure {
            Figure::Lost => {
                self.queries(of).next()?;
                count(self.queries(of).filter(|query| !is_answered(query)))
            }
            Figure::Answered => count(self.queries(of).filter(is_answered)),
            Figure::Truncated => count(self.queries(of).filter(|query| {
                response(query).is_some_and(|response| response.seen.is_truncated)
            })),
            Figure::Coded(code) => count(self.queries(of).filter(|query| {
                response(query).is_some_and(|response| rcode_of(&response.seen) == *code)
            })),
            Figure::LimitHits(limit) => {
                let place = Limit::ALL.iter().position(|other| other == limit)?;
                Amount::Count(now.limits[place] - since.limits[place])
            }
            Figure::Amplification => {
                let bytes = |query: &ClientQuery| query.message.len() as u64;
                let received: u64 = self.queries(of).map(bytes).sum();
                let lengths = self.queries(of).filter_map(response);
                let sent: u64 = lengths.map(|response| response.seen.length as u64).sum();
                Amount::Ratio((sent * 100).div_ceil(received.max(1)))
            }
            Figure::Waiting => {
                self.queries(of).next()?;
                let waits = |query: &&ClientQuery| query.response.is_none() && !query.is_abandoned;
                count(self.queries(of).filter(waits))
            }
            Figure::Stale => count(self.queries(of).filter(|query| {
                let edes = response(query).map_or(&[][..], |response| &response.seen.edes);
                edes.iter().any(|code| STALE.contains(code))
            })),
            Figure::LongestWait => Amount::Time(self.waits(of, now.at).max()?),
            Figure::UsualWait => self.wait_of(of, now.at, 900)?,
            Figure::RareWait => self.wait_of(of, now.at, 999)?,
            Figure::FirstAnswer => {
                let mut responses = self.sim.record().responses.iter();
                let first =
                    responses.find(|response| response.at >= since.at && is_answer(response))?;
                Amount::Time(first.at.since(since.at))
            }
            Figure::Attempts => count(self.attempts(of, at)),
            Figure::AttemptsPerQuery => {
                let queries = self.queries(of).count() as u64;
                let attempts = self.attempts(of, at).count() as u64;
                Amount::Ratio((attempts * 100).div_ceil(queries.max(1)))
            }
            Figure::Connects => of_upstreams(&now.started, &since.started),
            Figure::Handshakes => of_upstreams(&now.opened, &since.opened),
            Figure::Sessions => {
                let sessions = |worker| self.sim.load(worker).sessions as u64;
                Amount::Count((0..self.sim.workers()).map(sessions).sum())
            }
            Figure::DownEvents => count(self.sim.record().events[since.events..].iter().filter(
                |(_, _, event)| {
                    matches!(event, Event::UpstreamDown { upstream, .. } if at.is_none_or(|at| at == upstream.index()))
                },
            )),
            Figure::Incidents => {
                let places = 0..self.scenario.upstreams.len();
                let meant = places.filter(|place| at.is_none_or(|at| at == *place));
                let incidents = meant.flat_map(|place| self.sim.incidents(place));
                Amount::Count(incidents.map(|incident| u64::from(incident.count)).sum())
            }
            Figure::Closed(client) => {
                let client = self.streams.get(client)?;
                let over = client.streams.iter();
                let over = over.filter(|stream| self.sim.is_over(**stream)).count();
                Amount::Count((client.replaced + over) as u64)
            }
            Figure::Counter(counter) => {
                let place = Count::ALL.iter().position(|other| other == counter)?;
                Amount::Count(now.counts[place] - since.counts[place])
            }
        })
    }

    /// Queries sent since counting began.
    fn queries<'r>(&'r self, of: Option<&'r Names>) -> impl Iterator<Item = &'r ClientQuery> {
        let queries = self.sim.record().queries[self.mark.queries..].iter();
        queries.filter(move |query| {
            of.is_none_or(|names| names.are_of(message::question(&query.message)))
        })
    }

    /// How long queries sent since counting began have waited for their responses, or wait still.
    fn waits<'r>(
        &'r self,
        of: Option<&'r Names>,
        now: Moment,
    ) -> impl Iterator<Item = Duration> + 'r {
        self.queries(of).map(move |query| {
            let response = self.response(query);
            response
                .map_or(now, |response| response.at)
                .since(query.sent)
        })
    }

    /// The longest wait of so many per mille of the queries.
    fn wait_of(&self, of: Option<&Names>, now: Moment, per_mille: usize) -> Option<Amount> {
        let mut waits: Vec<Duration> = self.waits(of, now).collect();
        waits.sort_unstable();
        let last = waits.len().checked_sub(1)?;
        Some(Amount::Time(waits[last * per_mille / 1_000]))
    }

    /// Attempts made since counting began.
    fn attempts<'r>(
        &'r self,
        of: Option<&'r Names>,
        at: Option<usize>,
    ) -> impl Iterator<Item = &'r Attempt> {
        let attempts = self.sim.record().attempts[self.mark.attempts..].iter();
        attempts.filter(move |attempt| {
            !attempt.is_probe
                && at.is_none_or(|at| at == attempt.upstream)
                && of.is_none_or(|names| names.are_of(&attempt.question))
        })
    }

    fn response(&self, query: &ClientQuery) -> Option<&ClientResponse> {
        self.sim.record().responses.get(query.response?)
    }

    /// Checks every answer to these names; the slowest one is what was seen.
    fn find_answers(&mut self, names: &Names, form: &AnswerForm) -> Result<(), String> {
        let mut slowest = None;
        for query in self.queries(Some(names)) {
            let name = message::shown(message::question(&query.message));
            let Some(response) = self.response(query) else {
                return Err(format!("{name} was not answered"));
            };
            check_form(&response.seen, form)
                .map_err(|text| format!("{name} was answered {text}"))?;
            slowest = slowest.max(Some(response.at.since(query.sent)));
        }
        let Some(slowest) = slowest else {
            return Err(format!("nobody has asked for {names}"));
        };
        let Some(within) = form.within else {
            return Ok(());
        };
        let wanted = Wanted {
            comparison: Comparison::AtMost,
            amount: Amount::Time(within),
        };
        let ede = form.ede.map(|code| format!(" (EDE {code})"));
        let ttl = form.ttl.map(|ttl| format!(" (TTL {ttl} s)"));
        let bytes = form.bytes.map(|bytes| format!(" of {bytes} bytes"));
        let truncated = if form.is_truncated { ", truncated" } else { "" };
        let words = format!(
            "`{names}` gets {}{}{}{}{truncated} in",
            rcode(form.rcode),
            ede.unwrap_or_default(),
            ttl.unwrap_or_default(),
            bytes.unwrap_or_default()
        );
        self.note(words, wanted, Amount::Time(slowest))
    }

    /// Whether every answer that was given is the right one to its question, of some version.
    pub(super) fn check_answers(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for response in &self.sim.record().responses {
            let seen = &response.seen;
            let has_data = seen.rcode == 0 && !seen.is_truncated;
            let is_right = match seen.data.first() {
                // The root servers are returned from memory.
                Some(_) if seen.question == message::ROOT_SERVERS => has_data,
                Some(data) if message::mapped_address(&seen.question).is_some() => {
                    has_data && message::mapped_address(&seen.question).as_ref() == Some(data)
                }
                Some(data) => {
                    has_data
                        && (0..=LAST_VERSION).any(|version| {
                            data[..] == message::data_of_version(&seen.question, version)
                        })
                }
                None => !has_data || !message::has_data(&seen.question),
            };
            if !is_right {
                let (at, question) = (shown(response.at), message::shown(&seen.question));
                wrong.push(format!("{at} {question} has the data {:x?}", seen.data));
            }
        }
        wrong
    }
}

/// Data changes this often at most in a scenario.
const LAST_VERSION: u32 = 3;

fn count(things: impl Iterator) -> Amount {
    Amount::Count(things.count() as u64)
}

fn is_answer(response: &ClientResponse) -> bool {
    ANSWERS.contains(&response.seen.rcode)
}

/// The whole response code that a client reads, as far as it has one byte.
fn rcode_of(seen: &Seen) -> u8 {
    seen.rcode_upper.wrapping_shl(4) | seen.rcode
}

fn check_form(seen: &Seen, form: &AnswerForm) -> Result<(), String> {
    let ede = seen.ede.as_ref();
    if rcode_of(seen) != form.rcode {
        return Err(format!("{} {ede:?}", rcode(rcode_of(seen))));
    }
    if seen.is_truncated != form.is_truncated {
        return Err(format!("with TC={}", u8::from(seen.is_truncated)));
    }
    if let Some(bytes) = form.bytes
        && bytes != seen.length as u64
    {
        return Err(format!("in {} bytes", seen.length));
    }
    if form.ttl.is_some() && form.ttl != seen.ttl {
        return Err(format!("with TTL {:?}", seen.ttl));
    }
    if let Some(version) = form.version
        && seen.data.first().map(Vec::as_slice)
            != Some(&message::data_of_version(&seen.question, version))
    {
        return Err(format!("with the data {:x?}", seen.data));
    }
    let text = ede.map_or("", |(_, text)| text);
    if form.ede.is_some_and(|code| !seen.edes.contains(&code)) {
        return Err(format!("with EDE {ede:?}"));
    }
    match &form.text {
        Some(beginning) if !text.starts_with(beginning) => Err(format!("with the text \"{text}\"")),
        _ => Ok(()),
    }
}
