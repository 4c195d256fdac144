//! One walk over a response: every record checked and noted, records of the hop distinguished.
//!
//! The first step of loading an answer; the later ones work on its notes and parse nothing again.
//! Changes no byte.

use core::ops::Range;

use super::ResponseFault;
use crate::bytes::u16_at;
use crate::consts::{opcode, rtype};
use crate::header::{HEADER_LEN, Header, type_and_class};
use crate::name::{FoundName, Pointer};
use crate::names::Names;
use crate::opt::{Opt, code};
use crate::question::TYPE_AND_CLASS_LEN;
use crate::records::{Record, Section};

/// The most bytes kept of an Extended DNS Error's text (RFC 8914 sets no limit).
pub const EDE_TEXT_MAX: usize = 256;

/// What an upstream's OPT record said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UpstreamEdns {
    /// The EDNS version.
    pub version: u8,
    /// Whether DO is set.
    pub dnssec_ok: bool,
    /// The idle limit of the connection in units of 100 ms (RFC 7828); 0 asks for the connection to
    /// be closed.
    pub keepalive: Option<u16>,
    /// The first Extended DNS Error (RFC 8914); its text is in [`UpstreamResponse::ede`](super::UpstreamResponse::ede).
    pub ede: Option<EdeRef>,
}

/// The INFO-CODE of an Extended DNS Error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EdeRef {
    /// The INFO-CODE, one of [`ede`](crate::ede) or unknown.
    pub code: u16,
}

/// A record that stays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) section: Section,
    pub(crate) owner: FoundName,
    pub(crate) record: Record,
    /// Whether `chain` has found out on which side of the chain the record stands.
    pub(crate) is_settled: bool,
}

/// What the walk has found. The vectors keep their room from one response to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scan {
    pub(crate) question: Option<FoundName>,
    pub(crate) question_end: usize,
    pub(crate) authority_end: usize,
    pub(crate) end: usize,
    pub(crate) rcode: u16,
    pub(crate) edns: Option<UpstreamEdns>,
    pub(crate) entries: Vec<Entry>,
    /// Room for `ttls` to sort in.
    pub(crate) order: Vec<u16>,
    /// The records of the hop, in message order.
    pub(crate) hop_records: HopRecords,
    /// The pointers behind a record of the hop, in message order, which may have to be moved.
    pub(crate) pointers: Vec<Pointer>,
    /// A hash of all names of the records that stay, in message order.
    pub(crate) names_hash: u64,
    /// These names and the question's. Where a pointer leads elsewhere, a name may also lead through bytes that are
    /// no name at all.
    pub(crate) names: Names,
}

/// Where the records stand that belong to the hop. Each kind may be there once.
#[derive(Clone, Debug, Default)]
pub(crate) struct HopRecords {
    opt: Option<Range<usize>>,
    tsig: Option<Range<usize>>,
    sig0: Option<Range<usize>>,
}

impl HopRecords {
    /// Returns whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges().next().is_none()
    }

    /// Returns their ranges, in no order.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = &Range<usize>> {
        [&self.opt, &self.tsig, &self.sig0].into_iter().flatten()
    }
}

