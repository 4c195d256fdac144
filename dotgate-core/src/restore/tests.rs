use dotgate_message::{A, QNAME, RA, RD, SOA, query, record};
use dotgate_wire::Ede;
use proptest::prelude::*;

use super::*;
use crate::cache::{Found, Terms};
use crate::routes::RouteId;

const NAME: &[u8] = b"\x03www\x07example\0";
const LATER: Moment = Moment::from_nanos(5_000_000_000);

fn settings() -> CacheSettings {
    CacheSettings {
        ttl_min: 0,
        ttl_max: 86_400,
        negative_ttl_max: 3_600,
        stale_max: Duration::from_secs(600),
        except: vec![(*b"\x07private\0").into()],
        ..CacheSettings::off()
    }
}

/// A response of an upstream for the addresses of [`NAME`].
fn response(flags: u16, sections: [&[Vec<u8>]; 3]) -> Vec<u8> {
    dotgate_message::response(&query(1, "www.example"), RD | RA | flags, sections)
}

fn address(ttl: u32) -> Vec<u8> {
    record(QNAME, A, ttl, &[192, 0, 2, 1])
}

/// What the engine would keep of a response.
fn stored(response: &[u8], ede: Option<Ede<'_>>) -> Vec<u8> {
    let mut answer = UpstreamResponse::new();
    answer.load(response).unwrap();
    let mut bytes = Vec::new();
    answer.store(&mut bytes, 0..=604_800, ede);
    bytes
}

fn right() -> Vec<u8> {
    stored(&response(0, [&[address(300)], &[], &[]]), None)
}

fn negative() -> Vec<u8> {
    let data = [&[0; 18][..], &[0, 0, 0, 60]].concat();
    let soa = record(&[0], SOA, 300, &data);
    stored(&response(3, [&[], &[soa], &[]]), None)
}

fn entry(bytes: &[u8]) -> SavedEntry<'_> {
    SavedEntry {
        name: NAME,
        qtype: A,
        qclass: 1,
        scope: Scope::Exact,
        dnssec_ok: false,
        checking_disabled: false,
        age: Duration::from_secs(100),
        ttl_seconds: 300,
        bytes,
    }
}

struct Restored {
    is_cached: bool,
    cache: Cache,
}

fn restore(entry: &SavedEntry<'_>, settings: &CacheSettings) -> Restored {
    let cache = Cache::new(1 << 20, (1, 2));
    let is_cached = CacheImporter::new(&cache, settings, &Filter::off()).entry(LATER, entry);
    assert_eq!(cache.usage().entries, usize::from(is_cached));
    Restored { is_cached, cache }
}

impl Restored {
    /// What a client gets that asks now, and how old that is.
    fn served(&self, qtype: u16) -> (Found, Vec<u8>) {
        let question = Question::new(NAME, qtype, 1).unwrap();
        let key = self.cache.key(&question, RouteId::DEFAULT, false, false);
        let terms = Terms {
            generation: 0,
            stale_max: settings().stale_max,
            may_prefetch: false,
            shares_nxdomain: true,
        };
        let mut bytes = Vec::new();
        let found = self.cache.lookup(LATER, &key, &question, terms, &mut bytes);
        (found, bytes)
    }
}

