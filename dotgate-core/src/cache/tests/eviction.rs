//! Who goes when there is no room.

use super::*;
use crate::random::Random;

/// Draws numbers of which the n-th is as likely as 1/n.
struct Zipf {
    sums: Vec<f64>,
    random: Random,
}

impl Zipf {
    fn new(count: u32) -> Zipf {
        let mut sum = 0.0;
        let sums = (1..=count).map(|rank| {
            sum += 1.0 / f64::from(rank);
            sum
        });
        Zipf {
            sums: sums.collect(),
            random: Random::new([7; 32]),
        }
    }

    fn draw(&mut self) -> usize {
        let unit = (self.random.word() >> 11) as f64 / (1_u64 << 53) as f64;
        let drawn = unit * self.sums.last().unwrap();
        self.sums.partition_point(|sum| *sum < drawn)
    }
}

/// Share of the draws of a Zipf load that hit, with `scan` names for each draw that are asked but once.
fn hit_rate(scan: usize) -> f64 {
    let mut lab = Lab::new(1 << 20);
    let mut zipf = Zipf::new(20_000);
    let (warm_up, draws) = (100_000, 20_000);
    let mut unique = 1_000_000;
    let mut hits = 0;
    for draw in 0..warm_up + draws {
        let name = numbered(zipf.draw());
        if lab.look(&name, A) != Found::Miss {
            hits += usize::from(draw >= warm_up);
        } else {
            lab.put(&name, A, 3_600, &[0; 70]);
        }
        for _ in 0..scan {
            unique += 1;
            let name = numbered(unique);
            assert_eq!(lab.look(&name, A), Found::Miss);
            lab.put(&name, A, 3_600, &[0; 70]);
        }
    }
    lab.check();
    hits as f64 / draws as f64
}

#[test]
fn a_flood_of_unique_names_leaves_the_popular_ones() {
    let (alone, with_others) = (hit_rate(0), hit_rate(3));
    // 5,200 of 20,000 names have room; the best of them make 87 % of the draws. Measured: 0.843 and 0.771; with
    // the same scan a list of the least recently used gave 0.58.
    assert!(alone > 0.80, "{alone}");
    assert!(
        with_others > alone * 0.9,
        "{with_others} with_others a scan, {alone} alone"
    );
}

#[test]
fn what_can_never_be_served_again_goes_first() {
    let mut lab = Lab::new(200_000);
    lab.terms.stale_max = Duration::from_secs(10);
    let (living, dead) = (300, 500);
    for number in 0..living {
        lab.put(&numbered(number), A, 3_600, &[0; 70]);
    }
    for number in living..living + dead {
        lab.put(&numbered(number), A, 1, &[0; 70]);
        lab.look(&numbered(number), A);
        lab.look(&numbered(number), A);
    }
    lab.pass(11);
    for number in 1_000..1_000 + dead {
        lab.put(&numbered(number), A, 3_600, &[0; 70]);
    }
    let left = (0..living).filter(|number| lab.look(&numbered(*number), A) != Found::Miss);
    assert!(left.count() > living * 95 / 100);
    lab.check();
}

#[test]
fn a_popular_answer_stays_popular_when_it_is_refreshed() {
    let mut lab = Lab::new(100_000);
    for round in 0..2_000 {
        if round % 100 == 0 {
            lab.put(WWW, A, 3_600, b"popular");
        }
        assert_eq!(lab.look(WWW, A), fresh(0), "{round}");
        lab.put(&numbered(round), A, 3_600, &[0; 70]);
    }
    lab.check();
}

#[test]
fn entries_that_were_all_hit_make_room_all_the_same() {
    let mut lab = Lab::new(1 << 20);
    for number in 0..20_000 {
        lab.put(&numbered(number), A, 3_600, &[0; 70]);
        for _ in 0..4 {
            assert_eq!(lab.look(&numbered(number), A), fresh(0));
        }
    }
    lab.check();
}
