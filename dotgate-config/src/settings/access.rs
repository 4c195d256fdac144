//! The settings of who may ask, and of balancers that name those who do.

use std::marker::PhantomData;

use dotgate_core::AccessAnswer;

use crate::kinds::{AccessEntries, OneOf, Prefixes};
use crate::setting::{Entry, Names, Reload, Setting, Unset};

/// Entries of one list at most.
const ENTRIES_MAX: usize = 256;

/// `DOTGATE_ACCESS_ALLOW`.
pub static ACCESS_ALLOW: Setting<AccessEntries> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "access",
            key: "allow",
        },
        reload: Reload::Live,
        unset: Unset::Default(
            "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,169.254.0.0/16,\
             fe80::/10,fc00::/7",
        ),
        doc: "Clients that may send queries. All others get REFUSED (`DOTGATE_ACCESS_ANSWER`). `any` allows every client, which \
              makes an open resolver if dotgate can be reached from the Internet. `localnets` are the networks of this host's \
              interfaces, also of those that appear later. An entry holds at all listeners, or at those after `@`: \
              `10.0.0.0/8@dot` allows these clients over DNS over TLS alone, `10.0.0.0/8@192.0.2.53` if they ask that \
              address of the host.",
        example: "127.0.0.1,localnets,192.168.1.0/24@dot",
    },
    kind: AccessEntries { most: ENTRIES_MAX },
};

/// `DOTGATE_ACCESS_DENY`.
pub static ACCESS_DENY: Setting<AccessEntries> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "access",
            key: "deny",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "Clients that may not send queries although `DOTGATE_ACCESS_ALLOW` has them. Entries are written in the same way, \
              and may be wider or narrower than those that allow.",
        example: "192.168.1.128/25,any@tcp",
    },
    kind: AccessEntries { most: ENTRIES_MAX },
};

/// `DOTGATE_ACCESS_ANSWER`.
pub static ACCESS_ANSWER: Setting<OneOf<AccessAnswer>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "access",
            key: "answer",
        },
        reload: Reload::Live,
        unset: Unset::Default("refused"),
        doc: "What clients get that may not send queries. `refused`: REFUSED with the reason (EDE 18), so that a person sees why. \
              `silence`: nothing, so that forged queries cause no traffic; such clients wait until they give up. Connections \
              are closed in both cases.",
        example: "silence",
    },
    kind: OneOf(PhantomData),
};

/// `DOTGATE_SERVER_PROXY_PROTOCOL_FROM`.
pub static SERVER_PROXY_PROTOCOL_FROM: Setting<Prefixes> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "server",
            key: "proxy_protocol_from",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "Balancers that name their clients in headers of PROXY protocol version 2, over UDP, TCP and in front of TLS. The \
              access list, limits and query log then see the client, and responses go back to the balancer. A listed \
              balancer must send the header: without one its queries are refused. From anybody else a header is a \
              malformed query.",
        example: "192.0.2.10,2001:db8::/64",
    },
    kind: Prefixes { most: 64 },
};
