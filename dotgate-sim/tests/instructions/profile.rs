//! Reads what callgrind writes: instructions by function and file ("Callgrind Format Specification").

use std::collections::BTreeMap;

/// Instructions of one run. Those of a called function are its own, not its caller's.
#[derive(Default)]
pub(crate) struct Profile {
    /// By function and by the file that the line stands in, which of inlined code is another one.
    costs: BTreeMap<(String, String), u64>,
    /// How often each function was called.
    calls: BTreeMap<String, u64>,
}

/// Names are written once, with a number: `(12) name`, then `(12)`.
#[derive(Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    fn of(&mut self, text: &str) -> String {
        let (number, name) = text.split_once(' ').unwrap_or((text, ""));
        let known = self.0.entry(number.to_owned()).or_default();
        if !name.is_empty() {
            *known = name.to_owned();
        }
        known.clone()
    }
}

/// Whether this begins with the number of a source line, absolute or relative to the last one.
fn is_cost(line: &str) -> bool {
    line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first))
}

fn cost_of(line: &str) -> Option<u64> {
    line.split(' ').nth(1)?.parse().ok()
}

impl Profile {
    /// Reads the whole of callgrind's output file.
    pub(crate) fn read(text: &str) -> Profile {
        let mut profile = Profile::default();
        let (mut files, mut functions) = (Names::default(), Names::default());
        let mut here = (String::new(), String::new());
        let (mut called, mut is_of_called) = (String::new(), false);
        let mut total = None;
        for line in text.lines() {
            match line.split_once('=') {
                Some(("fl" | "fi" | "fe", file)) => here.1 = files.of(file),
                Some(("cfi" | "cfl", file)) => drop(files.of(file)),
                Some(("fn", function)) => here.0 = functions.of(function),
                Some(("cfn", function)) => called = functions.of(function),
                Some(("calls", count)) => {
                    let count = count.split(' ').next().and_then(|it| it.parse().ok());
                    *profile.calls.entry(called.clone()).or_default() += count.unwrap_or(0_u64);
                    is_of_called = true;
                }
                Some(_) => {}
                None if line.starts_with("summary: ") => total = cost_of(line),
                // The line after `calls=` tells what the called function took, which its own lines tell, too.
                None if is_cost(line) && !std::mem::take(&mut is_of_called) => {
                    *profile.costs.entry(here.clone()).or_default() += cost_of(line).unwrap_or(0);
                }
                None => {}
            }
        }
        assert_eq!(Some(profile.sum(|_, _| true)), total, "all is read");
        profile
    }

    /// The instructions of all functions and files that are wanted.
    pub(crate) fn sum(&self, is_wanted: impl Fn(&str, &str) -> bool) -> u64 {
        let wanted = self
            .costs
            .iter()
            .filter(|((function, file), _)| is_wanted(function, file));
        wanted.map(|(_, cost)| cost).sum()
    }

    /// How often the C library was asked for memory.
    pub(crate) fn allocations(&self) -> u64 {
        let asks = |name: &str| {
            let name = name.split(['\'', '@']).next().unwrap_or_default();
            [
                "malloc",
                "calloc",
                "realloc",
                "posix_memalign",
                "aligned_alloc",
            ]
            .contains(&name)
        };
        let asked = self.calls.iter().filter(|(name, _)| asks(name));
        asked.map(|(_, count)| count).sum()
    }

    /// How much more each function took than in another run, most first.
    pub(crate) fn difference(&self, other: &Profile) -> Vec<(String, i64)> {
        let mut functions: BTreeMap<String, i64> = BTreeMap::new();
        for (profile, sign) in [(self, 1), (other, -1)] {
            for ((function, _), cost) in &profile.costs {
                *functions.entry(function.clone()).or_default() += sign * *cost as i64;
            }
        }
        let mut sorted: Vec<(String, i64)> = functions.into_iter().collect();
        sorted.sort_by_key(|(_, cost)| -cost);
        sorted
    }
}
