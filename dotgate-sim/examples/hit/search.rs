//! A search for messages that cost more than those we know: `hit search response|query SECONDS FOLDER`.
//!
//! Recipes that cost more time are built upon; the most expensive ones are written to the folder, to be counted in
//! instructions by `hit response:FILE COUNT`. Time is a guide alone: that of the processor, of which the shortest of
//! three counts.

use std::path::Path;
use std::time::Duration;

use dotgate_sim::message::{QueryForm, query};

use super::crafted::{RESPONSES, long_name};
use super::recipe::STEP;
use super::{Bench, Meal};

/// Recipes that are built upon.
const POPULATION: usize = 24;

/// The longest recipe.
const LENGTH_MAX: usize = 48 * STEP;

/// Random numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end.max(1)
    }

    fn recipe(&mut self) -> Vec<u8> {
        let steps = 1 + self.below(6);
        (0..steps * STEP).map(|_| self.below(256) as u8).collect()
    }
}

/// Changes some bytes of a recipe, or repeats, removes or takes over a run of steps.
fn changed(random: &mut Random, recipe: &[u8], other: &[u8]) -> Vec<u8> {
    let mut recipe = recipe.to_vec();
    for _ in 0..1 + random.below(3) {
        let step = STEP * random.below(recipe.len() / STEP);
        let run = step..(step + STEP * (1 + random.below(6))).min(recipe.len());
        match random.below(8) {
            0..=3 => {
                let at = random.below(recipe.len());
                recipe[at] = random.below(256) as u8;
            }
            4 => {
                let run = recipe[run].to_vec();
                recipe.splice(step..step, run);
            }
            5 => drop(recipe.drain(run)),
            6 => {
                let from = STEP * random.below(other.len() / STEP);
                let end = (from + STEP * (1 + random.below(6))).min(other.len());
                recipe.splice(step..step, other[from..end].to_vec());
            }
            _ => recipe.extend(random.recipe()),
        }
        recipe.truncate(LENGTH_MAX);
        if recipe.is_empty() {
            recipe = random.recipe();
        }
    }
    recipe
}

/// The shortest of three times that it takes.
fn cost_of(meal: &Meal) -> Duration {
    let times = [(); 3].map(|()| {
        // What came before must not matter: an upstream that misbehaves is given up.
        let mut bench = Bench::warm();
        let start = cpu_time();
        meal.take(&mut bench);
        cpu_time().saturating_sub(start)
    });
    times.into_iter().min().unwrap_or_default()
}

/// The time that this thread has run, which does not depend on what else the machine does.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Searches for so long by the processor's time, and writes the most expensive recipes to the folder. Returns how many.
pub(crate) fn run(kind: &str, span: Duration, folder: &Path) -> usize {
    let query = query(1, &long_name(), &QueryForm::default());
    for (name, craft) in RESPONSES {
        let (query, response) = (query.clone(), craft(&query));
        println!("{name}: {:?}", cost_of(&Meal::Response { query, response }));
    }
    let mut random = Random(std::process::id().into());
    let start = cpu_time();
    let mut best: Vec<(Duration, Vec<u8>)> = Vec::new();
    let mut tried = 0;
    while cpu_time().saturating_sub(start) < span {
        tried += 1;
        let (one, other) = (random.below(POPULATION), random.below(POPULATION));
        let recipe = match (best.get(one), best.get(other)) {
            (Some((_, one)), Some((_, other))) => changed(&mut random, one, other),
            _ => random.recipe(),
        };
        let cost = cost_of(&Meal::new(kind, &recipe));
        let place = best.partition_point(|(other, _)| *other > cost);
        best.insert(place, (cost, recipe));
        best.truncate(POPULATION);
        if place == 0 {
            println!("{cost:?} after {tried} messages");
        }
    }
    println!("{tried} of kind {kind}");
    let mut written = 0;
    for (number, (cost, recipe)) in best.iter().take(4).enumerate() {
        println!("{number}: {cost:?}, {} bytes", recipe.len());
        let path = folder.join(format!("{kind}-{number}"));
        written += usize::from(std::fs::write(path, recipe).is_ok());
    }
    written
}
