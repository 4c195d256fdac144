//! Answers made of local data, in the form that a cache stores.
//!
//! Behind the lookup of local data, in front of the response. Knows how such an answer is laid out, not which names are
//! local. An answer may begin with CNAME records, each for the name that the one before it leads to; where the last of
//! them leads to a name that is not local, [`store_joined`] appends what an upstream said about that.
//!
//! Limit: 65,535 bytes. Follows RFC 1034 section 4.3.2 (CNAME), RFC 1035 section 4.1.1 (AA), RFC 2308 section 3 (SOA),
//! RFC 6604 section 2.1 (the RCODE is that of the last name).

use super::{
    HAS_ADDRESSES, HAS_EDE, IS_LOCAL, OWN_HEADER_LEN, PLACE_LEN, RCODE, ROTATED_MAX, Stored, mark,
    places_in, put_ede, store_failure,
};
use crate::answer::{TTL_MAX, UpstreamResponse};
use crate::bytes::{length_u16, put_u16, put_u32, set_u16, set_u32, u16_at, u32_at};
use crate::consts::{rclass, rcode as rcodes, rtype};
use crate::header::{
    ANCOUNT_AT, ARCOUNT_AT, FLAGS_AT, Flags, HEADER_LEN, Header, NSCOUNT_AT, QDCOUNT_AT,
};
use crate::name;
use crate::question::TYPE_AND_CLASS_LEN;
use crate::respond::{Ede, MESSAGE_MAX, NameWriter, put_soa};

/// A pointer to the name of the question.
const QNAME_POINTER: u16 = 0xc00c;

/// Local records of one name and type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalSet<'a> {
    /// Their type.
    pub rtype: u16,
    /// Their TTL, in seconds.
    pub ttl: u32,
    /// How many there are.
    pub count: u16,
    /// Their RDATA, each behind its length of 16 bits, with uncompressed names.
    pub rdata: &'a [u8],
}

/// What local data says about a question.
#[derive(Clone, Copy, Debug)]
pub struct LocalResponse<'a> {
    /// The RCODE.
    pub rcode: u16,
    /// CNAME records, then what the last of them leads to, as far as that is local.
    pub sets: &'a [LocalSet<'a>],
    /// The zone of the SOA record of a negative answer, uncompressed, and the TTL, in seconds.
    pub soa: Option<(&'a [u8], u32)>,
    /// An Extended DNS Error.
    pub ede: Option<Ede<'a>>,
}

/// Appends what local data says about `question`, which is as the client sent it, in the form that a cache stores. The
/// response made of it has AA set.
pub fn store_local(out: &mut Vec<u8>, question: &[u8], local: &LocalResponse<'_>) {
    let start = out.len();
    let records: usize = local.sets.iter().map(|set| usize::from(set.count)).sum();
    let places = records + usize::from(local.soa.is_some());
    let last = local.sets.last();
    let is_rotated = |set: &&LocalSet<'_>| {
        matches!(set.rtype, rtype::A | rtype::AAAA)
            && (2..=ROTATED_MAX).contains(&usize::from(set.count))
    };
    let addresses = last.filter(is_rotated).map(|set| set.count);
    let marks =
        IS_LOCAL | mark(local.ede.is_some(), HAS_EDE) | mark(addresses.is_some(), HAS_ADDRESSES);
    for word in [0, 0, local.rcode & RCODE | marks, length_u16(places)] {
        put_u16(out, word);
    }
    out.resize(start + OWN_HEADER_LEN + places * PLACE_LEN, 0);
    if let Some(count) = addresses {
        put_u16(out, length_u16(records - usize::from(count)));
        put_u16(out, count);
    }
    put_ede(out, local.ede);
    let mut body = Body {
        start: out.len(),
        place_at: start + OWN_HEADER_LEN,
        out,
    };
    body.header(question, records, local.soa.is_some());
    let mut owner = QNAME_POINTER;
    for set in local.sets {
        owner = body.set(owner, set);
    }
    if let Some((zone, ttl)) = local.soa {
        let ttl_at = put_soa(body.out, question, zone, ttl);
        body.note_place(ttl_at);
    }
    // Nothing stands behind the authority section.
    let length = length_u16(body.out.len() - body.start);
    set_u16(body.out, start, length);
    set_u16(body.out, start + 2, length);
}

