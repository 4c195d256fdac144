//! An answer taken apart, as an upstream sent it or as a cache stores it.

use crate::respond::Truncation;

/// The parts of an answer, wherever it is stored.
pub(crate) struct MessageParts<'a> {
    /// The message without its OPT record.
    pub(crate) body: &'a [u8],
    pub(crate) question_end: usize,
    pub(crate) authority_end: usize,
    pub(crate) rcode: u16,
    /// Whether the upstream's AD may pass.
    pub(crate) is_authentic: bool,
    pub(crate) is_truncated: bool,
    /// Whether it is of local data, which dotgate is the authority for.
    pub(crate) is_local: bool,
}

impl<'a> MessageParts<'a> {
    /// Returns the message without the sections that are removed.
    pub(crate) fn without(&self, truncation: Truncation) -> &'a [u8] {
        let end = match truncation {
            Truncation::None => return self.body,
            Truncation::Additional => self.authority_end,
            Truncation::Full => self.question_end,
        };
        self.body.get(..end).unwrap_or_default()
    }
}
