//! From the text of a scenario to its steps, or to the first line that cannot be understood.

mod checks;
mod head;
mod upstream;

use dotgate_core::StreamKind;

use crate::message;

use super::description::{Scenario, StepLine, Upstream};
use super::reload::ReloadForm;
use super::step::{Ask, By, ClientDeed, CookieForm, PortalForm, ReplyForm, Step};
use super::words::{Line, Mistake, Names, RCODES};

const STEPS: &str = "QUERY, LOAD, TIME_PASSES, SUSPEND, STALL, START, RELOAD, PORTAL, UPSTREAM, REPLY, CLIENT, RESET_COUNTS or a CHECK_...";

/// Names that clients ask for once each where nothing else is said.
const UNIQUE: &str = "unique-*";

pub(super) fn scenario(file: &str, text: &str) -> Result<Scenario, Mistake> {
    let mut lines = text.lines().enumerate();
    let shows = lines.next().map_or("", |(_, line)| line.trim());
    let at_first = Line::new(file, 1, shows);
    let is_sentence =
        shows.ends_with('.') && shows.starts_with(|letter: char| letter.is_uppercase());
    if !is_sentence {
        return Err(at_first.mistake("a sentence that says what the scenario shows"));
    }
    let mut scenario = Scenario::new(file, shows);
    for (number, text) in lines {
        let text = text.trim();
        if text.is_empty() || text.starts_with(';') {
            continue;
        }
        let line = Line::new(file, number + 1, text);
        let begins_a_step = text.starts_with(|letter: char| letter.is_ascii_uppercase());
        if begins_a_step {
            scenario.head_is_whole(&line)?;
            let step = Reader {
                line,
                scenario: &scenario,
            }
            .step()?;
            scenario.steps.push(StepLine {
                line: number + 1,
                text: text.to_owned(),
                step,
            });
        } else {
            scenario.head_line(line, text)?;
        }
    }
    let end = Line::new(file, text.lines().count(), "");
    scenario.head_is_whole(&end)?;
    if !scenario
        .steps
        .iter()
        .any(|line| matches!(line.step, Step::Check(_)))
    {
        return Err(end.mistake("a CHECK_... after what happens"));
    }
    Ok(scenario)
}

/// Reads one step of a scenario whose head is known.
struct Reader<'t> {
    line: Line<'t>,
    scenario: &'t Scenario,
}

