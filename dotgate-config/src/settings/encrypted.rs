//! The settings of listeners whose clients speak TLS.

use std::time::Duration;

use crate::kinds::{FilePath, FilePaths, ListenerAddresses, Prefixes, Time};
use crate::setting::{Entry, Names, Reload, Setting, Unset};

/// Certificates that clients may be shown, at most.
const CERTIFICATES_MAX: usize = 16;

/// `DOTGATE_DOT_LISTEN`.
pub static DOT_LISTEN: Setting<ListenerAddresses> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "dot",
            key: "listen",
        },
        reload: Reload::Restart,
        unset: Unset::Nothing,
        doc: "Addresses on which clients are served over DNS over TLS (RFC 7858); the standard port is 853. Requires \
              `DOTGATE_SERVER_CERTIFICATE_FILE`.",
        example: "0.0.0.0:853,[::]:853",
    },
    kind: ListenerAddresses { most: 64 },
};

/// `DOTGATE_DOT_IDLE`.
pub static DOT_IDLE: Setting<Time> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "dot",
            key: "idle",
        },
        reload: Reload::Live,
        unset: Unset::Default("30s"),
        doc: "Idle timeout of client connections over DNS over TLS. Their other limits are those of TCP connections.",
        example: "60s",
    },
    kind: Time {
        lowest: Duration::from_secs(1),
        highest: Duration::from_secs(600),
    },
};

/// `DOTGATE_DOH_LISTEN`.
pub static DOH_LISTEN: Setting<ListenerAddresses> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "doh",
            key: "listen",
        },
        reload: Reload::Restart,
        unset: Unset::Nothing,
        doc: "Addresses on which clients are served over DNS over HTTPS (RFC 8484), with HTTP/2 and HTTP/1.1 at the \
              path `/dns-query`; the standard port is 443. Requires `DOTGATE_SERVER_CERTIFICATE_FILE`.",
        example: "0.0.0.0:443,[::]:443",
    },
    kind: ListenerAddresses { most: 64 },
};

/// `DOTGATE_DOH_IDLE`.
pub static DOH_IDLE: Setting<Time> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "doh",
            key: "idle",
        },
        reload: Reload::Live,
        unset: Unset::Default("30s"),
        doc: "Idle timeout of client connections over DNS over HTTPS. Their other limits are those of TCP connections.",
        example: "60s",
    },
    kind: Time {
        lowest: Duration::from_secs(1),
        highest: Duration::from_secs(600),
    },
};

/// `DOTGATE_DOH_PROXY_FROM`.
pub static DOH_PROXY_FROM: Setting<Prefixes> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "doh",
            key: "proxy_from",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "Proxies that terminate the TLS of clients over HTTPS. Only from these addresses, `DOTGATE_DOH_LISTEN` \
              accepts HTTP without TLS, and the header `X-Forwarded-For` or `Forwarded`, whose address is used for \
              the access list, limits and the query log. All other clients must use TLS.",
        example: "10.0.0.5,10.0.1.0/24",
    },
    kind: Prefixes { most: 256 },
};

/// `DOTGATE_DOQ_LISTEN`.
pub static DOQ_LISTEN: Setting<ListenerAddresses> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "doq",
            key: "listen",
        },
        reload: Reload::Restart,
        unset: Unset::Nothing,
        doc: "Addresses on which clients are served over DNS over QUIC (RFC 9250), over UDP; the standard port is \
              853, which DNS over TLS can use at the same address. Requires `DOTGATE_SERVER_CERTIFICATE_FILE`.",
        example: "0.0.0.0:853,[::]:853",
    },
    kind: ListenerAddresses { most: 64 },
};

/// `DOTGATE_DOQ_IDLE`.
pub static DOQ_IDLE: Setting<Time> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "doq",
            key: "idle",
        },
        reload: Reload::Live,
        unset: Unset::Default("30s"),
        doc: "Idle timeout of client connections over DNS over QUIC. Their other limits are those of TCP connections.",
        example: "60s",
    },
    kind: Time {
        lowest: Duration::from_secs(1),
        highest: Duration::from_secs(600),
    },
};

/// `DOTGATE_SERVER_CERTIFICATE_FILE`.
pub static SERVER_CERTIFICATE_FILE: Setting<FilePaths> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "server",
            key: "certificate_file",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "PEM files with the certificates for clients over TLS, HTTPS and QUIC, each followed by its \
              intermediates. A client gets the first certificate for the requested name (SNI), or else the first of \
              the list. They are reloaded when their content changes, without closing a connection.",
        example: "/etc/dotgate/dns.example.net.pem",
    },
    kind: FilePaths {
        most: CERTIFICATES_MAX,
    },
};

/// `DOTGATE_SERVER_KEY_FILE`.
pub static SERVER_KEY_FILE: Setting<FilePaths> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "server",
            key: "key_file",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "PEM files with the keys of `DOTGATE_SERVER_CERTIFICATE_FILE`, in the same order. Without this setting, \
              each key is in the file of its certificate.",
        example: "/etc/dotgate/dns.example.net.key",
    },
    kind: FilePaths {
        most: CERTIFICATES_MAX,
    },
};

/// `DOTGATE_SERVER_CLIENT_CA_FILE`.
pub static SERVER_CLIENT_CA_FILE: Setting<FilePath> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "server",
            key: "client_ca_file",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "PEM file with certificate authorities. Clients over TLS, HTTPS and QUIC must then present a certificate \
              that one of them has issued.",
        example: "/etc/dotgate/clients-ca.pem",
    },
    kind: FilePath,
};

/// `DOTGATE_SERVER_TICKET_KEY_FILE`.
pub static SERVER_TICKET_KEY_FILE: Setting<FilePath> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "server",
            key: "ticket_key_file",
        },
        reload: Reload::Live,
        unset: Unset::Nothing,
        doc: "File with a secret of 32 bytes or more, from which the keys of TLS session tickets are derived; they \
              change every 6 hours. Clients can resume their sessions at all instances with the same file, and after \
              a restart. If unset, each process has a random secret.",
        example: "/etc/dotgate/tickets.key",
    },
    kind: FilePath,
};
