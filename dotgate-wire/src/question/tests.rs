//! Questions: folding, comparing, spelling, printing.

use std::collections::HashSet;

use super::*;
use crate::build::name;

fn exact(labels: &str, qtype: u16, qclass: u16) -> Vec<u8> {
    [
        name(labels),
        qtype.to_be_bytes().to_vec(),
        qclass.to_be_bytes().to_vec(),
    ]
    .concat()
}

#[test]
fn folding_lowers_the_name_and_nothing_else() {
    // Type 0x4142 and class 0x4344 look like upper case letters.
    let question = Question::fold(&exact("WwW.Example.ORG", 0x4142, 0x4344)).unwrap();
    assert_eq!(
        question.as_bytes(),
        exact("www.example.org", 0x4142, 0x4344)
    );
    assert_eq!(question.name(), name("www.example.org"));
    assert_eq!((question.qtype(), question.qclass()), (0x4142, 0x4344));
}

#[test]
fn folding_takes_one_whole_question_only() {
    let whole = exact("example.org", 1, 1);
    assert!(Question::fold(&whole).is_some());
    assert!(Question::fold(&whole[..whole.len() - 1]).is_none());
    assert!(Question::fold(&[whole, vec![0]].concat()).is_none());
    assert!(Question::fold(&[]).is_none());
    assert!(Question::fold(b"\xc0\x00\0\x01\0\x01").is_none());
    assert!(Question::fold(b"\x41a\0\0\x01\0\x01").is_none());
}

#[test]
fn longest_question_has_259_bytes() {
    let longest = exact(&"a.".repeat(127), 1, 1);
    assert_eq!(longest.len(), QUESTION_MAX);
    assert_eq!(Question::fold(&longest).unwrap().as_bytes(), longest);
    assert!(Question::fold(&exact(&"a.".repeat(128), 1, 1)).is_none());
}

#[test]
fn question_is_made_from_a_name_type_and_class() {
    let question = Question::new(&name("Example.org"), 28, 1).unwrap();
    assert_eq!(question.as_bytes(), exact("example.org", 28, 1));
    assert!(Question::new(b"\x07example", 28, 1).is_none());
    assert!(Question::new(&[0; 2], 28, 1).is_none());
    assert!(Question::new(&[1; 300], 28, 1).is_none());
}

#[test]
fn questions_are_equal_by_the_bytes_they_use() {
    let new = |labels: &str, qtype| Question::new(&name(labels), qtype, 1).unwrap();
    let mut set = HashSet::from([new("example.org", 1)]);
    assert!(!set.insert(new("EXAMPLE.org", 1)));
    assert!(set.insert(new("example.org", 28)));
    assert!(set.insert(new("", 1)));
}

#[test]
fn question_matches_itself_in_any_case() {
    let question = Question::new(&name("www.example.org"), 65, 1).unwrap();
    assert!(question.matches(&exact("wWw.eXample.org", 65, 1)));
    assert!(!question.matches(&exact("www.example.net", 65, 1)));
    assert!(!question.matches(&exact("example.org", 65, 1)));
    // 65 and 97 are one letter in two cases: type and class are compared exactly.
    assert!(!question.matches(&exact("www.example.org", 97, 1)));
    assert!(!question.matches(&exact("www.example.org", 65, 3)));
    assert!(!question.matches(&[]));
    assert!(!question.matches(&[0, 1]));
}

#[test]
fn question_lies_below_a_zone_on_label_boundaries_only() {
    let question = Question::new(&name("www.example.org"), 1, 1).unwrap();
    for zone in ["www.example.org", "example.org", "org", ""] {
        assert!(question.is_at_or_below(&name(zone)), "{zone}");
    }
    for zone in [
        "a.www.example.org",
        "ample.org",
        "net",
        "ww.example.org",
        "xww.example.org",
    ] {
        assert!(!question.is_at_or_below(&name(zone)), "{zone}");
    }
    // The bytes of a suffix inside a label are no suffix.
    let trick = Question::new(b"\x05x\x03org\0", 1, 1).unwrap();
    assert!(!trick.is_at_or_below(&name("org")));
    assert!(!question.is_at_or_below(&[]));
}

#[test]
fn name_case_is_restored_from_any_other() {
    for labels in ["", "a", "WWW.eXaMpLe.ORG", "x-1.\u{7f}Q", &"aB.".repeat(84)] {
        let sent = exact(labels, 0x4141, 0x6161);
        let (question, name_case) = (Question::fold(&sent).unwrap(), NameCase::of(&sent));
        let mut lower = question.as_bytes().to_vec();
        name_case.apply(&mut lower);
        assert_eq!(lower, sent);
        let mut upper = exact(&labels.to_uppercase(), 0x4141, 0x6161);
        name_case.apply(&mut upper);
        assert_eq!(upper, sent);
    }
}

#[test]
fn last_byte_of_the_longest_name_keeps_its_case() {
    // Byte 254 is the root's, so the last letter is byte 253.
    let sent = exact(&("a.".repeat(126) + "Z"), 1, 1);
    assert_eq!(sent.len(), QUESTION_MAX);
    let (question, name_case) = (Question::fold(&sent).unwrap(), NameCase::of(&sent));
    let mut as_received = question.as_bytes().to_vec();
    assert_eq!(as_received[253], b'z');
    name_case.apply(&mut as_received);
    assert_eq!(as_received, sent);
}

#[test]
fn name_case_leaves_alone_what_is_no_question() {
    let name_case = NameCase::of(&exact("ABC", 1, 1));
    for mut bytes in [vec![], vec![b'a'], vec![b'a'; 4]] {
        let before = bytes.clone();
        name_case.apply(&mut bytes);
        assert_eq!(bytes, before);
    }
    name_case.apply(&mut [b'a'; 400]);
}

#[test]
fn question_is_printed_as_in_a_zone_file() {
    let printed = |labels: &str, qtype, qclass| {
        Question::new(&name(labels), qtype, qclass)
            .unwrap()
            .to_string()
    };
    assert_eq!(printed("Example.org", 28, 1), "example.org. AAAA IN");
    assert_eq!(printed("", 65_280, 3), ". TYPE65280 CH");
    assert_eq!(printed("a b", 65, 512), "a\\032b. HTTPS CLASS512");
}

#[test]
fn every_byte_at_every_place_is_upper_case_or_not() {
    for place in 0..70 {
        for byte in 0..=u8::MAX {
            // Type and class are no part of the name.
            let mut question = [b'@'; 70 + 4];
            question[place] = byte;
            let words = NameCase::of(&question).words();
            let mut expected = [0; 4];
            expected[place / 64] |= u64::from(byte.is_ascii_uppercase()) << (place % 64);
            assert_eq!(words, expected, "{byte} at {place}");
        }
    }
}
