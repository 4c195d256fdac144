//! Several threads and one cache, in many orders that `shuttle` chooses.

use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use shuttle::sync::mpsc;
use shuttle::thread;

use super::*;
use crate::flights::{Flights, Role};
use crate::keys::WorkerId;

/// Orders of threads that are tried, at random and by priorities.
const ORDERS: usize = 2_000;

const NAMES: [&[u8]; 3] = [b"\x01a\0", b"\x01b\0", b"\x01a\x01b\0"];

fn insert(cache: &Cache, now: Moment, name: &[u8], byte: u8) {
    let question = question(name, A);
    let key = cache.key(&question, RouteId::DEFAULT, false, false);
    // As long as it says, and of one byte: a mixture would show.
    let bytes = vec![byte; 60 + usize::from(byte)];
    cache.insert(now, &key, &question, Scope::Exact, 100, &bytes);
}

fn look(cache: &Cache, now: Moment, name: &[u8]) -> (Found, Vec<u8>) {
    let question = question(name, A);
    let key = cache.key(&question, RouteId::DEFAULT, false, false);
    let mut out = Vec::new();
    let terms = Terms {
        may_prefetch: true,
        shares_nxdomain: true,
        ..TERMS
    };
    let found = cache.lookup(now, &key, &question, terms, &mut out);
    (found, out)
}

/// Two workers write and read few names in a cache with room for two, an operator empties it.
#[test]
fn answers_stay_whole_during_insertions_and_flushes() {
    shuttle::check_random(write_read_and_flush, ORDERS);
    shuttle::check_pct(write_read_and_flush, ORDERS, 3);
}

fn write_read_and_flush() {
    let cache = Arc::new(Cache::new(1_200, (1, 2)));
    let now = Moment::from_nanos(1);
    let workers: Vec<_> = (0..2_u8)
        .map(|worker| {
            let cache = Arc::clone(&cache);
            thread::spawn(move || {
                for round in 0..3_u8 {
                    let name = NAMES[usize::from(worker + round) % NAMES.len()];
                    insert(&cache, now, name, 10 * worker + round);
                    let (found, bytes) = look(&cache, now, NAMES[usize::from(round)]);
                    let is_whole = bytes.first().is_none_or(|first| {
                        bytes.len() == 60 + usize::from(*first)
                            && bytes.iter().all(|byte| byte == first)
                    });
                    assert!(is_whole, "{bytes:?}");
                    assert_eq!(found == Found::Miss, bytes.is_empty());
                }
            })
        })
        .collect();
    let operator = {
        let cache = Arc::clone(&cache);
        thread::spawn(move || {
            cache.flush_name(NAMES[0]);
            cache.flush_below(NAMES[1]);
            cache.entries_of(now, NAMES[2]);
            cache.flush_all();
        })
    };
    for worker in workers {
        worker.join().unwrap();
    }
    operator.join().unwrap();
    for slot in &cache.shards {
        slot.lock().check();
    }
    let entries = cache.usage().entries;
    assert_eq!(cache.flush_below(b"\0"), entries);
    assert_eq!(cache.usage().bytes_used, 0);
}

/// Three workers hit the same answer shortly before its end.
#[test]
fn one_caller_alone_refreshes() {
    shuttle::check_random(hit_shortly_before_the_end, ORDERS);
}

fn hit_shortly_before_the_end() {
    let cache = Arc::new(Cache::new(10_000, (1, 2)));
    let start = Moment::from_nanos(1);
    insert(&cache, start, NAMES[0], 1);
    look(&cache, start, NAMES[0]);
    let reported = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let (cache, reported) = (Arc::clone(&cache), Arc::clone(&reported));
            thread::spawn(move || {
                let (found, _) = look(&cache, start + Duration::from_secs(95), NAMES[0]);
                let prefetch = true;
                reported.fetch_add(
                    usize::from(found == Found::Fresh { age: 95, prefetch }),
                    Relaxed,
                );
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    assert_eq!(reported.load(Relaxed), 1);
}

/// A snapshot is taken while other names come and go.
#[test]
fn what_nobody_removes_is_exported() {
    shuttle::check_random(export_during_insertions, ORDERS);
}

fn export_during_insertions() {
    let cache = Arc::new(Cache::new(100_000, (1, 2)));
    let now = Moment::from_nanos(1);
    insert(&cache, now, NAMES[0], 7);
    let worker = {
        let cache = Arc::clone(&cache);
        thread::spawn(move || {
            insert(&cache, now, NAMES[1], 1);
            insert(&cache, now, NAMES[2], 2);
            cache.flush_name(NAMES[1]);
        })
    };
    let mut seen = 0;
    cache.export(now, |entry| {
        seen += usize::from(entry.name == NAMES[0] && entry.bytes == [7; 67]);
    });
    worker.join().unwrap();
    assert_eq!(seen, 1);
    assert_eq!(cache.usage().entries, 2);
}

/// Four workers have the same question, as engines do: they look, join, ask, insert, complete, and send flight messages. The
/// first one fails, the last one does not wait. Waiting for a flight message that is never sent would have no end.
#[test]
fn one_worker_asks_at_a_time_and_no_flight_message_is_lost() {
    shuttle::check_random(ask_the_same, ORDERS);
    shuttle::check_pct(ask_the_same, ORDERS, 3);
}

fn ask_the_same() {
    const WORKERS: usize = 4;
    let cache = Arc::new(Cache::new(100_000, (1, 2)));
    let flights = Arc::new(Flights::new(WORKERS));
    let asking = Arc::new(AtomicUsize::new(0));
    let (senders, mailboxes): (Vec<_>, Vec<_>) = (0..WORKERS).map(|_| mpsc::channel()).unzip();
    let workers: Vec<_> = mailboxes
        .into_iter()
        .enumerate()
        .map(|(number, messages)| {
            let (cache, flights) = (Arc::clone(&cache), Arc::clone(&flights));
            let (asking, senders) = (Arc::clone(&asking), senders.clone());
            let worker = WorkerId(number as u8);
            thread::spawn(move || {
                let (now, name) = (Moment::from_nanos(1), NAMES[0]);
                let hash = cache
                    .key(&question(name, A), RouteId::DEFAULT, false, false)
                    .hash();
                if look(&cache, now, name).0 == fresh(0) {
                    return;
                }
                while flights.join(hash, worker) == Role::Follows {
                    if number == WORKERS - 1 {
                        return flights.leave(hash, worker);
                    }
                    let is_answered: bool = messages.recv().unwrap();
                    if is_answered {
                        assert_eq!(
                            look(&cache, now, name).0,
                            fresh(0),
                            "cached before the message"
                        );
                        return;
                    }
                }
                assert_eq!(asking.fetch_add(1, Relaxed), 0, "somebody asks already");
                let is_answered = number > 0;
                if is_answered {
                    insert(&cache, now, name, 7);
                }
                asking.fetch_sub(1, Relaxed);
                for follower in flights.complete(hash, worker).ids() {
                    assert!(follower != worker);
                    // A follower that gave up may have ended.
                    senders[follower.index()].send(is_answered).ok();
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    let hash = cache
        .key(&question(NAMES[0], A), RouteId::DEFAULT, false, false)
        .hash();
    assert_eq!(
        flights.join(hash, WorkerId(0)),
        Role::Leads,
        "nothing is left"
    );
}
