//! What must be so: the lines that begin with `CHECK_`.

use dotgate_core::labels::Limit;
use dotgate_core::{Count, HealthState};

use crate::scenario::step::{Amount, AnswerForm, Check, Comparison, Figure, Wanted};
use crate::scenario::words::{Line, Mistake};

use super::Reader;

const CHECKS: &str = "CHECK_OUT_QUERY, CHECK_ANSWER, CHECK_NO_ANSWER, CHECK_UPSTREAM, CHECK_LOST, \
    CHECK_ANSWERED, CHECK_TRUNCATED, CHECK_RCODE, CHECK_AMPLIFICATION, CHECK_STALE, CHECK_WAITING, CHECK_LONGEST_WAIT, CHECK_USUAL_WAIT, CHECK_RARE_WAIT, CHECK_FIRST_ANSWER, \
    CHECK_ATTEMPTS, CHECK_ATTEMPTS_PER_QUERY, CHECK_CONNECTS, CHECK_HANDSHAKES, CHECK_SESSIONS, CHECK_DOWN_EVENTS, CHECK_INCIDENTS, \
    CHECK_CLOSED, CHECK_PORTAL, CHECK_LIMIT or \
    CHECK_COUNT";

impl Reader<'_> {
    pub(super) fn check(&mut self, what: &str, at_begin: &Line<'_>) -> Result<Check, Mistake> {
        let figure = match what {
            "OUT_QUERY" => return Ok(Check::OutQuery(self.upstream()?, self.line.names()?)),
            "ANSWER" => return self.answer(),
            "NO_ANSWER" => return Ok(Check::NoAnswer(self.line.names()?)),
            "UPSTREAM" => return self.health(),
            "PORTAL" => {
                let is_open = self.line.read("open or closed", |word| match word {
                    "open" => Some(true),
                    "closed" => Some(false),
                    _ => None,
                })?;
                return Ok(Check::Portal(is_open));
            }
            "LOST" => Figure::Lost,
            "ANSWERED" => Figure::Answered,
            "TRUNCATED" => Figure::Truncated,
            "RCODE" => Figure::Coded(self.rcode()?),
            "AMPLIFICATION" => Figure::Amplification,
            "LIMIT" => Figure::LimitHits(self.line.read("the label of a limit", |word| {
                let mut all = Limit::ALL.iter().copied();
                all.find(|limit| limit.label() == word)
            })?),
            "STALE" => Figure::Stale,
            "USUAL_WAIT" => Figure::UsualWait,
            "RARE_WAIT" => Figure::RareWait,
            "DOWN_EVENTS" => Figure::DownEvents,
            "INCIDENTS" => Figure::Incidents,
            "WAITING" => Figure::Waiting,
            "LONGEST_WAIT" => Figure::LongestWait,
            "FIRST_ANSWER" => Figure::FirstAnswer,
            "ATTEMPTS_PER_QUERY" => Figure::AttemptsPerQuery,
            "ATTEMPTS" => Figure::Attempts,
            "CONNECTS" => Figure::Connects,
            "HANDSHAKES" => Figure::Handshakes,
            "SESSIONS" => Figure::Sessions,
            "CLOSED" => Figure::Closed(self.known_client()?),
            "COUNT" => Figure::Counter(self.line.read("the name of a counter", |word| {
                let mut all = Count::ALL.iter().copied();
                all.find(|count| count.label() == word)
            })?),
            _ => return Err(at_begin.mistake(CHECKS)),
        };
        let is_about_queries = matches!(
            figure,
            Figure::Lost
                | Figure::Answered
                | Figure::Truncated
                | Figure::Coded(_)
                | Figure::Amplification
                | Figure::Stale
                | Figure::Waiting
                | Figure::LongestWait
                | Figure::UsualWait
                | Figure::RareWait
        );
        let is_about_upstreams = matches!(
            figure,
            Figure::Attempts
                | Figure::Connects
                | Figure::Handshakes
                | Figure::DownEvents
                | Figure::Incidents
        );
        let takes_names = is_about_queries || figure == Figure::Attempts;
        let of = match takes_names && self.line.takes("OF") {
            true => Some(self.line.names()?),
            false => None,
        };
        let at = match is_about_upstreams && self.line.takes("AT") {
            true => Some(self.upstream()?),
            false => None,
        };
        let wanted = self.wanted(&figure)?;
        Ok(Check::Figure {
            figure,
            of,
            at,
            wanted,
        })
    }

    fn wanted(&mut self, figure: &Figure) -> Result<Wanted, Mistake> {
        let comparison = if self.line.takes("<=") {
            Comparison::AtMost
        } else if self.line.takes(">=") {
            Comparison::AtLeast
        } else {
            self.line.takes("=");
            Comparison::Exactly
        };
        let amount = match figure {
            Figure::LongestWait | Figure::UsualWait | Figure::RareWait | Figure::FirstAnswer => {
                Amount::Time(self.line.time()?)
            }
            Figure::AttemptsPerQuery | Figure::Amplification => {
                Amount::Ratio(self.line.hundredths()?)
            }
            Figure::Lost
            | Figure::Answered
            | Figure::Truncated
            | Figure::Coded(_)
            | Figure::LimitHits(_)
            | Figure::Stale
            | Figure::DownEvents
            | Figure::Incidents
            | Figure::Waiting
            | Figure::Attempts
            | Figure::Connects
            | Figure::Handshakes
            | Figure::Sessions
            | Figure::Closed(_)
            | Figure::Counter(_) => Amount::Count(self.line.number()?),
        };
        Ok(Wanted { comparison, amount })
    }

    fn answer(&mut self) -> Result<Check, Mistake> {
        let names = self.line.names()?;
        let mut form = AnswerForm {
            rcode: self.rcode()?,
            is_truncated: false,
            bytes: None,
            ede: None,
            text: None,
            ttl: None,
            version: None,
            within: None,
        };
        while self.line.peek().is_some() {
            if self.line.takes("TC") {
                form.is_truncated = true;
            } else if self.line.takes("BYTES") {
                form.bytes = Some(self.line.number()?);
            } else if self.line.takes("EDE") {
                form.ede = Some(self.line.number()? as u16);
            } else if self.line.takes("WITHIN") {
                form.within = Some(self.line.time()?);
            } else if self.line.takes("TTL") {
                form.ttl = Some(self.line.number()? as u32);
            } else if self.line.takes("VERSION") {
                form.version = Some(self.line.number()? as u32);
            } else if self.line.takes("SAYS") {
                form.text = Some(self.line.rest());
            } else {
                let expected = "TC, BYTES, EDE, TTL, VERSION, WITHIN, SAYS or nothing more";
                return Err(self.line.mistake(expected));
            }
        }
        Ok(Check::Answer(names, form))
    }

    fn health(&mut self) -> Result<Check, Mistake> {
        let upstream = self.upstream()?;
        let state = self
            .line
            .read("healthy, suspect or down", |word| match word {
                "healthy" => Some(HealthState::Healthy),
                "suspect" => Some(HealthState::Suspect),
                "down" => Some(HealthState::Down),
                _ => None,
            })?;
        Ok(Check::Health(upstream, state))
    }
}
