//! Settings of the measured kinds: local data and lists of an operator, and no cache.

use std::sync::Arc;

use dotgate_core::{
    CacheSettings, Filter, ListAction, ListScope, ListsBuilder, LocalDataBuilder, Settings,
    Substitute,
};
use dotgate_sim::message::wire_name;

/// A name that has local data, or is on a list; as long as the one that is cached.
pub(crate) const NAME: &str = "0123456789abcdef00004017.example.net";

const A: u16 = 1;

/// How many names have local data, or are on the lists.
const NAMES: u32 = 10_000;

/// What a kind of message needs of the settings.
pub(crate) fn change_for(kind: &str) -> impl FnOnce(&mut Settings) {
    let (has_lists, has_data) = (
        matches!(kind, "blocked" | "cached-listed"),
        kind == "local-data",
    );
    let caches = !matches!(kind, "forwarded" | "forwarded-hedged");
    let hedges = kind == "forwarded-hedged";
    move |settings| {
        if !caches {
            settings.cache = CacheSettings::off();
        }
        if hedges {
            settings.hedge_percent = 3;
        }
        if has_lists {
            settings.filter = lists();
        }
        if has_data {
            let mut builder = LocalDataBuilder::new();
            for number in 0..NAMES {
                let added = builder.add(&wire_name(&name(number)), A, 60, &[192, 0, 2, 1], number);
                assert_eq!(added, Ok(()));
            }
            settings.local = builder.finish(7, 60).ok().map(Arc::new);
        }
    }
}

fn name(number: u32) -> String {
    format!("0123456789abcdef{number:08}.example.net")
}

/// Names with as many labels as the one that is asked for, and some with fewer, so that each depth is looked up.
fn lists() -> Filter {
    let mut builder = ListsBuilder::new(7);
    let names = (0..NAMES).map(name);
    for name in names.chain(["two.test".to_owned(), "one".to_owned()]) {
        let added = builder.add(&wire_name(&name), ListScope::Subtree, ListAction::Block);
        assert_eq!(added, Ok(()));
    }
    Filter {
        lists: Some(Arc::new(builder.finish())),
        // So that the response has a record.
        substitute: Substitute::NullAddress,
        ..Filter::off()
    }
}
