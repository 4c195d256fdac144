//! The settings of TLS towards upstreams.

use std::marker::PhantomData;

use dotgate_core::KeyExchangePolicy;

use crate::kinds::{Domains, FilePath, FolderPaths, OneOf};
use crate::setting::{Entry, Names, Reload, Setting, Unset};
use crate::words::Profile;

/// `DOTGATE_TLS_CA_FILE`.
pub static TLS_CA_FILE: Setting<FilePath> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "tls",
            key: "ca_file",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "PEM file with the certificate authorities to trust, instead of the system's.",
        example: "/etc/dotgate/ca.pem",
    },
    kind: FilePath,
};

/// `SSL_CERT_FILE`.
pub static SSL_CERT_FILE: Setting<FilePath> = Setting {
    entry: Entry {
        names: Names::VariableOnly("SSL_CERT_FILE"),
        reload: Reload::Restart,
        unset: Unset::Nothing,
        doc: "PEM file with the system's certificate authorities, as for OpenSSL. Those of `SSL_CERT_DIR` are \
              trusted as well. `DOTGATE_TLS_CA_FILE` takes precedence over both.",
        example: "/etc/ssl/certs/ca-certificates.crt",
    },
    kind: FilePath,
};

/// `SSL_CERT_DIR`.
pub static SSL_CERT_DIR: Setting<FolderPaths> = Setting {
    entry: Entry {
        names: Names::VariableOnly("SSL_CERT_DIR"),
        reload: Reload::Restart,
        unset: Unset::Nothing,
        doc: "Directories of PEM files with certificate authorities, as for OpenSSL. They are trusted in addition \
              to those of `SSL_CERT_FILE`. `DOTGATE_TLS_CA_FILE` takes precedence over both. `dotgate check` \
              prints how many authorities each source provides.",
        example: "/etc/ssl/certs",
    },
    kind: FolderPaths,
};

/// `DOTGATE_TLS_AUTHENTICATION`.
pub static TLS_AUTHENTICATION: Setting<OneOf<Profile>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "tls",
            key: "authentication",
        },
        reload: Reload::Live,
        unset: Unset::Default("strict"),
        doc: "Authentication of upstreams. With `insecure-opportunistic`, anyone on the network path can read and \
              forge responses.",
        example: "strict",
    },
    kind: OneOf(PhantomData),
};

/// `DOTGATE_TLS_KEY_EXCHANGE`.
pub static TLS_KEY_EXCHANGE: Setting<OneOf<KeyExchangePolicy>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "tls",
            key: "key_exchange",
        },
        reload: Reload::Live,
        unset: Unset::Default("auto"),
        doc: "Key exchange offered to upstreams: `hybrid` (X25519MLKEM768, whose ClientHello needs two TCP \
              segments), `classical` (one segment), or `auto`, which uses hybrid and falls back to classical if \
              hybrid handshakes fail.",
        example: "auto",
    },
    kind: OneOf(PhantomData),
};

/// `DOTGATE_TLS_CLOCKLESS_NAMES`.
pub static TLS_CLOCKLESS_NAMES: Setting<Domains> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "tls",
            key: "clockless_names",
        },
        reload: Reload::Live,
        unset: Unset::Default(
            "pool.ntp.org,ntp.ubuntu.com,time.cloudflare.com,time.google.com,time.windows.com,time.apple.com,\
             time.nist.gov",
        ),
        doc: "Names of time servers, with all names below them. While the system's clock shows a time before this \
              version of dotgate existed, certificates cannot be validated. These names are then resolved by upstreams \
              of `DNS_HOST` that have a `;pin=` of their own key, authenticated by that pin alone. All other names \
              fail until the clock is set.",
        example: "pool.ntp.org,ntp.example.com",
    },
    kind: Domains { most: 64 },
};
