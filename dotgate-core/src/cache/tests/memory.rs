//! What the cache costs, and what happens where there is little.

use super::*;

/// Bytes of a message with one A record, and of what is stored with it.
const MESSAGE: usize = 60;
const STORED: usize = MESSAGE + 10;

#[test]
fn an_a_answer_costs_less_than_150_bytes_beyond_its_message() {
    let lab = Lab::new(1 << 20);
    lab.put(WWW, A, 60, &[0; STORED]);
    assert_eq!(lab.cache.usage().bytes_used, 3 * 64 + 15);
    assert!(lab.cache.usage().bytes_used - MESSAGE < 150);
}

#[test]
fn all_that_is_allocated_fits_into_the_setting_and_fills_it() {
    for size in [
        1_000,
        4_096,
        100_000,
        1 << 20,
        3 << 20,
        10_000_000,
        64 << 20,
    ] {
        let cache = Cache::new(size, (1, 2));
        let locks = cache.shards.len() * (size_of::<Slot>() - size_of::<Shard>());
        let reserved = cache.shards.iter().map(|slot| slot.lock().bytes_reserved());
        let total = locks + reserved.sum::<usize>();
        assert!(total <= size, "{total} of {size}");
        assert!(total + cache.shards.len() * 200 > size, "{total} of {size}");
        assert!(cache.shards.len().is_power_of_two());
    }
    assert_eq!(
        Cache::new(64 << 20, (1, 2)).shards.len(),
        limits::CACHE_SHARDS
    );
}

#[test]
fn nothing_grows_while_it_is_full_and_churns() {
    let lab = Lab::new(1 << 20);
    let reserved = |lab: &Lab| -> usize {
        let shards = lab.cache.shards.iter();
        shards.map(|slot| slot.lock().bytes_reserved()).sum()
    };
    let before = reserved(&lab);
    for number in 0..20_000 {
        lab.put(&numbered(number), A, 60, &[0; STORED][..number % STORED]);
    }
    assert_eq!(reserved(&lab), before);
    let usage = lab.cache.usage();
    assert!(usage.bytes_used <= usage.bytes_max && usage.bytes_used > usage.bytes_max * 98 / 100);
    lab.check();
}

#[test]
fn a_cache_of_no_size_holds_nothing() {
    for size in [0, 1, 63, 300] {
        let mut lab = Lab::new(size);
        assert!(lab.cache.shards.is_empty());
        lab.put(WWW, A, 60, b"answer");
        lab.fail(WWW, A);
        assert_eq!(lab.look(WWW, A), Found::Miss);
        assert_eq!(
            lab.cache.flush_all() + lab.cache.flush_name(WWW) + lab.cache.flush_below(b"\0"),
            0
        );
        assert_eq!(lab.cache.entries_of(lab.now, WWW), []);
        lab.cache.export(lab.now, |_| panic!("there is nothing"));
        assert_eq!(lab.cache.usage().bytes_max, size);
        assert_eq!(lab.cache.usage().entries, 0);
    }
}

#[test]
fn a_cache_of_few_blocks_holds_the_newest() {
    let mut lab = Lab::new(700);
    for number in 0..100 {
        lab.put(&numbered(number), A, 60, b"answer");
        assert_eq!(lab.look(&numbered(number), A), fresh(0));
        lab.check();
    }
    assert!(lab.cache.usage().entries >= 1);
}

#[test]
fn an_entry_larger_than_a_shard_is_not_cached_and_costs_the_others_nothing() {
    let mut lab = Lab::new(10_000);
    for number in 0..20 {
        lab.put(&numbered(number), A, 60, b"answer");
    }
    lab.put(WWW, A, 60, &[0; 10_000]);
    assert_eq!(lab.look(WWW, A), Found::Miss);
    assert_eq!(lab.cache.usage().entries, 20);
    lab.put(WWW, A, 60, &[0; 6_000]);
    assert_eq!(lab.look(WWW, A), fresh(0));
    lab.check();
}

#[test]
fn a_million_entries_are_all_where_they_belong() {
    let count = 1_000_000;
    let mut lab = Lab::new(210 << 20);
    for number in 0..count {
        lab.put(&numbered(number), A, 60, &[number as u8; STORED]);
    }
    assert_eq!(lab.cache.usage().entries, count);
    assert_eq!(lab.cache.usage().evictions, 0);
    lab.check();
    for number in (0..count).step_by(997) {
        assert_eq!(lab.look(&numbered(number), A), fresh(0));
        assert_eq!(lab.out, [number as u8; STORED]);
    }
    for number in count..count + 200_000 {
        lab.put(&numbered(number), A, 60, &[number as u8; STORED]);
    }
    let usage = lab.cache.usage();
    assert_eq!(usage.entries as u64 + usage.evictions, 1_200_000);
    lab.check();
}
