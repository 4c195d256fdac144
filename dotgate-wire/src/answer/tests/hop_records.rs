//! What belongs to one hop is cut out, wherever it stands.

use super::*;

fn tsig() -> Vec<u8> {
    record_in(&name("key"), rtype::TSIG, 255, 0, &[0; 16])
}

fn sig0() -> Vec<u8> {
    record_in(&[0], rtype::SIG, 255, 0, &[0; 30])
}

/// A record whose owner and RDATA are compressed against `target`.
fn mail(target: usize) -> Vec<u8> {
    let owner = [&b"\x04mail"[..], &pointer(target)].concat();
    record(
        &owner,
        rtype::MX,
        60,
        &[&[0, 10, 2, b'm', b'x'], &pointer(target)[..]].concat(),
    )
}

#[test]
fn opt_record_at_the_end_is_cut_off() {
    let without = response([&[address(1)], &[], &[address(2)]]);
    let with = response([
        &[address(1)],
        &[],
        &[address(2), opt(0, &[option(3, b"x")])],
    ]);
    let answer = loaded(&with);
    assert_eq!(answer.body(), without);
    assert!(answer.edns().is_some());
}

#[test]
fn opt_record_in_front_is_cut_out() {
    let without = response([&[address(1)], &[], &[address(2), address(3)]]);
    for with in [
        response([&[address(1)], &[], &[opt(0, &[]), address(2), address(3)]]),
        response([
            &[address(1)],
            &[],
            &[address(2), opt(0, &[option(12, &[9; 50])]), address(3)],
        ]),
    ] {
        assert_eq!(loaded(&with).body(), without);
    }
}

#[test]
fn pointers_across_the_gap_are_moved_and_others_are_not() {
    let gap = opt(0, &[option(12, &[0xc0; 20])]);
    // The first record behind the gap has a name of its own, to which the second one's names lead.
    let first = record(&name("mail.test"), rtype::A, 60, &[192, 0, 2, 9]);
    let without = response([&[], &[], &[first.clone(), mail(RECORDS_AT), mail(12)]]);
    let moved = RECORDS_AT + gap.len();
    let with = response([&[], &[], &[gap, first, mail(moved), mail(12)]]);
    assert_eq!(loaded(&with).body(), without);
}

#[test]
fn pointers_in_every_rdata_with_names_are_moved() {
    let gap = opt(0, &[]);
    let first = record(&name("t.test"), rtype::A, 60, &[192, 0, 2, 9]);
    let with_target = |target: usize| {
        let to = pointer(target);
        let rdata: [(u16, Vec<u8>); 20] = [
            (rtype::NS, to.clone()),
            (rtype::MD, to.clone()),
            (rtype::MF, to.clone()),
            (rtype::CNAME, to.clone()),
            (rtype::SOA, [&to, &to, &[7; 20][..]].concat()),
            (rtype::MB, to.clone()),
            (rtype::MG, to.clone()),
            (rtype::MR, to.clone()),
            (rtype::PTR, to.clone()),
            (rtype::MINFO, [&to[..], &to].concat()),
            (rtype::MX, [&[0, 1], &to[..]].concat()),
            (rtype::RP, [&to[..], &to].concat()),
            (rtype::AFSDB, [&[0, 1], &to[..]].concat()),
            (rtype::RT, [&[0, 1], &to[..]].concat()),
            (
                rtype::SIG,
                [&[0, 1][..], &[7; 16], &to, b"signature"].concat(),
            ),
            (rtype::PX, [&[0, 1], &to[..], &to].concat()),
            (rtype::NXT, [&to[..], &[1, 2, 3]].concat()),
            (rtype::SRV, [&[0; 6], &to[..]].concat()),
            (
                rtype::NAPTR,
                [b"\0\x01\0\x01\x01s\x02ab\x00", &to[..]].concat(),
            ),
            (rtype::DNAME, to.clone()),
        ];
        rdata
            .map(|(rtype, rdata)| record(&to, rtype, 60, &rdata))
            .to_vec()
    };
    let without = [vec![first.clone()], with_target(RECORDS_AT)].concat();
    let with = [
        vec![gap.clone(), first],
        with_target(RECORDS_AT + gap.len()),
    ]
    .concat();
    assert_eq!(
        loaded(&response([&[], &[], &with])).body(),
        response([&[], &[], &without])
    );
}

#[test]
fn what_looks_like_a_pointer_in_other_rdata_is_not_moved() {
    let text = record(QNAME, rtype::TXT, 60, &[3, 0xc0, 60, 0xc0]);
    let without = response([&[], &[], &[address(1), text.clone()]]);
    let with = response([&[], &[], &[opt(0, &[]), address(1), text]]);
    assert_eq!(loaded(&with).body(), without);
}

