//! Answers a question from local data.

use dotgate_wire::{LocalResponse, LocalSet, Question, ede, rclass, rcode, rtype, store_local};

use super::{CNAMES_MAX, Found, LocalData, Records};
use crate::suffixes::{Labels, Starts, padded};

/// What local data makes of a question.
pub(crate) enum Answered {
    /// Nothing: its name is not local.
    No,
    /// The whole answer.
    Whole,
    /// CNAME records that lead to a name which is not local: that is the question that is left.
    LeadsTo(Box<Question>),
}

/// CNAME records and what the last of them leads to.
const SETS_MAX: usize = CNAMES_MAX + 1;

/// The records of an answer under way.
struct Chain<'a> {
    sets: [LocalSet<'a>; SETS_MAX],
    count: usize,
}

impl<'a> Chain<'a> {
    fn new() -> Chain<'a> {
        let none = LocalSet {
            rtype: 0,
            ttl: 0,
            count: 0,
            rdata: &[],
        };
        Chain {
            sets: [none; SETS_MAX],
            count: 0,
        }
    }

    /// False if there is no room.
    fn push(&mut self, set: LocalSet<'a>) -> bool {
        let place = self.sets.get_mut(self.count);
        let is_room = place.is_some();
        if let Some(place) = place {
            *place = set;
            self.count += 1;
        }
        is_room
    }

    fn sets(&self) -> &[LocalSet<'a>] {
        self.sets.get(..self.count).unwrap_or_default()
    }
}

impl LocalData {
    /// Appends the answer to `question` to `out` in the form that a cache stores, or the CNAME records of it that are local.
    /// `exact` is the question as the client sent it.
    pub(crate) fn answer(&self, out: &mut Vec<u8>, exact: &[u8], question: &Question) -> Answered {
        if question.qclass() != rclass::IN {
            return Answered::No;
        }
        let mut chain = Chain::new();
        let mut name = question.name();
        let mut found = self.find(&Labels::of_question(question, &mut Starts::new()));
        let denied = loop {
            let records = match found {
                Found::Nothing if chain.count == 0 => return Answered::No,
                Found::Nothing => {
                    return self.lead_elsewhere(out, exact, &chain, (name, question));
                }
                Found::Missing(zone) => {
                    let depth = name.len().saturating_sub(zone);
                    break Some((rcode::NXDOMAIN, name.get(depth..).unwrap_or(name)));
                }
                Found::Records(records) => records,
            };
            match asked_for(records, question.qtype()) {
                Some(set) => {
                    let is_alias = set.rtype == rtype::CNAME
                        && !matches!(question.qtype(), rtype::CNAME | rtype::ANY);
                    if !chain.push(set) {
                        return endless(out, exact);
                    }
                    if !is_alias {
                        break None;
                    }
                    name = set.rdata.get(2..).unwrap_or_default();
                    found = self.find(&Labels::of(&padded(name), &mut Starts::new()));
                }
                None => break Some((rcode::NOERROR, name)),
            }
        };
        let local = LocalResponse {
            rcode: denied.map_or(rcode::NOERROR, |(rcode, _)| rcode),
            sets: chain.sets(),
            soa: denied.map(|(_, zone)| (zone, self.negative_ttl)),
            ede: None,
        };
        store_local(out, exact, &local);
        Answered::Whole
    }

    fn lead_elsewhere(
        &self,
        out: &mut Vec<u8>,
        exact: &[u8],
        chain: &Chain<'_>,
        (name, question): (&[u8], &Question),
    ) -> Answered {
        let Some(left) = Question::new(name, question.qtype(), rclass::IN) else {
            return endless(out, exact);
        };
        let local = LocalResponse {
            rcode: rcode::NOERROR,
            sets: chain.sets(),
            soa: None,
            ede: None,
        };
        store_local(out, exact, &local);
        Answered::LeadsTo(Box::new(left))
    }
}

/// The records that answer a question of this type, or the CNAME record in place of them. For ANY it is one type alone
/// (RFC 8482 section 4.1).
fn asked_for(records: Records<'_>, asked: u16) -> Option<LocalSet<'_>> {
    let mut sets = records.sets();
    match asked {
        rtype::ANY => sets.next(),
        _ => sets.find(|set| set.rtype == asked || set.rtype == rtype::CNAME),
    }
}

/// CNAME records without end, which are refused when the data is made.
fn endless(out: &mut Vec<u8>, exact: &[u8]) -> Answered {
    let error = dotgate_wire::Ede {
        code: ede::OTHER,
        text: "local CNAME records lead in a circle",
    };
    dotgate_wire::store_failure(out, exact, rcode::SERVFAIL, Some(error));
    Answered::Whole
}
