//! The tables of `docs/scaling.md` are those that the simulated fleet makes.

use std::path::Path;

use dotgate_sim::fleet::{BEGIN, END, tables};

#[test]
fn the_tables_of_the_page_on_scaling_are_those_that_the_fleet_makes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scaling.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, rest) = page.split_once(BEGIN).unwrap();
    let (held, _) = rest.split_once(END).unwrap();
    let made = tables();
    let differing = made
        .trim()
        .lines()
        .zip(held.trim().lines())
        .find(|(made, held)| made != held);
    assert!(
        held.trim() == made.trim(),
        "docs/scaling.md is stale: run `cargo run -p dotgate-sim --example fleet`\n{differing:#?}"
    );
}
