//! The settings of TLS towards upstreams.

use std::marker::PhantomData;

use dotgate_core::KeyExchangePolicy;

use crate::config::kinds::{FilePath, FolderPaths, OneOf};
use crate::config::setting::{Absent, Entry, Names, Reload, Setting};
use crate::config::words::Profile;

/// `DOTGATE_TLS_CA_FILE`.
pub static TLS_CA_FILE: Setting<FilePath> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "tls",
            key: "ca_file",
        },
        reload: Reload::Live,
        absent: Absent::Nothing,
        doc: "A PEM file with the only certificate authorities to trust, in place of the system's.",
        example: "/etc/dotgate/ca.pem",
    },
    kind: FilePath,
};

/// `SSL_CERT_FILE`.
pub static SSL_CERT_FILE: Setting<FilePath> = Setting {
    entry: Entry {
        names: Names::VariableOnly("SSL_CERT_FILE"),
        reload: Reload::Restart,
        absent: Absent::Nothing,
        doc: "The PEM file that holds the system's certificate authorities, as for OpenSSL. Those of `SSL_CERT_DIR` \
              are trusted as well; `DOTGATE_TLS_CA_FILE` takes precedence over both.",
        example: "/etc/ssl/certs/ca-certificates.crt",
    },
    kind: FilePath,
};

/// `SSL_CERT_DIR`.
pub static SSL_CERT_DIR: Setting<FolderPaths> = Setting {
    entry: Entry {
        names: Names::VariableOnly("SSL_CERT_DIR"),
        reload: Reload::Restart,
        absent: Absent::Nothing,
        doc: "Folders of PEM files with certificate authorities, as for OpenSSL. They are trusted in addition to \
              those of `SSL_CERT_FILE`; `DOTGATE_TLS_CA_FILE` takes precedence over both. `dotgate check` says how \
              many authorities each of them gives.",
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
        absent: Absent::Default("strict"),
        doc: "Whether upstreams must be authenticated; with `insecure-opportunistic` anybody on the way \
              can read and forge everything.",
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
        absent: Absent::Default("auto"),
        doc: "Key exchange offered to upstreams: `hybrid` (X25519MLKEM768, in a ClientHello of two segments), \
              `classical` (one segment), or `auto`: hybrid, and classical where that does not get through.",
        example: "auto",
    },
    kind: OneOf(PhantomData),
};
