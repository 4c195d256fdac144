use dotgate_core::RouteId;
use dotgate_core::cache::Scope;
use dotgate_message::{QNAME, RA, RD, TXT, query_for, question_of, record, response};
use dotgate_wire::{Question, UpstreamResponse};
use tempfile::TempDir;

use super::*;

const SIZE: usize = 1 << 20;

fn settings() -> CacheSettings {
    CacheSettings {
        ttl_max: 3_600,
        stale_max: Duration::from_secs(7_200),
        ..CacheSettings::off()
    }
}

fn snapshot(folder: &TempDir, size: usize) -> Snapshot {
    let cache = Arc::new(Cache::new(size, (1, 2)));
    Snapshot::new(
        &folder.path().join("cache"),
        cache,
        settings(),
        Filter::off(),
    )
}

/// Keeps an answer for a name of its own, with a name of `padding` bytes in it.
fn keep(snapshot: &Snapshot, number: usize, padding: usize) {
    let query = query_for(1, &format!("{number:08}"), TXT);
    let text = record(QNAME, TXT, 300, &vec![0; padding]);
    let response = response(&query, RD | RA, [&[text], &[], &[]]);
    let question = Question::fold(question_of(&query).unwrap()).unwrap();
    let (mut answer, mut bytes) = (UpstreamResponse::new(), Vec::new());
    answer.load(&response).unwrap();
    answer.store(&mut bytes, 0..=3_600, None);
    let key = snapshot
        .cache
        .key(&question, RouteId::DEFAULT, false, false);
    let now = Moment::from_nanos(dotgate_net::boottime_nanos());
    let cache = &snapshot.cache;
    cache.insert(now, &key, &question, Scope::Exact, 300, &bytes);
}

fn save(snapshot: &Snapshot) -> usize {
    snapshot.write(&GivenUp::default()).unwrap()
}

#[test]
fn a_full_cache_is_written_and_read_back_by_one_of_the_same_size() {
    for padding in [1, 40, 500, 9_000] {
        let folder = TempDir::new().unwrap();
        let full = snapshot(&folder, SIZE);
        for number in 0..SIZE / 64 {
            keep(&full, number, padding);
        }
        let entries = full.cache.usage().entries;
        assert!(
            full.cache.usage().evictions > 0 || padding > 500,
            "{entries}"
        );
        assert_eq!(save(&full), entries);
        let restored = snapshot(&folder, SIZE).read().unwrap().unwrap();
        // The new keys spread names otherwise, so that some shards are full before others.
        assert_eq!(restored.entries + restored.left_out, entries);
        assert!(restored.entries > entries / 2, "{restored:?} of {entries}");
        let small = snapshot(&folder, SIZE / 2);
        assert!(matches!(small.read(), Err(NotRead::TooLong { .. })));
        assert_eq!(small.cache.usage().entries, 0);
    }
}

#[test]
fn a_damaged_file_leaves_the_cache_empty() {
    let folder = TempDir::new().unwrap();
    let cached = snapshot(&folder, SIZE);
    (0..10).for_each(|number| keep(&cached, number, 10));
    save(&cached);
    let mut bytes = std::fs::read(&cached.path).unwrap();
    let length = bytes.len();
    bytes[length / 2] ^= 1;
    std::fs::write(&cached.path, &bytes).unwrap();
    let damaged = snapshot(&folder, SIZE);
    assert!(matches!(
        damaged.read(),
        Err(NotRead::Unreadable(Unreadable::Damaged))
    ));
    assert_eq!(damaged.cache.usage().entries, 0);
    save(&cached);
    assert_eq!(damaged.read().unwrap().unwrap().entries, 10);
}

#[test]
fn a_file_from_later_or_from_long_ago_is_not_read() {
    let folder = TempDir::new().unwrap();
    let snapshot = snapshot(&folder, SIZE);
    let hour = 3_600_000;
    assert_eq!(
        snapshot.age(5, hour + 5).unwrap(),
        Duration::from_secs(3_600)
    );
    assert!(matches!(snapshot.age(6, 5), Err(NotRead::FromLater)));
    assert!(matches!(
        snapshot.age(5, 3 * hour + 5),
        Err(NotRead::TooOld(_))
    ));
    assert!(snapshot.age(5, 3 * hour + 4).is_ok());
}

#[test]
fn a_write_that_was_given_up_replaces_nothing() {
    let folder = TempDir::new().unwrap();
    let cached = snapshot(&folder, SIZE);
    keep(&cached, 1, 10);
    save(&cached);
    keep(&cached, 2, 10);
    let given_up = GivenUp::default();
    given_up.set();
    assert!(cached.write(&given_up).is_err());
    assert_eq!(snapshot(&folder, SIZE).read().unwrap().unwrap().entries, 1);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
