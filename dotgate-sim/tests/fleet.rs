//! The tables of `docs/scaling.md` say what the simulated fleet says.
//!
//! Figures may differ by what the simulation itself cannot tell, so that a change of the cache that changes nothing for
//! a fleet leaves the page as it is.

use std::path::Path;

use dotgate_sim::fleet::{BEGIN, END, Rules, Scaling, tables};

/// How far a figure of the page may be from what is made now: this part of it, and one more.
const TOLERANCE: f64 = 0.1;

/// Whether two words are the same, or figures close to one another.
fn agree(made: &str, stored: &str) -> bool {
    let figure = |word: &str| word.replace(',', "").parse::<f64>().ok();
    match (figure(made), figure(stored)) {
        (Some(made), Some(stored)) if made < 1.0 => (made - stored).abs() <= TOLERANCE,
        (Some(made), Some(stored)) => (made - stored).abs() <= made.abs() * TOLERANCE + 1.0,
        (_, _) => made == stored,
    }
}

#[test]
fn the_tables_of_the_page_on_scaling_say_what_the_fleet_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scaling.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, rest) = page.split_once(BEGIN).unwrap();
    let (stored, _) = rest.split_once(END).unwrap();
    let made = tables();
    let (made, stored): (Vec<&str>, Vec<&str>) = (
        made.trim().lines().collect(),
        stored.trim().lines().collect(),
    );
    let agrees = |made: &str, stored: &str| {
        let (made, stored): (Vec<&str>, Vec<&str>) = (
            made.split_whitespace().collect(),
            stored.split_whitespace().collect(),
        );
        made.len() == stored.len()
            && made
                .iter()
                .zip(&stored)
                .all(|(made, stored)| agree(made, stored))
    };
    let differing = made
        .iter()
        .zip(&stored)
        .find(|(made, stored)| !agrees(made, stored));
    assert!(
        made.len() == stored.len() && differing.is_none(),
        "docs/scaling.md is stale: run `cargo run -p dotgate-sim --example fleet`\n{differing:#?}"
    );
}

#[test]
fn figures_agree_within_the_tolerance_and_words_to_the_letter() {
    assert!(agree("28,300", "31,000") && agree("72", "79") && agree("0.48", "0.57"));
    assert!(!agree("28,300", "32,000") && !agree("72", "81") && !agree("0.48", "0.60"));
    assert!(agree("%", "%") && !agree("before", "after") && !agree("72", "-"));
}

#[test]
fn the_simulated_autoscaler_has_the_defaults_of_the_chart() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/helm/dotgate/values.yaml");
    let values = std::fs::read_to_string(path).unwrap();
    let rules = |name: &str, rules: Rules| {
        let ((pods, of), (percent, seconds)) = (rules.pods, rules.percent);
        format!(
            "    {name}:\n      stabilizationWindowSeconds: {}\n      selectPolicy: Max\n      policies:\n        \
             - {{type: Pods, value: {pods}, periodSeconds: {of}}}\n        \
             - {{type: Percent, value: {percent}, periodSeconds: {seconds}}}\n",
            rules.window
        )
    };
    let chart = Scaling::CHART;
    for expected in [
        format!(
            "  behavior:\n{}{}",
            rules("scaleUp", chart.up),
            rules("scaleDown", chart.down)
        ),
        format!(
            "\n  minReplicas: {}\n  maxReplicas: {}\n",
            chart.min, chart.max
        ),
        format!("\n  cpu: {:.0}m\n", chart.target * 1e3),
    ] {
        assert!(values.contains(&expected), "{expected}");
    }
}