#[test]
fn everything_known_of_the_records_is_true_of_their_new_place() {
    let long = record(&name("a.test"), rtype::A, 999_999, &[0; 4]);
    let short = record(&name("A.test"), rtype::A, 5, &[0; 4]);
    let answer = loaded(&response([&[address(1)], &[], &[opt(0, &[]), long, short]]));
    assert_eq!(
        (
            ttls(&answer),
            answer.off_chain_count(),
            answer.answer_count()
        ),
        (vec![300, 5, 5], 0, 1)
    );
    assert!(answer.edns().is_some());
}

#[test]
fn pointer_into_the_opt_record_is_a_fault() {
    let gap = opt(0, &[option(3, b"\x01a\0")]);
    for inside in [0, 15] {
        let with = response([&[], &[], &[gap.clone(), mail(RECORDS_AT + inside)]]);
        assert_eq!(
            fault(&with),
            ResponseFault::PointerIntoHopRecord,
            "{inside}"
        );
    }
}

#[test]
fn name_that_leads_through_opaque_bytes_into_the_opt_record_is_a_fault() {
    // The text holds a pointer to the name in the OPT record, and the last record's owner points to
    // that pointer.
    let gap = opt(0, &[option(3, b"\x01a\0")]);
    let text = record(QNAME, rtype::NULL, 60, &pointer(RECORDS_AT + 15));
    let text_at = RECORDS_AT + gap.len() + text.len() - 2;
    let last = record(&pointer(text_at), rtype::A, 60, &[0; 4]);
    let sent = response([&[], &[], &[gap, text, last]]);
    assert_eq!(fault(&sent), ResponseFault::PointerIntoHopRecord);
}

#[test]
fn name_that_would_change_because_opaque_bytes_do_not_move_is_a_fault() {
    // As above, but the hidden pointer leads to a name behind the gap, and there is another name
    // where it leads afterwards.
    let gap = opt(0, &[]);
    let names = record(QNAME, rtype::NULL, 60, &b"\x01a\0\x01b\0".repeat(12));
    let names_at = RECORDS_AT + gap.len() + names.len() - 72;
    let hidden = record(QNAME, rtype::NULL, 60, &pointer(names_at + 6));
    let hidden_at = RECORDS_AT + gap.len() + names.len() + hidden.len() - 2;
    let last = record(&pointer(hidden_at), rtype::A, 60, &[0; 4]);
    let sent = response([&[], &[], &[gap, names, hidden, last]]);
    assert_eq!(fault(&sent), ResponseFault::PointerIntoHopRecord);
}

#[test]
fn signatures_of_the_message_are_dropped() {
    let without = response([&[address(1)], &[], &[address(2)]]);
    for hop in [
        vec![tsig()],
        vec![sig0()],
        vec![sig0(), tsig()],
        vec![opt(0, &[]), tsig()],
    ] {
        let at_the_end = [vec![address(2)], hop.clone()].concat();
        assert_eq!(
            loaded(&response([&[address(1)], &[], &at_the_end])).body(),
            without
        );
        let in_front = [hop, vec![address(2)]].concat();
        assert_eq!(
            loaded(&response([&[address(1)], &[], &in_front])).body(),
            without
        );
    }
    let around = [opt(0, &[]), address(2), tsig()];
    assert_eq!(
        loaded(&response([&[address(1)], &[], &around])).body(),
        without
    );
}

#[test]
fn pointers_across_three_gaps_are_moved_by_all_of_them() {
    let (one, two, three) = (opt(0, &[]), sig0(), tsig());
    let target = record(&name("t.test"), rtype::A, 60, &[0; 4]);
    let without = response([&[], &[], &[target.clone(), mail(RECORDS_AT)]]);
    let at = RECORDS_AT + one.len() + two.len();
    assert_eq!(
        loaded(&response([&[], &[], &[one, two, target, three, mail(at)]])).body(),
        without
    );
}

#[test]
fn signature_of_an_rrset_stays() {
    let sig = record(
        QNAME,
        rtype::SIG,
        60,
        &[&[0, 1][..], &[0; 17], b"s"].concat(),
    );
    let sent = response([std::slice::from_ref(&sig), &[], std::slice::from_ref(&sig)]);
    assert_eq!(loaded(&sent).body(), sent);
}

#[test]
fn signature_without_rdata_does_not_take_the_next_records_bytes_for_its_own() {
    // The next record begins with two bytes of zero: the root and the upper half of its type.
    let empty = record_in(&[0], rtype::SIG, 255, 0, &[]);
    let next = record(&[0], rtype::A, 60, &[0; 4]);
    assert_eq!(
        fault(&response([&[], &[], &[empty, next]])),
        ResponseFault::Rdata
    );
}

#[test]
fn signatures_stand_once_in_the_additional_section() {
    for section in [[&[tsig()][..], &[], &[]], [&[], &[tsig()][..], &[]]] {
        assert_eq!(fault(&response(section)), ResponseFault::MisplacedSignature);
    }
    for twice in [[tsig(), tsig()], [sig0(), sig0()]] {
        assert_eq!(
            fault(&response([&[], &[], &twice])),
            ResponseFault::TwoSignatures
        );
    }
}