impl Scan {
    /// Clears everything except the capacity of the vectors.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
        self.pointers.clear();
        self.names.begin(0);
        *self = Self {
            entries: core::mem::take(&mut self.entries),
            order: core::mem::take(&mut self.order),
            pointers: core::mem::take(&mut self.pointers),
            names: core::mem::take(&mut self.names),
            ..Self::default()
        };
    }

    /// Walks over `message`; `self` must be clear. The text of an Extended DNS Error goes into
    /// `ede_text`.
    pub(crate) fn run(
        &mut self,
        message: &[u8],
        header: &Header,
        ede_text: &mut String,
    ) -> Result<(), ResponseFault> {
        if message.len() > usize::from(u16::MAX) {
            return Err(ResponseFault::TooLong);
        }
        if !header.flags.is_response() {
            return Err(ResponseFault::NotAResponse);
        }
        if header.flags.opcode() != opcode::QUERY {
            return Err(ResponseFault::Opcode);
        }
        self.rcode = u16::from(header.flags.rcode());
        self.names.begin(message.len());
        let mut at = self.question(message, header.questions)?;
        for (section, count) in [
            (Section::Answer, header.answers),
            (Section::Authority, header.authorities),
            (Section::Additional, header.additionals),
        ] {
            if section == Section::Additional {
                self.authority_end = at;
            }
            for _ in 0..count {
                let mark = self.names.mark();
                let owner = self.names.read(message, at)?;
                let record = Record::read(message, at, owner.end)?;
                at = record.end;
                if self.note_hop_record(message, section, &owner, &record, ede_text)? {
                    self.names.forget_since(mark);
                } else {
                    self.note(message, section, owner, record)?;
                }
            }
        }
        self.end = at;
        Ok(())
    }

    /// Reads the question section and returns where it ends.
    fn question(&mut self, message: &[u8], count: u16) -> Result<usize, ResponseFault> {
        self.question_end = HEADER_LEN;
        match count {
            0 => {}
            1 => {
                let found = self.names.read(message, HEADER_LEN)?;
                type_and_class(message, found.end).ok_or(ResponseFault::CutShort)?;
                self.question_end = found.end + TYPE_AND_CLASS_LEN;
                self.question = Some(found);
            }
            2.. => return Err(ResponseFault::QuestionCount),
        }
        Ok(self.question_end)
    }

    /// Notes a record of the hop. False if it is none.
    fn note_hop_record(
        &mut self,
        message: &[u8],
        section: Section,
        owner: &FoundName,
        record: &Record,
        ede_text: &mut String,
    ) -> Result<bool, ResponseFault> {
        if record.rtype == rtype::OPT {
            self.note_opt(message, section, owner, record, ede_text)?;
            return Ok(true);
        }
        if record.rtype == rtype::TSIG && section != Section::Additional {
            return Err(ResponseFault::MisplacedSignature);
        }
        if section != Section::Additional || !record.signs_message(message) {
            return Ok(false);
        }
        let place = if record.rtype == rtype::TSIG {
            &mut self.hop_records.tsig
        } else {
            &mut self.hop_records.sig0
        };
        match place.replace(record.range()) {
            None => Ok(true),
            Some(_) => Err(ResponseFault::TwoSignatures),
        }
    }

    /// Notes a record that stays.
    fn note(
        &mut self,
        message: &[u8],
        section: Section,
        owner: FoundName,
        record: Record,
    ) -> Result<(), ResponseFault> {
        self.note_name(&owner);
        record.visit_names(message, |message, at| {
            let name = self.names.read(message, at)?;
            self.note_name(&name);
            Ok(name.end)
        })?;
        self.entries.push(Entry {
            section,
            owner,
            record,
            is_settled: false,
        });
        Ok(())
    }

    /// Notes a name that stays.
    fn note_name(&mut self, name: &FoundName) {
        self.names_hash = self.names_hash.rotate_left(5) ^ name.hash;
        if let Some(pointer) = name.pointer
            && !self.hop_records.is_empty()
        {
            self.pointers.push(pointer);
        }
    }

    /// Reads the OPT record.
    fn note_opt(
        &mut self,
        message: &[u8],
        section: Section,
        owner: &FoundName,
        record: &Record,
        ede_text: &mut String,
    ) -> Result<(), ResponseFault> {
        if section != Section::Additional {
            return Err(ResponseFault::OptOutsideAdditional);
        }
        if owner.labels != 0 {
            return Err(ResponseFault::OptOwner);
        }
        if self.hop_records.opt.replace(record.range()).is_some() {
            return Err(ResponseFault::TwoOpts);
        }
        let opt = Opt::of_record(message, record);
        let mut edns = UpstreamEdns {
            version: opt.version,
            dnssec_ok: opt.dnssec_ok,
            keepalive: None,
            ede: None,
        };
        opt.visit_options(|option, data| match option {
            // A value of another length says nothing; the answer is still good.
            code::KEEPALIVE if data.len() == 2 => edns.keepalive = u16_at(data, 0),
            code::EDE if edns.ede.is_none() => {
                edns.ede = u16_at(data, 0).map(|code| EdeRef { code });
                push_ede_text(ede_text, data.get(2..).unwrap_or_default());
            }
            _ => {}
        })
        .map_err(ResponseFault::Options)?;
        self.rcode |= u16::from(opt.extended_rcode) << 4;
        self.edns = Some(edns);
        Ok(())
    }
}

/// Appends what is passed on of an Extended DNS Error's text: nothing but UTF-8 (RFC 8914 section 2), cut to
/// [`EDE_TEXT_MAX`] bytes at the end of a character, without the zero byte in which it may end although it must not.
/// The text of a stranger is printed on terminals: each character that does not print gets a replacement.
fn push_ede_text(out: &mut String, bytes: &[u8]) {
    let text = str::from_utf8(bytes)
        .unwrap_or_default()
        .trim_end_matches('\0');
    let text = text
        .get(..text.floor_char_boundary(EDE_TEXT_MAX))
        .unwrap_or_default();
    out.extend(text.chars().map(|character| {
        if is_printable(character) {
            character
        } else {
            '?'
        }
    }));
}

/// Returns whether nothing but what prints is in a text that is passed on.
pub fn is_printable_text(text: &str) -> bool {
    text.chars().all(is_printable)
}

/// Returns whether a character stands for itself: no control character, and none that changes what stands around it,
/// such as marks of direction, separators of lines, invisible ones and tags.
fn is_printable(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e000}'..='\u{f8ff}'
                | '\u{e0000}'..='\u{10ffff}'
        )
}
