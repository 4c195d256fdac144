//! Whether memory is flat: what is resident in the second half of a soak, compared with the first.

use std::fmt;

/// Of so many looks the first one's share is the warm-up, in which buffers and maps find their size.
const WARM_UP: usize = 6;

/// What the second half may have more than the first, in per cent.
const PER_CENT: f64 = 5.0;

/// Resident memory, look by look.
#[derive(Debug, Default)]
pub(super) struct Memory {
    looks: Vec<u64>,
}

/// The two halves.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Verdict {
    first: f64,
    second: f64,
}

impl Memory {
    /// Notes what is resident now, in bytes.
    pub(super) fn note(&mut self, resident: u64) {
        self.looks.push(resident);
    }

    /// Compares the halves of what comes after the warm-up. None for fewer than twelve looks.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        if self.looks.len() < 2 * WARM_UP {
            return None;
        }
        let warm = self.looks.get(self.looks.len() / WARM_UP..)?;
        let (first, second) = warm.split_at(warm.len() / 2);
        Some(Verdict {
            first: mean(first),
            second: mean(second),
        })
    }
}

impl Verdict {
    /// Whether the second half has at most 5 per cent more than the first.
    pub(super) fn is_flat(&self) -> bool {
        self.growth() <= PER_CENT
    }

    /// In per cent of the first half.
    fn growth(&self) -> f64 {
        (self.second / self.first - 1.0) * 100.0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MEBIBYTE: f64 = 1_048_576.0;
        write!(
            out,
            "{}; mean of the first half after the warm-up {:.2} MiB, of the second {:.2} MiB ({:+.1} %)",
            if self.is_flat() { "flat" } else { "NOT FLAT" },
            self.first / MEBIBYTE,
            self.second / MEBIBYTE,
            self.growth(),
        )
    }
}

fn mean(values: &[u64]) -> f64 {
    values.iter().sum::<u64>() as f64 / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(looks: impl IntoIterator<Item = u64>) -> Memory {
        let mut memory = Memory::default();
        looks.into_iter().for_each(|resident| memory.note(resident));
        memory
    }

    #[test]
    fn memory_that_grows_in_the_warm_up_alone_is_flat() {
        let looks = (0..20).map(|_| 1 << 20).chain((0..100).map(|_| 12 << 20));
        let verdict = memory(looks).verdict().unwrap();
        assert!(verdict.is_flat());
        assert_eq!(
            verdict.to_string(),
            "flat; mean of the first half after the warm-up 12.00 MiB, of the second 12.00 MiB (+0.0 %)"
        );
    }

    #[test]
    fn memory_that_grows_all_the_time_is_not_flat_and_one_that_shrinks_is() {
        let grows = memory((0..120).map(|number| (10 << 20) + (number << 15)));
        assert!(!grows.verdict().unwrap().is_flat());
        let shrinks = memory((0..120).rev().map(|number| (10 << 20) + (number << 15)));
        assert!(shrinks.verdict().unwrap().is_flat());
    }

    #[test]
    fn a_few_looks_say_nothing() {
        assert_eq!(memory([1; 11]).verdict(), None);
    }
}
