//! Names: both sides of each limit.

use super::*;
use crate::build::{name, pointer};

/// A message of a header and `bytes`, whose first byte has offset 12.
fn found(bytes: &[u8], at: usize) -> Result<FoundName, NameFault> {
    find(&[&[0; HEADER_LEN], bytes].concat(), at)
}

/// A name of `labels` labels of one byte.
fn short_labels(labels: usize) -> Vec<u8> {
    [b"\x01a".repeat(labels), vec![0]].concat()
}

#[test]
fn work_is_counted_in_bytes_and_hops() {
    // Two labels and a root: three first bytes, and eight bytes hashed.
    let steps = steps::taken_by(|| assert!(find(b"\x03org\x03www\0", 0).is_ok()));
    assert_eq!(steps, 3 + 8);
}

#[test]
fn label_has_at_most_63_bytes() {
    let with_label = |length: u8| [vec![length], vec![b'x'; length.into()], vec![0]].concat();
    assert_eq!(
        found(&with_label(63), 12).map(|name| (name.labels, name.end)),
        Ok((1, 77))
    );
    assert_eq!(found(&with_label(64), 12), Err(NameFault::LabelType));
}

#[test]
fn label_types_01_and_10_are_no_names() {
    for first in [0x40, 0x41, 0x7f, 0x80, 0xbf] {
        let bytes = [vec![first], vec![0; 200]].concat();
        assert_eq!(found(&bytes, 12), Err(NameFault::LabelType), "{first:#x}");
    }
}

#[test]
fn name_has_at_most_255_bytes() {
    // 127 labels of two bytes and the root.
    assert_eq!(
        found(&short_labels(127), 12).map(|name| (name.labels, name.end)),
        Ok((127, 267))
    );
    assert_eq!(found(&short_labels(128), 12), Err(NameFault::TooLong));
    let one_byte_more = [b"\x02ab".to_vec(), short_labels(126)].concat();
    assert_eq!(found(&one_byte_more, 12), Err(NameFault::TooLong));
}

#[test]
fn name_that_is_too_long_only_through_its_pointer_is_too_long() {
    let tail = short_labels(126);
    let at = 12 + tail.len();
    let with_head = |head: &[u8]| [tail.clone(), head.to_vec(), pointer(12)].concat();
    assert!(found(&with_head(b"\x01b"), at).is_ok());
    assert_eq!(found(&with_head(b"\x02bc"), at), Err(NameFault::TooLong));
}

#[test]
fn pointer_leads_backwards_and_not_into_the_header() {
    let org = name("org");
    let at = 12 + org.len();
    let with = |target: usize| [org.clone(), pointer(target), vec![0; 20]].concat();
    assert_eq!(
        found(&with(12), at).map(|name| (name.head, name.labels)),
        Ok((12, 1))
    );
    assert_eq!(
        found(&with(11), at),
        Err(NameFault::BadPointer),
        "into the header"
    );
    assert_eq!(
        found(&with(at), at),
        Err(NameFault::BadPointer),
        "to itself"
    );
    assert_eq!(
        found(&with(at + 2), at),
        Err(NameFault::BadPointer),
        "forwards"
    );
    assert_eq!(
        found(&with(0x3fff), at),
        Err(NameFault::BadPointer),
        "beyond the end"
    );
}

#[test]
fn pointer_to_the_start_of_its_own_name_is_a_loop() {
    assert_eq!(
        found(&[b"\x01a".to_vec(), pointer(12)].concat(), 12),
        Err(NameFault::BadPointer)
    );
    let two = [pointer(14), pointer(12)].concat();
    assert_eq!(found(&two, 14), Err(NameFault::BadPointer));
}

#[test]
fn every_pointer_leads_before_the_part_of_the_name_it_ends() {
    // The name at 18 leads to 16, that to 12, and behind the label there it leads to 16 again.
    let bytes = [b"\x01a".to_vec(), pointer(16), pointer(12), pointer(16)].concat();
    assert_eq!(found(&bytes, 18), Err(NameFault::BadPointer));
}

