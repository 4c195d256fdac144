//! Numbers and times as people read them.

use std::fmt::{self, Display};

/// A count with a comma between thousands.
pub(super) struct Grouped(pub(super) u64);

impl Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let groups = digits.as_bytes().rchunks(3).rev();
        for (place, group) in groups.enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(f, "{comma}{}", String::from_utf8_lossy(group))?;
        }
        Ok(())
    }
}

/// Queries per second: with one decimal below 100.
pub(super) struct Rate(pub(super) f64);

impl Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 99.95 {
            write!(f, "{:.1}", self.0)
        } else {
            Grouped(self.0.round() as u64).fmt(f)
        }
    }
}

/// Milliseconds.
pub(super) struct Milliseconds(pub(super) f64);

impl Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            short if short < 10.0 => write!(f, "{} ms", (short * 100.0).round() / 100.0),
            middle if middle < 1_000.0 => write!(f, "{middle:.0} ms"),
            long => write!(f, "{} s", (long / 100.0).round() / 10.0),
        }
    }
}

/// A part of a whole; a dash if there is no whole.
pub(super) struct Percent(pub(super) Option<f64>);

impl Percent {
    pub(super) fn of(part: u64, whole: u64) -> Percent {
        Percent((whole > 0).then(|| part as f64 / whole as f64))
    }
}

impl Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("-"),
            Some(part) if part > 0.0 && part < 0.001 => f.write_str("< 0.1 %"),
            Some(part) if part < 0.1 && part > 0.0 => write!(f, "{:.1} %", part * 100.0),
            // What is not whole is not shown as such.
            Some(part) if part < 1.0 => write!(f, "{} %", (part * 100.0).round().min(99.0)),
            Some(_) => f.write_str("100 %"),
        }
    }
}

/// How long ago something was, in its largest unit: it is written again and again, and should seldom differ.
pub(super) struct Ago(pub(super) f64);

impl Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.max(0.0) as u64;
        match seconds {
            0..10 => f.write_str("a moment ago"),
            10..60 => write!(f, "{} s ago", seconds / 10 * 10),
            60..3_600 => write!(f, "{} min ago", seconds / 60),
            3_600..86_400 => write!(f, "{} h ago", seconds / 3_600),
            _ => write!(f, "{} d ago", seconds / 86_400),
        }
    }
}

/// Bytes in MiB.
pub(super) struct Mebibytes(pub(super) usize);

impl Display for Mebibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MiB", self.0 as f64 / f64::from(1 << 20))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_say_what_they_are() {
        let grouped = [0, 999, 1_000, 1_234_567].map(|count| Grouped(count).to_string());
        assert_eq!(grouped, ["0", "999", "1,000", "1,234,567"]);
        let rates = [0.0, 99.94, 99.96, 12_345.6].map(|rate| Rate(rate).to_string());
        assert_eq!(rates, ["0.0", "99.9", "100", "12,346"]);
        let times = [0.25, 12.5, 500.0, 4_000.0].map(|time| Milliseconds(time).to_string());
        assert_eq!(times, ["0.25 ms", "12 ms", "500 ms", "4 s"]);
        let parts = [(0, 0), (0, 5), (1, 10_000), (1, 100), (814, 1_000)];
        let parts = parts.map(|(part, whole)| Percent::of(part, whole).to_string());
        assert_eq!(parts, ["-", "0 %", "< 0.1 %", "1.0 %", "81 %"]);
        let high = [Percent::of(9_999, 10_000), Percent::of(7, 7)].map(|it| it.to_string());
        assert_eq!(high, ["99 %", "100 %"]);
        let times = [3.0, 47.0, 61.0, 7_300.0, 200_000.0].map(|time| Ago(time).to_string());
        let expected = [
            "a moment ago",
            "40 s ago",
            "1 min ago",
            "2 h ago",
            "2 d ago",
        ];
        assert_eq!(times, expected);
    }
}
