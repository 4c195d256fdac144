//! The names that clients ask for: a sample of them, by Zipf's law with exponent 1.
//!
//! Ranks are cut into groups of [`super::SAMPLE`]; the one in the middle is asked for at its own rate and stands for
//! all of its group. Nothing but sums and quotients decides, so that every machine draws the same.

use dotgate_wire::Question;

use super::load::{Load, SAMPLE, SEED};
use crate::random::Random;

/// The types asked for, as often as one another: A and AAAA.
const TYPES: [u16; 2] = [1, 28];
const IN: u16 = 1;

/// A name of the sample.
pub(super) struct Name {
    /// The questions about it.
    pub(super) questions: [Question; TYPES.len()],
    /// Its TTL in seconds.
    pub(super) ttl: u32,
    /// How many queries one for it stands for.
    pub(super) weight: f64,
}

/// A sample of the names of a load.
pub struct Names {
    names: Vec<Name>,
    /// The probability that a query is for a name up to here, of all queries.
    sums: Vec<f64>,
}

impl Names {
    /// Those of a load; the same each time.
    pub fn new(load: &Load) -> Names {
        let mut random = Random::new(SEED);
        let (mut names, mut own, mut mass) = (Vec::new(), Vec::new(), 0.0);
        let mut group = 0.0;
        for rank in 1..=load.names {
            group += 1.0 / f64::from(rank);
            if rank % SAMPLE == 0 || rank == load.names {
                let middle = rank - rank.min(SAMPLE) / 2;
                let share = 1.0 / f64::from(middle);
                names.extend(name(middle, load, group / share, &mut random));
                own.push(share);
                mass += group;
                group = 0.0;
            }
        }
        let mut sum = 0.0;
        let sums = own.iter().map(|share| {
            sum += share / mass;
            sum
        });
        Names {
            sums: sums.collect(),
            names,
        }
    }

    /// The share of all queries that is for names of the sample.
    pub(super) fn share(&self) -> f64 {
        self.sums.last().copied().unwrap_or_default()
    }

    /// The name and the question that a query is for.
    pub(super) fn draw(&self, random: &mut Random) -> Option<(&Name, &Question)> {
        const STEPS: u64 = 1 << 53;
        let drawn = random.below(STEPS) as f64 / STEPS as f64 * self.share();
        let name = self
            .names
            .get(self.sums.partition_point(|sum| *sum <= drawn))?;
        let question = name.questions.get(random.index(TYPES.len()))?;
        Some((name, question))
    }
}

fn name(rank: u32, load: &Load, weight: f64, random: &mut Random) -> Option<Name> {
    let wire = crate::message::wire_name(&format!("name-{rank:08}.example.com"));
    let [a, aaaa] = TYPES.map(|qtype| Question::new(&wire, qtype, IN));
    let mut drawn = random.below(100) as u32;
    let ttl = load.ttls.iter().find(|(_, percent)| {
        let is_it = drawn < *percent;
        drawn = drawn.saturating_sub(*percent);
        is_it
    });
    Some(Name {
        questions: [a?, aaaa?],
        ttl: ttl?.0,
        weight,
    })
}
