//! Which records of the answer section belong to the question.

use super::*;

fn off_chain(answers: &[Vec<u8>]) -> u16 {
    loaded(&response([answers, &[], &[]])).off_chain_count()
}

fn cname(owner: &str, target: &str) -> Vec<u8> {
    record(&name(owner), rtype::CNAME, 60, &name(target))
}

fn a(owner: &str) -> Vec<u8> {
    record(&name(owner), rtype::A, 60, &[192, 0, 2, 1])
}

/// A chain of `hops` CNAME records from the QNAME, and an address at its end.
fn chain(hops: usize) -> Vec<Vec<u8>> {
    let link = |hop: usize| {
        if hop == 0 {
            "www.example.org".into()
        } else {
            format!("n{hop}.test")
        }
    };
    let cnames = (0..hops).map(|hop| cname(&link(hop), &link(hop + 1)));
    cnames.chain([a(&link(hops))]).collect()
}

#[test]
fn records_of_the_qname_belong() {
    assert_eq!(off_chain(&[]), 0);
    assert_eq!(
        off_chain(&[a("www.example.org"), address(1), a("WWW.EXAMPLE.ORG")]),
        0
    );
}

#[test]
fn chain_is_followed_in_any_order() {
    let forwards = chain(3);
    assert_eq!(off_chain(&forwards), 0);
    let backwards: Vec<_> = forwards.iter().rev().cloned().collect();
    assert_eq!(off_chain(&backwards), 0);
    assert_eq!(off_chain(&[&forwards[2..], &forwards[..2]].concat()), 0);
}

#[test]
fn signature_of_a_chain_name_belongs_and_another_does_not() {
    let signature = |owner: &str| record(&name(owner), rtype::RRSIG, 60, &[0; 30]);
    let answers = [
        cname("www.example.org", "a.test"),
        signature("www.example.org"),
        a("a.test"),
    ];
    assert_eq!(
        off_chain(&[&answers[..], &[signature("a.test")]].concat()),
        0
    );
    assert_eq!(
        off_chain(&[&answers[..], &[signature("b.test")]].concat()),
        1
    );
}

#[test]
fn records_of_other_names_are_off_chain() {
    assert_eq!(
        off_chain(&[
            address(1),
            a("other.test"),
            a("example.org"),
            a("a.www.example.org")
        ]),
        3
    );
    // A link is missing: what lies behind it cannot be reached.
    let mut broken = chain(3);
    broken.remove(1);
    assert_eq!(off_chain(&broken), 2);
}

#[test]
fn only_the_first_of_two_cnames_is_followed() {
    let cnames = [
        cname("www.example.org", "a.test"),
        cname("www.example.org", "b.test"),
    ];
    assert_eq!(off_chain(&[&cnames[..], &[a("a.test")]].concat()), 0);
    assert_eq!(off_chain(&[&cnames[..], &[a("b.test")]].concat()), 1);
}

#[test]
fn loop_of_cnames_ends() {
    let answers = [
        cname("www.example.org", "a.test"),
        cname("a.test", "www.example.org"),
    ];
    assert_eq!(off_chain(&answers), 0);
    assert_eq!(
        off_chain(&[cname("www.example.org", "www.example.org"), a("b.test")]),
        1
    );
}

#[test]
fn dname_above_a_chain_name_belongs() {
    let dname = |owner: &str| record(&name(owner), rtype::DNAME, 60, &name("target.test"));
    let rest = [
        cname("www.example.org", "www.target.test"),
        a("www.target.test"),
    ];
    assert_eq!(off_chain(&[&[dname("example.org")], &rest[..]].concat()), 0);
    assert_eq!(off_chain(&[&rest[..], &[dname("EXAMPLE.org")]].concat()), 0);
    assert_eq!(off_chain(&[&[dname("")], &rest[..]].concat()), 0);
    assert_eq!(off_chain(&[&[dname("ample.org")], &rest[..]].concat()), 1);
    assert_eq!(
        off_chain(&[&[dname("x.www.example.org")], &rest[..]].concat()),
        1
    );
    // Without the CNAME that RFC 6672 section 3.1 demands, the DNAME leads nowhere.
    assert_eq!(off_chain(&[dname("example.org"), a("www.target.test")]), 1);
}

#[test]
fn chain_is_followed_for_31_hops() {
    assert_eq!(off_chain(&chain(31)), 0);
    assert_eq!(off_chain(&chain(32)), 1);
    assert_eq!(off_chain(&chain(40)), 9);
}

#[test]
fn without_a_question_every_answer_is_off_chain() {
    let sent = [header(RESPONSE, [0, 1, 0, 0]), a("www.example.org")].concat();
    assert_eq!(loaded(&sent).off_chain_count(), 1);
}

#[test]
fn record_whose_name_only_shares_the_qnames_hash_is_off_chain() {
    let body = response([&[a("other.test"), address(1)], &[], &[]]);
    let mut scan = Scan::default();
    scan.run(&body, &Header::read(&body).unwrap(), &mut String::new())
        .unwrap();
    let qname = scan.question.unwrap();
    let other = &mut scan.entries[0].owner;
    (other.hash, other.labels) = (qname.hash, qname.labels);
    assert_eq!(crate::answer::chain::count_off_chain(&body, &mut scan), 1);
}

#[test]
fn other_sections_have_no_off_chain_records() {
    let other = [a("other.test")];
    assert_eq!(
        loaded(&response([&[address(1)], &other, &other])).off_chain_count(),
        0
    );
}
