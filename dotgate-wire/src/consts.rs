//! The code points of the IANA registries that dotgate knows, as plain integers.
//!
//! Plain integers and not enums, because unknown types, classes and codes pass through unchanged
//! (RFC 3597, RFC 5625 section 4.3). Each module also names its code points.

/// Writes a registry once: a constant for each code point, and the mnemonic for its number.
macro_rules! code_points {
    (
        $(#[$about:meta])*
        pub mod $module:ident: $number:ty {
            $($name:ident = $code:literal, $doc:literal;)*
        }
    ) => {
        $(#[$about])*
        pub mod $module {
            $(#[doc = $doc] pub const $name: $number = $code;)*

            /// Returns the mnemonic of a code point, `None` for one that is not listed here.
            pub const fn mnemonic(code: $number) -> Option<&'static str> {
                match code {
                    $($code => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

code_points! {
    /// Resource record types and question types.
    pub mod rtype: u16 {
        A = 1, "IPv4 address, RFC 1035.";
        NS = 2, "Name server, RFC 1035.";
        MD = 3, "Mail destination, obsolete, RFC 1035.";
        MF = 4, "Mail forwarder, obsolete, RFC 1035.";
        CNAME = 5, "Canonical name, RFC 1035.";
        SOA = 6, "Start of authority, RFC 1035.";
        MB = 7, "Mailbox, RFC 1035.";
        MG = 8, "Mail group, RFC 1035.";
        MR = 9, "Mail rename, RFC 1035.";
        NULL = 10, "Any bytes, RFC 1035.";
        PTR = 12, "Pointer to a name, RFC 1035.";
        HINFO = 13, "Host information, RFC 1035 and RFC 8482.";
        MINFO = 14, "Mailbox information, RFC 1035.";
        MX = 15, "Mail exchange, RFC 1035.";
        TXT = 16, "Text, RFC 1035.";
        RP = 17, "Responsible person, RFC 1183.";
        AFSDB = 18, "AFS database, RFC 1183.";
        RT = 21, "Route through, RFC 1183.";
        SIG = 24, "Signature; covering type 0 it signs the message (SIG(0)), RFC 2931.";
        KEY = 25, "Key, RFC 2535.";
        PX = 26, "X.400 mapping, RFC 2163.";
        AAAA = 28, "IPv6 address, RFC 3596.";
        LOC = 29, "Location, RFC 1876.";
        NXT = 30, "Next name, obsolete, RFC 2535.";
        SRV = 33, "Service, RFC 2782.";
        NAPTR = 35, "Naming authority pointer, RFC 3403.";
        KX = 36, "Key exchanger, RFC 2230.";
        CERT = 37, "Certificate, RFC 4398.";
        DNAME = 39, "Redirection of a subtree, RFC 6672.";
        OPT = 41, "EDNS, RFC 6891.";
        DS = 43, "Delegation signer, RFC 4034.";
        SSHFP = 44, "SSH key fingerprint, RFC 4255.";
        RRSIG = 46, "Signature of an RRset, RFC 4034.";
        NSEC = 47, "Next secure name, RFC 4034.";
        DNSKEY = 48, "Zone key, RFC 4034.";
        NSEC3 = 50, "Next secure hash, RFC 5155.";
        NSEC3PARAM = 51, "Parameters of NSEC3, RFC 5155.";
        TLSA = 52, "TLS certificate association, RFC 6698.";
        CDS = 59, "Child DS, RFC 7344.";
        CDNSKEY = 60, "Child DNSKEY, RFC 7344.";
        SVCB = 64, "Service binding, RFC 9460.";
        HTTPS = 65, "Service binding for HTTPS, RFC 9460.";
        TKEY = 249, "Transaction key, RFC 2930.";
        TSIG = 250, "Transaction signature, RFC 8945.";
        IXFR = 251, "Incremental zone transfer, RFC 1995.";
        AXFR = 252, "Zone transfer, RFC 5936.";
        MAILB = 253, "Mailbox-related records, RFC 1035.";
        MAILA = 254, "Mail agents, obsolete, RFC 1035.";
        ANY = 255, "All types a server cares to give, RFC 8482.";
        URI = 256, "Uniform resource identifier, RFC 7553.";
        CAA = 257, "Certification authority authorization, RFC 8659.";
        RESINFO = 261, "Resolver information, RFC 9606.";
    }
}

code_points! {
    /// Classes.
    pub mod rclass: u16 {
        IN = 1, "The Internet, RFC 1035.";
        CH = 3, "Chaosnet, used for questions about a server itself.";
        HS = 4, "Hesiod.";
        NONE = 254, "No class, RFC 2136; never a question's.";
        ANY = 255, "Any class, RFC 1035.";
    }
}

code_points! {
    /// Response codes; those above 15 need an OPT record (RFC 6891 section 6.1.3).
    pub mod rcode: u16 {
        NOERROR = 0, "No error, RFC 1035.";
        FORMERR = 1, "The query could not be understood, RFC 1035.";
        SERVFAIL = 2, "The server failed, RFC 1035.";
        NXDOMAIN = 3, "The name does not exist, RFC 1035.";
        NOTIMP = 4, "The kind of query is not implemented, RFC 1035.";
        REFUSED = 5, "The server does not want to answer, RFC 1035.";
        BADVERS = 16, "The EDNS version is not known, RFC 6891.";
        BADCOOKIE = 23, "The server cookie is missing or wrong, RFC 7873.";
    }
}

code_points! {
    /// Opcodes (RFC 6895 section 2.2).
    pub mod opcode: u8 {
        QUERY = 0, "A question, RFC 1035.";
        IQUERY = 1, "An inverse question, obsolete, RFC 3425.";
        STATUS = 2, "Server status, RFC 1035.";
        NOTIFY = 4, "A zone has changed, RFC 1996.";
        UPDATE = 5, "Change a zone, RFC 2136.";
        DSO = 6, "A stateful operation, RFC 8490.";
    }
}

code_points! {
    /// INFO-CODEs of Extended DNS Errors (RFC 8914 section 4 and the IANA registry).
    pub mod ede: u16 {
        OTHER = 0, "Other.";
        UNSUPPORTED_DNSKEY_ALGORITHM = 1, "Unsupported DNSKEY Algorithm.";
        UNSUPPORTED_DS_DIGEST_TYPE = 2, "Unsupported DS Digest Type.";
        STALE_ANSWER = 3, "Stale Answer.";
        FORGED_ANSWER = 4, "Forged Answer.";
        DNSSEC_INDETERMINATE = 5, "DNSSEC Indeterminate.";
        DNSSEC_BOGUS = 6, "DNSSEC Bogus.";
        SIGNATURE_EXPIRED = 7, "Signature Expired.";
        SIGNATURE_NOT_YET_VALID = 8, "Signature Not Yet Valid.";
        DNSKEY_MISSING = 9, "DNSKEY Missing.";
        RRSIGS_MISSING = 10, "RRSIGs Missing.";
        NO_ZONE_KEY_BIT_SET = 11, "No Zone Key Bit Set.";
        NSEC_MISSING = 12, "NSEC Missing.";
        CACHED_ERROR = 13, "Cached Error.";
        NOT_READY = 14, "Not Ready.";
        BLOCKED = 15, "Blocked.";
        CENSORED = 16, "Censored.";
        FILTERED = 17, "Filtered.";
        PROHIBITED = 18, "Prohibited.";
        STALE_NXDOMAIN_ANSWER = 19, "Stale NXDOMAIN Answer.";
        NOT_AUTHORITATIVE = 20, "Not Authoritative.";
        NOT_SUPPORTED = 21, "Not Supported.";
        NO_REACHABLE_AUTHORITY = 22, "No Reachable Authority.";
        NETWORK_ERROR = 23, "Network Error.";
        INVALID_DATA = 24, "Invalid Data.";
        SIGNATURE_EXPIRED_BEFORE_VALID = 25, "Signature Expired Before Valid.";
        TOO_EARLY = 26, "Too Early.";
        UNSUPPORTED_NSEC3_ITERATIONS_VALUE = 27, "Unsupported NSEC3 Iterations Value.";
        UNABLE_TO_CONFORM_TO_POLICY = 28, "Unable To Conform To Policy.";
        SYNTHESIZED = 29, "Synthesized.";
        INVALID_QUERY_TYPE = 30, "Invalid Query Type.";
    }
}