#[test]
fn name_has_at_most_127_pointers() {
    let pointers = |count: usize| -> Vec<u8> {
        let chain = (0..count).flat_map(|hop| pointer(if hop == 0 { 12 } else { 11 + 2 * hop }));
        [0].into_iter().chain(chain).collect()
    };
    let last = |count: usize| 11 + 2 * count;
    assert_eq!(
        found(&pointers(127), last(127)).map(|name| name.end),
        Ok(last(127) + 2)
    );
    assert_eq!(
        found(&pointers(128), last(128)),
        Err(NameFault::TooManyPointers)
    );
}

#[test]
fn name_that_ends_early_is_cut_short_wherever_it_ends() {
    let whole = [name("example.org"), b"\x03www".to_vec(), pointer(12)].concat();
    assert!(found(&whole, 25).is_ok());
    for length in 13..whole.len() {
        assert_eq!(
            found(&whole[..length], 25),
            Err(NameFault::CutShort),
            "{length}"
        );
    }
    assert_eq!(find(&[], 0), Err(NameFault::CutShort));
    assert_eq!(find(&[0], usize::MAX - 1), Err(NameFault::CutShort));
}

#[test]
fn what_is_found_shows_where_the_name_is_and_leads() {
    let message = [
        vec![0; 12],
        name("example.org"),
        b"\x03www".to_vec(),
        pointer(12),
    ]
    .concat();
    let www = find(&message, 25).unwrap();
    assert_eq!((www.end, www.head, www.labels), (31, 25, 3));
    assert_eq!(www.pointer, Some(Pointer { at: 29, target: 12 }));
    let root = find(&message, 24).unwrap();
    assert_eq!(
        (root.end, root.head, root.labels, root.pointer),
        (25, 24, 0, None)
    );
}

#[test]
fn names_are_compared_without_regard_to_case_or_compression() {
    let message = [
        vec![0; 12],
        name("example.ORG"),
        b"\x03wWw".to_vec(),
        pointer(12),
        name("www.Example.org"),
    ]
    .concat();
    let (example, short, long) = (
        find(&message, 12).unwrap(),
        find(&message, 25).unwrap(),
        find(&message, 31).unwrap(),
    );
    assert_eq!(short.hash, long.hash);
    assert!(is_same(&message, &short, &long));
    assert!(!is_same(&message, &short, &example));
    // Bytes that differ in the same bit as letters of two cases do are not letters.
    let odd = [name("a@b"), name("a`b")].concat();
    assert!(!is_same(
        &odd,
        &find(&odd, 0).unwrap(),
        &find(&odd, 5).unwrap()
    ));
}

#[test]
fn name_is_below_its_ancestors_and_nothing_else() {
    let message = [
        name("www.example.org"),
        name("EXAMPLE.org"),
        name("ample.org"),
        name("www.example.net"),
        name(""),
    ]
    .concat();
    let at = |offset| find(&message, offset).unwrap();
    let (www, example, ample, net, root) = (at(0), at(17), at(30), at(41), at(58));
    assert!(is_below(&message, &www, &example));
    assert!(is_below(&message, &www, &root));
    assert!(!is_below(&message, &www, &www));
    assert!(!is_below(&message, &example, &www));
    assert!(
        !is_below(&message, &www, &ample),
        "not on a label's boundary"
    );
    assert!(!is_below(&message, &net, &example));
    assert!(!is_below(&message, &root, &root));
}

#[test]
fn name_is_printed_with_escapes() {
    struct Printed(Vec<u8>);
    impl fmt::Display for Printed {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            print(&self.0, out)
        }
    }
    assert_eq!(Printed(vec![0]).to_string(), ".");
    assert_eq!(
        Printed(name("www.Example.org")).to_string(),
        "www.Example.org."
    );
    assert_eq!(
        Printed(b"\x04a.\\\"\x03\x00 \xff\0".to_vec()).to_string(),
        "a\\.\\\\\\\".\\000\\032\\255."
    );
}

#[test]
fn name_faults_have_labels_of_their_own() {
    let labels = [
        NameFault::BadPointer,
        NameFault::CutShort,
        NameFault::LabelType,
        NameFault::TooLong,
        NameFault::TooManyPointers,
    ]
    .map(NameFault::label);
    assert_eq!(
        labels,
        [
            "name-bad-pointer",
            "name-cut-short",
            "name-label-type",
            "name-too-long",
            "name-too-many-pointers"
        ]
    );
}
