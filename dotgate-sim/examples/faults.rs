//! Makes `docs/faults.md` from the scenarios: `cargo run -p dotgate-sim --example faults`.
//!
//! Ends with status 1 and writes nothing if a scenario does not hold; the tests say more about it. With `draft` as its
//! argument it writes what is seen all the same.

use std::error::Error;
use std::path::Path;

use dotgate_sim::isolation;
use dotgate_sim::scenario::{self, Elsewhere};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut all = Vec::new();
    let mut failures = Vec::new();
    for read in scenario::folder(&root.join("scenarios"))? {
        let scenario = read.map_err(|mistake| mistake.to_string())?;
        let run = |seed| scenario::run(&scenario, seed, false);
        let outcomes: Vec<_> = scenario.all_seeds().map(run).collect();
        for outcome in &outcomes {
            let describe = |text| format!("{}, seed {}, {text}", scenario.file, outcome.seed);
            failures.extend(outcome.failures.iter().map(describe));
        }
        all.push((scenario, outcomes));
    }
    let families = isolation::families();
    let outcomes: Vec<_> = families.iter().map(isolation::run).collect();
    let rows = outcomes.iter().flatten();
    failures.extend(rows.flat_map(|row| row.failures.clone()));
    let is_draft = std::env::args().any(|word| word == "draft");
    if !failures.is_empty() && !is_draft {
        return Err(failures.join("\n").into());
    }
    let text = std::fs::read_to_string(root.join("scenarios/elsewhere.txt"))?;
    let elsewhere =
        Elsewhere::read("elsewhere.txt", &text).map_err(|mistake| mistake.to_string())?;
    let harmful: Vec<_> = families
        .iter()
        .zip(outcomes.iter().map(Vec::as_slice))
        .collect();
    let page = scenario::table(&all, &elsewhere) + "\n" + &isolation::section(&harmful);
    std::fs::write(root.join("docs/faults.md"), page)?;
    println!("docs/faults.md: {} scenarios", all.len());
    Ok(())
}
