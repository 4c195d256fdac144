//! The families of faults, as texts of scenarios.

use crate::scenario::Scenario;

use super::{Family, Part, Row};

/// Seeds of each scenario.
const SEEDS: u64 = 3;

/// A new connection, a round trip and the time of an answer, in milliseconds: what each round of splitting costs.
const ROUND_MILLIS: u64 = 35;

/// What a harmful query makes an upstream do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Harm {
    Close,
    Reset,
    HalfAnswer,
    WrongIds,
    Stall,
}

impl Harm {
    const ALL: [Harm; 5] = [
        Harm::Close,
        Harm::Reset,
        Harm::HalfAnswer,
        Harm::WrongIds,
        Harm::Stall,
    ];

    fn words(self) -> &'static str {
        match self {
            Harm::Close => "closes the connection (FIN)",
            Harm::Reset => "resets it (RST)",
            Harm::HalfAnswer => "sends half an answer and closes",
            Harm::WrongIds => "sends 2,000 responses with wrong IDs",
            Harm::Stall => "stops answering on the connection",
        }
    }

    /// The name of the query, and how its upstream is named.
    fn name(self) -> &'static str {
        match self {
            Harm::Close => "harm-close",
            Harm::Reset => "harm-reset",
            Harm::HalfAnswer => "harm-half",
            Harm::WrongIds => "harm-ids",
            Harm::Stall => "harm-stall",
        }
    }

    fn rule(self) -> String {
        let name = self.name();
        match self {
            Harm::Close => format!("CLOSES INSTEAD_OF_ANSWERING {name}*"),
            Harm::Reset => format!("RESETS INSTEAD_OF_ANSWERING {name}*"),
            Harm::HalfAnswer => format!("CLOSES AMID_ANSWERING {name}*"),
            Harm::WrongIds => format!("MISLEADS {name}* WITH 2000 wrong ids"),
            Harm::Stall => format!("GOES_UNRESPONSIVE_AT {name}*"),
        }
    }
}

/// Alone, then all pairs.
fn alone() -> Vec<Vec<Harm>> {
    Harm::ALL.into_iter().map(|harm| vec![harm]).collect()
}

fn pairs() -> Vec<Vec<Harm>> {
    let mut pairs = Vec::new();
    for (place, one) in Harm::ALL.into_iter().enumerate() {
        for other in &Harm::ALL[place + 1..] {
            pairs.push(vec![one, *other]);
        }
    }
    pairs
}

/// All families.
pub fn families() -> Vec<Family> {
    vec![
        Family {
            name: "One harmful query",
            about: "20 and 1,000 other queries are in flight on its connection, with one, two and three upstreams. It is \
                harmful at all upstreams or only at the first.",
            rows: alone().iter().map(|harms| incident(harms)).collect(),
        },
        Family {
            name: "Two harmful queries",
            about: "The same with two harmful queries on one connection.",
            rows: pairs().iter().map(|harms| incident(harms)).collect(),
        },
        Family {
            name: "A query harmful at one upstream",
            about: "The other upstream answers it.",
            rows: Harm::ALL.into_iter().map(answered_elsewhere).collect(),
        },
        Family {
            name: "A repeated harmful query",
            about: "100 times a second for 15 s, with and without a cache, and 50 other queries a second. It costs an \
                upstream at most one connection a second and does not delay other queries.",
            rows: Harm::ALL.into_iter().map(asked_again).collect(),
        },
        Family {
            name: "Connections end after a number of answers",
            about: "With one and two upstreams: 160 queries at once, 160 more 5 s later, and 160 queries at 100/s.",
            rows: [1, 2, 5, 10, 100].into_iter().flat_map(bounded).collect(),
        },
        Family {
            name: "An upstream serves one query at a time",
            about: "50 other queries a second, with one and two upstreams. The upstream takes 2 ms for each of them.",
            rows: vec![
                serial("one name takes 1.5 s", 1, "ANSWERS slow* AFTER 1.5s"),
                serial("three names take 1.5 s", 3, "ANSWERS slow* AFTER 1.5s"),
                serial("one name is never answered", 1, "IGNORES slow*"),
                serial("three names are never answered", 3, "IGNORES slow*"),
            ],
        },
        Family {
            name: "Dead names",
            about: "An upstream never answers some names, or returns SERVFAIL after 3 s, and answers all others on the \
                same connection: 2 other queries a second, and two names with a TTL of 2 s, each once a second. Other \
                queries wait less than 10 % longer than without the dead names (*quiet*).",
            rows: dead_names(),
        },
    ]
}

/// A scenario of this text; a text that cannot be read is a bug that the tests show.
fn scenario(label: &str, text: &str) -> Scenario {
    let text = format!("Others are answered.\nfault: {label}\nseeds: {SEEDS}\n{text}");
    #[expect(clippy::panic, reason = "the texts are written here")]
    Scenario::read(label, &text).unwrap_or_else(|mistake| panic!("{mistake}\n{text}"))
}

