//! Properties of every message: well formed, changed in a few bytes, or random.

use proptest::collection::vec;
use proptest::prelude::*;

use dotgate_wire::{NameCase, Question, Received, UpstreamQuery, UpstreamResponse, parse_query};

use crate::checks::{check_answer, check_frame, check_query, check_upstream_query};
use crate::messages::{changed, changes, queries, responses};

/// A header that announces little, so that random bytes behind it are often taken for records.
fn random_message() -> impl Strategy<Value = Vec<u8>> {
    let count = || prop_oneof![3 => 0_u8..3, 1 => any::<u8>()];
    let counts = (0_u8..3, count(), count(), count());
    (any::<[u8; 4]>(), counts, vec(any::<u8>(), 0..200)).prop_map(|(head, counts, rest)| {
        let (questions, answers, authorities, additionals) = counts;
        let words = [0, questions, 0, answers, 0, authorities, 0, additionals];
        [&head[..], &words, &rest].concat()
    })
}

/// A name of any bytes, of any well-formed length.
fn any_name() -> impl Strategy<Value = Vec<u8>> {
    vec(vec(any::<u8>(), 1..=63), 0..8).prop_map(|labels| {
        let mut name = Vec::new();
        for label in labels {
            if name.len() + label.len() + 2 <= 255 {
                name.push(u8::try_from(label.len()).unwrap());
                name.extend(label);
            }
        }
        name.push(0);
        name
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn well_formed_response_is_accepted_and_stored_as_domain_reads_it(described in responses()) {
        let message = described.build();
        prop_assert!(check_answer(&message));
        let mut answer = UpstreamResponse::new();
        prop_assert_eq!(answer.load(&message), Ok(()));
        prop_assert_eq!((answer.id(), answer.flags().0), (described.id, described.flags & !0x0040));
        let dnssec_ok = answer.edns().map(|edns| (edns.version, edns.dnssec_ok));
        prop_assert_eq!(dnssec_ok, described.edns().map(|(_, dnssec_ok, _)| (0, dnssec_ok)));
    }

    #[test]
    fn opt_record_in_the_middle_is_cut_out_and_every_record_stays(
        described in responses().prop_filter("OPT in the middle", |it| it.has_opt_in_the_middle()),
    ) {
        prop_assert!(check_answer(&described.build()));
    }

    #[test]
    fn well_formed_query_is_read_as_domain_reads_it(described in queries()) {
        let message = described.build();
        check_query(&message);
        let Received::Query(query) = parse_query(&message) else {
            return Err(TestCaseError::fail("not a query"));
        };
        prop_assert_eq!((query.id, query.flags.0), (described.id, described.flags));
        let edns = query.edns.map(|edns| (edns.udp_size, edns.dnssec_ok, edns.asks_padding));
        let expected = described.edns().map(|(udp_size, dnssec_ok, codes)| {
            (udp_size.max(512), dnssec_ok, codes.contains(&12))
        });
        prop_assert_eq!(edns, expected);
    }

    #[test]
    fn changed_response_breaks_nothing(described in responses(), changes in changes()) {
        check_answer(&changed(described.build(), &changes));
    }

    #[test]
    fn changed_query_breaks_nothing(described in queries(), changes in changes()) {
        check_query(&changed(described.build(), &changes));
    }

    #[test]
    fn random_bytes_break_nothing(bytes in vec(any::<u8>(), 0..300), message in random_message()) {
        for input in [&bytes, &message] {
            check_query(input);
            check_answer(input);
            check_frame(input);
        }
        let mut response = message;
        response[2] |= 0x80;
        check_answer(&response);
    }

    #[test]
    fn frames_are_split_as_they_were_joined(messages in vec(vec(any::<u8>(), 0..300), 0..6), cut in 0..40_usize) {
        let mut stream = Vec::new();
        for message in &messages {
            dotgate_wire::write_framed(&mut stream, |out| out.extend_from_slice(message));
        }
        check_frame(&stream);
        check_frame(&stream[..stream.len().saturating_sub(cut)]);
    }

    #[test]
    fn query_towards_an_upstream_has_the_given_flags(
        name in any_name(),
        (qtype, qclass, id) in any::<(u16, u16, u16)>(),
        (dnssec_ok, checking_disabled, edns, asks_keepalive) in any::<(bool, bool, bool, bool)>(),
    ) {
        // A client could not have asked in these classes.
        prop_assume!(qclass != 0 && qclass != 254);
        let question = Question::new(&name, qtype, qclass).unwrap();
        check_upstream_query(&UpstreamQuery {
            id, question: &question, name_case: NameCase::LOWER, dnssec_ok, checking_disabled, edns,
            pads: true, asks_keepalive,
        });
    }

    #[test]
    fn name_case_of_any_name_is_restored(name in any_name()) {
        let exact = [&name[..], &[0x41, 0x61, 0x5a, 0x7a]].concat();
        let (question, name_case) = (Question::fold(&exact).unwrap(), NameCase::of(&exact));
        prop_assert_eq!(question.as_bytes().len(), exact.len());
        let mut as_received = question.as_bytes().to_vec();
        name_case.apply(&mut as_received);
        prop_assert_eq!(&as_received, &exact);
        prop_assert!(question.matches(&exact));
    }
}
