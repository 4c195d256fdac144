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
        doc: "Which upstream of `DNS_HOST` is queried first: the first healthy one (`ordered`), the one with the \
              shortest response time (`fastest`), each in turn by its `;weight=N` (`round-robin`), or one operator \
              for each registrable domain (`shard`), so that no operator sees all names. The others are queried when \
              it fails. `docs/upstreams.md` describes them. In the file, each `[[route]]` can have its own strategy.",
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
        doc: "Determines the operator of each domain with the strategy `shard`. Generate one key per installation, \
              and use it for all instances that serve the same clients. With another key, domains get other \
              operators.",
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
        doc: "Percentage of queries that may be copied to a second upstream of their group if the response is later \
              than usual. The first valid response is used. With `0%`, for upstreams that give different answers, a \
              query goes to another upstream only after 1.5 seconds or a failure. If there is no second upstream \
              (with `shard`, of the same operator), the copy uses another session to the same one.",
        example: "1%",
    },
    kind: Percent { highest: 50 },
};
