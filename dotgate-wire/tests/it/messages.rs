//! Messages for property tests, described by values that proptest can shrink and built by `domain`.

use domain::base::iana::{Class, Rtype};
use domain::base::message_builder::{AdditionalBuilder, TreeCompressor};
use domain::base::opt::UnknownOptData;
use domain::base::rdata::UnknownRecordData;
use domain::base::{MessageBuilder, Name, Record, Serial, Ttl};
use domain::rdata::{A, Aaaa, AllRecordData, Cname, Dname, Minfo, Mx, Ns, Ptr, Soa, Srv};
use proptest::collection::vec;
use proptest::prelude::*;

/// A name: one of [`NAMES`] with these letters in upper case.
#[derive(Clone, Debug)]
pub(crate) struct CasedName {
    index: usize,
    upper: u64,
}

/// Few names, and related ones, so that records meet, chain and share suffixes.
const NAMES: [&str; 10] = [
    "www.example.org",
    "example.org",
    "a.www.example.org",
    "b.www.example.org",
    "ample.org",
    "org",
    ".",
    "www.example.net",
    "mail.example.net",
    "x.y.z.a-long-label-that-takes-some-room.example.net",
];

impl CasedName {
    fn name(&self) -> Name<Vec<u8>> {
        let text: String = NAMES[self.index]
            .char_indices()
            .map(|(at, letter)| match self.upper >> (at % 64) & 1 {
                0 => letter,
                _ => letter.to_ascii_uppercase(),
            })
            .collect();
        text.parse().unwrap()
    }
}

pub(crate) type Data = AllRecordData<Vec<u8>, Name<Vec<u8>>>;

/// A record and its section: 0 answer, 1 authority, 2 additional.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    section: usize,
    owner: CasedName,
    class: u16,
    ttl: u32,
    data: Data,
}

/// An OPT record, and before which additional record it stands.
#[derive(Clone, Debug)]
pub(crate) struct DescribedOpt {
    position: usize,
    udp_size: u16,
    dnssec_ok: bool,
    options: Vec<(u16, Vec<u8>)>,
}

/// A whole message.
#[derive(Clone, Debug)]
pub(crate) struct DescribedMessage {
    pub(crate) id: u16,
    pub(crate) flags: u16,
    question: (CasedName, u16, u16),
    records: Vec<Described>,
    opt: Option<DescribedOpt>,
}

impl DescribedMessage {
    /// Builds it, with all names compressed that may be.
    pub(crate) fn build(&self) -> Vec<u8> {
        let target = TreeCompressor::new(Vec::new());
        let mut builder = MessageBuilder::from_target(target).unwrap().question();
        let (name, qtype, qclass) = &self.question;
        let class = Class::from_int(*qclass);
        builder
            .push((name.name(), Rtype::from_int(*qtype), class))
            .unwrap();
        let section = |number: usize| {
            self.records
                .iter()
                .filter(move |record| record.section == number)
                .map(Described::record)
        };
        let mut builder = builder.answer();
        section(0).for_each(|record| builder.push(record).unwrap());
        let mut builder = builder.authority();
        section(1).for_each(|record| builder.push(record).unwrap());
        let mut builder = builder.additional();
        let additionals: Vec<_> = section(2).collect();
        let before_opt = self
            .opt
            .as_ref()
            .map(|opt| opt.position.min(additionals.len()));
        for (position, record) in additionals.iter().enumerate() {
            if before_opt == Some(position) {
                self.push_opt(&mut builder);
            }
            builder.push(record).unwrap();
        }
        if before_opt == Some(additionals.len()) {
            self.push_opt(&mut builder);
        }
        let mut message = builder.finish().into_target();
        message[..2].copy_from_slice(&self.id.to_be_bytes());
        message[2..4].copy_from_slice(&self.flags.to_be_bytes());
        message
    }

    fn push_opt(&self, builder: &mut AdditionalBuilder<TreeCompressor<Vec<u8>>>) {
        let Some(opt) = &self.opt else { return };
        let written = builder.opt(|out| {
            out.set_udp_payload_size(opt.udp_size);
            out.set_dnssec_ok(opt.dnssec_ok);
            for (code, data) in &opt.options {
                out.push(&UnknownOptData::new((*code).into(), data.clone()).unwrap())?;
            }
            Ok(())
        });
        written.unwrap();
    }

    /// The OPT record's size, DO and option codes.
    pub(crate) fn edns(&self) -> Option<(u16, bool, Vec<u16>)> {
        let opt = self.opt.as_ref()?;
        let codes = opt.options.iter().map(|(code, _)| *code).collect();
        Some((opt.udp_size, opt.dnssec_ok, codes))
    }

    /// Whether the OPT record stands before another record.
    pub(crate) fn has_opt_in_the_middle(&self) -> bool {
        let additionals = self
            .records
            .iter()
            .filter(|record| record.section == 2)
            .count();
        self.opt
            .as_ref()
            .is_some_and(|opt| opt.position < additionals)
    }
}

impl Described {
    fn record(&self) -> Record<Name<Vec<u8>>, Data> {
        let class = Class::from_int(self.class);
        Record::new(
            self.owner.name(),
            class,
            Ttl::from_secs(self.ttl),
            self.data.clone(),
        )
    }
}

fn as_received() -> impl Strategy<Value = CasedName> {
    (0..NAMES.len(), any::<u64>()).prop_map(|(index, upper)| CasedName { index, upper })
}

fn name() -> impl Strategy<Value = Name<Vec<u8>>> {
    as_received().prop_map(|as_received| as_received.name())
}