fn is_refused(bytes: &[u8], change: impl FnOnce(&mut SavedEntry<'_>)) -> bool {
    let mut entry = entry(bytes);
    change(&mut entry);
    !restore(&entry, &settings()).is_cached
}

#[test]
fn an_entry_is_read_as_it_was_written() {
    let bytes = right();
    for scope in [Scope::Exact, Scope::AllTypes] {
        for (dnssec_ok, checking_disabled) in [(true, false), (false, true)] {
            let entry = SavedEntry {
                scope,
                dnssec_ok,
                checking_disabled,
                ..entry(&bytes)
            };
            let mut written = Vec::new();
            entry.write(&mut written);
            assert_eq!(SavedEntry::read(&written), Some(entry));
        }
    }
}

#[test]
fn an_answer_comes_back_with_its_age_and_negative_ones_for_all_types() {
    let bytes = right();
    let restored = restore(&entry(&bytes), &settings());
    let fresh = Found::Fresh {
        age: 100,
        prefetch: false,
    };
    assert_eq!(restored.served(A), (fresh, bytes));
    let negative = negative();
    let of_all_types = SavedEntry {
        scope: Scope::AllTypes,
        age: Duration::from_secs(30),
        ttl_seconds: 60,
        ..entry(&negative)
    };
    let shared = CacheSettings {
        nxdomain_all_types: true,
        ..settings()
    };
    let own = settings();
    let found = |settings, qtype| restore(&of_all_types, settings).served(qtype).0;
    assert!(matches!(found(&shared, 28), Found::Fresh { age: 30, .. }));
    // Without the setting it is one for its own type.
    assert_eq!(found(&own, 28), Found::Miss);
    assert!(matches!(found(&own, A), Found::Fresh { age: 30, .. }));
}

#[test]
fn restored_ttls_follow_the_current_settings_and_are_never_longer_than_they_were() {
    let bytes = right();
    let mut today = settings();
    today.ttl_max = 90;
    let restored = restore(&entry(&bytes), &today);
    let (found, cached) = restored.served(A);
    assert!(matches!(found, Found::Stale { age: 100, .. }));
    let ttl_at = cached.len() - 10;
    assert_eq!(cached[ttl_at..ttl_at + 4], 90_u32.to_be_bytes());
    today = settings();
    today.ttl_min = 86_400;
    let restored = restore(&entry(&bytes), &today);
    assert_eq!(restored.served(A).1, bytes);
    let mut longer = entry(&bytes);
    (longer.age, longer.ttl_seconds) = (Duration::from_secs(301), u32::MAX);
    let restored = restore(&longer, &settings());
    assert!(matches!(
        restored.served(A).0,
        Found::Stale { age: 301, .. }
    ));
    today.stale_max = Duration::ZERO;
    assert!(!restore(&longer, &today).is_cached);
}

#[test]
fn what_is_no_answer_to_its_question_is_refused() {
    let bytes = right();
    assert!(!is_refused(&bytes, |_| {}));
    assert!(is_refused(&bytes, |entry| entry.name = b"\x02ww\x07example\0"));
    assert!(is_refused(&bytes, |entry| entry.name = b"\x03www"));
    assert!(is_refused(&bytes, |entry| entry.qtype = 28));
    assert!(is_refused(&bytes, |entry| entry.qclass = 3));
    assert!(is_refused(&bytes, |entry| entry.scope = Scope::AllTypes));
    assert!(!is_refused(&negative(), |_| {}));
    assert!(is_refused(&bytes, |entry| entry.ttl_seconds = 0));
    assert!(is_refused(&bytes, |entry| entry.age = Duration::from_secs(900)));
    assert!(is_refused(&bytes, |entry| entry.age = Duration::MAX));
    assert!(is_refused(&bytes[1..], |_| {}));
    let mut truncated = bytes.clone();
    truncated[8 + 2 + 2] |= 2;
    assert!(is_refused(&truncated, |_| {}), "TC is set");
    let mut other_rcode = bytes.clone();
    other_rcode[5] = 3;
    assert!(
        is_refused(&other_rcode, |_| {}),
        "in addition to the message's own"
    );
    let ended = stored(&response(0, [&[address(0)], &[], &[]]), None);
    assert!(is_refused(&ended, |_| {}), "TTL 0");
    let failure = stored(&response(2, [&[], &[], &[]]), None);
    assert!(is_refused(&failure, |_| {}));
    let private = b"\x03www\x07private\0";
    let message = dotgate_message::response(
        &query(1, "www.private"),
        RD | RA,
        [&[address(300)], &[], &[]],
    );
    let of_private = stored(&message, None);
    assert!(is_refused(&of_private, |entry| entry.name = private));
    let text = "x".repeat(limits::SAVED_EDE_BYTES + 1);
    let with_ede = |text| Some(Ede { code: 3, text });
    let message = response(0, [&[address(300)], &[], &[]]);
    assert!(is_refused(&stored(&message, with_ede(&text)), |_| {}));
    assert!(!is_refused(&stored(&message, with_ede(&text[1..])), |_| {}));
}

#[test]
fn where_ttls_stand_is_not_believed() {
    let bytes = right();
    let mut moved = bytes.clone();
    moved[8..10].copy_from_slice(&[0, 0]);
    let restored = restore(&entry(&moved), &settings());
    assert_eq!(restored.served(A).1, bytes);
}

#[test]
fn what_is_known_already_is_not_replaced() {
    let bytes = right();
    let restored = restore(&entry(&bytes), &settings());
    let settings = settings();
    let filter = Filter::off();
    let mut again = CacheImporter::new(&restored.cache, &settings, &filter);
    assert!(!again.entry(LATER, &entry(&bytes)));
    assert_eq!(restored.cache.usage().entries, 1);
}

proptest! {
    #[test]
    fn whatever_is_restored_can_be_served(
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let bytes = right();
        let mut written = Vec::new();
        entry(&bytes).write(&mut written);
        let place = place.index(written.len());
        written[place] = byte;
        let Some(read) = SavedEntry::read(&written) else {
            return Ok(());
        };
        let restored = restore(&read, &settings());
        let (found, cached) = restored.served(A);
        if found != Found::Miss {
            let stored = Stored::read(&cached).unwrap();
            prop_assert!(stored.answers(&Question::new(NAME, A, 1).unwrap()));
            let mut answer = UpstreamResponse::new();
            prop_assert!(answer.load(stored.body()).is_ok());
        }
        restored.cache.export(LATER, |saved| {
            let again = restore(&saved, &settings());
            again.cache.export(LATER, |same| assert_eq!(same, saved));
            assert!(again.is_cached);
        });
    }
}
