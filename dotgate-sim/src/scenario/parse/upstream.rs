//! What can apply an upstream: the line `UPSTREAM a ...`.

use std::time::Duration;

use dotgate_core::{ConnectFault, SessionEnd, TlsFault};

use crate::scenario::step::Deed;
use crate::scenario::words::{Line, Mistake};
use crate::script::{AnswerBound, Invalid, Opening, Place, Reaction, Rule};
use crate::upstream::{Death, State};

use super::Reader;

const DEEDS: &str =
    "what happens to the upstream, such as CLOSES, REFUSES, FREEZES or ANSWERS slow* AFTER 1s";

const MISLEADING: &str = "wrong id, wrong question, wrong case, the query, garbage, half an answer, N wrong ids or N frames of \
    garbage";

const CAUSES: &str = "a cause in the words of an EDE, such as \"tls: certificate expired\"";

impl Reader<'_> {
    pub(super) fn deed(&mut self) -> Result<Deed, Mistake> {
        let at_deed = self.line.clone();
        let refused = SessionEnd::Connect(ConnectFault::Refused);
        let deed = match self.line.word(DEEDS)? {
            "OPENS" if self.line.takes("IN") => Deed::OpensIn(self.line.span()?),
            "OPENS" | "RETURNS" => Deed::Opening(Opening::Accepts),
            "REFUSES" => Deed::Opening(Opening::Fails(refused)),
            "FAILS" => Deed::Opening(self.failing_opening()?),
            "ACCEPTS_AND_SENDS_NOTHING" => Deed::Opening(Opening::AcceptsAndSendsNothing),
            "DROPS_LARGE_HELLOS" => Deed::Opening(Opening::DropsLargeHellos),
            "FREEZES" => Deed::State(State::Frozen),
            "IS_CUT_OFF" => Deed::State(State::CutOff),
            "THAWS" | "IS_REACHED" => Deed::State(State::Running),
            "DIES" if self.line.takes("UNNOTICED") => Deed::Dies(Death::Unnoticed),
            "DIES" if self.line.takes("BY_RESET") => Deed::Dies(Death::Reset),
            "DIES" => Deed::Dies(Death::Fin),
            "SWALLOWS" => Deed::Swallows,
            "BREAKS" => Deed::Ends(self.cause()?),
            "CLOSES" if self.line.takes("IDLE_CONNECTIONS AFTER") => {
                Deed::ClosesIdleAfter(self.line.time()?)
            }
            "CLOSES" if self.line.takes("AFTER") => self.answer_bound(false)?,
            "RESETS" if self.line.takes("AFTER") => self.answer_bound(true)?,
            "CLOSES" if self.line.peek().is_none() => Deed::Ends(SessionEnd::Closed),
            "RESETS" if self.line.peek().is_none() => Deed::Ends(SessionEnd::Reset),
            "CLOSES" => self.ending(Reaction::Close)?,
            "RESETS" => self.ending(Reaction::Reset)?,
            "ANSWERS" if self.line.peek().is_none() => Deed::AnswersAll,
            "ANSWERS" => self.rule(Self::answering)?,
            "GOES_UNRESPONSIVE_AT" => self.rule(|_| Ok(Reaction::Stall))?,
            "IGNORES" => self.rule(|_| Ok(Reaction::Never))?,
            "SENDS_BACK" => self.rule(|_| Ok(Reaction::SendBack))?,
            "HAS_NEW_DATA" => Deed::HasNewData,
            "WITHHOLDS" => self.rule(|_| Ok(Reaction::Hold))?,
            "DRIPS" => self.rule(|reader| {
                reader.line.expect("A_BYTE_EVERY")?;
                Ok(Reaction::Drip(reader.line.time()?))
            })?,
            "MISLEADS" => self.rule(Self::misleading)?,
            _ => return Err(at_deed.mistake(DEEDS)),
        };
        Ok(deed)
    }

    /// Names, then what is done about them, then in which cases and how often.
    fn rule(
        &mut self,
        reaction: impl FnOnce(&mut Self) -> Result<Reaction, Mistake>,
    ) -> Result<Deed, Mistake> {
        let names = self.line.names()?;
        let reaction = reaction(self)?;
        let per_mille = match self.line.takes("ONCE_IN") {
            true => self.line.read("a number from 1 to 1000", |word| {
                let cases: Option<u64> = word.parse().ok();
                cases
                    .and_then(|cases| 1_000_u64.checked_div(cases))
                    .filter(|cases| *cases > 0)
            })?,
            false => 1_000,
        };
        Ok(Deed::Rule(Rule {
            per_mille,
            times: self.times()?,
            ..Rule::of(&names.beginning(), reaction)
        }))
    }

    /// So many answers on a connection, behind which it ends.
    fn answer_bound(&mut self, by_reset: bool) -> Result<Deed, Mistake> {
        let answers = self.line.read("a number from 1", |word| {
            word.parse().ok().filter(|answers| *answers > 0)
        })?;
        self.line.expect("ANSWERS")?;
        Ok(Deed::EndsAfterAnswers(AnswerBound { answers, by_reset }))
    }

    fn ending(&mut self, reaction: fn(Place) -> Reaction) -> Result<Deed, Mistake> {
        let place = if self.line.takes("INSTEAD_OF_ANSWERING") {
            Place::Before
        } else if self.line.takes("AMID_ANSWERING") {
            Place::Within(500)
        } else if self.line.takes("AFTER_ANSWERING") {
            Place::After
        } else {
            let expected = "INSTEAD_OF_ANSWERING, AMID_ANSWERING, AFTER_ANSWERING or nothing more";
            return Err(self.line.mistake(expected));
        };
        self.rule(|_| Ok(reaction(place)))
    }

    fn answering(&mut self) -> Result<Reaction, Mistake> {
        let line = &mut self.line;
        if line.takes("AFTER") {
            Ok(Reaction::AnswerAfter(line.time()?))
        } else if line.takes("TWICE AFTER") {
            Ok(Reaction::Twice(line.time()?))
        } else if line.takes("WITHOUT_SOA") {
            Ok(Reaction::AnswerWithoutSoa)
        } else if line.takes("WITH TTL") {
            Ok(Reaction::AnswerWithTtl(line.number()? as u32))
        } else if line.takes("WITHOUT_OPT") {
            Ok(Reaction::AnswerWithoutOpt)
        } else if line.takes("ONLY_WITHOUT_EDNS") {
            Ok(Reaction::KnowsNoEdns)
        } else if line.takes("WITH KEEPALIVE") {
            let tenths = line.time()?.as_millis() / 100;
            Ok(Reaction::AnswerWithKeepalive(tenths.min(65_535) as u16))
        } else if line.takes("WITH TC OVER_UDP") {
            Ok(Reaction::TruncatedOverUdp)
        } else if line.takes("WITH TC") {
            Ok(Reaction::Truncated)
        } else if line.takes("WITH") {
            let rcode = self.rcode()?;
            let ede = match self.line.takes("EDE") {
                true => Some(self.line.number()? as u16),
                false => None,
            };
            let after = match self.line.takes("AFTER") {
                true => self.line.time()?,
                false => Duration::ZERO,
            };
            Ok(Reaction::Error {
                rcode,
                ede,
                has_question: true,
                after,
            })
        } else {
            // The right answer, in spite of earlier lines about more names.
            Ok(Reaction::Answer)
        }
    }

    fn misleading(&mut self) -> Result<Reaction, Mistake> {
        self.line.expect("WITH")?;
        let line = &mut self.line;
        let count = line.peek().and_then(|word| word.parse().ok());
        let invalid = if let Some(count) = count {
            line.number()?;
            match line.takes("wrong ids") {
                true => Invalid::WrongIds(count),
                false => {
                    line.expect("frames of garbage")?;
                    Invalid::Flood(count)
                }
            }
        } else if line.takes("wrong id") {
            Invalid::WrongIds(1)
        } else if line.takes("wrong question") {
            Invalid::WrongQuestion
        } else if line.takes("wrong case") {
            Invalid::WrongCase
        } else if line.takes("the query") {
            Invalid::QueryBack
        } else if line.takes("garbage") {
            Invalid::Garbage(40)
        } else if line.takes("half an answer") {
            Invalid::Half
        } else {
            return Err(line.mistake(MISLEADING));
        };
        let then = match line.takes("THEN_ANSWERS AFTER") {
            true => Some(line.time()?),
            false => None,
        };
        Ok(Reaction::Invalid(invalid, then))
    }

    fn failing_opening(&mut self) -> Result<Opening, Mistake> {
        Ok(match self.cause()? {
            // The system says so in the very call.
            SessionEnd::Connect(
                fault @ (ConnectFault::NoDescriptor | ConnectFault::Unreachable),
            ) => Opening::FailsAtOnce(fault),
            end => Opening::Fails(end),
        })
    }

    fn cause(&mut self) -> Result<SessionEnd, Mistake> {
        let at_cause = self.line.clone();
        let text = self.line.rest();
        let connect = ConnectFault::ALL
            .into_iter()
            .find(|fault| fault.text() == text);
        let tls = TlsFault::ALL.into_iter().find(|fault| fault.text() == text);
        let end = connect
            .map(SessionEnd::Connect)
            .or(tls.map(SessionEnd::Tls));
        end.ok_or_else(|| at_cause.mistake_about(CAUSES, &text))
    }
}

impl<'t> Line<'t> {
    /// A part of the same line.
    pub(super) fn about(&self, part: &'t str) -> Line<'t> {
        Line::new(self.file(), self.number, part)
    }
}