/// The heads of so many upstreams.
fn upstreams(count: usize, more: &str) -> String {
    let names = ["a", "b", "c"].into_iter().take(count);
    let line = |name| format!("upstream {name}: round trip 10ms, answers in 5ms{more}\n");
    names.map(line).collect()
}

/// The rule at so many upstreams, the first one first.
fn at(count: usize, rule: &str) -> String {
    let names = ["a", "b", "c"].into_iter().take(count);
    names
        .map(|name| format!("UPSTREAM {name} {rule}\n"))
        .collect()
}

fn count_of(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}

/// So many others and the harmful queries, all at once.
fn incident(harms: &[Harm]) -> Row {
    let words: Vec<&str> = harms.iter().map(|harm| harm.words()).collect();
    let names: Vec<&str> = harms.iter().map(|harm| harm.name()).collect();
    let parts = [(20, 2, 600), (1_000, 4, 1_200)].map(|(others, rounds, millis)| {
        let wait = millis + rounds * ROUND_MILLIS;
        // Eight for each round of splitting and harmful query, two for each that is alone, the others' own.
        let handshakes = harms.len() as u64 * (8 * rounds + 2) + 3;
        let mut scenarios = Vec::new();
        for (count, harmed) in [(1, 1), (2, 2), (2, 1), (3, 3), (3, 1)] {
            let rules: String = harms.iter().map(|harm| at(harmed, &harm.rule())).collect();
            let asked: String = names
                .iter()
                .map(|name| format!("QUERY {name}.example\n"))
                .collect();
            let label = format!(
                "{}, {others} others, {}, harmful at {harmed}",
                names.join(" and "),
                count_of(count, "upstream")
            );
            let text = format!(
                "{head}{rules}QUERY warm.example\nTIME_PASSES 1s\nRESET_COUNTS\n\
                 QUERY {others} names other*\n{asked}TIME_PASSES 6s\n\
                 CHECK_LOST OF other* 0\n\
                 CHECK_LONGEST_WAIT OF other* <= {wait}ms\n\
                 CHECK_ATTEMPTS_PER_QUERY <= 2.5\n\
                 CHECK_HANDSHAKES <= {handshakes}\n\
                 CHECK_DOWN_EVENTS 0\n",
                head = upstreams(count, "")
            );
            scenarios.push(scenario(&label, &text));
        }
        let phase = if others == 20 {
            "20 others"
        } else {
            "1,000 others"
        };
        Part {
            phase: phase.to_owned(),
            scenarios,
        }
    });
    Row {
        fault: words.join("; another one: "),
        parts: parts.into(),
    }
}

fn answered_elsewhere(harm: Harm) -> Row {
    let name = harm.name();
    let scenarios = [2, 3].map(|count| {
        let text = format!(
            "{head}{rule}QUERY warm.example\nTIME_PASSES 1s\nRESET_COUNTS\n\
             QUERY 20 names other*\nQUERY {name}.example\nTIME_PASSES 6s\n\
             CHECK_LOST OF other* 0\n\
             CHECK_LOST OF harm* 0\n\
             CHECK_LONGEST_WAIT OF harm* <= 2s\n",
            head = upstreams(count, ""),
            rule = at(1, &harm.rule())
        );
        let label = format!("{name} at the first of {}", count_of(count, "upstream"));
        scenario(&label, &text)
    });
    Row {
        fault: format!("the first upstream {}", harm.words()),
        parts: vec![Part {
            phase: String::new(),
            scenarios: scenarios.into(),
        }],
    }
}

fn asked_again(harm: Harm) -> Row {
    let name = harm.name();
    let mut parts = Vec::new();
    for (phase, mark) in [("from the first on", ""), ("after 5 s", "RESET_COUNTS\n")] {
        let is_whole = mark.is_empty();
        let (connects, wait) = if is_whole { (15 + 21, 670) } else { (11, 30) };
        let mut scenarios = Vec::new();
        for (count, cache) in [
            (1, ""),
            (1, "cache: 1000000\n"),
            (2, ""),
            (2, "cache: 1000000\n"),
        ] {
            let text = format!(
                "{head}{cache}{rule}QUERY warm.example\nTIME_PASSES 1s\n\
                 LOAD 50/s unique names for 15s\n\
                 LOAD 100/s names {name}.example for 15s\n\
                 TIME_PASSES 5s\n{mark}TIME_PASSES 10s\n\
                 CHECK_CONNECTS AT a <= {connects}\n\
                 CHECK_DOWN_EVENTS 0\n\
                 TIME_PASSES 5s\n\
                 CHECK_LOST OF unique* 0\n\
                 CHECK_LONGEST_WAIT OF unique* <= {wait}ms\n",
                head = upstreams(count, ""),
                rule = at(count, &harm.rule())
            );
            let cached = if cache.is_empty() {
                "no cache"
            } else {
                "a cache"
            };
            let label = format!(
                "{name} again, {phase}, {}, {cached}",
                count_of(count, "upstream")
            );
            scenarios.push(scenario(&label, &text));
        }
        parts.push(Part {
            phase: phase.to_owned(),
            scenarios,
        });
    }
    Row {
        fault: harm.words().to_owned(),
        parts,
    }
}

