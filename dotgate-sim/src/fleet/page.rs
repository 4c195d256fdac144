//! The tables of `docs/scaling.md`, between the two lines that mark them.

use std::fmt::Write;

use super::load::{Cost, Load};
use super::{Demand, Names, Outage, Scaling, half_die, scaled, steady, wanted};

/// The line before the tables.
pub const BEGIN: &str =
    "<!-- made by `cargo run -p dotgate-sim --example fleet`: do not edit from here -->";
/// The line after them.
pub const END: &str = "<!-- to here -->";

/// Sizes of fleets.
const SIZES: [u32; 6] = [2, 3, 4, 6, 8, 12];
/// The fleet that is looked at more closely.
const FLEET: u32 = 4;
/// Queries per second and client address that Google Public DNS serves (its page for ISPs).
const GOOGLE_LIMIT: f64 = 1_500.0;

/// All tables, each under its heading.
pub fn tables() -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    if write_all(&mut page).is_err() {
        page.clear();
    }
    page
}

fn write_all(page: &mut String) -> std::fmt::Result {
    let (load, cost) = (Load::MILLION, Cost::MEASURED);
    let names = Names::new(&load);
    writeln!(page, "### By number of instances\n")?;
    write_sizes(page, &load, &names, &cost)?;
    writeln!(page, "\n### With other assumptions, {FLEET} instances\n")?;
    write_worlds(page, &names, &cost)?;
    writeln!(page, "\n### What an autoscaler wants for these clients\n")?;
    write_targets(page, &load, &names, &cost)?;
    writeln!(page, "\n### What the chart's autoscaler does\n")?;
    write_scaled(page, &cost)?;
    writeln!(
        page,
        "\n### Half of {FLEET} instances fail with their nodes\n"
    )?;
    write_outage(page, &half_die(&load, &names, &cost, FLEET))
}

fn write_sizes(page: &mut String, load: &Load, names: &Names, cost: &Cost) -> std::fmt::Result {
    writeln!(
        page,
        "| instances | queries/s of one | from its cache | to upstreams/s, all together | addresses at 1,500/s each \
         | processors of one | of one when half have failed |\n|---|---|---|---|---|---|---|"
    )?;
    for instances in SIZES {
        let one = steady(load, names, cost, instances);
        let left = instances - instances / 2;
        let doubled = cost.processors(load.queries() / f64::from(left), one.hit_share);
        writeln!(
            page,
            "| {instances} | {} | {:.0} % | {} | {} | {:.2} | {doubled:.2} |",
            thousands(one.queries),
            one.hit_share * 100.0,
            thousands(one.upstream),
            (one.upstream / GOOGLE_LIMIT).ceil(),
            one.processors,
        )?;
    }
    Ok(())
}

fn write_targets(page: &mut String, load: &Load, names: &Names, cost: &Cost) -> std::fmt::Result {
    let hit_share = steady(load, names, cost, FLEET).hit_share;
    writeln!(
        page,
        "| target, CPU of one | instances | queries/s of one |\n|---|---|---|"
    )?;
    for millis in [100, 250, 400, 600, 800] {
        let instances = wanted(load, cost, hit_share, f64::from(millis) / 1e3);
        let queries = load.queries() / f64::from(instances);
        writeln!(page, "| {millis}m | {instances} | {} |", thousands(queries))?;
    }
    Ok(())
}

fn write_scaled(page: &mut String, cost: &Cost) -> std::fmt::Result {
    writeln!(
        page,
        "| clients | queries | instances | changes | most processors of one | decisions while overloaded \
         | half as fast: instances | changes | decisions while overloaded |\n|---|---|---|---|---|---|---|---|---|"
    )?;
    let slow = cost.times(2.0);
    for clients in [1e3, 1e4, 1e5, 1e6] {
        for demand in Demand::ALL {
            let busiest = clients * Load::MILLION.rate;
            let fleet = scaled(&Scaling::CHART, cost, busiest, demand);
            let other = scaled(&Scaling::CHART, &slow, busiest, demand);
            writeln!(
                page,
                "| {} | {} | {} | {} | {:.2} | {} | {} | {} | {} |",
                thousands(clients),
                demand.name(),
                range(fleet.instances),
                fleet.changes.len(),
                fleet.processors,
                fleet.overloaded,
                range(other.instances),
                other.changes.len(),
                other.overloaded
            )?;
        }
    }
    Ok(())
}

fn range((least, most): (u32, u32)) -> String {
    if least == most {
        least.to_string()
    } else {
        format!("{least} to {most}")
    }
}

fn write_worlds(page: &mut String, names: &Names, cost: &Cost) -> std::fmt::Result {
    let usual = Load::MILLION;
    let short = Load {
        ttls: &[(60, 100)],
        ..usual
    };
    let quiet = Load {
        rate: usual.rate / 4.0,
        ..usual
    };
    let with_cache = |mebibytes: u32| Cost {
        cache_bytes: mebibytes << 20,
        ..*cost
    };
    let worlds = [
        ("as above: `cache.size` 64MiB", usual, *cost),
        ("`cache.size` 256MiB", usual, with_cache(256)),
        ("`cache.size` 1024MiB", usual, with_cache(1024)),
        ("every TTL is 60 s", short, *cost),
        ("a quarter of the queries", quiet, *cost),
    ];
    writeln!(
        page,
        "| | from its cache | to upstreams/s, all together |\n|---|---|---|"
    )?;
    for (what, load, cost) in worlds {
        let own_names = (load.ttls != usual.ttls).then(|| Names::new(&load));
        let names = own_names.as_ref().unwrap_or(names);
        let one = steady(&load, names, &cost, FLEET);
        let share = one.hit_share * 100.0;
        writeln!(
            page,
            "| {what} | {share:.0} % | {} |",
            thousands(one.upstream)
        )?;
    }
    Ok(())
}

fn write_outage(page: &mut String, outage: &Outage) -> std::fmt::Result {
    writeln!(
        page,
        "| from, s | to, s | | queries/s of one that remains | from its cache | from a replacement's | to upstreams/s, \
         all together | processors of one that remains | unanswered/s |\n|---|---|---|---|---|---|---|---|---|"
    )?;
    for phase in &outage.phases {
        let new = phase
            .new_hit_share
            .map_or("-".to_owned(), |share| format!("{:.0} %", share * 100.0));
        writeln!(
            page,
            "| {} | {} | {} | {} | {:.0} % | {new} | {} | {:.2} | {} |",
            phase.from,
            phase.to,
            phase.what,
            thousands(phase.queries),
            phase.hit_share * 100.0,
            thousands(phase.upstream),
            phase.processors,
            thousands(phase.unanswered),
        )?;
    }
    writeln!(
        page,
        "\nIn flight in the failed half at that moment: {} queries.",
        thousands(outage.in_flight)
    )
}

/// A figure in three digits, as more would claim too much.
fn thousands(value: f64) -> String {
    let mut step = 1.0;
    while value / step >= 1_000.0 {
        step *= 10.0;
    }
    let rounded = (value / step).round() * step;
    let digits = format!("{rounded:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn figures_have_three_digits_and_commas() {
        let shown = [0.0, 7.4, 999.4, 1_234.0, 99_960.0, 1_234_567.0].map(thousands);
        assert_eq!(shown, ["0", "7", "999", "1,230", "100,000", "1,230,000"]);
    }
}
