//! An upstream's response, checked, and freed of everything that belongs to one hop.
//!
//! Between a session, which hands over the bytes, and verdict, cache and respond, which only ever
//! see what is stored here: the message without its OPT record and without signatures of the message
//! (TSIG, SIG(0)), TTLs bounded and equal within each RRset, Z clear, nothing behind the last
//! record. It never decides whether the response answers anything.
//!
//! Limits: 65,535 bytes, TTLs of [`TTL_MAX`] seconds, [`EDE_TEXT_MAX`] bytes of an Extended DNS Error's text; work is
//! linear (sorting aside) and buffers are reused for the next response. Follows RFC 1035 section 4.1, RFC 2181
//! sections 5.2 and 8, RFC 8767 section 4 (TTLs), RFC 3597 sections 3 and 4, RFC 6891 sections 6.1 and 7, RFC 8914
//! section 2.

mod cache_ttl;
mod chain;
mod content;
mod fault;
mod hop_records;
mod scan;
mod ttls;

use crate::header::{Flags, HEADER_LEN, Header};
use crate::name::NameFault;
use crate::parts::MessageParts;
use hop_records::copy_without;
pub(crate) use scan::Entry;
use scan::Scan;

pub use cache_ttl::CacheTtl;
pub use fault::ResponseFault;
pub use scan::{EDE_TEXT_MAX, EdeRef, UpstreamEdns, is_printable_text};
pub use ttls::TTL_MAX;

/// The most bytes of a response that is read three times: because records in its middle are cut out, and because names
/// lead into opaque bytes. Servers do one or the other, if any.
const READ_THRICE_MAX: usize = 16 * 1024;

/// A reusable buffer for one upstream response. Empty until [`UpstreamResponse::load`] succeeds.
#[derive(Clone, Debug, Default)]
pub struct UpstreamResponse {
    body: Vec<u8>,
    pub(crate) scan: Scan,
    edns: Option<UpstreamEdns>,
    ede_text: String,
    rcode: u16,
    off_chain: u16,
}

impl UpstreamResponse {
    /// Makes an empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the whole message and stores it without the records of its hop. After an error
    /// nothing is stored; the error says which rule the upstream broke. Bytes behind the last record
    /// are left behind and are no error.
    pub fn load(&mut self, response: &[u8]) -> Result<(), ResponseFault> {
        self.clear();
        let loaded = self.fill(response);
        if loaded.is_err() {
            self.clear();
        }
        loaded
    }

    fn clear(&mut self) {
        self.body.clear();
        self.scan.clear();
        self.edns = None;
        self.ede_text.clear();
        (self.rcode, self.off_chain) = (0, 0);
    }

    fn fill(&mut self, response: &[u8]) -> Result<(), ResponseFault> {
        let header = Header::read(response).ok_or(ResponseFault::Short)?;
        self.scan.run(response, &header, &mut self.ede_text)?;
        self.rcode = self.scan.rcode;
        self.edns = self.scan.edns.take();
        let moved = copy_without(&mut self.body, response, &self.scan)?;
        if moved && self.scan.names.leads_elsewhere && self.body.len() > READ_THRICE_MAX {
            return Err(ResponseFault::Name(NameFault::TooCostly));
        }
        if moved {
            self.scan_again(ResponseFault::PointerIntoHopRecord)?;
        }
        if self.scan.names.leads_elsewhere {
            self.scan_with_other_ttls()?;
        }
        self.off_chain = chain::count_off_chain(&self.body, &mut self.scan);
        ttls::settle(&mut self.body, &mut self.scan);
        Ok(())
    }

    /// Reads the body once more after bytes of it have changed: every name must still be what it
    /// was. `broken` says what is wrong if one is not. After records in the middle were cut out,
    /// this computes every offset again.
    fn scan_again(&mut self, broken: ResponseFault) -> Result<(), ResponseFault> {
        let names_before = self.scan.names_hash;
        let header = Header::read(&self.body).ok_or(ResponseFault::Short)?;
        self.scan.clear();
        let scanned = self.scan.run(&self.body, &header, &mut String::new());
        if scanned.is_ok() && self.scan.names_hash == names_before {
            Ok(())
        } else {
            Err(broken)
        }
    }

    /// Makes sure that no name leads through a TTL, here or in a cache, where it would change with
    /// it. Only a hostile upstream sends such a name, and only through a pointer that leads to no
    /// label.
    fn scan_with_other_ttls(&mut self) -> Result<(), ResponseFault> {
        ttls::invert(&mut self.body, &mut self.scan);
        self.scan_again(ResponseFault::NameThroughTtl)?;
        ttls::invert(&mut self.body, &mut self.scan);
        Ok(())
    }

    fn header(&self) -> Option<Header> {
        Header::read(&self.body)
    }

    /// Returns the message ID, 0 while empty.
    pub fn id(&self) -> u16 {
        self.header().map_or(0, |header| header.id)
    }

    /// Returns the upstream's flags, Z cleared.
    pub fn flags(&self) -> Flags {
        self.header().map_or(Flags(0), |header| header.flags)
    }

    /// Returns the response code of 12 bits: the header's four and the OPT record's eight.
    pub fn rcode(&self) -> u16 {
        self.rcode
    }

    /// Returns the exact bytes of the question, empty if the response has none.
    pub fn question(&self) -> &[u8] {
        self.body
            .get(HEADER_LEN..self.scan.question_end)
            .unwrap_or_default()
    }

    /// Returns how many records of the answer section are owned by a name that is neither the QNAME
    /// nor reached from it through CNAME and DNAME records, in whatever order these stand. All of
    /// them, if there is no question.
    pub fn off_chain_count(&self) -> u16 {
        self.off_chain
    }

    /// Returns what the upstream's OPT record said, if there was one.
    pub fn edns(&self) -> Option<&UpstreamEdns> {
        self.edns.as_ref()
    }

    /// Returns the INFO-CODE and the text of the first Extended DNS Error. The text is cut to
    /// [`EDE_TEXT_MAX`] bytes, at a character's end, and empty if there is none or it is not
    /// UTF-8.
    pub fn ede(&self) -> Option<(u16, &str)> {
        let ede = self.edns.as_ref()?.ede?;
        Some((ede.code, &self.ede_text))
    }

    /// Returns the message as stored; empty if nothing is.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Returns the number of records in the answer section.
    pub fn answer_count(&self) -> u16 {
        self.header().map_or(0, |header| header.answers)
    }

    /// Returns where the TTLs of the body stand, in message order.
    pub(crate) fn ttl_places(&self) -> impl ExactSizeIterator<Item = usize> {
        self.scan.entries.iter().map(|entry| entry.record.ttl_at)
    }

    /// Returns what a response is made of.
    pub(crate) fn parts(&self) -> MessageParts<'_> {
        MessageParts {
            body: &self.body,
            question_end: self.scan.question_end,
            authority_end: self.scan.authority_end,
            rcode: self.rcode,
            is_authentic: self.flags().authentic_data() && self.off_chain == 0,
            is_truncated: self.flags().is_truncated(),
            is_local: false,
        }
    }
}

#[cfg(test)]
mod tests;
