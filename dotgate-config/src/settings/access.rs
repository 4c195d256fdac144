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
        doc: "Clients that may send queries. All others get REFUSED (`DOTGATE_ACCESS_ANSWER`). `any` allows every \
              client; if the Internet can reach dotgate, it is then an open resolver. `localnets` are the networks of \
              this host's interfaces, including those that appear later. An entry applies to all listeners, or to \
              those after `@`: `10.0.0.0/8@dot` allows these clients over DNS over TLS only, `10.0.0.0/8@192.0.2.53` \
              only at this address of the host.",
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
        doc: "Clients that may not send queries. Takes precedence over `DOTGATE_ACCESS_ALLOW`, whatever the length of \
              the prefixes. The syntax is the same.",
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
        doc: "Response to clients that are not allowed. `refused`: REFUSED with the reason (EDE 18). `silence`: no \
              response, so that forged queries cause no traffic; legitimate clients then time out. Connections are \
              closed in both cases.",
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
        doc: "Balancers that send the client's address in a header of PROXY protocol version 2, over UDP, TCP and \
              before TLS. The access list, limits and query log then use this address, and responses go back to the \
              balancer. Queries of a listed balancer without the header are refused. A header from any other address \
              is a malformed query.",
        example: "192.0.2.10,2001:db8::/64",
    },
    kind: Prefixes { most: 64 },
};
