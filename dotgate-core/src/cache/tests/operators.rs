//! Looking into the cache, emptying it, and carrying it over a restart.

use super::*;

#[test]
fn a_name_is_shown_with_all_its_cache_entries() {
    let mut lab = Lab::new(1 << 20);
    lab.put(WWW, A, 10, b"answer");
    lab.put(MAIL, A, 10, b"other");
    lab.put_as(WWW, TXT, Scope::AllTypes, 5, b"nxdomain");
    lab.pass(1);
    lab.look(WWW, A);
    lab.look(WWW, A);
    lab.pass(6);
    let mut entries = lab.cache.entries_of(lab.now, WWW);
    entries.sort_by_key(|entry| entry.qtype);
    let expected = |qtype, scope, ttl_left, hits, bytes: &[u8]| CachedEntry {
        route: RouteId::DEFAULT,
        qtype,
        qclass: 1,
        scope,
        dnssec_ok: false,
        checking_disabled: false,
        age: 7,
        ttl_left,
        hits,
        is_failure: false,
        bytes: bytes.to_vec(),
    };
    let answer = expected(A, Scope::Exact, 3, 2, b"answer");
    let nxdomain = expected(TXT, Scope::AllTypes, -2, 0, b"nxdomain");
    assert_eq!(entries, [answer, nxdomain]);
    lab.fail(EXAMPLE, A);
    assert!(lab.cache.entries_of(lab.now, EXAMPLE)[0].is_failure);
    assert_eq!(lab.cache.entries_of(lab.now, b"no name"), []);
}

#[test]
fn names_are_flushed_one_all_below_or_all() {
    let mut lab = Lab::new(1 << 24);
    let fill = |lab: &Lab| {
        for name in [WWW, MAIL, EXAMPLE, b"\x0anotexample\x03org\0", b"\x03com\0"] {
            for qtype in [A, AAAA] {
                lab.put(name, qtype, 60, b"answer");
            }
        }
    };
    fill(&lab);
    assert_eq!(lab.cache.flush_name(WWW), 2);
    assert_eq!(lab.look(WWW, A), Found::Miss);
    assert_eq!(lab.look(MAIL, A), fresh(0));
    assert_eq!(lab.cache.flush_name(WWW), 0);
    fill(&lab);
    assert_eq!(lab.cache.flush_below(EXAMPLE), 6);
    assert_eq!(lab.look(EXAMPLE, A), Found::Miss);
    assert_eq!(lab.look(b"\x0anotexample\x03org\0", A), fresh(0));
    assert_eq!(lab.cache.flush_below(b"\x03org\0"), 2);
    fill(&lab);
    assert_eq!(lab.cache.flush_below(b"\0"), 10);
    fill(&lab);
    assert_eq!(lab.cache.flush_all(), 10);
    assert_eq!(lab.cache.usage().entries, 0);
    assert_eq!(lab.cache.usage().bytes_used, 0);
    fill(&lab);
    assert_eq!(lab.cache.usage().entries, 10);
    lab.check();
}

#[test]
fn what_was_saved_does_not_come_before_a_later_word_on_its_name() {
    let lab = Lab::new(1 << 22);
    lab.put(WWW, A, 3_600, b"answer");
    let mut saved = Vec::new();
    lab.cache.export(lab.now, |entry| entry.write(&mut saved));
    let mut restarted = Lab::new(1 << 22);
    restarted.put_as(WWW, A, Scope::AllTypes, 600, b"nxdomain");
    assert!(
        !restarted
            .cache
            .import(restarted.now, SavedEntry::read(&saved).unwrap())
    );
    assert_eq!(restarted.look(WWW, A), fresh(0));
    assert_eq!(restarted.cache.usage().entries, 1);
}

#[test]
fn answers_outlive_a_restart_with_their_age_and_failures_do_not() {
    let mut lab = Lab::new(1 << 22);
    lab.put(WWW, A, 3_600, b"answer");
    lab.put_as(MAIL, A, Scope::AllTypes, 600, b"nxdomain");
    lab.fail(EXAMPLE, A);
    lab.pass(100);
    let mut saved = Vec::new();
    lab.cache.export(lab.now, |entry| {
        saved.push((
            entry.name.to_vec(),
            entry.bytes.to_vec(),
            entry.age,
            entry.scope,
        ));
        assert!(!lab.cache.import(lab.now, entry), "it is known already");
    });
    assert_eq!(saved.len(), 2);

    // The machine has started a second ago.
    let mut later = Lab::new(1 << 20);
    later.now = Moment::from_nanos(1_000_000_000);
    lab.cache.export(lab.now, |entry| {
        assert!(later.cache.import(later.now, entry));
    });
    assert_eq!(later.look(WWW, A), fresh(100));
    assert_eq!(later.out, b"answer");
    assert_eq!(later.look(MAIL, TXT), fresh(100));
    later.pass(500);
    assert_eq!(
        later.look(MAIL, TXT),
        Found::Stale {
            age: 600,
            ask: true
        }
    );
    later.check();
}

#[test]
fn what_is_imported_is_trusted_in_nothing() {
    let mut lab = Lab::new(1 << 20);
    let entry = SavedEntry {
        name: WWW,
        qtype: A,
        qclass: 1,
        scope: Scope::Exact,
        dnssec_ok: false,
        checking_disabled: false,
        age: Duration::ZERO,
        ttl_seconds: 60,
        bytes: b"saved",
    };
    let too_long = vec![0; limits::CACHE_ENTRY_BYTES + 1];
    let name_too_long = [[1, b'a'].repeat(127), vec![1, b'a', 0]].concat();
    let wrong = [
        SavedEntry { name: b"", ..entry },
        SavedEntry {
            name: b"\x03www",
            ..entry
        },
        SavedEntry {
            name: b"\xc0\x0c",
            ..entry
        },
        SavedEntry {
            name: &name_too_long,
            ..entry
        },
        SavedEntry {
            age: Duration::MAX,
            ..entry
        },
        SavedEntry {
            ttl_seconds: 0,
            ..entry
        },
        SavedEntry {
            bytes: &too_long,
            ..entry
        },
    ];
    for entry in wrong {
        assert!(!lab.cache.import(lab.now, entry), "{entry:?}");
    }
    lab.put(MAIL, A, 60, b"newer");
    assert!(!lab.cache.import(
        lab.now,
        SavedEntry {
            name: MAIL,
            ..entry
        }
    ));
    let nxdomain = SavedEntry {
        name: MAIL,
        scope: Scope::AllTypes,
        ..entry
    };
    assert!(!lab.cache.import(lab.now, nxdomain));
    lab.look(MAIL, A);
    assert_eq!(lab.out, b"newer");
    let as_received = SavedEntry {
        name: b"\x03WWW\x07example\x03org\0",
        ..entry
    };
    assert!(lab.cache.import(lab.now, as_received));
    assert_eq!(lab.look(WWW, A), fresh(0));
    lab.check();
}
