//! Which upstream of a group is queried, and which one besides.

use std::marker::PhantomData;

use dotgate_core::Strategy;

use super::super::kinds::{HexKey, OneOf, Percent};
use super::super::setting::{Entry, Names, Reload, Setting, Unset};

/// `DOTGATE_DNS_STRATEGY`.
pub static DNS_STRATEGY: Setting<OneOf<Strategy>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "dns",
            key: "strategy",
        },
        reload: Reload::Live,
        unset: Unset::Default("ordered"),
        doc: "Which upstream of `DNS_HOST` is queried first: the first healthy one (`ordered`), the one with the shortest \
              response time (`fastest`), each in turn by its `;weight=N` (`round-robin`), or one operator for each registrable \
              domain (`shard`), so that no operator sees all names. The others are queried when it fails. \
              `docs/upstreams.md` helps to choose. In the file, a `[[route]]` has a strategy of its own.",
        example: "fastest",
    },
    kind: OneOf(PhantomData),
};

/// `DOTGATE_DNS_SHARD_KEY`.
pub static DNS_SHARD_KEY: Setting<HexKey> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "dns",
            key: "shard_key",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "Decides which operator gets which domain with the strategy `shard`. Make one for each installation, keep it, and \
              give it to all instances that serve the same clients: with another key, other operators see a domain.",
        example: "8d1c3a5e7f9042b6a1d3c5e7f9b20486",
    },
    kind: HexKey,
};

/// `DOTGATE_DNS_HEDGE`.
pub static DNS_HEDGE: Setting<Percent> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "dns",
            key: "hedge",
        },
        reload: Reload::Live,
        unset: Unset::Default("3%"),
        doc: "How many of a hundred queries may be copied to a second upstream of their group because the first one is later \
              than usual: the first good response is used. `0%` is for upstreams that give different answers, and sends a query \
              to another one only after 1.5 seconds or a failure. With one upstream, or with `shard` one of an operator, the copy \
              goes to the same one on another session.",
        example: "1%",
    },
    kind: Percent { highest: 50 },
};