/// A message under way, behind what a cache keeps with it.
struct Body<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    /// Where the place of the next TTL is noted.
    place_at: usize,
}

impl Body<'_> {
    fn header(&mut self, question: &[u8], answers: usize, has_soa: bool) {
        for word in [0, Flags::QR, 1, length_u16(answers), u16::from(has_soa), 0] {
            put_u16(self.out, word);
        }
        self.out.extend_from_slice(question);
    }

    fn note_place(&mut self, ttl_at: usize) {
        let place = length_u16(ttl_at - self.start);
        set_u16(self.out, self.place_at, place);
        self.place_at += PLACE_LEN;
    }

    /// Appends the records of a set and returns a pointer to their last RDATA, which is a name after a CNAME.
    fn set(&mut self, owner: u16, set: &LocalSet<'_>) -> u16 {
        let mut rest = set.rdata;
        let mut rdata_at = self.start;
        while let Some((length, behind)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some((rdata, behind)) = behind.split_at_checked(length) else {
                break;
            };
            rest = behind;
            put_u16(self.out, owner);
            put_u16(self.out, set.rtype);
            put_u16(self.out, rclass::IN);
            self.note_place(self.out.len());
            put_u32(self.out, set.ttl);
            put_u16(self.out, length_u16(length));
            rdata_at = self.out.len();
            self.out.extend_from_slice(rdata);
        }
        0xc000 | length_u16(rdata_at - self.start)
    }
}

/// Appends, in the form that a cache stores, the CNAME records of `local` and then what `rest` says about the name to which
/// the last of them leads. `age` is the time in seconds by which the TTLs are counted down when this is sent: those of
/// the CNAME records are that much higher, so that they are sent as they are set. False, with nothing appended, if that
/// would be too long.
pub fn store_joined(out: &mut Vec<u8>, local: &Stored<'_>, rest: &Stored<'_>, age: u32) -> bool {
    if !matches!(rest.rcode, rcodes::NOERROR | rcodes::NXDOMAIN) {
        store_failure(out, local.question(), rest.rcode, rest.ede);
        return true;
    }
    let Some(message) = joined(local, rest, age) else {
        return false;
    };
    let mut answer = UpstreamResponse::new();
    let is_loaded = answer.load(&message).is_ok();
    if is_loaded {
        answer.store(out, 0..=TTL_MAX, rest.ede);
    }
    is_loaded
}

/// Returns the message of both.
fn joined(local: &Stored<'_>, rest: &Stored<'_>, age: u32) -> Option<Vec<u8>> {
    let mut first = local.body.to_vec();
    for place in places_in(local.places) {
        if let Some(ttl) = u32_at(&first, place) {
            set_u32(&mut first, place, ttl.saturating_add(age).min(TTL_MAX));
        }
    }
    let mut writer = NameWriter::new(MESSAGE_MAX);
    let mut header = [0; HEADER_LEN];
    set_u16(&mut header, FLAGS_AT, Flags::QR | rest.rcode);
    set_u16(&mut header, QDCOUNT_AT, 1);
    for count_at in [ANCOUNT_AT, NSCOUNT_AT, ARCOUNT_AT] {
        set_u16(&mut header, count_at, u16_at(rest.body, count_at)?);
    }
    let cnames = u16_at(local.body, ANCOUNT_AT)?;
    let answers = u16_at(rest.body, ANCOUNT_AT)?.checked_add(cnames)?;
    set_u16(&mut header, ANCOUNT_AT, answers);
    writer.copy(&header).ok()?;
    let mut at = writer.question(&first)?;
    for _ in 0..cnames {
        at = writer.record(&first, at)?;
    }
    let counts = Header::read(rest.body)?;
    at = name::find_end(rest.body, HEADER_LEN).ok()? + TYPE_AND_CLASS_LEN;
    let records = [counts.answers, counts.authorities, counts.additionals];
    let records: usize = records.into_iter().map(usize::from).sum();
    for _ in 0..records {
        at = writer.record(rest.body, at)?;
    }
    Some(writer.finish())
}
