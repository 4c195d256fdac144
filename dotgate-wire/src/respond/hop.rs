//! What a response says to one client, and what had to be left out of it.

/// What is this client's own in a response.
#[derive(Clone, Copy, Debug)]
pub struct ClientHop<'a> {
    /// The client's message ID.
    pub id: u16,
    /// RD of the query, copied.
    pub recursion_desired: bool,
    /// CD of the query, copied.
    pub checking_disabled: bool,
    /// Whether AD may pass. It is set only if the upstream set it too and every answer belongs to
    /// the question.
    pub authentic_data: bool,
    /// What the OPT record says; `None` for a client without EDNS.
    pub opt: Option<ResponseOpt<'a>>,
    /// The most bytes the message may have: 512 to 65,535.
    pub limit: usize,
}

/// What the OPT record of a response says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponseOpt<'a> {
    /// The UDP payload size we take, in bytes.
    pub udp_size: u16,
    /// DO of the query, copied (RFC 6840 section 5.6).
    pub dnssec_ok: bool,
    /// Our idle limit in units of 100 ms, for clients on a stream (RFC 7828).
    pub keepalive: Option<u16>,
    /// An Extended DNS Error.
    pub ede: Option<Ede<'a>>,
    /// The INFO-CODE of a second one without text: RFC 8914 section 2 allows several.
    pub second_ede: Option<u16>,
    /// Whether padding hides the length: only to a client whose query had padding, on an encrypted transport (RFC 7830
    /// section 4).
    pub pads: bool,
}

/// An Extended DNS Error (RFC 8914).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ede<'a> {
    /// The INFO-CODE, one of [`ede`](crate::ede).
    pub code: u16,
    /// The EXTRA-TEXT, which may be empty.
    pub text: &'a str,
}

/// What had to be left out of a response. An Extended DNS Error that was left out is not reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Truncation {
    /// All records are there.
    None,
    /// The additional section; TC is not set for it (RFC 2181 section 9).
    Additional,
    /// All records; TC is set.
    Full,
}
