//! One walk over a response: every record checked and noted, records of the hop told apart.
//!
//! The first step of loading an answer; the later ones work on its notes and parse nothing again.
//! Changes no octet.

use core::ops::Range;

use super::ResponseFault;
use crate::bytes::{u8_at, u16_at};
use crate::consts::{opcode, rtype};
use crate::header::{HEADER_LEN, Header, type_and_class};
use crate::name::{self, FoundName, Pointer, steps};
use crate::opt::{Opt, code};
use crate::question::TYPE_AND_CLASS_LEN;
use crate::records::{Record, Section};

/// The most octets kept of an Extended DNS Error's text (RFC 8914 sets no limit).
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
    /// The first Extended DNS Error (RFC 8914); its text is in [`Answer::ede`](super::Answer::ede).
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
pub(super) struct Entry {
    pub(super) section: Section,
    pub(super) record: Record,
    /// Whether `chain` has found out on which side of the chain the record stands.
    pub(super) is_settled: bool,
}

/// What the walk has found. The vectors keep their room from one response to the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Scan {
    pub(super) question: Option<FoundName>,
    pub(super) question_end: usize,
    pub(super) authority_end: usize,
    pub(super) end: usize,
    pub(super) rcode: u16,
    pub(super) edns: Option<UpstreamEdns>,
    pub(super) entries: Vec<Entry>,
    /// Room for `ttls` to sort in.
    pub(super) order: Vec<u16>,
    /// The records of the hop, in message order.
    pub(super) hop_records: HopRecords,
    /// The pointers behind a record of the hop, in message order, which may have to be moved.
    pub(super) pointers: Vec<Pointer>,
    /// A hash of all names of the records that stay, in message order.
    pub(super) names: u64,
    /// Where the labels of these names and of the question's stand, in message order.
    label_starts: Vec<u16>,
    /// Whether a pointer leads to anything but one of these labels. It may: some servers compress
    /// against names in RDATA that is opaque to us. But then a name may also lead through octets
    /// that are no name at all.
    pub(super) leads_elsewhere: bool,
}

/// Where the records stand that belong to the hop. Each kind may be there once.
#[derive(Clone, Debug, Default)]
pub(super) struct HopRecords {
    opt: Option<Range<usize>>,
    tsig: Option<Range<usize>>,
    sig0: Option<Range<usize>>,
}

impl HopRecords {
    /// Returns whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.ranges().next().is_none()
    }

    /// Returns their ranges, in no order.
    pub(super) fn ranges(&self) -> impl Iterator<Item = &Range<usize>> {
        [&self.opt, &self.tsig, &self.sig0].into_iter().flatten()
    }
}

impl Scan {
    /// Forgets everything but the room of the vectors.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
        self.pointers.clear();
        self.label_starts.clear();
        *self = Self {
            entries: core::mem::take(&mut self.entries),
            order: core::mem::take(&mut self.order),
            pointers: core::mem::take(&mut self.pointers),
            label_starts: core::mem::take(&mut self.label_starts),
            ..Self::default()
        };
    }

    /// Walks over `message`; `self` must be clear. The text of an Extended DNS Error goes into
    /// `ede_text`.
    pub(super) fn run(
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
                let record = Record::read(message, at)?;
                at = record.end;
                self.note(message, section, record, ede_text)?;
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
                let found = name::find(message, HEADER_LEN)?;
                type_and_class(message, found.end).ok_or(ResponseFault::CutShort)?;
                self.question_end = found.end + TYPE_AND_CLASS_LEN;
                self.note_labels(message, &found);
                self.question = Some(found);
            }
            2.. => return Err(ResponseFault::QuestionCount),
        }
        Ok(self.question_end)
    }

    /// Notes one record: as one that stays, or as one of the hop.
    fn note(
        &mut self,
        message: &[u8],
        section: Section,
        record: Record,
        ede_text: &mut String,
    ) -> Result<(), ResponseFault> {
        if record.rtype == rtype::OPT {
            return self.note_opt(message, section, &record, ede_text);
        }
        if record.rtype == rtype::TSIG && section != Section::Additional {
            return Err(ResponseFault::MisplacedSignature);
        }
        if section == Section::Additional && record.signs_message(message) {
            let place = if record.rtype == rtype::TSIG {
                &mut self.hop_records.tsig
            } else {
                &mut self.hop_records.sig0
            };
            return match place.replace(record.range()) {
                None => Ok(()),
                Some(_) => Err(ResponseFault::TwoSignatures),
            };
        }
        self.note_name(message, &record.owner);
        record.visit_names(message, |name| {
            self.note_name(message, name);
            Ok(())
        })?;
        self.entries.push(Entry {
            section,
            record,
            is_settled: false,
        });
        Ok(())
    }

    /// Notes a name that stays.
    fn note_name(&mut self, message: &[u8], name: &FoundName) {
        self.names = self.names.rotate_left(5) ^ name.hash;
        if let Some(pointer) = name.pointer {
            // Names whose pointers all lead to labels of earlier names consist of labels alone.
            self.leads_elsewhere |= !self.is_label_start(pointer.target);
            if !self.hop_records.is_empty() {
                self.pointers.push(pointer);
            }
        }
        self.note_labels(message, name);
    }

    /// Notes where a name's labels stand, up to its root or its pointer.
    fn note_labels(&mut self, message: &[u8], name: &FoundName) {
        let mut at = name.start;
        while let Some(length @ 0..=63) = u8_at(message, at) {
            steps::count(1);
            self.label_starts.extend(u16::try_from(at));
            if length == 0 {
                break;
            }
            at += 1 + usize::from(length);
        }
    }

    /// Returns whether a label noted so far stands at `target`.
    fn is_label_start(&self, target: usize) -> bool {
        steps::count(16);
        u16::try_from(target).is_ok_and(|target| self.label_starts.binary_search(&target).is_ok())
    }

    /// Reads the OPT record.
    fn note_opt(
        &mut self,
        message: &[u8],
        section: Section,
        record: &Record,
        ede_text: &mut String,
    ) -> Result<(), ResponseFault> {
        if section != Section::Additional {
            return Err(ResponseFault::OptOutsideAdditional);
        }
        if record.owner.labels != 0 {
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
                ede_text.push_str(ede_text_of(data.get(2..).unwrap_or_default()));
            }
            _ => {}
        })
        .map_err(ResponseFault::Options)?;
        self.rcode |= u16::from(opt.extended_rcode) << 4;
        self.edns = Some(edns);
        Ok(())
    }
}

/// Returns what is kept of an Extended DNS Error's text. RFC 8914 section 2: it may end in a zero
/// octet although it must not.
fn ede_text_of(octets: &[u8]) -> &str {
    let text = str::from_utf8(octets)
        .unwrap_or_default()
        .trim_end_matches('\0');
    text.get(..text.floor_char_boundary(EDE_TEXT_MAX))
        .unwrap_or_default()
}
