//! The head of a scenario: who is there, and what is set.

use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use dotgate_core::{ConnectFault, CookieSecret, CookieSecrets, SessionEnd, Strategy, limits};

use crate::message;
use crate::random::Span;
use crate::scenario::description::{Role, Scenario, Upstream};
use crate::scenario::words::{Line, Mistake};
use crate::script::{Opening, Script, Segments};
use crate::simulator::{cache_settings, settings};

const KEYS: &str = "fault:, upstream NAME:, setting NAME:, cache:, workers:, seed: or seeds:";

/// A round trip where none is given.
const ROUND_TRIP: Duration = Duration::from_millis(1);

/// What cookies are made with.
const SECRET: [u8; 16] = [7; 16];

/// Seeds that a scenario must hold for where it does not say how many.
const SEEDS: u64 = 20;

impl Scenario {
    pub(super) fn new(file: &str, shows: &str) -> Scenario {
        Scenario {
            file: file.to_owned(),
            shows: shows.to_owned(),
            fault: String::new(),
            seed: 1,
            seeds: SEEDS,
            upstreams: Vec::new(),
            settings: settings(0),
            cache_bytes: 0,
            workers: 1,
            steps: Vec::new(),
        }
    }

    /// Says what a head lacks when its first step begins.
    pub(super) fn head_is_whole(&self, line: &Line<'_>) -> Result<(), Mistake> {
        match (self.fault.is_empty(), self.upstreams.is_empty()) {
            (true, _) => Err(line.mistake("a line \"fault: ...\" before the first step")),
            (_, true) => Err(line.mistake("a line \"upstream NAME:\" before the first step")),
            (false, false) => Ok(()),
        }
    }

    pub(super) fn head_line(&mut self, mut line: Line<'_>, text: &str) -> Result<(), Mistake> {
        if !self.steps.is_empty() {
            return Err(line.mistake("a step, which begins with a word in capitals"));
        }
        if line.takes("fault:") {
            self.fault = line.rest();
        } else if line.takes("upstream") {
            self.upstream(line, text)?;
        } else if line.takes("setting") {
            self.setting(line)?;
        } else if line.takes("cache:") {
            self.cache_bytes = line.number()? as usize;
            self.settings.cache = cache_settings();
        } else if line.takes("workers:") {
            self.workers = line.read("a number from 1 to 8", |word| {
                word.parse()
                    .ok()
                    .filter(|workers| (1..=8).contains(workers))
            })?;
        } else if line.takes("seed:") {
            self.seed = line.number()?;
        } else if line.takes("seeds:") {
            self.seeds = line.number()?;
        } else {
            return Err(line.mistake(KEYS));
        }
        Ok(())
    }

    fn upstream(&mut self, mut line: Line<'_>, text: &str) -> Result<(), Mistake> {
        let name = line.read("the name of an upstream, then a colon", |word| {
            word.strip_suffix(':').map(str::to_owned)
        })?;
        if self.upstreams.len() == limits::UPSTREAMS {
            return Err(line.mistake("no more upstreams than dotgate takes"));
        }
        if self.upstreams.iter().any(|upstream| upstream.name == name) {
            return Err(line.mistake_about("another name: this one is taken", &name));
        }
        let mut upstream = Upstream {
            name,
            script: at_distance(Script::good(), Span::exactly(ROUND_TRIP)),
            is_plain: false,
            role: Role::Default,
            weight: NonZeroU8::MIN,
            operator: None,
            is_cut_by_seed: true,
        };
        let parts = text.split_once(':').map_or("", |(_, parts)| parts);
        for part in parts.split(',').filter(|part| !part.trim().is_empty()) {
            let mut line = line.about(part);
            let script = &mut upstream.script;
            if line.takes("round trip") {
                *script = at_distance(script.clone(), line.span()?);
            } else if line.takes("handshake") {
                script.handshake_time = line.span()?;
            } else if line.takes("addresses") {
                while line.peek().is_some() {
                    script.addresses.push(address(&mut line)?);
                }
            } else if line.takes("answers in") {
                script.answer_time = line.span()?;
            } else if line.takes("plain") {
                upstream.is_plain = true;
            } else if line.takes("for") {
                upstream.role = Role::Route(line.word("the suffix of a route")?.to_owned());
            } else if line.takes("of the network") {
                (upstream.is_plain, upstream.role) = (true, Role::Portal);
            } else if line.takes("weight") {
                upstream.weight = line.read("a weight from 1 to 255", |word| word.parse().ok())?;
            } else if line.takes("of") {
                upstream.operator = Some(line.word("the name of an operator")?.to_owned());
            } else if line.takes("one query at a time") {
                script.is_serial = true;
            } else if line.takes("segments") {
                upstream.is_cut_by_seed = false;
                script.segments = line.read("whole, few or bytes", |word| match word {
                    "whole" => Some(Segments::Whole),
                    "few" => Some(Segments::Few),
                    "bytes" => Some(Segments::Bytes),
                    _ => None,
                })?;
            } else {
                let expected = "\"round trip\", \"handshake\", \"addresses\", \"answers in\", \"plain\", \"for\", \"of the network\", \"weight\", \"of\", \"one query at a time\" \
                    or \"segments\"";
                return Err(line.mistake(expected));
            }
            line.end()?;
        }
        self.upstreams.push(upstream);
        Ok(())
    }