/// Connections that end behind so many answers, by FIN and by RST.
fn bounded(answers: u32) -> [Row; 2] {
    [("CLOSES", "FIN"), ("RESETS", "RST")].map(|(verb, end)| {
        let checks = |wait| {
            format!(
                "CHECK_LOST 0\nCHECK_LONGEST_WAIT <= {wait}\nCHECK_ATTEMPTS_PER_QUERY <= 4\nCHECK_DOWN_EVENTS 0\n"
            )
        };
        let part = |phase: &str, when: &str, load: &dyn Fn() -> String| {
            let scenarios = [1, 2].map(|count| {
                let text = format!(
                    "{head}{rule}QUERY warm.example\nTIME_PASSES 1s\n{load}",
                    head = upstreams(count, ""),
                    rule = at(count, &format!("{verb} AFTER {answers} ANSWERS")),
                    load = load()
                );
                let label = format!(
                    "{verb} after {answers}, {when}, {}",
                    count_of(count, "upstream")
                );
                scenario(&label, &text)
            });
            Part {
                phase: phase.to_owned(),
                scenarios: scenarios.into(),
            }
        };
        let at_once = || {
            format!(
                "RESET_COUNTS at once\nQUERY 160 names other*\nTIME_PASSES 5s\n{checks}\
                 RESET_COUNTS and again\nQUERY 160 names more*\nTIME_PASSES 5s\n{checks}",
                checks = checks("2s")
            )
        };
        let steady = || {
            format!(
                "RESET_COUNTS\nLOAD 100/s unique names for 1.6s\nTIME_PASSES 6s\n{}",
                checks("500ms")
            )
        };
        Row {
            fault: format!("{end} after {}", count_of(answers as usize, "answer")),
            parts: vec![
                part("", "at once", &at_once),
                part("at 100/s", "at 100/s", &steady),
            ],
        }
    })
}

/// So many slow or dead names, a tenth of a second apart.
fn serial(words: &str, slow: usize, rule: &str) -> Row {
    let parts = [1, 2].map(|count| {
        let asked: String = (0..slow)
            .map(|number| format!("QUERY slow{number}.example\nTIME_PASSES 100ms\n"))
            .collect();
        let text = format!(
            "{head}{rule}QUERY 30 names warm*\nTIME_PASSES 1s\nRESET_COUNTS\n\
             LOAD 50/s unique names for 3s\nTIME_PASSES 800ms\n{asked}TIME_PASSES 8s\n\
             CHECK_LOST OF unique* 0\n\
             CHECK_LONGEST_WAIT OF unique* <= {wait}ms\n\
             CHECK_DOWN_EVENTS 0\n",
            head = upstreams(count, ", one query at a time").replace("in 5ms", "in 2ms"),
            rule = at(count, rule),
            wait = 610 + 2 * ROUND_MILLIS
        );
        let number = count_of(count, "upstream");
        let label = format!("serial, {words}, {number}");
        Part {
            phase: number,
            scenarios: vec![scenario(&label, &text)],
        }
    });
    Row {
        fault: words.to_owned(),
        parts: parts.into(),
    }
}

fn dead_names() -> Vec<Row> {
    let mut rows = Vec::new();
    let kinds = [
        ("never answered", "IGNORES dead*"),
        (
            "answered SERVFAIL after 3 s",
            "ANSWERS dead* WITH SERVFAIL AFTER 3s",
        ),
    ];
    for (words, rule) in kinds {
        for rate in [2, 20, 100] {
            let scenarios = [(1, 1), (2, 2), (2, 1)].map(|(count, dead)| {
                let others: String = (0..2)
                    .map(|number| format!("LOAD 1/s names short{number}.example for 30s\n"))
                    .collect();
                let others = format!("LOAD 2/s unique names for 30s\n{others}");
                let text = format!(
                    "cache: 4000000\n{head}{rule}{short}\
                     RESET_COUNTS quiet\n{others}TIME_PASSES 32s\n\
                     CHECK_USUAL_WAIT OF unique* <= 17ms\n\
                     RESET_COUNTS with dead names\n{others}LOAD {rate}/s names dead* for 30s\nTIME_PASSES 40s\n\
                     CHECK_USUAL_WAIT OF unique* <= 17ms\n\
                     CHECK_LONGEST_WAIT OF unique* <= 670ms\n\
                     CHECK_LOST OF unique* 0\n\
                     CHECK_LOST OF short* 0\n\
                     CHECK_STALE OF short* 0\n\
                     CHECK_DOWN_EVENTS 0\n",
                    head = upstreams(count, ""),
                    rule = at(dead, rule),
                    short = at(count, "ANSWERS short* WITH TTL 2")
                );
                let label = format!(
                    "{words} at {dead} of {}, {rate}/s",
                    count_of(count, "upstream")
                );
                scenario(&label, &text)
            });
            rows.push(Row {
                fault: format!("{rate}/s for names that are {words}"),
                parts: vec![Part {
                    phase: String::new(),
                    scenarios: scenarios.into(),
                }],
            });
        }
    }
    rows
}
