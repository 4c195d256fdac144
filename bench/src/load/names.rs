//! Which names a load asks for: each once, or a few drawn again and again.

use crate::message::{self, EDNS_QUERY_BYTES, Name, QUERY_BYTES};

/// Names drawn before a load begins, so that drawing costs it nothing; then they come again.
const DRAWN: usize = 1 << 20;

/// What a load asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Names<'a> {
    /// A new name with every query: no cache can answer.
    Unique,
    /// The names with these numbers, in turn, from all sockets; after the last the first again.
    /// There must be one.
    Listed(&'a [u32]),
    /// The same of the names of [`message::mix`], with EDNS.
    Mixed(&'a [u32]),
}

impl Names<'_> {
    /// The name of the query that is number `of_socket` of its socket and number `of_load` of all.
    pub(super) fn name(self, seed: u32, socket: u16, of_socket: u64, of_load: u64) -> Name {
        let number = match self {
            Names::Unique => of_socket,
            Names::Listed(numbers) | Names::Mixed(numbers) => {
                let place = of_load as usize % numbers.len().max(1);
                numbers.get(place).copied().map_or(0, u64::from)
            }
        };
        Name {
            seed,
            socket: self.socket(socket),
            number,
        }
    }

    /// Writes the query for a name, and returns its length.
    pub(super) fn write(self, id: u16, name: Name, query: &mut [u8; EDNS_QUERY_BYTES]) -> usize {
        match self {
            Names::Unique | Names::Listed(_) => {
                query[..QUERY_BYTES].copy_from_slice(&message::query(id, name));
                QUERY_BYTES
            }
            Names::Mixed(_) => {
                *query = message::edns_query(id, name);
                EDNS_QUERY_BYTES
            }
        }
    }

    /// The socket as part of the names asked from it.
    pub(super) fn socket(self, socket: u16) -> u16 {
        match self {
            Names::Unique => socket,
            Names::Listed(_) => 0,
            Names::Mixed(_) => message::mix::MIXED,
        }
    }
}

/// How often each of the names of a warm cache is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Popularity {
    /// All alike.
    Uniform,
    /// The second half as often as the first, the third a third as often, and so on: Zipf's law,
    /// exponent 1.
    Zipf,
}

impl Popularity {
    /// Draws numbers below `count` for a load to ask for; the same ones each time.
    #[must_use]
    pub fn draw(self, count: u32) -> Vec<u32> {
        let mut random = Random(u64::from(count));
        match self {
            Popularity::Uniform => (0..DRAWN)
                .map(|_| (random.word() % u64::from(count.max(1))) as u32)
                .collect(),
            Popularity::Zipf => {
                let mut sum = 0.0;
                let sums: Vec<f64> = (1..=count)
                    .map(|rank| {
                        sum += 1.0 / f64::from(rank);
                        sum
                    })
                    .collect();
                (0..DRAWN)
                    .map(|_| {
                        let drawn = random.fraction() * sum;
                        sums.partition_point(|sum| *sum <= drawn) as u32
                    })
                    .collect()
            }
        }
    }
}

/// SplitMix64: enough to draw names with, and the same on every machine.
struct Random(u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// From 0 to less than 1.
    fn fraction(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(numbers: &[u32], count: u32) -> Vec<usize> {
        let mut times = vec![0; count as usize];
        for number in numbers {
            times[*number as usize] += 1;
        }
        times
    }

    #[test]
    fn listed_names_come_in_turn_whatever_the_socket() {
        let names = Names::Listed(&[7, 3]);
        let number = |of_load| names.name(1, 5, 0, of_load);
        assert_eq!([0, 1, 2].map(|place| number(place).number), [7, 3, 7]);
        assert_eq!(number(0).socket, 0);
        let unique = Names::Unique.name(1, 5, 9, 100);
        assert_eq!((unique.socket, unique.number), (5, 9));
    }

    #[test]
    fn uniform_names_are_all_drawn_alike() {
        let times = times(&Popularity::Uniform.draw(100), 100);
        let even = DRAWN / 100;
        assert!(
            times.iter().all(|times| times.abs_diff(even) < even / 10),
            "{times:?}"
        );
    }

    #[test]
    fn zipfs_second_name_is_drawn_half_as_often_as_the_first_and_the_last_at_all() {
        let times = times(&Popularity::Zipf.draw(1000), 1000);
        let times_two = times[1] * 2;
        assert!(times[0].abs_diff(times_two) < times[0] / 20, "{times:?}");
        assert!(times.iter().all(|times| *times > 0), "{times:?}");
    }
}
