//! An entry of a snapshot: any bytes. What is taken from it can be written again, and is then taken as it is.
#![no_main]

use std::time::Duration;

use dotgate_core::cache::{Cache, SavedEntry};
use dotgate_core::{CacheSettings, Filter, Moment, CacheImporter};

const NOW: Moment = Moment::from_nanos(1_000_000_000);

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let settings = CacheSettings {
        ttl_max: 86_400,
        negative_ttl_max: 3_600,
        stale_max: Duration::from_secs(86_400),
        ..CacheSettings::off()
    };
    let Some(entry) = SavedEntry::read(input) else {
        return;
    };
    let mut written = Vec::new();
    entry.write(&mut written);
    assert_eq!(written, input);
    let cache = Cache::new(1 << 20, (1, 2));
    if !CacheImporter::new(&cache, &settings, &Filter::off()).entry(NOW, &entry) {
        return;
    }
    let mut entries = 0;
    cache.export(NOW, |saved| {
        let again = Cache::new(1 << 20, (3, 4));
        assert!(CacheImporter::new(&again, &settings, &Filter::off()).entry(NOW, &saved));
        again.export(NOW, |same| assert_eq!(same, saved));
        entries += 1;
    });
    assert_eq!(entries, 1);
});
