//! Upstream queries, byte for byte.

use super::*;
use crate::build::name;

fn question(labels: &str) -> Question {
    Question::new(&name(labels), 28, 1).unwrap()
}

fn written(query: &UpstreamQuery<'_>) -> Vec<u8> {
    let mut out = vec![0xee; 3];
    write_query(&mut out, query);
    assert_eq!(out[..3], [0xee; 3]);
    let (message, rest) = crate::split_frame(&out[3..]).unwrap();
    assert!(rest.is_empty());
    message.to_vec()
}

#[test]
fn query_without_edns_is_a_header_and_a_question() {
    let message = written(&UpstreamQuery {
        id: 0xabcd,
        question: &question("Example.org"),
        dnssec_ok: true,
        checking_disabled: false,
        edns: false,
        pads: true,
        name_case: NameCase::LOWER,
        asks_keepalive: true,
    });
    let header = [0xab, 0xcd, 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 0];
    assert_eq!(
        message,
        [&header[..], b"\x07example\x03org\0\0\x1c\0\x01"].concat()
    );
}

#[test]
fn query_with_edns_is_padded_and_has_the_given_flags() {
    let message = written(&UpstreamQuery {
        id: 1,
        question: &question("example.org"),
        dnssec_ok: true,
        checking_disabled: true,
        edns: true,
        pads: true,
        name_case: NameCase::LOWER,
        asks_keepalive: true,
    });
    let header = [0, 1, 0x01, 0x30, 0, 1, 0, 0, 0, 0, 0, 1];
    // Header 12, question 17, OPT 11, keepalive 4, padding's own header 4: 80 bytes are missing.
    let opt = [
        0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 88, 0, 11, 0, 0, 0, 12, 0, 80,
    ];
    let expected = [
        &header[..],
        b"\x07example\x03org\0\0\x1c\0\x01",
        &opt,
        &[0; 80],
    ]
    .concat();
    assert_eq!(message, expected);
}

#[test]
fn length_is_a_multiple_of_128_for_every_length_of_name() {
    for length in 1..=250 {
        // Labels of at most 50 bytes.
        let labels: Vec<String> = (0..length)
            .step_by(51)
            .map(|start| "a".repeat(50.min(length - start)))
            .filter(|label| !label.is_empty())
            .collect();
        for asks_keepalive in [false, true] {
            let message = written(&UpstreamQuery {
                id: 1,
                question: &question(&labels.join(".")),
                dnssec_ok: false,
                checking_disabled: false,
                edns: true,
                pads: true,
                name_case: NameCase::LOWER,
                asks_keepalive,
            });
            assert_eq!(message.len() % PADDING_BLOCK, 0);
            assert!(message.len() <= 384);
        }
    }
}

#[test]
fn padding_option_is_there_even_if_nothing_is_missing() {
    // 12 + 97 + 4 + 11 + 4 bytes are 128.
    let labels = ["a".repeat(47), "b".repeat(47)].join(".");
    let message = written(&UpstreamQuery {
        id: 1,
        question: &question(&labels),
        dnssec_ok: false,
        checking_disabled: false,
        edns: true,
        pads: true,
        name_case: NameCase::LOWER,
        asks_keepalive: false,
    });
    assert_eq!(message.len(), 128);
    assert_eq!(
        message[128 - 15..],
        [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 4, 0, 12, 0, 0]
    );
}

#[test]
fn without_padding_the_question_stands_in_the_given_letter_case() {
    let question = question("a-long.example");
    let name_case = NameCase::mixed(question.as_bytes(), [0b1010_1010, 0, 0, 0]);
    let message = written(&UpstreamQuery {
        id: 1,
        question: &question,
        dnssec_ok: false,
        checking_disabled: false,
        edns: true,
        pads: false,
        name_case,
        asks_keepalive: false,
    });
    let mut expected = vec![0, 1, 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 1];
    expected.extend_from_slice(b"\x06A-LoNg\x07example\0\0\x1c\0\x01");
    expected.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    assert_eq!(message, expected);
    assert_eq!(NameCase::of(&expected[12..28 + 4]), name_case);
}