impl Reader<'_> {
    fn step(mut self) -> Result<Step, Mistake> {
        let at_begin = self.line.clone();
        let step = match self.line.word(STEPS)? {
            "QUERY" => Step::Query(self.ask()?),
            "LOAD" => self.load()?,
            "TIME_PASSES" => Step::TimePasses(self.line.span()?),
            "SUSPEND" => Step::Suspend(self.line.time()?),
            "STALL" => Step::Stall(self.worker()?, self.line.time()?),
            "START" => Step::Start,
            "RELOAD" => Step::Reload(ReloadForm::read(&mut self.line)?),
            "PORTAL" => Step::Portal(PortalForm::read(&mut self.line)?),
            "RESET_COUNTS" => Step::CountAnew(self.line.rest()),
            "UPSTREAM" => Step::Upstream(self.upstream()?, self.deed()?),
            "REPLY" => self.reply()?,
            "CLIENT" => self.client()?,
            word => match word.strip_prefix("CHECK_") {
                Some(what) => Step::Check(self.check(what, &at_begin)?),
                None => return Err(at_begin.mistake(STEPS)),
            },
        };
        self.line.end()?;
        Ok(step)
    }

    /// An upstream of the head, by its name.
    fn upstream(&mut self) -> Result<usize, Mistake> {
        let known = &self.scenario.upstreams;
        self.line
            .read("the name of an upstream of the head", |word| {
                known
                    .iter()
                    .position(|upstream: &Upstream| upstream.name == word)
            })
    }

    /// A worker, by its number from 1.
    fn worker(&mut self) -> Result<usize, Mistake> {
        let workers = self.scenario.workers;
        let number = self.line.read("the number of a worker", |word| {
            word.parse()
                .ok()
                .filter(|number| (1..=workers).contains(number))
        })?;
        Ok(number - 1)
    }

    fn names_to_ask(&mut self) -> Result<Names, Mistake> {
        if self.line.takes("unique names") {
            return Line::new("", 0, UNIQUE).names();
        }
        self.line.expect("names")?;
        self.line.names()
    }

    fn ask(&mut self) -> Result<Ask, Mistake> {
        let counted = self.line.peek().and_then(|word| word.parse().ok());
        let (count, names) = match counted {
            Some(count) => {
                self.line.number()?;
                (count, self.names_to_ask()?)
            }
            None => (1, self.line.names()?),
        };
        let mut ask = Ask::new(names, count);
        self.owner(&mut ask)?;
        Ok(ask)
    }

    /// The client, and the type of its query.
    fn owner(&mut self, ask: &mut Ask) -> Result<(), Mistake> {
        while self.line.peek().is_some() {
            if self.line.takes("BY") {
                ask.by = By::Client(self.known_client()?);
            } else if self.line.takes("FROM_MANY_ADDRESSES") {
                ask.by = By::ManyAddresses;
            } else if self.line.takes("TYPE") {
                ask.qtype = self
                    .line
                    .read("the number of a type", |word| word.parse().ok())?;
            } else if self.line.takes("DO") {
                ask.dnssec_ok = true;
            } else if self.line.takes("CD") {
                ask.checking_disabled = true;
            } else if self.line.takes("OPCODE") {
                ask.opcode = self.line.read("an opcode below 16", |word| {
                    word.parse().ok().filter(|opcode| *opcode < 16)
                })?;
            } else if self.line.takes("AT_WORKER") {
                ask.worker = Some(self.worker()?);
            } else if self.line.takes("REPEATED") {
                ask.repeats = self.line.number()? as u32;
                self.line.expect("TIMES")?;
            } else if self.line.takes("WITH_COOKIE") {
                ask.cookie = CookieForm::Own;
            } else if self.line.takes("WITH_GUESSED_COOKIE") {
                ask.cookie = CookieForm::Guessed;
            } else {
                let expected = "BY, FROM_MANY_ADDRESSES, TYPE, DO, CD, OPCODE, AT_WORKER, REPEATED, WITH_COOKIE, WITH_GUESSED_COOKIE or nothing more";
                return Err(self.line.mistake(expected));
            }
        }
        if ask.repeats > 0 && matches!(ask.by, By::Client(_)) {
            return Err(self
                .line
                .mistake("no REPEATED with BY: nothing is repeated over TCP"));
        }
        Ok(())
    }

    fn load(&mut self) -> Result<Step, Mistake> {
        let rate = self.line.read("a rate such as 50/s", |word| {
            let rate = word.strip_suffix("/s")?.parse::<u64>().ok()?;
            (rate > 0).then_some(rate)
        })?;
        let names = self.names_to_ask()?;
        self.line.expect("for")?;
        let span = self.line.time()?;
        let every = std::time::Duration::from_secs(1) / rate as u32;
        let count = (span.as_millis() * u128::from(rate) / 1_000) as usize;
        let mut ask = Ask::new(names, count);
        self.owner(&mut ask)?;
        Ok(Step::Load { ask, every })
    }

    fn reply(&mut self) -> Result<Step, Mistake> {
        let upstream = self.upstream()?;
        let names = self.line.names()?;
        let form = if self.line.takes("WITH_LENGTH_ALONE") {
            ReplyForm::LengthAlone
        } else if self.line.takes("WITH") {
            ReplyForm::Rcode(self.rcode()?)
        } else {
            ReplyForm::Rcode(0)
        };
        Ok(Step::Reply(upstream, names, form))
    }

    /// A client that has connected before.
    fn known_client(&mut self) -> Result<String, Mistake> {
        let steps = &self.scenario.steps;
        self.line.read("a client that a line before CONNECTS", |word| {
            let connects = |step: &Step| {
                matches!(step, Step::Client(name, ClientDeed::Connects { .. }) if name == word)
            };
            steps.iter().any(|line| connects(&line.step)).then(|| word.to_owned())
        })
    }

    fn client(&mut self) -> Result<Step, Mistake> {
        let at_name = self.line.clone();
        let name = self.line.word("the name of a client")?.to_owned();
        let expected = "CONNECTS, COMPLETES_TLS, SENDS_HALF_A_QUERY, SENDS_MALFORMED, STOPS_READING, READS_AGAIN, ENDS or LEAVES";
        let at_deed = self.line.clone();
        let deed = match self.line.word(expected)? {
            "CONNECTS" => {
                let times = self.times()?.unwrap_or(1) as usize;
                let from_one_address = self.line.takes("FROM_ONE_ADDRESS");
                let kind = match self.line.takes("OVER_TLS") {
                    true => StreamKind::Dot,
                    false => StreamKind::Tcp,
                };
                ClientDeed::Connects {
                    times,
                    from_one_address,
                    kind,
                    reconnects: self.line.takes("AND_RECONNECTS"),
                }
            }
            "COMPLETES_TLS" => ClientDeed::CompletesTls,
            "SENDS_HALF_A_QUERY" => ClientDeed::SendsHalfAQuery,
            "SENDS_MALFORMED" => ClientDeed::SendsMalformed {
                times: self.times()?.unwrap_or(1),
            },
            "STOPS_READING" => ClientDeed::StopsReading,
            "READS_AGAIN" => ClientDeed::ReadsAgain,
            "ENDS" => ClientDeed::Ends,
            "LEAVES" => ClientDeed::Leaves,
            _ => return Err(at_deed.mistake(expected)),
        };
        if !matches!(deed, ClientDeed::Connects { .. }) {
            Reader {
                line: at_name,
                scenario: self.scenario,
            }
            .known_client()?;
        }
        Ok(Step::Client(name, deed))
    }

    /// `3 TIMES`, if it stands there.
    fn times(&mut self) -> Result<Option<u32>, Mistake> {
        let Some(times) = self.line.peek().and_then(|word| word.parse().ok()) else {
            return Ok(None);
        };
        self.line.number()?;
        self.line.expect("TIMES")?;
        Ok(Some(times))
    }

    fn rcode(&mut self) -> Result<u8, Mistake> {
        let expected = "NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED or BADCOOKIE";
        self.line.read(expected, |word| {
            let named = RCODES.iter().find(|(name, _)| *name == word);
            named.map(|(_, rcode)| *rcode)
        })
    }
}

impl Ask {
    /// Plain queries by UDP for addresses.
    fn new(names: Names, count: usize) -> Ask {
        Ask {
            names,
            count,
            by: By::Udp,
            qtype: message::A,
            dnssec_ok: false,
            checking_disabled: false,
            opcode: 0,
            repeats: 0,
            worker: None,
            cookie: CookieForm::None,
        }
    }
}
