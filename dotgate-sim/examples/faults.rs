//! Makes `docs/faults.md` from the scenarios: `cargo run -p dotgate-sim --example faults`.
//!
//! Ends with status 1 and writes nothing if a scenario does not hold; the tests tell more about it.

use std::error::Error;
use std::path::Path;

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
            let tell = |text| format!("{}, seed {}, {text}", scenario.file, outcome.seed);
            failures.extend(outcome.failures.iter().map(tell));
        }
        all.push((scenario, outcomes));
    }
    if !failures.is_empty() {
        return Err(failures.join("\n").into());
    }
    let text = std::fs::read_to_string(root.join("scenarios/elsewhere.txt"))?;
    let elsewhere =
        Elsewhere::read("elsewhere.txt", &text).map_err(|mistake| mistake.to_string())?;
    let page = scenario::table(&all, &elsewhere);
    std::fs::write(root.join("docs/faults.md"), page)?;
    println!("docs/faults.md: {} scenarios", all.len());
    Ok(())
}