    fn setting(&mut self, mut line: Line<'_>) -> Result<(), Mistake> {
        let settings = &mut self.settings;
        let cache = &mut settings.cache;
        let at_name = line.clone();
        let expected = "strategy:, hedge:, query_deadline:, session_age_max:, queries_max:, queries_per_client_max:, streams_max:, \
            streams_per_client_max:, stream_queries_max:, stream_queries_total:, \
            stream_age_max:, stream_idle:, client_memory:, rate_queries:, rate_responses:, rate_slip:, rate_connections:, \
            rate_handshakes:, cookies:, or one of the cache: ttl_min:, \
            ttl_max:, negative_ttl_max:, failure_ttl_max:, stale_max:, stale_after:, prefetch:, nxdomain_all_types: or except:";
        match line.word(expected)? {
            "strategy:" => {
                let strategies = "ordered, fastest, round-robin or shard";
                let strategy = line.read(strategies, |word| {
                    let mut all = Strategy::ALL.iter().copied();
                    all.find(|strategy| strategy.label() == word)
                })?;
                if let Some(group) = settings.groups.first_mut() {
                    group.strategy = strategy;
                }
            }
            "hedge:" => {
                settings.hedge_percent = line.read("a percentage such as 3%", |word| {
                    let percent = word.strip_suffix('%')?.parse().ok();
                    percent.filter(|percent| *percent <= 50)
                })?;
            }
            "query_deadline:" => settings.query_deadline = line.time()?,
            "session_age_max:" => settings.session_age_max = Some(line.time()?),
            "stream_idle:" => settings.stream_idle = line.time()?,
            "queries_max:" => settings.queries_max = line.number()? as usize,
            "queries_per_client_max:" => settings.queries_per_client_max = line.number()? as usize,
            "client_memory:" => settings.client_memory = line.number()? as usize,
            "streams_max:" => settings.streams_max = line.number()? as usize,
            "streams_per_client_max:" => settings.streams_per_client_max = line.number()? as usize,
            "stream_queries_max:" => settings.stream_queries_max = line.number()? as usize,
            "stream_queries_total:" => {
                settings.stream_queries_total = NonZeroU32::new(line.number()? as u32);
            }
            "stream_age_max:" => settings.stream_age_max = Some(line.time()?),
            "rate_queries:" => settings.rates.queries = NonZeroU32::new(line.number()? as u32),
            "rate_responses:" => settings.rates.responses = NonZeroU32::new(line.number()? as u32),
            "rate_connections:" => {
                settings.rates.connections = NonZeroU32::new(line.number()? as u32);
            }
            "rate_handshakes:" => {
                settings.rates.handshakes = NonZeroU32::new(line.number()? as u32);
            }
            "rate_slip:" => settings.rates.slip = line.number()? as u8,
            "cookies:" => {
                line.expect("true")?;
                settings.cookies = CookieSecrets::new([CookieSecret(SECRET)]);
            }
            "ttl_min:" => cache.ttl_min = line.number()? as u32,
            "ttl_max:" => cache.ttl_max = line.number()? as u32,
            "negative_ttl_max:" => cache.negative_ttl_max = line.number()? as u32,
            "failure_ttl_max:" => cache.failure_ttl_max = line.number()? as u32,
            "stale_max:" => cache.stale_max = line.time()?,
            "stale_after:" => cache.stale_after = line.time()?,
            "prefetch:" => cache.prefetch = line.read("true or false", |word| word.parse().ok())?,
            "nxdomain_all_types:" => {
                cache.nxdomain_all_types = line.read("true or false", |word| word.parse().ok())?;
            }
            "except:" => {
                let name = line.word("a name")?.to_ascii_lowercase();
                cache.except.push(message::wire_name(&name).into());
            }
            _ => return Err(at_name.mistake(expected)),
        }
        line.end()
    }
}

/// What happens at one address of an upstream.
fn address(line: &mut Line<'_>) -> Result<Opening, Mistake> {
    line.read("works, drops or refuses", |word| match word {
        "works" => Some(Opening::Accepts),
        "drops" => Some(Opening::Vanishes),
        "refuses" => Some(Opening::Fails(SessionEnd::Connect(ConnectFault::Refused))),
        _ => None,
    })
}

/// One round trip for TCP, one for TLS 1.3, one for each query.
fn at_distance(script: Script, round_trip: Span) -> Script {
    let half = Span {
        least: round_trip.least / 2,
        most: round_trip.most / 2,
    };
    Script {
        connect_time: half,
        handshake_time: round_trip,
        latency: half,
        ..script
    }
}
