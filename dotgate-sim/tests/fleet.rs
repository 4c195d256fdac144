//! The tables of `docs/scaling.md` say what the simulated fleet says.
//!
//! Figures may differ by what the simulation itself cannot tell, so that a change of the cache that changes nothing for
//! a fleet leaves the page as it is.

use std::path::Path;

use dotgate_sim::fleet::{BEGIN, END, tables};

/// How far a figure of the page may be from what is made now: this part of it, and one more.
const TOLERANCE: f64 = 0.1;

/// Whether two words are the same, or figures close to one another.
fn agree(made: &str, held: &str) -> bool {
    let figure = |word: &str| word.replace(',', "").parse::<f64>().ok();
    match (figure(made), figure(held)) {
        (Some(made), Some(held)) if made < 1.0 => (made - held).abs() <= TOLERANCE,
        (Some(made), Some(held)) => (made - held).abs() <= made.abs() * TOLERANCE + 1.0,
        (_, _) => made == held,
    }
}

#[test]
fn the_tables_of_the_page_on_scaling_say_what_the_fleet_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scaling.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, rest) = page.split_once(BEGIN).unwrap();
    let (held, _) = rest.split_once(END).unwrap();
    let made = tables();
    let (made, held): (Vec<&str>, Vec<&str>) =
        (made.trim().lines().collect(), held.trim().lines().collect());
    let agrees = |made: &str, held: &str| {
        let (made, held): (Vec<&str>, Vec<&str>) = (
            made.split_whitespace().collect(),
            held.split_whitespace().collect(),
        );
        made.len() == held.len() && made.iter().zip(&held).all(|(made, held)| agree(made, held))
    };
    let differing = made
        .iter()
        .zip(&held)
        .find(|(made, held)| !agrees(made, held));
    assert!(
        made.len() == held.len() && differing.is_none(),
        "docs/scaling.md is stale: run `cargo run -p dotgate-sim --example fleet`\n{differing:#?}"
    );
}

#[test]
fn figures_agree_within_the_tolerance_and_words_to_the_letter() {
    assert!(agree("28,300", "31,000") && agree("72", "79") && agree("0.48", "0.57"));
    assert!(!agree("28,300", "32,000") && !agree("72", "81") && !agree("0.48", "0.60"));
    assert!(agree("%", "%") && !agree("before", "after") && !agree("72", "-"));
}