fn data() -> impl Strategy<Value = Data> {
    let unknown = (
        prop_oneof![Just(46_u16), Just(64), Just(16), 65_280_u16..],
        vec(any::<u8>(), 0..60),
    );
    prop_oneof![
        any::<[u8; 4]>().prop_map(|bytes| A::new(bytes.into()).into()),
        any::<[u8; 16]>().prop_map(|bytes| Aaaa::new(bytes.into()).into()),
        name().prop_map(|name| Cname::new(name).into()),
        name().prop_map(|name| Cname::new(name).into()),
        name().prop_map(|name| Dname::new(name).into()),
        name().prop_map(|name| Ns::new(name).into()),
        name().prop_map(|name| Ptr::new(name).into()),
        (any::<u16>(), name()).prop_map(|(preference, name)| Mx::new(preference, name).into()),
        (any::<u16>(), name()).prop_map(|(port, name)| Srv::new(1, 2, port, name).into()),
        (name(), name()).prop_map(|(one, other)| Minfo::new(one, other).into()),
        (name(), name(), any::<u32>()).prop_map(|(mname, rname, number)| {
            let [refresh, retry, expire, minimum] = [1, 2, 3, number].map(Ttl::from_secs);
            Soa::new(
                mname,
                rname,
                Serial(number),
                refresh,
                retry,
                expire,
                minimum,
            )
            .into()
        }),
        unknown.prop_map(|(rtype, bytes)| {
            UnknownRecordData::from_octets(Rtype::from_int(rtype), bytes)
                .unwrap()
                .into()
        }),
    ]
}

fn ttl() -> impl Strategy<Value = u32> {
    prop_oneof![
        0_u32..400,
        604_799_u32..604_802,
        Just(0x8000_0000),
        any::<u32>()
    ]
}

fn described(sections: core::ops::Range<usize>) -> impl Strategy<Value = Described> {
    let class = prop_oneof![9 => Just(1_u16), 1 => Just(3_u16)];
    (sections, as_received(), class, ttl(), data()).prop_map(
        |(section, owner, class, ttl, data)| Described {
            section,
            owner,
            class,
            ttl,
            data,
        },
    )
}

fn described_opt() -> impl Strategy<Value = DescribedOpt> {
    let code = prop_oneof![
        Just(3_u16),
        Just(10),
        Just(11),
        Just(12),
        Just(15),
        65_001_u16..
    ];
    let option = (code, vec(any::<u8>(), 0..20)).prop_map(|(code, mut data)| {
        // A cookie of another length is malformed.
        if code == 10 {
            data.resize(8, 7);
        }
        (code, data)
    });
    let options = vec(option, 0..5);
    (0_usize..6, any::<u16>(), any::<bool>(), options).prop_map(
        |(position, udp_size, dnssec_ok, options)| DescribedOpt {
            position,
            udp_size,
            dnssec_ok,
            options,
        },
    )
}

fn question() -> impl Strategy<Value = (CasedName, u16, u16)> {
    let class = prop_oneof![8 => Just(1_u16), 1 => Just(3_u16), 1 => Just(255_u16)];
    (as_received(), prop_oneof![1_u16..70, any::<u16>()], class)
}

/// Well-formed responses: opcode QUERY, any other flags.
pub(crate) fn responses() -> impl Strategy<Value = DescribedMessage> {
    let records = vec(described(0..3), 0..14);
    (
        any::<u16>(),
        any::<u16>(),
        question(),
        records,
        proptest::option::of(described_opt()),
    )
        .prop_map(|(id, flags, question, records, opt)| DescribedMessage {
            id,
            flags: flags & 0x87ff | 0x8000,
            question,
            records,
            opt,
        })
}

/// Well-formed queries, some with additional records that do not belong there.
pub(crate) fn queries() -> impl Strategy<Value = DescribedMessage> {
    let records = prop_oneof![4 => Just(Vec::new()), 1 => vec(described(2..3), 1..4)];
    (
        any::<u16>(),
        any::<u16>(),
        question(),
        records,
        proptest::option::of(described_opt()),
    )
        .prop_map(|(id, flags, question, records, opt)| DescribedMessage {
            id,
            flags: flags & 0x07ff,
            question,
            records,
            opt,
        })
}

/// One change to a message's bytes.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Set(usize, u8),
    CutAt(usize),
    Insert(usize, u8),
    Remove(usize),
    /// Makes a pointer where there was none.
    Point(usize, usize),
    Append(Vec<u8>),
}

/// A few changes.
pub(crate) fn changes() -> impl Strategy<Value = Vec<Change>> {
    let at = || 0_usize..600;
    let change = prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => at().prop_map(Change::CutAt),
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        1 => at().prop_map(Change::Remove),
        3 => (at(), at()).prop_map(|(at, target)| Change::Point(at, target)),
        1 => vec(any::<u8>(), 0..40).prop_map(Change::Append),
    ];
    vec(change, 1..5)
}

/// Applies changes; offsets count from the start again at the end.
pub(crate) fn changed(mut message: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let length = message.len().max(1);
        match change {
            Change::Set(at, byte) => {
                if let Some(place) = message.get_mut(at % length) {
                    *place = *byte;
                }
            }
            Change::CutAt(at) => message.truncate(at % length),
            Change::Insert(at, byte) => message.insert(at % (message.len() + 1), *byte),
            Change::Remove(at) => drop(message.drain(at % length..).next()),
            Change::Point(at, target) => {
                let pointer = 0xc000 | u16::try_from(target % length).unwrap();
                if let Some(place) = message
                    .get_mut(at % length..)
                    .and_then(<[u8]>::first_chunk_mut)
                {
                    *place = pointer.to_be_bytes();
                }
            }
            Change::Append(bytes) => message.extend(bytes),
        }
    }
    message
}
