//! What is wrong with an upstream's response.

use crate::name::NameFault;
use crate::opt::OptionFault;
use crate::records::RecordFault;

/// Which rule an upstream's response breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResponseFault {
    /// The bytes end before all that the header counts.
    CutShort,
    /// A TSIG is not in the additional section (RFC 8945 section 5.1).
    MisplacedSignature,
    /// A name is not well formed.
    Name(NameFault),
    /// A name leads through the TTL of a record, and so would change with it.
    NameThroughTtl,
    /// QR is not set.
    NotAResponse,
    /// The opcode is not QUERY.
    Opcode,
    /// An OPT record is in the answer or authority section (RFC 6891 section 6.1.1).
    OptOutsideAdditional,
    /// An OPT record is owned by a name other than the root (RFC 6891 section 6.1.2).
    OptOwner,
    /// The options of the OPT record do not fill it exactly, or are too many.
    Options(OptionFault),
    /// A name leads into a record that only belongs to the hop, and so could not outlive it.
    PointerIntoHopRecord,
    /// There is more than one question.
    QuestionCount,
    /// RDATA of a type with names is not made as its RFC says.
    Rdata,
    /// There are fewer bytes than a header.
    Short,
    /// There are more bytes than a message can have.
    TooLong,
    /// There are two OPT records (RFC 6891 section 6.1.1).
    TwoOpts,
    /// There are two TSIG or two SIG(0) records (RFC 8945 section 5.1).
    TwoSignatures,
}

impl ResponseFault {
    /// Returns the fault's name in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::CutShort => "cut-short",
            Self::MisplacedSignature => "misplaced-signature",
            Self::Name(fault) => fault.label(),
            Self::NameThroughTtl => "name-through-ttl",
            Self::NotAResponse => "not-a-response",
            Self::Opcode => "opcode",
            Self::OptOutsideAdditional => "opt-outside-additional",
            Self::OptOwner => "opt-owner",
            Self::Options(OptionFault::Overrun) => "option-overrun",
            Self::Options(OptionFault::TooMany) => "too-many-options",
            Self::PointerIntoHopRecord => "pointer-into-hop-record",
            Self::QuestionCount => "question-count",
            Self::Rdata => "rdata",
            Self::Short => "short",
            Self::TooLong => "too-long",
            Self::TwoOpts => "two-opts",
            Self::TwoSignatures => "two-signatures",
        }
    }
}

impl From<NameFault> for ResponseFault {
    fn from(fault: NameFault) -> Self {
        Self::Name(fault)
    }
}

impl From<RecordFault> for ResponseFault {
    fn from(fault: RecordFault) -> Self {
        match fault {
            RecordFault::Name(fault) => Self::Name(fault),
            RecordFault::CutShort => Self::CutShort,
            RecordFault::Rdata => Self::Rdata,
        }
    }
}
