//! What is said of clients: what their cookies show.

labels! {
    /// What the COOKIE option of a query shows.
    CookieResult:
    /// No server cookie yet; the client gets one.
    ClientOnly = "client_only",
    /// A valid server cookie: the client can be reached at its address.
    Valid = "valid",
    /// An expired server cookie, of another secret or address, or forged; the client gets a new one.
    Invalid = "invalid",
}
